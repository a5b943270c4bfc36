//! What `INFO` says: little, but in the form and with the fields that replicas and monitors look for.

use std::fmt::Write as _;

use rdts_resp::CommandRef;

use super::ReplicaState;
use super::state::Shared;
use crate::record::ReplicationId;

/// Its title, and what makes its fields.
type Section = (&'static str, fn(&Shared) -> String);

/// The sections that were asked for, or all.
pub(super) fn text(shared: &Shared, command: &CommandRef<'_>) -> String {
    let asked = |name: &str| {
        let mut sections = command.iter().skip(1).peekable();
        let all = |section: &[u8]| {
            [&b"all"[..], b"default", b"everything"].iter().any(|word| section.eq_ignore_ascii_case(word))
        };
        sections.peek().is_none()
            || sections.any(|section| section.eq_ignore_ascii_case(name.as_bytes()) || all(section))
    };
    let sections: [Section; 4] =
        [("Server", server), ("Persistence", persistence), ("Stats", stats), ("Replication", replication)];
    let sections = sections.iter().filter(|(name, _)| asked(name));
    sections.map(|(name, fields)| format!("# {name}\r\n{}", fields(shared))).collect::<Vec<_>>().join("\r\n")
}

fn server(shared: &Shared) -> String {
    format!("redis_version:{}\r\nredis_mode:standalone\r\n", shared.config.version)
}

fn persistence(shared: &Shared) -> String {
    format!("loading:{}\r\n", u8::from(shared.state().loading))
}

fn stats(shared: &Shared) -> String {
    let (full, partial) = shared.syncs();
    format!("sync_full:{full}\r\nsync_partial_ok:{partial}\r\n")
}

fn replication(shared: &Shared) -> String {
    let state = shared.state();
    let replicas = state.replicas();
    let mut text = format!("role:master\r\nconnected_slaves:{}\r\n", replicas.len());
    for (index, replica) in replicas.iter().enumerate() {
        let name = match replica.state {
            ReplicaState::Preparing => "wait_bgsave",
            ReplicaState::ReceivingSnapshot => "send_bulk",
            ReplicaState::AwaitingAck | ReplicaState::Online => "online",
        };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "slave{index}:ip={},port={},state={name},offset={},lag={}\r\n",
            replica.address.ip(),
            replica.listening_port,
            replica.acknowledged,
            replica.heard.elapsed().as_secs(),
        );
    }
    let (previous, until) = match state.previous {
        // The offset is that of the first byte that only the new name covers.
        Some((replid, offset)) => (replid, (offset + 1).to_string()),
        None => (ReplicationId::NONE, "-1".to_owned()),
    };
    let backlog = &state.backlog;
    let _ = write!(
        text,
        "master_replid:{}\r\nmaster_replid2:{previous}\r\nmaster_repl_offset:{}\r\nsecond_repl_offset:{until}\r\n\
         repl_backlog_active:1\r\nrepl_backlog_size:{}\r\nrepl_backlog_first_byte_offset:{}\r\nrepl_backlog_histlen:{}\r\n",
        state.replid,
        backlog.end(),
        shared.config.backlog,
        backlog.first() + 1,
        backlog.end() - backlog.first(),
    );
    text
}
