//! Compares the data of two Redis or Valkey deployments while they are being written to, and repairs what differs if asked to.
//!
//! ```text
//! verify --from redis://10.0.0.7:6379 --to redis-cluster://10.0.0.8:7000
//! ```

mod cli;
mod output;

use std::process::ExitCode;

use clap::Parser;
use rdts_core::verify::Verifier;
use rdts_core::{Error, ErrorKind};
use rdts_examples::exit;

use crate::cli::{Cli, Job};
use crate::output::Output;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("RDTS_LOG").unwrap_or_else(|_| "error".into()))
        .init();
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let result = match cli.job() {
        Ok(job) => verify(job, &output).await,
        Err(error) => Err((exit::USAGE, error)),
    };
    let status = match result {
        Ok(report) => {
            let status = if report.equal { exit::SUCCESS } else { exit::DIFFERENT };
            output.report(&report, status);
            status
        }
        Err((status, error)) => {
            output.error(&error, status);
            status
        }
    };
    ExitCode::from(status)
}

async fn verify(job: Job, output: &Output) -> Result<rdts_core::verify::Report, (u8, Error)> {
    let verifier = Verifier::open(&job.from, &job.to, job.options).await.map_err(|error| {
        let status = match error.kind() {
            ErrorKind::Config | ErrorKind::Unsupported => exit::USAGE,
            _ => exit::PRECHECK,
        };
        (status, error)
    })?;
    let progress = verifier.progress();
    let run = verifier.run();
    tokio::pin!(run);
    let mut every = tokio::time::interval(std::time::Duration::from_secs(1));
    every.tick().await;
    loop {
        tokio::select! {
            result = &mut run => return result.map_err(|error| (exit::FAILED, error)),
            _ = every.tick() => output.progress(&progress),
        }
    }
}
