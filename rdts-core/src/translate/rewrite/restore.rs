//! `RESTORE`, and the payload in it.

use rdts_rdb::dump::{self, Payload};
use rdts_rdb::{Dialect, Version};

use super::{ALL, Context, NEVER, Rule, Step, Word, integer, number, option, rule, since, without, word};
use crate::error::{Error, ErrorKind, Result};
use crate::translate::payload::{Unfit, fit};
use crate::translate::{Family, Target};

pub(super) static RULES: &[Rule] = &[
    rule(
        "RESTORE",
        "a payload that the target does not read",
        (NEVER, NEVER),
        "RESTORE of the value in an older encoding",
        4,
        convert,
    )
    .notes("what the target cannot hold at all is decided by the policy for its kind"),
    rule("RESTORE", "a relative time", (NEVER, NEVER), "RESTORE … ABSTTL", 4, relative)
        .notes("sources before 7.0 send relative times, which count from when the command arrived from there"),
    rule("RESTORE", "IDLETIME, FREQ", (since(5, 0), ALL), "RESTORE without it", 6, access)
        .notes("older servers cannot be told when a key was used"),
    rule("RESTORE", "ABSTTL", (since(5, 0), ALL), "RESTORE, PEXPIREAT", 5, absolute),
    rule("RESTORE", "REPLACE", (since(3, 0), ALL), "DEL, RESTORE", 5, replace),
    rule("RESTORE-ASKING", "", (NEVER, NEVER), "RESTORE", 4, asking)
        .notes("what it allows, to use a slot that is being moved here, is nothing that a target's node needs"),
];

fn asking<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let mut words = words.to_vec();
    words[0] = word("RESTORE");
    Step::one(words)
}

/// Whether `RESTORE` takes payloads that say they are of this version.
pub(super) fn takes(target: &Target, version: u16) -> bool {
    let newest = target.rdb_version();
    match target.family() {
        // 2.8 and 3.0 take none but their own.
        Family::Redis if newest == 6 => version == 6,
        Family::Redis => version <= newest,
        Family::Valkey => version == newest || (1..=11.min(newest)).contains(&version),
    }
}

fn convert<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let target = &context.target;
    let error = |source: rdts_rdb::Error| {
        Error::new(ErrorKind::Protocol, format!("the payload of {} cannot be read", super::named(words)))
            .with_source(source)
    };
    let parsed = Payload::parse_unverified(&words[3]).map_err(error)?;
    // Redis 8.10 replicates payloads of its own without a checksum.
    if !parsed.checksum_ok && parsed.checksum != 0 {
        return Ok(Step::Cannot("the checksum of its payload is wrong"));
    }
    let dialect = Version::from_number(parsed.version).dialect;
    if parsed.key_meta.is_some() {
        let same = dialect == Dialect::Redis && target.family() == Family::Redis && takes(target, parsed.version);
        return Ok(if same {
            Step::No
        } else {
            Step::Cannot("metadata that modules attach to a key is known to Redis 8.6 alone")
        });
    }
    let fitted = match fit(target, context.losses, parsed.value_type, parsed.value, dialect) {
        Ok(fitted) => fitted,
        Err(Unfit::Lost(kind)) => {
            // What it replaces is gone.
            let replaced = option(words, 4, &["REPLACE"]).map(|_| vec![word("DEL"), words[1].clone()]);
            return Ok(Step::Without(kind, replaced.into_iter().collect()));
        }
        Err(Unfit::Broken(error)) => {
            let text = format!("the payload of {} cannot be put into a form that {target} reads", super::named(words));
            return Err(Error::new(ErrorKind::Unsupported, text).with_source(error));
        }
    };
    let same = fitted.value_type == parsed.value_type && *fitted.raw == *parsed.value;
    if same && parsed.checksum_ok && takes(target, parsed.version) {
        return Ok(Step::No);
    }
    let mut made = Vec::with_capacity(dump::len(&fitted.raw));
    dump::append(&mut made, fitted.value_type, &fitted.raw, target.rdb_version());
    let mut words = words.to_vec();
    words[3] = Word::Owned(made);
    Ok(match fitted.lost {
        None => Step::Into(vec![words]),
        Some(kind) => Step::Without(kind, vec![words]),
    })
}

fn relative<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let ttl = integer(words, 2)?;
    if ttl == 0 || option(words, 4, &["ABSTTL"]).is_some() {
        return Ok(Step::No);
    }
    let Some(time) = context.after(ttl, false) else { return Ok(Step::No) };
    let mut words = words.to_vec();
    words[2] = number(time);
    words.push(word("ABSTTL"));
    Step::one(words)
}

fn access<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(match option(words, 4, &["IDLETIME", "FREQ"]) {
        Some(at) => Step::Into(vec![without(words, at, 2)]),
        None => Step::No,
    })
}

fn absolute<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(at) = option(words, 4, &["ABSTTL"]) else { return Ok(Step::No) };
    let mut restore = without(words, at, 1);
    let time = std::mem::replace(&mut restore[2], word("0"));
    let mut made = vec![restore];
    if *time != *b"0" {
        made.push(vec![word("PEXPIREAT"), words[1].clone(), time]);
    }
    Ok(Step::Into(made))
}

fn replace<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(match option(words, 4, &["REPLACE"]) {
        Some(at) => Step::Into(vec![vec![word("DEL"), words[1].clone()], without(words, at, 1)]),
        None => Step::No,
    })
}
