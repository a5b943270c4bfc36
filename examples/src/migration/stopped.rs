//! Why a migration ends before its work is done.

use rdts_core::{Error, ErrorKind};

use crate::exit;

/// Why a program ends before its work is done, and with which [status](crate::exit).
#[derive(Debug)]
pub struct Stopped {
    /// The exit status.
    pub status: u8,
    /// What happened.
    pub error: Error,
}

impl Stopped {
    /// Nothing has been written.
    pub fn before(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Config | ErrorKind::Unsupported => exit::USAGE,
            // A run before has written.
            ErrorKind::HistoryLost => exit::FAILED,
            _ => exit::PRECHECK,
        };
        Self { status, error }
    }

    /// The work had begun.
    pub fn during(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Timeout => exit::TIMEOUT,
            _ => exit::FAILED,
        };
        Self { status, error }
    }
}
