//! Commands that a target of several servers cannot execute.

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::Command;

/// What to do with a command that a target cannot execute, and that nothing it can execute stands for: a script of keys on different
/// servers, `SWAPDB`, and through proxies `FLUSHALL` or a command of a module.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnImpossible {
    /// Stop in front of it.
    #[default]
    Stop,
    /// Leave it out, log it, and count it in [`Counts::impossible`](rdts_core::ledger::Counts::impossible): the target then
    /// differs from the source.
    Skip,
}

impl OnImpossible {
    /// An error, or a line in the log, that says that `command` cannot `go somewhere`, and why.
    pub(crate) fn refuse(self, command: &Command<'_>, go: &str, why: &str) -> Result<()> {
        let shown = |bytes: &[u8]| bytes[..bytes.len().min(128)].escape_ascii().to_string();
        let name = shown(command.name());
        let key = command.key().map_or_else(String::new, |key| format!(" of key \"{}\"", shown(key)));
        match self {
            Self::Stop => {
                let text = format!(
                    "{name}{key}, at offset {}, cannot {go}: {why}. Nothing of it was sent; such commands can be left out by choice",
                    command.offset()
                );
                Err(Error::new(ErrorKind::Unsupported, text))
            }
            Self::Skip => {
                tracing::warn!(command = name, key, why, "a command is left out");
                Ok(())
            }
        }
    }
}
