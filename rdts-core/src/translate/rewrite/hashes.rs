//! Hashes, and expiry times of their fields.

use super::{ALL, Context, NEVER, Rule, Since, Step, Word, integer, is, number, option, rule, script, since, word};
use crate::error::Result;
use crate::translate::{Family, LossKind};

const FIELD_EXPIRY: (Since, Since) = (since(7, 4), since(9, 0));

pub(super) static RULES: &[Rule] = &[
    rule("HSET", "several fields", (since(4, 0), ALL), "HMSET", 5, hset),
    rule("HPEXPIREAT", "", FIELD_EXPIRY, "nothing", 3, hpexpireat).inexact(LOST),
    rule("HEXPIREAT", "", FIELD_EXPIRY, "nothing", 3, hpexpireat).inexact(LOST),
    rule("HPEXPIREAT", "a time after the year 3084", (NEVER, since(9, 0)), "HPERSIST", 3, far)
        .inexact("Redis knows no later times (2^45 ms and more); policy hash-field-expiry"),
    rule("HPERSIST", "", FIELD_EXPIRY, "nothing", 3, nothing).notes("there is no expiry time to take away"),
    rule(
        "HSETEX",
        "",
        (since(8, 0), since(9, 0)),
        "HSET, with HPEXPIREAT or, for KEEPTTL, EVAL: HSET and HPEXPIREAT",
        6,
        hsetex,
    )
    .inexact("expiry times of fields are lost before Redis 7.4 and Valkey 9.0: policy hash-field-expiry"),
    rule("HGETDEL", "", (since(8, 0), since(9, 1)), "HDEL", 5, hgetdel),
];

const LOST: &str = "policy hash-field-expiry; what the source sends when a field expires (HDEL) is applied";
/// The first time that Redis does not take for a field, in milliseconds.
const TOO_FAR: i64 = 1 << 45;

fn hset<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let mut words = words.to_vec();
    words[0] = word("HMSET");
    Step::one(words)
}

fn hpexpireat<'c>(_: &Context<'_>, _: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(Step::Without(LossKind::HashFieldExpiry, Vec::new()))
}

fn far<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    if context.target.family() != Family::Redis || integer(words, 2)? < TOO_FAR {
        return Ok(Step::No);
    }
    let Some(at) = option(words, 3, &["FIELDS"]) else { return Ok(Step::No) };
    let persist = [word("HPERSIST"), words[1].clone()].into_iter().chain(words[at..].iter().cloned());
    Ok(Step::Without(LossKind::HashFieldExpiry, vec![persist.collect()]))
}

fn nothing<'c>(_: &Context<'_>, _: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(Step::Into(Vec::new()))
}

/// HSET takes the expiry times of the fields away, so they are put back.
const KEEPTTL: &str = "\
local fields = {}
for i = 1, #ARGV, 2 do fields[#fields + 1] = ARGV[i] end
local times = redis.call('HPEXPIRETIME', KEYS[1], 'FIELDS', #fields, unpack(fields))
redis.call('HSET', KEYS[1], unpack(ARGV))
for i, time in ipairs(times or {}) do
  if time > 0 then redis.call('HPEXPIREAT', KEYS[1], string.format('%.0f', time), 'FIELDS', 1, fields[i]) end
end
return 1";

fn hsetex<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(at) = option(words, 2, &["FIELDS"]) else { return Ok(Step::Cannot("it names no fields")) };
    let pairs = &words[(at + 2).min(words.len())..];
    let options = &words[..at];
    if option(options, 2, &["KEEPTTL"]).is_some() && context.target.field_expiry() {
        return Step::one(script(KEEPTTL, [words[1].clone()], pairs.iter().cloned()));
    }
    let set: Vec<_> = [word("HSET"), words[1].clone()].into_iter().chain(pairs.iter().cloned()).collect();
    let Some(at) = option(options, 2, &["PXAT", "EXAT", "PX", "EX"]) else { return Step::one(set) };
    if !context.target.field_expiry() {
        return Ok(Step::Without(LossKind::HashFieldExpiry, vec![set]));
    }
    let time = integer(words, at + 1)?;
    let time = match words[at].len() {
        4 if is(&words[at], "PXAT") => time,
        4 => time.saturating_mul(1000),
        _ => return Ok(Step::Cannot("its time is relative, which no server replicates")),
    };
    let fields = pairs.iter().step_by(2).cloned();
    let head = [word("HPEXPIREAT"), words[1].clone(), number(time), word("FIELDS"), number(pairs.len() / 2)];
    Ok(Step::Into(vec![set, head.into_iter().chain(fields).collect()]))
}

fn hgetdel<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(at) = option(words, 2, &["FIELDS"]) else { return Ok(Step::Cannot("it names no fields")) };
    let fields = words.iter().skip(at + 2).cloned();
    Step::one([word("HDEL"), words[1].clone()].into_iter().chain(fields))
}
