//! What becomes of a command.

use std::borrow::Cow;

/// What becomes of a command of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome<'c> {
    /// It goes on as it is.
    Verbatim,
    /// Nothing.
    Nothing(Why),
    /// These commands, in this order; at least one.
    Instead(Vec<Out<'c>>),
}

/// Why a command is left out: which counter it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is for a database that is not wanted.
    OtherDb,
    /// It is for nothing that is wanted.
    Filtered,
}

/// A command for the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Out<'c> {
    /// The database of the target.
    pub(crate) db: u32,
    /// Its name and arguments.
    pub(crate) words: Vec<Cow<'c, [u8]>>,
}
