//! Errors of tasks, told to whoever uses the sink.

use rdts_core::error::{Error, ErrorKind};

/// An error that can be handed out more than once.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    kind: ErrorKind,
    text: String,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        Self { kind: error.kind(), text: error.to_string() }
    }

    pub(crate) fn error(&self) -> Error {
        Error::new(self.kind, self.text.clone())
    }
}

/// The error of a sink that is no more.
pub(crate) fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the sink was closed")
}
