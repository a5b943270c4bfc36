//! `split`: a file for each part of a cluster.

use std::fs;
use std::path::PathBuf;

use rdts_core::slot::{SLOTS, slot};
use rdts_rdb::ParserOptions;

use crate::copy::{Copier, WriteArgs};
use crate::failure::Failure;
use crate::input::Input;

/// Splits a file by the slots of a cluster, into one file per range: DIR/FIRST-LAST.rdb.
///
/// Functions, cached scripts and data of modules go to every part. Keys of slots in no range are left out and counted
/// on standard error.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The file; "-" reads standard input
    file: PathBuf,
    /// The folder for the parts; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Ranges of slots, such as 0-5460,5461-10922,10923-16383
    #[arg(long, value_name = "RANGES", value_delimiter = ',', value_parser = range, required_unless_present = "parts")]
    slots: Vec<(u16, u16)>,
    /// So many ranges of equal size
    #[arg(long, value_name = "N", conflicts_with = "slots", value_parser = clap::value_parser!(u16).range(1..=MOST_PARTS))]
    parts: Option<u16>,
    #[command(flatten)]
    write: WriteArgs,
}

/// Each part has an open file and a buffer of 64 KiB.
const MOST_PARTS: i64 = 1000;

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parse = |text: &str| text.trim().parse::<u16>().ok().filter(|slot| *slot < SLOTS);
    match (parse(first), parse(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(format!("a range is FIRST-LAST, of slots 0 to {}", SLOTS - 1)),
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let ranges = match args.parts {
        Some(parts) => equal(parts),
        None => args.slots.clone(),
    };
    if ranges.len() as i64 > MOST_PARTS {
        return Err(Failure::usage(format!("--slots: at most {MOST_PARTS} parts")));
    }
    let mut owner = vec![None; usize::from(SLOTS)];
    for (part, (first, last)) in ranges.iter().enumerate() {
        for slot in *first..=*last {
            if owner[usize::from(slot)].replace(part).is_some() {
                return Err(Failure::usage(format!("--slots: slot {slot} is in two ranges")));
            }
        }
    }
    let mut input = Input::open(&args.file, ParserOptions::new())?;
    let version = input.head()?;
    let name = args.output.display();
    fs::create_dir_all(&args.output).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    let paths: Vec<_> = ranges.iter().map(|(first, last)| args.output.join(format!("{first}-{last}.rdb"))).collect();
    let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
    let mut copier = Copier::new(&paths, args.write.options(version))?;
    let mut nowhere = 0u64;
    copier.copy(input, version, &mut |_db, header| {
        let part = owner[usize::from(slot(header.key))];
        nowhere += u64::from(part.is_none());
        Ok(part)
    })?;
    let (written, report) = copier.finish()?;
    report.print();
    for (name, keys) in written {
        eprintln!("{name}: {keys} of {} keys", report.read);
    }
    if nowhere > 0 {
        eprintln!("rdb_tool: left out {nowhere} keys whose slots are in no range");
    }
    Ok(())
}

/// Ranges as `redis-cli --cluster create` makes them: of equal size, the rest spread.
fn equal(parts: u16) -> Vec<(u16, u16)> {
    let parts_32 = u32::from(parts);
    let end =
        |part: u16| u16::try_from((u32::from(SLOTS) * u32::from(part) + parts_32 / 2) / parts_32).unwrap_or(SLOTS);
    (0..parts).map(|part| (end(part), end(part + 1) - 1)).collect()
}
