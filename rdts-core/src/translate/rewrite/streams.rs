//! Streams.

use super::{ALL, Context, NEVER, Rule, Step, Word, integer, is, option, rule, script, since, without, word};
use crate::error::Result;
use crate::translate::LossKind;

/// What the scripts share.
macro_rules! acknowledged {
    () => {
        "\
local groups
local function all_groups()
  if groups then return groups end
  groups = {}
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = {}
    for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
    groups[#groups + 1] = group
  end
  return groups
end
local function full(id)
  local ms, seq = string.match(id, '^(%d+)-?(%d*)$')
  return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #seq) .. seq
end
local function next_id(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local digits, carry = '', 1
  for i = #seq, 1, -1 do
    local d = tonumber(string.sub(seq, i, i)) + carry
    carry = d > 9 and 1 or 0
    digits = (d % 10) .. digits
  end
  return ms .. '-' .. (carry == 1 and '1' or '') .. digits
end
local function acknowledged(id)
  for _, group in ipairs(all_groups()) do
    if full(group['last-delivered-id']) < full(id) then return false end
    if #redis.call('XPENDING', KEYS[1], group.name, id, id, 1) > 0 then return false end
  end
  return true
end
local function remove(how, id)
  if how == 'ACKED' and not acknowledged(id) then return false end
  if how == 'DELREF' then
    for _, group in ipairs(all_groups()) do redis.call('XACK', KEYS[1], group.name, id) end
  end
  redis.call('XDEL', KEYS[1], id)
  return true
end
"
    };
}

/// Streams as such are from Redis 5.0: for older targets they are a [`LossKind`], which is decided before these.
pub(super) static RULES: &[Rule] = &[
    rule("XADD", "LIMIT", (NEVER, NEVER), "XADD without it", 10, xadd_limit).notes(LIMIT),
    rule("XTRIM", "LIMIT", (NEVER, NEVER), "XTRIM without it", 7, xtrim_limit).notes(LIMIT),
    rule("XADD", "NOMKSTREAM", (since(6, 2), ALL), "XADD without it", 6, xadd_make)
        .notes("only an XADD that added something is replicated"),
    rule(
        "XADD",
        "IDMP, IDMPAUTO",
        (since(8, 6), NEVER),
        "XADD without it; nothing if it is a repetition",
        7,
        xadd_producer,
    )
    .inexact("policy stream-producers"),
    rule("XADD", "KEEPREF", (since(8, 2), NEVER), "XADD without it", 6, xadd_keep),
    rule("XADD", "DELREF, ACKED", (since(8, 2), NEVER), "XADD, EVAL: as for XTRIM", 8, xadd_trim),
    rule("XADD", "MINID, LIMIT", (since(6, 2), ALL), "XADD, EVAL: XRANGE and XDEL of what is older", 7, xadd_minid)
        .notes("LIMIT is what primaries leave there of an approximate trimming, and says nothing"),
    rule("XTRIM", "KEEPREF", (since(8, 2), NEVER), "XTRIM without it", 4, xtrim_keep),
    rule("XTRIM", "DELREF", (since(8, 2), NEVER), "EVAL: XRANGE, XDEL and, in each group, XACK", 4, xtrim_references),
    rule(
        "XTRIM",
        "ACKED",
        (since(8, 2), NEVER),
        "EVAL: XDEL of what all groups have acknowledged",
        4,
        xtrim_acknowledged,
    ),
    rule("XTRIM", "MINID, LIMIT", (since(6, 2), ALL), "EVAL: XRANGE and XDEL of what is older", 4, xtrim_minid),
    rule("XACKDEL", "", (since(8, 2), NEVER), "EVAL: XACK, and XDEL of what was acknowledged", 5, xackdel),
    rule(
        "XDELEX",
        "",
        (since(8, 2), NEVER),
        "XDEL; EVAL: XDEL and XACK, or of what all groups have acknowledged",
        5,
        xdelex,
    ),
    rule("XSETID", "ENTRIESADDED, MAXDELETEDID", (since(7, 0), ALL), "XSETID without it", 4, first_three)
        .notes("older servers keep no such numbers"),
    rule("XGROUP", "CREATE … ENTRIESREAD", (since(7, 0), ALL), "XGROUP CREATE without it", 7, entries_read)
        .notes("older servers keep no such numbers"),
    rule("XGROUP", "SETID … ENTRIESREAD", (since(7, 0), ALL), "XGROUP SETID without it", 7, entries_read)
        .notes("older servers keep no such numbers"),
    rule("XGROUP", "CREATECONSUMER", (since(6, 2), ALL), "nothing", 5, create_consumer)
        .inexact("older servers have a consumer only once it is given an entry"),
    rule("XNACK", "", (since(8, 8), NEVER), "nothing", 3, xnack)
        .inexact("the entries stay with their consumer; policy stream-nacks"),
    rule("XCFGSET", "", (since(8, 6), NEVER), "nothing", 2, producer).inexact("policy stream-producers"),
    rule("XIDMPRECORD", "", (since(8, 6), NEVER), "nothing", 2, producer).inexact("policy stream-producers"),
];

const LIMIT: &str =
    "primaries leave it there when they make an approximate trimming exact, and no server takes that from a client";

fn xadd_limit<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(xadd_option(words, &["LIMIT"]).map_or(Step::No, |at| Step::Into(vec![without(words, at, 2)])))
}

fn xtrim_limit<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(option(words, 3, &["LIMIT"]).map_or(Step::No, |at| Step::Into(vec![without(words, at, 2)])))
}

/// Where the ID of an `XADD` is.
fn id_at(words: &[Word<'_>]) -> Option<usize> {
    let mut at = 2;
    while let Some(found) = words.get(at) {
        at += match found.to_ascii_uppercase().as_slice() {
            b"NOMKSTREAM" | b"KEEPREF" | b"DELREF" | b"ACKED" => 1,
            b"IDMPAUTO" | b"LIMIT" => 2,
            b"IDMP" => 3,
            b"MAXLEN" | b"MINID" => 2 + usize::from(words.get(at + 1).is_some_and(|how| matches!(&**how, b"=" | b"~"))),
            _ => return Some(at),
        };
    }
    None
}

fn xadd_option(words: &[Word<'_>], options: &[&str]) -> Option<usize> {
    let end = id_at(words)?;
    option(&words[..end], 2, options)
}

fn xadd_make<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(match xadd_option(words, &["NOMKSTREAM"]) {
        Some(at) => Step::Into(vec![without(words, at, 1)]),
        None => Step::No,
    })
}

fn xadd_producer<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(at) = xadd_option(words, &["IDMP", "IDMPAUTO"]) else { return Ok(Step::No) };
    let rest = without(words, at, if is(&words[at], "IDMP") { 3 } else { 2 });
    // What was there already is replicated as it came, without an ID of its own.
    let repeated = id_at(&rest).is_none_or(|at| rest[at].contains(&b'*'));
    Ok(Step::Without(LossKind::StreamProducers, if repeated { Vec::new() } else { vec![rest] }))
}

fn xadd_keep<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(match xadd_option(words, &["KEEPREF"]) {
        Some(at) => Step::Into(vec![without(words, at, 1)]),
        None => Step::No,
    })
}

/// An `XADD` that trims, as one that does not and an `XTRIM`.
fn xadd_trim<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match xadd_option(words, &["DELREF", "ACKED"]) {
        Some(_) => Ok(apart(words)),
        None => Ok(Step::No),
    }
}

fn xadd_minid<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match xadd_option(words, &["MINID", "LIMIT"]) {
        Some(_) => Ok(apart(words)),
        None => Ok(Step::No),
    }
}

fn apart<'c>(words: &[Word<'c>]) -> Step<'c> {
    let Some(end) = id_at(words) else { return Step::Cannot("it has no ID") };
    let add = words[..2].iter().chain(&words[end..]).cloned().collect();
    let trim = [word("XTRIM"), words[1].clone()].into_iter().chain(words[2..end].iter().cloned()).collect();
    Step::Into(vec![add, trim])
}

fn xtrim_keep<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(match option(words, 3, &["KEEPREF"]).or(Some(2).filter(|at| is(&words[*at], "KEEPREF"))) {
        Some(at) => Step::Into(vec![without(words, at, 1)]),
        None => Step::No,
    })
}

/// IDs are compared as texts of equal length. Entries that are older than `MINID`, or more than `MAXLEN`, are deleted: all (`ARGV[1]` empty),
/// with what refers to them (`DELREF`), or those that every group has read and acknowledged (`ACKED`).
const TRIM: &str = concat!(
    acknowledged!(),
    "local how, strategy, bound = ARGV[1], ARGV[2], ARGV[3]
local excess = strategy == 'MAXLEN' and redis.call('XLEN', KEYS[1]) - tonumber(bound) or math.huge
if excess <= 0 then return 0 end
local last = '+'
if strategy == 'MINID' then bound = full(bound) end
local start, done = '-', 0
while done < excess do
  local page = redis.call('XRANGE', KEYS[1], start, last, 'COUNT', 100)
  local over = #page == 0
  for _, entry in ipairs(page) do
    if strategy == 'MINID' and full(entry[1]) >= bound then over = true break end
    if done >= excess then over = true break end
    if remove(how, entry[1]) then done = done + 1 end
    start = next_id(entry[1])
  end
  if over or #page < 100 then break end
end
return done"
);

fn trim<'c>(words: &[Word<'c>], how: &'static str) -> Step<'c> {
    let Some(at) = option(words, 2, &["MAXLEN", "MINID"]) else { return Step::Cannot("it says nothing to trim to") };
    let strategy = word(if is(&words[at], "MINID") { "MINID" } else { "MAXLEN" });
    let approximately = words.get(at + 1).is_some_and(|how| matches!(&**how, b"=" | b"~"));
    match words.get(at + 1 + usize::from(approximately)) {
        Some(bound) => Step::Into(vec![script(TRIM, [words[1].clone()], [word(how), strategy, bound.clone()])]),
        None => Step::Cannot("it says nothing to trim to"),
    }
}

fn xtrim_references<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(if option(words, 2, &["DELREF"]).is_some() { trim(words, "DELREF") } else { Step::No })
}

fn xtrim_acknowledged<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(if option(words, 2, &["ACKED"]).is_some() { trim(words, "ACKED") } else { Step::No })
}

fn xtrim_minid<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    if option(words, 2, &["MINID"]).is_some() {
        return Ok(trim(words, ""));
    }
    Ok(match option(words, 3, &["LIMIT"]) {
        Some(at) => Step::Into(vec![without(words, at, 2)]),
        None => Step::No,
    })
}

const ACKDEL: &str = concat!(
    acknowledged!(),
    "for i = 3, #ARGV do
  if redis.call('XACK', KEYS[1], ARGV[2], ARGV[i]) == 1 then remove(ARGV[1], ARGV[i]) end
end
return 1"
);

const DELEX: &str = concat!(acknowledged!(), "for i = 2, #ARGV do remove(ARGV[1], ARGV[i]) end return 1");

/// What is to become of references, and the IDs.
fn ids<'w, 'c>(words: &'w [Word<'c>], from: usize) -> Result<(&'static str, &'w [Word<'c>])> {
    let at = option(words, from, &["IDS"]).unwrap_or(words.len());
    let how =
        ["DELREF", "ACKED"].into_iter().find(|how| option(&words[..at], from, &[how]).is_some()).unwrap_or_default();
    let count = usize::try_from(integer(words, at + 1)?).unwrap_or(usize::MAX);
    let ids = words.get(at + 2..).unwrap_or_default();
    Ok((how, &ids[..count.min(ids.len())]))
}

fn xackdel<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let (how, ids) = ids(words, 3)?;
    let arguments = [word(how), words[2].clone()].into_iter().chain(ids.iter().cloned());
    Step::one(script(ACKDEL, [words[1].clone()], arguments))
}

fn xdelex<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let (how, ids) = ids(words, 2)?;
    if how.is_empty() {
        return Step::one([word("XDEL"), words[1].clone()].into_iter().chain(ids.iter().cloned()));
    }
    Step::one(script(DELEX, [words[1].clone()], [word(how)].into_iter().chain(ids.iter().cloned())))
}

fn first_three<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Step::one(words[..3].to_vec())
}

fn entries_read<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(match option(words, 5, &["ENTRIESREAD"]) {
        Some(at) => Step::Into(vec![without(words, at, 2)]),
        None => Step::No,
    })
}

fn create_consumer<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    if !is(&words[1], "CREATECONSUMER") {
        return Ok(Step::No);
    }
    Ok(Step::Into(Vec::new()))
}

fn xnack<'c>(_: &Context<'_>, _: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(Step::Without(LossKind::StreamNacks, Vec::new()))
}

fn producer<'c>(_: &Context<'_>, _: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(Step::Without(LossKind::StreamProducers, Vec::new()))
}
