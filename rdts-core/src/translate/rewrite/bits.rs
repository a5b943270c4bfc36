//! Bits.

use super::{ALL, Context, NEVER, Rule, Step, Word, is, rule, script, since, word};
use crate::error::Result;
use crate::translate::big_value::temporary;

pub(super) static RULES: &[Rule] = &[
    rule(
        "BITOP",
        "DIFF, DIFF1, ANDOR, ONE",
        (since(8, 2), NEVER),
        "EVAL: of AND, OR and XOR, by way of temporary keys",
        4,
        bitop,
    )
    .notes("the temporary keys are in the slot of the destination"),
    rule("BITFIELD", "", (since(3, 2), ALL), "nothing that other servers know", 2, bitfield),
];

/// The destination may be one of the sources, so that it is written last. What is missing counts as zeros, as long as the longest.
const BITOP: &str = "\
local function op(...) redis.call('BITOP', ...) end
local how, to, any, both, one = ARGV[1], KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local first, others = KEYS[5], {}
for i = 6, #KEYS do others[#others + 1] = KEYS[i] end
if how == 'ONE' then
  op('OR', any, first) op('XOR', both, first, first)
  for _, other in ipairs(others) do
    op('AND', one, any, other) op('OR', both, both, one) op('XOR', any, any, other)
  end
  op('AND', one, any, both) op('XOR', to, any, one)
else
  op('OR', any, unpack(others)) op('AND', both, first, any)
  if how == 'ANDOR' then op('OR', to, both) else op('XOR', to, how == 'DIFF' and first or any, both) end
end
redis.call('DEL', any, both, one)
return 1";

fn bitop<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let Some(how) = ["DIFF", "DIFF1", "ANDOR", "ONE"].into_iter().find(|name| is(&words[1], name)) else {
        return Ok(Step::No);
    };
    let temporary = temporary(&words[2]);
    let keys = (1..=3).map(|index| Word::Owned([&temporary[..], b":", &[b'0' + index]].concat()));
    let keys = [words[2].clone()].into_iter().chain(keys).chain(words[3..].iter().cloned());
    Step::one(script(BITOP, keys, [word(how)]))
}

fn bitfield<'c>(_: &Context<'_>, _: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(Step::Cannot("no other command does that"))
}
