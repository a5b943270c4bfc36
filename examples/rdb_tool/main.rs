//! Looks into RDB files and makes new ones of them, on files of any size.
//!
//! ```text
//! rdb_tool stats dump.rdb --svg dump.svg
//! rdb_tool to-resp dump.rdb --target 6.2 | redis-cli --pipe
//! ```

mod copy;
mod diff;
mod failure;
mod filter;
mod function;
mod input;
mod keys;
mod merge;
mod output;
mod select;
mod split;
mod stats;
mod to_json;
mod to_resp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rdts_examples::exit;

/// Looks into RDB files of Redis and Valkey, and makes new ones of them.
///
/// Memory does not grow with the size of a file; where it grows with the longest value or the number of keys, the help of
/// the command says by how much. Checksums are verified, and values walked through before they are passed on.
///
/// Exit status: 0 success, 2 usage, 4 a damaged file (its kind and offset are printed) or work that failed, 5 diff
/// found differences.
#[derive(Debug, Parser)]
#[command(name = "rdb_tool", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // Each is described by its arguments' documentation.
    Stats(stats::Args),
    Filter(filter::Args),
    Split(split::Args),
    Merge(merge::Args),
    Diff(diff::Args),
    ToJson(to_json::Args),
    ToResp(to_resp::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Stats(args) => stats::run(&args),
        Command::Filter(args) => filter::run(&args),
        Command::Split(args) => split::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::ToJson(args) => to_json::run(&args),
        Command::ToResp(args) => to_resp::run(&args),
    };
    match done {
        Ok(()) => ExitCode::from(exit::SUCCESS),
        Err(failure) => {
            if let Some(text) = failure.text() {
                eprintln!("rdb_tool: {text}");
            }
            ExitCode::from(failure.status())
        }
    }
}
