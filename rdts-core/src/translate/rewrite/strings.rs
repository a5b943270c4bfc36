//! Strings.

use super::{ALL, Context, NEVER, Rule, Step, Word, integer, is, number, option, rule, script, since, without, word};
use crate::error::Result;

pub(super) static RULES: &[Rule] = &[
    rule("SET", "GET", (since(6, 2), ALL), "SET without it", 4, set_get),
    rule("SET", "IFEQ value", (since(8, 4), since(8, 1)), "SET without it", 5, set_if_equal)
        .notes("only a SET whose condition was met is replicated"),
    rule("SET", "IFNE, IFDEQ, IFDNE", (since(8, 4), NEVER), "SET without it", 5, set_if_other)
        .notes("only a SET whose condition was met is replicated"),
    rule("SET", "EX, PX", (NEVER, NEVER), "SET … PXAT time", 5, set_relative)
        .notes("sources before 7.0 send relative times, which count from when the command arrived from there"),
    rule("SET", "EXAT, PXAT", (since(6, 2), ALL), "SET, PEXPIREAT", 5, set_absolute),
    rule(
        "SET",
        "KEEPTTL",
        (since(6, 0), ALL),
        "EVAL: SETRANGE, or SET and PEXPIRE with what PTTL said",
        4,
        set_keepttl,
    )
    .inexact("a value that gets shorter may expire a millisecond earlier or later"),
    rule("SETEX", "", (NEVER, NEVER), "SET … PXAT time", 4, setex)
        .notes("its time counts from when the command arrived from the source"),
    rule("PSETEX", "", (NEVER, NEVER), "SET … PXAT time", 4, psetex)
        .notes("its time counts from when the command arrived from the source"),
    rule("GETDEL", "", (since(6, 2), ALL), "DEL", 2, delete),
    rule("DELEX", "", (since(8, 4), NEVER), "DEL", 2, delete)
        .notes("only a DELEX whose condition was met is replicated"),
    rule("DELIFEQ", "", (NEVER, since(9, 0)), "DEL", 2, delete)
        .notes("only a DELIFEQ whose condition was met is replicated"),
    rule(
        "MSETEX",
        "",
        (since(8, 4), since(9, 1)),
        "MSET, PEXPIREAT of each; with KEEPTTL a SET … KEEPTTL of each",
        4,
        msetex,
    )
    .notes("only an MSETEX whose condition was met is replicated"),
];

fn set_get<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    strip(words, &["GET"], 1)
}

fn set_if_equal<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    strip(words, &["IFEQ"], 2)
}

fn set_if_other<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    strip(words, &["IFNE", "IFDEQ", "IFDNE"], 2)
}

fn strip<'c>(words: &[Word<'c>], options: &[&str], count: usize) -> Result<Step<'c>> {
    match set_option(words, options) {
        Some(at) => Step::one(without(words, at, count)),
        None => Ok(Step::No),
    }
}

/// Where one of `options` is in a `SET`, whose other options may have any value.
fn set_option(words: &[Word<'_>], options: &[&str]) -> Option<usize> {
    let mut at = 3;
    while let Some(found) = words.get(at) {
        if options.iter().any(|option| is(found, option)) {
            return Some(at);
        }
        let has_value =
            ["EX", "PX", "EXAT", "PXAT", "IFEQ", "IFNE", "IFDEQ", "IFDNE"].iter().any(|name| is(found, name));
        at += 1 + usize::from(has_value);
    }
    None
}

fn set_relative<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(at) = set_option(words, &["EX", "PX"]) else { return Ok(Step::No) };
    let Some(time) = context.after(integer(words, at + 1)?, is(&words[at], "EX")) else { return Ok(Step::No) };
    let mut words = words.to_vec();
    (words[at], words[at + 1]) = (word("PXAT"), number(time));
    Step::one(words)
}

fn set_absolute<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(at) = set_option(words, &["EXAT", "PXAT"]) else { return Ok(Step::No) };
    let time = if is(&words[at], "EXAT") {
        number(integer(words, at + 1)?.saturating_mul(1000))
    } else {
        words[at + 1].clone()
    };
    Ok(Step::Into(vec![without(words, at, 2), vec![word("PEXPIREAT"), words[1].clone(), time]]))
}

/// Overwriting within a value keeps its expiry time. Where the value gets shorter nothing does.
const KEEPTTL: &str = "\
local k, v = KEYS[1], ARGV[1]
local t = redis.call('TYPE', k)
if (t.ok or t) == 'string' and #v > 0 and #v >= redis.call('STRLEN', k) then
  return redis.call('SETRANGE', k, 0, v)
end
local ttl = redis.call('PTTL', k)
redis.call('SET', k, v)
if ttl > 0 then redis.call('PEXPIRE', k, ttl) end
return 1";

fn set_keepttl<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match set_option(words, &["KEEPTTL"]) {
        Some(_) => Step::one(script(KEEPTTL, [words[1].clone()], [words[2].clone()])),
        None => Ok(Step::No),
    }
}

fn setex<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    after(context, words, true)
}

fn psetex<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    after(context, words, false)
}

fn after<'c>(context: &Context<'_>, words: &[Word<'c>], seconds: bool) -> Result<Step<'c>> {
    let Some(time) = context.after(integer(words, 2)?, seconds) else { return Ok(Step::No) };
    Step::one([word("SET"), words[1].clone(), words[3].clone(), word("PXAT"), number(time)])
}

fn delete<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Step::one([word("DEL"), words[1].clone()])
}

fn msetex<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let count = usize::try_from(integer(words, 1)?).unwrap_or(usize::MAX);
    let Some(pairs) = count.checked_mul(2).and_then(|end| words.get(2..end.checked_add(2)?)) else {
        return Ok(Step::Cannot("its number of keys is wrong"));
    };
    let options = 2 + pairs.len();
    let pairs = pairs.as_chunks::<2>().0;
    if option(words, options, &["KEEPTTL"]).is_some() {
        let each = pairs.iter().map(|[key, value]| vec![word("SET"), key.clone(), value.clone(), word("KEEPTTL")]);
        return Ok(Step::Into(each.collect()));
    }
    let mut all = vec![word("MSET")];
    all.extend(pairs.iter().flatten().cloned());
    let mut made = vec![all];
    if let Some(at) = option(words, options, &["PXAT", "EXAT", "PX", "EX"]) {
        let time = integer(words, at + 1)?;
        let time = match words[at].len() {
            4 if is(&words[at], "PXAT") => time,
            4 => time.saturating_mul(1000),
            _ => return Ok(Step::Cannot("its time is relative, which no server replicates")),
        };
        made.extend(pairs.iter().map(|[key, _]| vec![word("PEXPIREAT"), key.clone(), number(time)]));
    }
    Ok(Step::Into(made))
}
