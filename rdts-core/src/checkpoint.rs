//! Checkpoints: what a target says of how far it has come, so that a run can be resumed.
//!
//! A sink that can do so writes its [`Position`](crate::record::Position) into the target, in one atomic step with the commands that bring
//! the target there. Whatever fails afterwards, the key tells what is applied: [`Sink::resumed`](crate::sink::Sink::resumed) says where
//! the source has to be read from.
//!
//! For a target that cannot do so there is [`AtLeastOnce`], which keeps the position elsewhere and promises less.

mod store;

use std::fmt;

use crate::error::{Error, Result};

pub use store::{AtLeastOnce, CheckpointStore, FileStore};

/// The name of a task's checkpoint for one shard of the source. It is part of the names of keys in the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckpointName {
    task: String,
    shard: u32,
}

/// The prefix of every key that RDTS keeps in a target for itself.
pub const KEY_PREFIX: &str = "rdts:checkpoint:";

impl CheckpointName {
    /// Of `task`, which is 1 to 64 letters, digits, `-`, `_` or `.`, and shard number `shard` of its source.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) for another name: it would not be safe as a part of keys and paths.
    pub fn new(task: impl Into<String>, shard: u32) -> Result<Self> {
        let task = task.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if task.is_empty() || task.len() > 64 || !task.bytes().all(allowed) {
            let text =
                format!("'{}' is no name for a task: 1 to 64 letters, digits, '-', '_' or '.'", task.escape_debug());
            return Err(Error::config(text));
        }
        Ok(Self { task, shard })
    }

    /// The task.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// The number of the source's shard.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// The key in a target that is one server, in its database 0: `rdts:checkpoint:TASK/SHARD`.
    pub fn key(&self) -> String {
        format!("{KEY_PREFIX}{self}")
    }
}

/// `TASK/SHARD`.
impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task, self.shard)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_keys() {
        assert_eq!(CheckpointName::new("a-B_1.x", 2).unwrap().key(), "rdts:checkpoint:a-B_1.x/2");
        for name in ["", "a/b", "{a}", "a b", "ä", &"a".repeat(65)] {
            assert!(CheckpointName::new(name, 0).is_err(), "{name}");
        }
    }
}
