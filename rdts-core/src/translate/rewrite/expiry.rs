//! Expiry times of keys.

use super::{ALL, Context, NEVER, Rule, Step, Word, integer, number, rule, since, word};
use crate::error::Result;

pub(super) static RULES: &[Rule] = &[
    rule("EXPIRE", "", (NEVER, NEVER), "PEXPIREAT", 3, expire).notes(RELATIVE),
    rule("PEXPIRE", "", (NEVER, NEVER), "PEXPIREAT", 3, pexpire).notes(RELATIVE),
    rule("EXPIRE", "NX, XX, GT, LT", (since(7, 0), ALL), "EXPIRE without it", 4, unconditional).notes(MET),
    rule("PEXPIRE", "NX, XX, GT, LT", (since(7, 0), ALL), "PEXPIRE without it", 4, unconditional).notes(MET),
    rule("EXPIREAT", "NX, XX, GT, LT", (since(7, 0), ALL), "EXPIREAT without it", 4, unconditional).notes(MET),
    rule("PEXPIREAT", "NX, XX, GT, LT", (since(7, 0), ALL), "PEXPIREAT without it", 4, unconditional).notes(MET),
];

const RELATIVE: &str = "sources before 7.0 send relative times, which count from when the command arrived from there";
const MET: &str = "only a command whose condition was met is replicated";

impl Context<'_> {
    /// A time in milliseconds since 1970, so long after the command came from the source; `None` if nobody knows when that was.
    pub(super) fn after(&self, time: i64, seconds: bool) -> Option<i64> {
        let arrived = i64::try_from(self.arrived?).unwrap_or(i64::MAX);
        Some(arrived.saturating_add(if seconds { time.saturating_mul(1000) } else { time }))
    }
}

fn expire<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    after(context, words, true)
}

fn pexpire<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    after(context, words, false)
}

fn after<'c>(context: &Context<'_>, words: &[Word<'c>], seconds: bool) -> Result<Step<'c>> {
    match context.after(integer(words, 2)?, seconds) {
        Some(time) => Step::one([word("PEXPIREAT"), words[1].clone(), number(time)]),
        None => Ok(Step::No),
    }
}

fn unconditional<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Step::one(words[..3].to_vec())
}
