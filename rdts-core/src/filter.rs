//! What is wanted of a source, and under which name it goes to the target.
//!
//! [`Rules`] hold for snapshot and stream alike: they are part of the
//! [`TranslateOptions`](crate::translate::TranslateOptions::rules). [`Filtered`] is for what they cannot say: a predicate over
//! the commands of any source.
//!
//! # What holds
//!
//! The target has, at every moment, just those keys of the source that the rules take, under the names and in the databases that they
//! give them, whether a key came with the snapshot or by the stream. Where a command of the stream cannot be passed on so that this
//! holds, that is an error that names the command, its keys and what to do: never a guess. (Rules about
//! [commands](RulesBuilder::without_commands) are the exception: they leave things out that the target then lacks.)
//!
//! # What becomes of a command
//!
//! | command | all keys wanted | none | some |
//! |---|---|---|---|
//! | with one key | as it is, with the new name | left out | |
//! | that only reads | left out | left out | left out |
//! | `DEL` `UNLINK` `MSET` `MSETNX` `MSETEX` `JSON.MSET` `TS.MADD` | as it is | left out | for those that are wanted |
//! | `PFCOUNT` | as it is | left out | left out: of several keys it only reads |
//! | `RENAME` `RENAMENX` | as it is | left out | to an unwanted name: `DEL`; from one: error |
//! | `COPY` | as it is | left out | to an unwanted name: left out; from one: error |
//! | `SMOVE` | as it is | left out | to an unwanted key: `SREM`; from one: `SADD` |
//! | `RPOPLPUSH` `BRPOPLPUSH` `LMOVE` `BLMOVE` | as it is | left out | to an unwanted key: `RPOP`, `LPOP`; from one: error |
//! | `…STORE` `BITOP` `PFMERGE` `SORT … STORE` | as it is | left out | into an unwanted key: left out; from one: error |
//! | `SORT … STORE` with patterns, `MIGRATE`, `FT.…`, `CMS.MERGE`, `TDIGEST.MERGE`, `TS.…RULE` | error | error | error |
//! | `EVAL` `EVALSHA` `FCALL`, commands of no known server | error, unless [trusted](RulesBuilder::trust_named_keys) | | error |
//! | all others with several keys | as it is | left out | error |
//!
//! Under rules about types a command on keys of an unwanted type is left out; one that puts such a value in the place of whatever was
//! there (`SET`, `MSET`, `RESTORE`, `…STORE`) becomes a `DEL`. `RENAME` becomes `DEL`, `COPY` and `DEL`, and `COPY … REPLACE` a `DEL` and
//! `COPY`, since a `COPY` of what is not there does nothing. `DEL`, `EXPIRE` and their like go as they are: without a key they do
//! nothing. A command that makes a value of others of which some types are wanted and some are not (`ZUNIONSTORE` reads sets, too;
//! `SORT … STORE`) is an error, as are scripts.
//!
//! | command | under rules about databases alone | with rules about keys |
//! |---|---|---|
//! | `FLUSHDB` | as it is, in the database that takes its place | error, unless the target is [ours](RulesBuilder::owns_target) |
//! | `FLUSHALL` | as it is, or `FLUSHDB` in each that is wanted; error if it cannot be said which these are | the same |
//! | `SWAPDB` | with the numbers in the target; left out if neither is wanted; error if one is | the same |
//! | `MOVE`, `COPY … DB` | with the number in the target; out of what is wanted: `DEL`, nothing; into it: error | the same |
//!
//! A transaction of which nothing is wanted is left out with its `MULTI` and `EXEC`.
//!
//! # Limits
//!
//! No two keys of a source may get one name and database: rules by which that could happen are refused. A source that is a cluster, or
//! Codis, is read slot by slot, and its keys cannot be renamed.

mod builder;
mod check;
mod command;
mod databases;
mod effect;
mod filtered;
mod glob;
mod pattern;
mod rules;
mod several;
#[cfg(test)]
mod tests;

pub use builder::RulesBuilder;
pub use filtered::Filtered;
pub use pattern::Pattern;
pub use rules::Rules;
