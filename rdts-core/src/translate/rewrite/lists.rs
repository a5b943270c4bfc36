//! Lists.

use super::{ALL, Context, NEVER, Rule, Step, Word, integer, is, number, option, rule, script, since, word};
use crate::error::Result;

pub(super) static RULES: &[Rule] = &[
    rule("LPOP", "count", (since(6, 2), ALL), "LTRIM key count -1", 3, lpop),
    rule("RPOP", "count", (since(6, 2), ALL), "LTRIM key 0 -count-1", 3, rpop),
    rule("LPUSHX", "several elements", (since(4, 0), ALL), "an LPUSHX of each", 4, pushx),
    rule("RPUSHX", "several elements", (since(4, 0), ALL), "an RPUSHX of each", 4, pushx),
    rule("LMOVE", "", (since(6, 2), ALL), "RPOPLPUSH, or EVAL: a pop and a push", 5, lmove),
    rule("LMOVEM", "", (since(8, 10), NEVER), "EVAL: pops and pushes", 5, lmovem),
];

fn lpop<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match integer(words, 2)? {
        ..=0 => Ok(Step::Into(Vec::new())),
        count => Step::one([word("LTRIM"), words[1].clone(), number(count), word("-1")]),
    }
}

fn rpop<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match integer(words, 2)? {
        ..=0 => Ok(Step::Into(Vec::new())),
        count => Step::one([word("LTRIM"), words[1].clone(), word("0"), number((-1i64).saturating_sub(count))]),
    }
}

fn pushx<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let each = words[2..].iter().map(|element| vec![words[0].clone(), words[1].clone(), element.clone()]);
    Ok(Step::Into(each.collect()))
}

const LEFT_LEFT: &str = "local v = redis.call('LPOP', KEYS[1]) if v then redis.call('LPUSH', KEYS[2], v) end return 1";
const LEFT_RIGHT: &str = "local v = redis.call('LPOP', KEYS[1]) if v then redis.call('RPUSH', KEYS[2], v) end return 1";
const RIGHT_RIGHT: &str =
    "local v = redis.call('RPOP', KEYS[1]) if v then redis.call('RPUSH', KEYS[2], v) end return 1";

fn lmove<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let keys = words[1..3].iter().cloned();
    Step::one(match (is(&words[3], "LEFT"), is(&words[4], "LEFT")) {
        (false, true) => [word("RPOPLPUSH")].into_iter().chain(keys).collect(),
        (true, true) => script(LEFT_LEFT, keys, []),
        (true, false) => script(LEFT_RIGHT, keys, []),
        (false, false) => script(RIGHT_RIGHT, keys, []),
    })
}

/// In bulk, elements that go from one side to the same keep their order.
const LMOVEM: &str = "\
local n = math.min(tonumber(ARGV[3]), redis.call('LLEN', KEYS[1]))
local pop, push, moved = ARGV[1], ARGV[2], {}
for i = 1, n do moved[i] = redis.call(pop, KEYS[1]) end
for i = 1, n do redis.call(push, KEYS[2], moved[ARGV[4] == '1' and n + 1 - i or i]) end
return n";

fn lmovem<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let (from, to) = (is(&words[3], "LEFT"), is(&words[4], "LEFT"));
    let count = option(words, 5, &["COUNT", "EXACTLY"]).and_then(|at| words.get(at + 1).cloned());
    let turned = from == to && option(words, 5, &["BULK"]).is_some();
    let arguments = [
        word(if from { "LPOP" } else { "RPOP" }),
        word(if to { "LPUSH" } else { "RPUSH" }),
        count.unwrap_or_else(|| word("1")),
        word(if turned { "1" } else { "0" }),
    ];
    Step::one(script(LMOVEM, words[1..3].iter().cloned(), arguments))
}
