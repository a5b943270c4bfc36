//! Moves the data of one Redis or Valkey deployment into another while it is being written to.
//!
//! ```text
//! migrate --from redis://127.0.0.1:6379 --to redis://:secret@10.0.0.7:6379
//! ```
//!
//! Without arguments it shows the whole job on a small primary of its own: see `demo.rs`.

mod check;
mod cli;
mod demo;
mod output;

use std::process::ExitCode;

use clap::Parser;
use rdts_examples::exit;
use rdts_examples::migration::{self, Ended, Observer, Steering, Stopped};

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
    let steering = Steering::default();
    let mut output = Output::new(cli.json, cli.name.clone(), steering.clone());
    let outcome = match cli.job() {
        Ok(Some(job)) if cli.check => return ExitCode::from(check::run(&job, cli.json).await),
        Ok(Some(job)) => migration::migrate(&job, &mut output, &steering).await,
        Ok(None) => demo::run(&mut output).await.map(|()| Ended::Complete),
        Err(error) => Err(Stopped::before(error)),
    };
    if let Ok(Ended::Stopped) = outcome {
        output.say("stopped; the same command goes on from here, and --until caught-up brings it to an end");
    }
    output.summary(outcome.as_ref().err());
    ExitCode::from(outcome.err().map_or(exit::SUCCESS, |stopped| stopped.status))
}
