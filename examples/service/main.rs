//! Runs migrations as tasks: a manager on a directory, told what to do by JSON lines.
//!
//! ```text
//! service --dir /var/lib/rdts --metrics 127.0.0.1:9100
//! {"do":"create","id":"shop","spec":{"from":"redis://10.0.0.1","to":"redis-cluster://10.0.1.1","timeLimit":86400}}
//! {"do":"start","id":"shop"}
//! {"do":"migrate","id":"shop"}
//! {"do":"watch","id":"shop"}
//! {"do":"finish","id":"shop"}
//! ```
//!
//! Standard output has a JSON line for each change of a task and for each command's reply; passwords are not shown. At the end of the
//! input, and at SIGINT or SIGTERM, everything stops in such a way that the next start goes on. What tasks are: `docs/tasks.md`.

mod command;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use rdts_core::task::{Change, Changes, FileStore, TaskManager};
use rdts_core::{Error, ErrorKind, Result, metrics};
use rdts_examples::exit;
use rdts_examples::migration::Deployments;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Runs migrations as tasks, told what to do by JSON lines on standard input.
#[derive(Debug, Parser)]
#[command(name = "service", version)]
struct Cli {
    /// Where tasks and what they need to be gone on with are kept; it holds passwords
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where Prometheus finds the numbers of what runs, at /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Goes on at the end of the input, until a signal comes
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("RDTS_LOG").unwrap_or_else(|_| "warn".into()))
        .init();
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::from(exit::SUCCESS),
        Err(error) => {
            say(&json!({ "event": "error", "kind": format!("{:?}", error.kind()), "error": error.to_string() }));
            eprintln!("error: {error}");
            if let Some(solution) = error.solution() {
                eprintln!("  what to do: {solution}");
            }
            ExitCode::from(match error.kind() {
                ErrorKind::Config => exit::USAGE,
                _ => exit::FAILED,
            })
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let caught =
        |kind| signal(kind).map_err(|error| Error::new(ErrorKind::Io, "signals cannot be caught").with_source(error));
    let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    if let Some(address) = cli.metrics {
        let installed = PrometheusBuilder::new().with_http_listener(address).install();
        installed.map_err(|error| Error::new(ErrorKind::Config, "--metrics").with_source(error))?;
        metrics::describe();
    }
    let store = FileStore::open(cli.dir.join("tasks"))?;
    let manager = Arc::new(TaskManager::open(Deployments::new(cli.dir.join("state")), store)?);
    tokio::spawn(show(manager.changes()));
    for task in manager.tasks() {
        say(&json!({ "event": "task", "task": command::shown(&task) }));
    }
    say(&json!({ "event": "ready" }));
    let mut lines = lines();
    let mut open = true;
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            line = lines.recv(), if open => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => say(&command::execute(&manager, &line)),
                None if cli.stay => open = false,
                None => break,
            },
        }
    }
    match Arc::try_unwrap(manager) {
        Ok(manager) => manager.close().await,
        Err(manager) => drop(manager),
    }
    say(&json!({ "event": "closed" }));
    Ok(())
}

/// The lines of standard input. A thread of its own reads them, which the end of the program does not wait for.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return tracing::error!(%error, "standard input cannot be read"),
            };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn show(mut changes: Changes) {
    while let Some(change) = changes.next().await {
        match change {
            Change::Task(task) => say(&json!({ "event": "task", "task": command::shown(&task) })),
            Change::Removed(id) => say(&json!({ "event": "removed", "id": id })),
            _ => {}
        }
    }
}

/// A line on standard output.
fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // Whoever reads the output may have gone; migrations go on all the same.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
