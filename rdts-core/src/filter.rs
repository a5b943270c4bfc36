//! What is wanted of a source, and under which name it goes to the target.
//!
//! [`Rules`] hold for snapshot and stream alike: they are part of the
//! [`TranslateOptions`](crate::translate::TranslateOptions::rules). [`Filtered`] is for what they cannot say: a predicate over
//! the commands of any source.

mod builder;
mod command;
mod filtered;
mod rules;

pub use builder::RulesBuilder;
pub use filtered::Filtered;
pub use rules::Rules;
