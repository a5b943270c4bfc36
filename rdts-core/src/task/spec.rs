//! What a task is to do.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// What a task is to do. A [`Migrator`](super::Migrator) says which URLs and options it knows.
///
/// The URLs may hold passwords: a [`TaskStore`](super::TaskStore) keeps them, `Debug` does not show them.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Where the data is: a URL.
    pub from: String,
    /// Where it goes: a URL.
    pub to: String,
    /// Options by their names.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// How long the migration may take, in seconds, counted from the command to migrate on, pauses and restarts of the process with it.
    /// `None`: for ever.
    #[serde(default)]
    pub time_limit: Option<u64>,
}

impl Spec {
    /// From `from` to `to`, without options or time limit.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), options: BTreeMap::new(), time_limit: None }
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// Sets [`time_limit`](Self::time_limit); parts of a second count as a whole one.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit.as_secs() + u64::from(limit.subsec_nanos() > 0));
        self
    }

    /// The same without passwords, for people.
    #[must_use]
    pub fn redacted(&self) -> Self {
        Self { from: redact(&self.from), to: redact(&self.to), ..self.clone() }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, time_limit, .. } = self;
        let (from, to) = (redact(&self.from), redact(&self.to));
        f.debug_struct("Spec")
            .field("from", &from)
            .field("to", &to)
            .field("options", options)
            .field("time_limit", time_limit)
            .finish()
    }
}

/// Everything between `//` or `,` and `@` may be a password.
fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A path or query with an @ hides the host with it, which is better than to show a password.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => url.to_owned(),
    }
}

/// Names a task: 1 to 64 letters, digits, `-`, `_` or `.`, not beginning with `.`, so that it can be part of the name of a file and of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The id `name`.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a name that is none.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(fits) {
            true => Ok(Self(name)),
            false => {
                let text = "is no name of a task: 1 to 64 letters, digits, -, _ or ., not beginning with a .";
                let shown: String = name.chars().take(64).collect();
                Err(Error::new(ErrorKind::Config, text).at(shown.escape_debug()))
            }
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let spec = Spec::new("redis://user:secret@a:1,x:geheim@b:2", "redis-cluster://:p@ss@b:1/0");
        let shown = format!("{spec:?} {:?}", spec.redacted());
        for secret in ["secret", "geheim", "p@ss"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("redis-cluster://***@b:1/0"), "{shown}");
        assert_eq!(redact("/a/file@home.rdb"), "/a/file@home.rdb");
    }

    #[test]
    fn ids_are_names_of_files() {
        for name in ["", ".", "..", ".a", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(TaskId::new(name).is_err(), "{name}");
            assert!(serde_json::from_value::<TaskId>(serde_json::json!(name)).is_err(), "{name}");
        }
        for name in ["a", "0-9_x.y", &"a".repeat(64)] {
            assert_eq!(TaskId::new(name).unwrap().as_str(), name);
        }
    }
}
