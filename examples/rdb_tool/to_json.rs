//! `to-json`: a file as JSON lines.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use rdts_examples::rdb_json;
use rdts_rdb::ParserOptions;

use crate::failure::Failure;
use crate::input::Input;

/// Prints the keys of a file as JSON, one object a line, in the order of the file.
///
/// `rdb_to_json --help` describes the objects. Memory does not depend on the size of the file or of its values.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; "-" reads standard input
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut input = Input::open(&args.file, ParserOptions::new())?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let broken = |error| Failure::writing("standard output", &error);
    let result = rdb_json::write(&mut input.reader, &mut out);
    // What was good before the damage is printed.
    let flushed = out.flush();
    result.map_err(|failure| match failure {
        rdb_json::Failure::Input(error) => Failure::reading(&input.name, &error),
        rdb_json::Failure::Output(error) => broken(error),
    })?;
    flushed.map_err(broken)?;
    input.finish();
    Ok(())
}
