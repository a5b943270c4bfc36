//! What a command that could not be applied answers.

use std::borrow::Cow;
use std::fmt;

/// What kind of refusal a [`CommandError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommandErrorKind {
    /// The store does not implement this command, this option, or this use of it. Nothing was changed.
    Unsupported,
    /// The key holds another type (`WRONGTYPE`).
    WrongType,
    /// The command's arguments are wrong for it or for the value (`ERR …`): arity, syntax, not a number, out of range.
    Invalid,
    /// What the command wants to create is there already (`BUSYKEY`, `BUSYGROUP`, a library's name).
    Exists,
    /// What the command needs is not there (`ERR no such key`, `NOGROUP`).
    NotFound,
    /// A payload or a stored value is damaged (`ERR Bad data format`, `INVALIDOBJ`).
    Corrupt,
}

/// Why [`MemoryStore::apply`](super::MemoryStore::apply) refused a command.
///
/// `Display` gives the line that a server would send, without the leading `-`: an upper-case code word
/// ([`code`](Self::code)) and a text. The code words are those of the servers; the texts follow Redis 7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    kind: CommandErrorKind,
    message: Cow<'static, str>,
}

impl CommandError {
    /// What kind of refusal this is.
    #[must_use]
    pub fn kind(&self) -> CommandErrorKind {
        self.kind
    }

    /// The code word of the error line, such as `WRONGTYPE` or `ERR`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.message.split(' ').next().unwrap_or_default()
    }

    pub(super) fn new(kind: CommandErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(CommandErrorKind::Invalid, message)
    }

    pub(super) fn syntax() -> Self {
        Self::invalid("ERR syntax error")
    }

    pub(super) fn arity(command: &[u8]) -> Self {
        let name = command.escape_ascii().to_string().to_ascii_lowercase();
        Self::invalid(format!("ERR wrong number of arguments for '{name}' command"))
    }

    pub(super) fn not_an_integer() -> Self {
        Self::invalid("ERR value is not an integer or out of range")
    }

    pub(super) fn not_a_float() -> Self {
        Self::invalid("ERR value is not a valid float")
    }

    pub(super) fn wrong_type() -> Self {
        Self::new(CommandErrorKind::WrongType, "WRONGTYPE Operation against a key holding the wrong kind of value")
    }

    pub(super) fn no_such_key() -> Self {
        Self::new(CommandErrorKind::NotFound, "ERR no such key")
    }

    /// `what` names the command (and option), `why` says why it cannot be replayed, or what does it instead.
    pub(super) fn unsupported(what: &[u8], why: &str) -> Self {
        let what = what.escape_ascii().to_string().to_ascii_uppercase();
        Self::new(CommandErrorKind::Unsupported, format!("ERR the memory store cannot apply {what}: {why}"))
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}

/// The result of a command's handler.
pub(super) type Result<T, E = CommandError> = std::result::Result<T, E>;
