//! Whether the target takes writes, and what it does to keep them.

use super::facts::Facts;
use super::findings::Findings;
use super::memory;
use super::node::Node;
use crate::error::ErrorKind;
use crate::protection::Bytes;

pub(super) fn writable(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    // A server that cannot save refuses even a PING.
    for error in facts.target.primaries().filter_map(|node| node.reached.as_ref().err()) {
        if error.kind() == ErrorKind::Rejected {
            findings.fail(error.to_string(), "remedy what the target complains of");
        }
    }
    facts.target.each(&mut findings, |node, findings| {
        let address = &node.address;
        if node.field("role").is_some_and(|role| role != "master") {
            findings.fail(
                format!("{address} is a replica, of {}", node.field("master_host").unwrap_or("?")),
                "name its primary, or promote it; what is written to a replica is lost, or refused",
            );
        }
        if let (Ok(needed), Some(good)) = (min_replicas(node), node.field("min_slaves_good_slaves"))
            && good.parse::<u64>().is_ok_and(|good| good < needed)
        {
            findings.fail(
                format!("{address} takes no writes with fewer than {needed} replicas, and has {good}"),
                "start the replicas, or CONFIG SET min-replicas-to-write 0 as long as data is copied",
            );
        }
        match &node.trial {
            Ok(trial) => {
                if let Some(why) = &trial.blind {
                    findings.unknown(address, why);
                }
                if let Some(why) = trial.refusal() {
                    findings.fail(format!("{address} refuses writes: '{why}'"), "remedy what the target complains of");
                }
            }
            Err(why) => findings.unknown(address, why),
        }
        if findings.is_clean() {
            findings.pass(format!("{address} takes writes"));
        }
    });
    findings
}

fn min_replicas(node: &Node) -> Result<u64, String> {
    let value = node.setting("min-replicas-to-write").or_else(|_| node.setting("min-slaves-to-write"))?;
    value.parse().map_err(|_| format!("'{value}' is no number of replicas"))
}

/// From this much data on, snapshots that a target takes while it is loaded are worth a word.
const MUCH: u64 = 1 << 30;

pub(super) fn persistence(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let much = memory::needed(facts).is_ok_and(|needed| needed > MUCH);
    facts.target.each(&mut findings, |node, findings| {
        let address = &node.address;
        let (aof, fsync, save) = match (node.setting("appendonly"), node.setting("appendfsync"), node.setting("save")) {
            (Ok(aof), Ok(fsync), Ok(save)) => (aof, fsync, save),
            (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => return findings.unknown(address, &why),
        };
        if aof == "yes" && fsync == "always" {
            findings.warn(
                format!("{address} waits for its disk after every write (appendfsync always)"),
                "CONFIG SET appendfsync everysec at the target as long as data is copied",
            );
        }
        if !save.is_empty() && much {
            findings.warn(
                format!(
                    "{address} takes snapshots (save {save}) while more than {} are written to it: each needs memory for what is written meanwhile, and \
                     if one fails writes are refused (stop-writes-on-bgsave-error)",
                    Bytes(MUCH)
                ),
                "CONFIG SET save \"\" at the target as long as data is copied, then set it again and BGSAVE",
            );
        }
        let save = if save.is_empty() { "never" } else { save };
        findings.pass(format!("{address}: AOF {aof}, snapshots {save}"));
    });
    findings
}
