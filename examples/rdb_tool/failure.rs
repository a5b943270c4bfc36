//! Why the program ends before its work is done, or with bad news.

use std::fmt::Display;
use std::io;

use rdts_examples::exit;
use rdts_rdb::ReadError;

/// An end with another status than success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for cannot be done.
    Usage(String),
    /// An input that is damaged, or cannot be read to its end.
    Input(String),
    /// Writing failed, or two inputs contradict each other.
    Work(String),
    /// Two files are not the same; that was told.
    Different,
    /// Nobody reads what is written to standard output any more.
    ReaderGone,
}

impl Failure {
    pub(crate) fn usage(text: impl Display) -> Self {
        Self::Usage(text.to_string())
    }

    /// What went wrong while the input called `name` was read.
    pub(crate) fn reading(name: &str, error: &ReadError) -> Self {
        match error {
            ReadError::Rdb(error) => Self::damaged(name, error),
            ReadError::Io(error) => Self::Input(format!("{name}: {error}")),
            error => Self::Input(format!("{name}: {error}")),
        }
    }

    /// The text names the kind, for programs, and the offset.
    pub(crate) fn damaged(name: &str, error: &rdts_rdb::Error) -> Self {
        Self::Input(format!("{name}: {}: {error}", error.kind().name()))
    }

    /// What went wrong while the output called `name` was written.
    pub(crate) fn writing(name: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Work(format!("{name}: {error}"))
        }
    }

    /// What to tell on standard error.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Usage(text) | Self::Input(text) | Self::Work(text) => Some(text),
            Self::Different | Self::ReaderGone => None,
        }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Input(_) | Self::Work(_) => exit::FAILED,
            Self::Different => exit::DIFFERENT,
            // As with `rdb_tool … | head`: whoever reads has seen enough.
            Self::ReaderGone => exit::SUCCESS,
        }
    }
}
