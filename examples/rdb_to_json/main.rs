//! `rdb_to_json FILE`: an RDB file as JSON, one object a line, however large the file and its values are.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rdts_examples::rdb_json::{self, Failure};
use rdts_rdb::{ReadError, Reader};

/// Prints the keys of an RDB file as JSON, one object a line, in the order of the file.
///
/// Memory does not depend on the size of the file or of its values. Each object has "db", "key", "type" (what the TYPE command says), "encoding"
/// (how the file has the value), "expire_at_ms" (Unix time in milliseconds, null = never), "idle_seconds" or "lfu_frequency" where the
/// file has them, and "value":
///
///   string: a string; list, set: an array of strings; zset: an array of [member, score], infinite scores as "inf" and "-inf";
///   hash: an array of [field, value], with the field's expiry as third if it has one;
///   stream: entries as [id, [field, value, ...]], then what the stream knows about itself, and its groups;
///   module: its type's name and version, and its items with their kinds; array: [index, element] of the slots that are set.
///
/// Strings are binary safe: each character U+0000 to U+00FF stands for the byte of that number, so encoding a string as Latin-1 gives its
/// bytes. Exit status: 0 success, 2 usage, 4 a damaged file (kind and offset are printed).
#[derive(Parser)]
#[command(name = "rdb_to_json", verbatim_doc_comment)]
struct Args {
    /// The file; "-" reads standard input.
    file: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let name = args.file.display().to_string();
    let source: Box<dyn io::Read> = if name == "-" {
        Box::new(io::stdin().lock())
    } else {
        match File::open(&args.file) {
            Ok(file) => Box::new(file),
            Err(error) => {
                eprintln!("rdb_to_json: {name}: {error}");
                return ExitCode::from(2);
            }
        }
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let result = rdb_json::write(&mut Reader::new(source), &mut out);
    // What was good before the damage is printed.
    let flushed = out.flush();
    match result.and_then(|()| flushed.map_err(Failure::Output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Input(ReadError::Rdb(error))) => {
            eprintln!("rdb_to_json: {name}: {}: {error}", error.kind().name());
            ExitCode::from(4)
        }
        Err(Failure::Input(error)) => {
            eprintln!("rdb_to_json: {name}: {error}");
            ExitCode::from(4)
        }
        // Whoever reads has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            eprintln!("rdb_to_json: standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
