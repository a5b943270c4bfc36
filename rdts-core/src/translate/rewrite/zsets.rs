//! Sorted sets, and positions on the earth, which are such.

use super::{ALL, Context, NEVER, Rule, Step, Word, integer, is, number, option, rule, script, since, word};
use crate::error::Result;

pub(super) static RULES: &[Rule] = &[
    rule(
        "ZADD",
        "GT, LT",
        (since(6, 2), ALL),
        "ZADD or ZINCRBY of one member; EVAL: the comparisons for several",
        5,
        zadd_compared,
    ),
    rule(
        "ZADD",
        "NX, XX, CH, INCR",
        (since(3, 0), ALL),
        "ZADD or ZINCRBY of one member; EVAL: the comparisons for several",
        5,
        zadd,
    ),
    rule("ZPOPMIN", "", (since(5, 0), ALL), "ZREMRANGEBYRANK key 0 count-1", 2, zpopmin),
    rule("ZPOPMAX", "", (since(5, 0), ALL), "ZREMRANGEBYRANK key -count -1", 2, zpopmax),
    rule("ZRANGESTORE", "", (since(6, 2), ALL), "EVAL: ZRANGE and the like, DEL, ZADD", 5, zrangestore),
    rule(
        "ZDIFFSTORE",
        "",
        (since(6, 2), ALL),
        "EVAL: ZUNIONSTORE of the first and ZREM of what the others have",
        4,
        zdiffstore,
    ),
    rule("ZUNIONSTORE", "AGGREGATE COUNT", (since(8, 8), NEVER), "EVAL: the members of all, counted", 6, zcount),
    rule("ZINTERSTORE", "AGGREGATE COUNT", (since(8, 8), NEVER), "EVAL: the members of all, counted", 6, zcount),
    rule("GEOSEARCHSTORE", "", (since(6, 2), ALL), "GEORADIUS … STORE or STOREDIST", 6, geosearchstore)
        .notes("not BYBOX, BYPOLYGON and COUNT … ANY, nor before Redis 3.2"),
    rule(
        "GEORADIUS",
        "STORE",
        (since(6, 2), ALL),
        "EVAL: DEL of the destination if there is no source, then itself",
        8,
        georadius,
    ),
    rule(
        "GEORADIUSBYMEMBER",
        "STORE",
        (since(6, 2), ALL),
        "EVAL: DEL of the destination if there is no source, then itself",
        7,
        georadius,
    ),
    rule("GEOSEARCHSTORE", "BYPOLYGON", (NEVER, since(9, 0)), "nothing that other servers know", 6, polygon),
];

/// Pairs of score and member, of which each may be taken or not.
const ZADD: &str = "\
for i = 2, #ARGV, 2 do
  local new, old = ARGV[i], redis.call('ZSCORE', KEYS[1], ARGV[i + 1])
  local take = true
  if old then
    if string.find(ARGV[1], 'N') then take = false end
    local a, b = tonumber(new), tonumber(old)
    if string.find(ARGV[1], 'G') then take = a > b end
    if string.find(ARGV[1], 'L') then take = a < b end
  elseif string.find(ARGV[1], 'X') then take = false end
  if take then redis.call('ZADD', KEYS[1], new, ARGV[i + 1]) end
end
return 1";

fn zadd_compared<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let options = words.iter().skip(2).take_while(|word| ZADD_OPTIONS.iter().any(|option| is(word, option)));
    match options.into_iter().any(|word| is(word, "GT") || is(word, "LT")) {
        true => zadd(context, words),
        false => Ok(Step::No),
    }
}

const ZADD_OPTIONS: [&str; 6] = ["NX", "XX", "GT", "LT", "CH", "INCR"];

/// Of one member that was replicated, it took effect.
fn zadd<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let mut at = 2;
    let (mut conditions, mut increment) = (Vec::new(), false);
    while let Some(found) = words.get(at) {
        match found.len() {
            2 if is(found, "NX") => conditions.push(b'N'),
            2 if is(found, "XX") => conditions.push(b'X'),
            2 if is(found, "GT") => conditions.push(b'G'),
            2 if is(found, "LT") => conditions.push(b'L'),
            2 if is(found, "CH") => {}
            4 if is(found, "INCR") => increment = true,
            _ => break,
        }
        at += 1;
    }
    if at == 2 {
        return Ok(Step::No);
    }
    let pairs = words[at..].iter().cloned();
    let name = if increment { "ZINCRBY" } else { "ZADD" };
    if conditions.is_empty() || words.len() - at == 2 {
        return Step::one([word(name), words[1].clone()].into_iter().chain(pairs));
    }
    let arguments = [Word::Owned(conditions)].into_iter().chain(pairs);
    Step::one(script(ZADD, [words[1].clone()], arguments))
}

fn count(words: &[Word<'_>]) -> Result<i64> {
    if words.len() > 2 { integer(words, 2) } else { Ok(1) }
}

fn zpopmin<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match count(words)? {
        ..=0 => Ok(Step::Into(Vec::new())),
        count => Step::one([word("ZREMRANGEBYRANK"), words[1].clone(), word("0"), number(count - 1)]),
    }
}

fn zpopmax<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match count(words)? {
        ..=0 => Ok(Step::Into(Vec::new())),
        count => Step::one([word("ZREMRANGEBYRANK"), words[1].clone(), number(-count), word("-1")]),
    }
}

/// The arguments are the command that reads, its range, and what follows.
const ZRANGESTORE: &str = "\
local bylex = string.find(ARGV[1], 'LEX')
local a = {ARGV[1], KEYS[2], ARGV[2], ARGV[3]}
if not bylex then a[5] = 'WITHSCORES' end
for i = 4, #ARGV do a[#a + 1] = ARGV[i] end
local r = redis.call(unpack(a))
local add = {}
for i = 1, #r, bylex and 1 or 2 do
  add[#add + 1] = bylex and redis.call('ZSCORE', KEYS[2], r[i]) or r[i + 1]
  add[#add + 1] = r[i]
end
redis.call('DEL', KEYS[1])
for i = 1, #add, 1000 do
  redis.call('ZADD', KEYS[1], unpack(add, i, math.min(i + 999, #add)))
end
return 1";

fn zrangestore<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let has = |name| option(words, 5, &[name]).is_some();
    let name = match (has("BYSCORE"), has("BYLEX"), has("REV")) {
        (true, _, false) => "ZRANGEBYSCORE",
        (true, _, true) => "ZREVRANGEBYSCORE",
        (_, true, false) => "ZRANGEBYLEX",
        (_, true, true) => "ZREVRANGEBYLEX",
        (_, _, false) => "ZRANGE",
        (_, _, true) => "ZREVRANGE",
    };
    let limit = option(words, 5, &["LIMIT"]).map_or(&[][..], |at| &words[at..(at + 3).min(words.len())]);
    let arguments = [word(name), words[3].clone(), words[4].clone()].into_iter().chain(limit.iter().cloned());
    Step::one(script(ZRANGESTORE, words[1..3].iter().cloned(), arguments))
}

/// The destination may be one of the others, so these are asked first.
const ZDIFFSTORE: &str = "\
local gone = {}
for i = 3, #KEYS do
  local t = redis.call('TYPE', KEYS[i])
  local members = (t.ok or t) == 'set' and redis.call('SMEMBERS', KEYS[i]) or redis.call('ZRANGE', KEYS[i], 0, -1)
  for _, member in ipairs(members) do gone[#gone + 1] = member end
end
redis.call('ZUNIONSTORE', KEYS[1], 1, KEYS[2])
for _, member in ipairs(gone) do redis.call('ZREM', KEYS[1], member) end
return 1";

/// The keys behind their number, which is the word 2.
fn sources<'w, 'c>(words: &'w [Word<'c>]) -> Result<Option<&'w [Word<'c>]>> {
    let count = usize::try_from(integer(words, 2)?).unwrap_or(usize::MAX);
    Ok(count.checked_add(3).and_then(|end| words.get(3..end)))
}

fn zdiffstore<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(sources) = sources(words)? else { return Ok(Step::Cannot("its number of keys is wrong")) };
    let keys = [words[1].clone()].into_iter().chain(sources.iter().cloned());
    Step::one(script(ZDIFFSTORE, keys, []))
}

/// A member's score is the sum of the weights of the sets that have it.
const COUNT: &str = "\
local sums, has, order = {}, {}, {}
for i = 2, #KEYS do
  local t = redis.call('TYPE', KEYS[i])
  local members = (t.ok or t) == 'set' and redis.call('SMEMBERS', KEYS[i]) or redis.call('ZRANGE', KEYS[i], 0, -1)
  for _, member in ipairs(members) do
    if not has[member] then order[#order + 1] = member end
    sums[member] = (sums[member] or 0) + tonumber(ARGV[i])
    has[member] = (has[member] or 0) + 1
  end
end
redis.call('DEL', KEYS[1])
for _, member in ipairs(order) do
  if ARGV[1] == 'U' or has[member] == #KEYS - 1 then
    redis.call('ZADD', KEYS[1], string.format('%.17g', sums[member]), member)
  end
end
return 1";

fn zcount<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(sources) = sources(words)? else { return Ok(Step::Cannot("its number of keys is wrong")) };
    let from = 3 + sources.len();
    match option(words, from, &["AGGREGATE"]) {
        Some(at) if words.get(at + 1).is_some_and(|how| is(how, "COUNT")) => {}
        _ => return Ok(Step::No),
    }
    let weights = option(words, from, &["WEIGHTS"]).and_then(|at| words.get(at + 1..at + 1 + sources.len()));
    let weights = weights.map_or_else(|| vec![word("1"); sources.len()], <[_]>::to_vec);
    let which = word(if is(&words[0], "ZUNIONSTORE") { "U" } else { "I" });
    let keys = [words[1].clone()].into_iter().chain(sources.iter().cloned());
    Step::one(script(COUNT, keys, [which].into_iter().chain(weights)))
}

/// Before Redis 6.2, a search in a key that is not there leaves the destination as it was.
const GEORADIUS: &str = "\
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.call('DEL', KEYS[2]) end
return redis.call(unpack(ARGV))";

fn georadius<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    // A script cannot call what is not there either.
    if context.target.version() < (3, 2, 0) {
        return Ok(Step::No);
    }
    let stored = option(words, 5, &["STORE", "STOREDIST"]).and_then(|at| words.get(at + 1));
    match stored {
        Some(to) => Step::one(script(GEORADIUS, [words[1].clone(), to.clone()], words.iter().cloned())),
        None => Ok(Step::No),
    }
}

fn geosearchstore<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let (mut from, mut radius, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let (mut store, mut at) = (word("STORE"), 3);
    while let Some(found) = words.get(at) {
        let values = |count: usize| words.get(at + 1..at + 1 + count).unwrap_or_default().iter().cloned();
        at += match found.to_ascii_uppercase().as_slice() {
            b"FROMMEMBER" => {
                from = [word("GEORADIUSBYMEMBER"), words[2].clone()].into_iter().chain(values(1)).collect();
                2
            }
            b"FROMLONLAT" => {
                from = [word("GEORADIUS"), words[2].clone()].into_iter().chain(values(2)).collect();
                3
            }
            b"BYRADIUS" => {
                radius = values(2).collect();
                3
            }
            b"COUNT" => {
                rest.extend([found.clone()].into_iter().chain(values(1)));
                2
            }
            b"ASC" | b"DESC" => {
                rest.push(found.clone());
                1
            }
            b"STOREDIST" => {
                store = found.clone();
                1
            }
            _ => return Ok(Step::Cannot("only a search BYRADIUS, without ANY, can be put into other words")),
        };
    }
    if from.is_empty() || radius.is_empty() {
        return Ok(Step::Cannot("it does not say where to search"));
    }
    Step::one(from.into_iter().chain(radius).chain(rest).chain([store, words[1].clone()]))
}

fn polygon<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match option(words, 3, &["BYPOLYGON"]) {
        Some(_) => Ok(Step::Cannot("nothing else searches in a polygon")),
        None => Ok(Step::No),
    }
}
