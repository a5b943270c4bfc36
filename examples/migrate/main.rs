//! Moves the data of one Redis or Valkey deployment into another while it is being written to.
//!
//! ```text
//! migrate --from redis://127.0.0.1:6379 --to redis://:secret@10.0.0.7:6379
//! ```
//!
//! Without arguments it shows the whole job on a small primary of its own: see `demo.rs`.

mod cli;
mod demo;
mod job;
mod output;
mod precheck;
mod run;
mod source;
mod state;
mod target;

use std::process::ExitCode;

use clap::Parser;
use rdts_core::{Error, ErrorKind};
use rdts_examples::exit;

use crate::cli::Cli;
use crate::output::Output;

// One thread: the target is the slower side by far, and handing batches from thread to thread cost a fifth of the CPU.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("RDTS_LOG").unwrap_or_else(|_| "warn".into()))
        .init();
    let cli = Cli::parse();
    let mut output = Output::new(cli.json, cli.name.clone());
    let outcome = match cli.job() {
        Ok(Some(job)) => run::migrate(&job, &mut output).await,
        Ok(None) => demo::run(&mut output).await,
        Err(error) => Err(Stopped::before(error)),
    };
    output.summary(outcome.as_ref().err());
    ExitCode::from(outcome.err().map_or(exit::SUCCESS, |stopped| stopped.status))
}

/// Why the program ends before its work is done, and with which status.
struct Stopped {
    status: u8,
    error: Error,
}

impl Stopped {
    /// Nothing has been written.
    fn before(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Config | ErrorKind::Unsupported => exit::USAGE,
            // A run before has written.
            ErrorKind::HistoryLost => exit::FAILED,
            _ => exit::PRECHECK,
        };
        Self { status, error }
    }

    /// The work had begun.
    fn during(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Timeout => exit::TIMEOUT,
            _ => exit::FAILED,
        };
        Self { status, error }
    }
}
