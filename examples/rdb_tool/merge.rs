//! `merge`: one file of several.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::ValueEnum;
use rdts_rdb::{ParserOptions, Version};

use crate::copy::{Copier, WriteArgs, show_key};
use crate::failure::Failure;
use crate::input::{Input, is_standard};
use crate::keys::{AsItIs, KeyId, KeyIds};

/// Writes one file with the keys of several.
///
/// A key of the same database and name in two files, or twice in one, is a conflict. Equal function libraries are
/// written once; libraries of one name with different code are refused. Aux fields are those of the first file.
///
/// Memory: 16 bytes per key stand for its name, 20 to 40 with the table that they are in, and half as much again while
/// that grows.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The files; "-" reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What is written; "-" is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// What to do with a key that is in two files: stop, or take that of the first or of the last
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Conflict::Fail)]
    on_conflict: Conflict,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Conflict {
    Fail,
    First,
    Last,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.files.iter().filter(|file| is_standard(file)).count() > 1 {
        return Err(Failure::usage("standard input can be read only once"));
    }
    let mut inputs = Vec::new();
    for file in &args.files {
        let mut input = Input::open(file, ParserOptions::new())?;
        let version = input.head()?;
        inputs.push((input, version));
    }
    let options = args.write.options(newest(&inputs, args.write.rdb_version)?);
    let mut copier = Copier::new(&[args.output.as_path()], options)?;
    if args.on_conflict == Conflict::Last {
        // The first one that comes is taken.
        inputs.reverse();
    }
    let ids = KeyIds::default();
    let mut seen: HashSet<KeyId, AsItIs> = HashSet::default();
    let mut conflicts = 0u64;
    for (input, version) in inputs {
        let name = input.name.clone();
        copier.copy(input, version, &mut |db, header| {
            if seen.insert(ids.of(db, header.key)) {
                return Ok(Some(0));
            }
            conflicts += 1;
            if args.on_conflict == Conflict::Fail {
                let key = show_key(db, header.key);
                return Err(Failure::Work(format!("{name}: {key} was there before; see --on-conflict")));
            }
            Ok(None)
        })?;
    }
    let (written, report) = copier.finish()?;
    report.print();
    for (name, keys) in written {
        eprintln!("{name}: {keys} of {} keys, {conflicts} of them in conflict with another", report.read);
    }
    Ok(())
}

/// The version to write, unless one was asked for: the newest of the inputs, if they are of one dialect.
fn newest(inputs: &[(Input, Version)], asked: Option<Version>) -> Result<Version, Failure> {
    let mut newest = asked.or(inputs.first().map(|(_, version)| *version)).unwrap_or(Version::redis(9));
    if asked.is_none() {
        for (_, version) in inputs {
            if version.dialect != newest.dialect {
                return Err(Failure::usage("files of Redis and of Valkey 9: say with --rdb-version what to write"));
            }
            newest.number = newest.number.max(version.number);
        }
    }
    Ok(newest)
}
