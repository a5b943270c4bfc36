//! `filter`: a file with some of the keys of another, perhaps of another version.

use std::path::PathBuf;

use rdts_rdb::ParserOptions;

use crate::copy::{Copier, WriteArgs};
use crate::failure::Failure;
use crate::input::Input;
use crate::select::Selection;

/// Writes a file with the keys that are wanted; without rules, all of them.
///
/// Functions, cached scripts and data of modules are kept. Values stay as they are where the version does not change;
/// others are put into the plainest encoding that the version knows, and each of those is held in memory for that. A
/// key that the file has twice, which servers refuse, is written twice; merge and diff find such keys.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The file; "-" reads standard input
    file: PathBuf,
    /// What is written; "-" is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    select: Selection,
    #[command(flatten)]
    write: WriteArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut input = Input::open(&args.file, ParserOptions::new())?;
    let version = input.head()?;
    let mut copier = Copier::new(&[args.output.as_path()], args.write.options(version))?;
    copier.copy(input, version, &mut |db, header| Ok(args.select.wants(db, header).then_some(0)))?;
    let (written, report) = copier.finish()?;
    report.print();
    for (name, keys) in written {
        eprintln!("{name}: {keys} of {} keys", report.read);
    }
    Ok(())
}
