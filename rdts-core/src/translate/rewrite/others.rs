//! What only some servers have at all.

use super::{ALL, Context, NEVER, Rule, Since, Step, Word, rule, since};
use crate::error::Result;

const VECTORS: (Since, Since) = (since(8, 0), NEVER);
const ARRAYS: (Since, Since) = (since(8, 8), NEVER);
const STREAMS: (Since, Since) = (since(5, 0), ALL);

/// These are decided by the [policy](crate::translate::Losses) for their kind; here they are for the list.
pub(super) static RULES: &[Rule] = &[
    lost("XADD", STREAMS, "policy streams, as for all commands of streams"),
    lost("VADD", VECTORS, "policy vector-sets, as for all commands of vector sets"),
    lost("ARSET", ARRAYS, "policy arrays, as for all commands of arrays"),
];

const fn lost(command: &'static str, since: (Since, Since), policy: &'static str) -> Rule {
    rule(command, "", since, "nothing", 1, no).inexact(policy)
}

fn no<'c>(_: &Context<'_>, _: &[Word<'c>]) -> Result<Step<'c>> {
    Ok(Step::No)
}
