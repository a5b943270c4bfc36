//! What a sink has done wrong.

use std::fmt;

/// A part of the contract that a sink breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    check: &'static str,
    kind: FailureKind,
    expected: String,
    found: String,
}

/// Which part of the contract it is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The number of batches or the position of the watermark.
    Watermark,
    /// What the watermark counts.
    Counts,
    /// What is in the target.
    State,
    /// An error that should not be, is not, or is of another kind.
    Error,
    /// Something took longer than [`Abilities::patience`](super::Abilities::patience).
    Hang,
    /// More is accepted than [`Abilities::in_flight`](super::Abilities::in_flight).
    Unbounded,
    /// Not the sink: the harness could not do what it was asked for.
    Harness,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: "", kind, expected: expected.into(), found: found.into() }
    }

    pub(super) fn of(mut self, check: &'static str) -> Self {
        self.check = check;
        self
    }

    /// The name of the check.
    pub fn check(&self) -> &'static str {
        self.check
    }

    /// Which part of the contract is broken.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What should have been.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What was.
    pub fn found(&self) -> &str {
        &self.found
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, kind, expected, found } = self;
        write!(f, "{check}: FAILED ({kind:?}): expected {expected}, found {found}")
    }
}

impl std::error::Error for Failure {}
