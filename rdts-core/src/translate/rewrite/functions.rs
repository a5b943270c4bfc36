//! Functions and cached scripts.

use rdts_rdb::dump;

use super::restore::takes;
use super::{ALL, Context, NEVER, Rule, Step, Word, is, rule, since};
use crate::error::Result;
use crate::translate::LossKind;

pub(super) static RULES: &[Rule] = &[
    rule("FUNCTION", "", (since(7, 0), ALL), "nothing", 2, function)
        .inexact("policy functions; what functions did is replicated as the commands that they executed"),
    rule("FUNCTION", "RESTORE", (NEVER, NEVER), "the same for an older version of payloads", 3, restore),
    rule("SCRIPT", "FLUSH ASYNC, FLUSH SYNC", (since(6, 2), ALL), "SCRIPT FLUSH", 3, flush),
];

fn function<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let adds = is(&words[1], "LOAD") || is(&words[1], "RESTORE");
    // Where there are no functions none can be removed.
    Ok(if adds { Step::Without(LossKind::Functions, Vec::new()) } else { Step::Into(Vec::new()) })
}

/// The footer is the only thing in it that versions differ in.
fn restore<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let version = context.target.rdb_version();
    let Some((body, footer)) = words[2].split_last_chunk::<10>() else { return Ok(Step::No) };
    let written = u16::from_le_bytes([footer[0], footer[1]]);
    if !is(&words[1], "RESTORE") || takes(&context.target, written) {
        return Ok(Step::No);
    }
    let mut payload = body.to_vec();
    dump::append_footer(&mut payload, 0, version);
    let mut words = words.to_vec();
    words[2] = Word::Owned(payload);
    Step::one(words)
}

fn flush<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    if is(&words[1], "FLUSH") { Step::one(words[..2].to_vec()) } else { Ok(Step::No) }
}
