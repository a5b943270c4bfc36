//! `stats`: what a file holds.

mod collect;
mod expiry;
mod json;
mod prefixes;
mod report;
mod svg;
mod text;
mod top;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use rdts_rdb::ParserOptions;

use self::collect::Collector;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Text;

/// Counts keys, bytes and elements per type, database, encoding and prefix, and lists the biggest keys.
///
/// Bytes are what a key takes in the file, with its name, expiry and value, often compressed: a measure of the work to
/// move it, not of the server's memory. A string counts as one element. Expiry is told from the time at which the file
/// was written, if it says so.
///
/// Memory: the biggest keys that are shown, and the prefixes. Of those, --max-prefixes are kept; when there are more,
/// the half with the fewest bytes goes into the row "other", and the report says how many bytes a row that is shown may
/// lack for that.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The file; "-" reads standard input
    file: PathBuf,
    /// One JSON object instead of tables; each character U+0000 to U+00FF of a key stands for the byte of that number
    #[arg(long)]
    json: bool,
    /// Also draws the report into this file
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
    /// Also writes one line per key into this file: database, type, key, bytes, encoding, elements, longest element,
    /// expiry
    #[arg(long, value_name = "OUT")]
    csv: Option<PathBuf>,
    /// How many prefixes and biggest keys are shown
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// What ends a prefix of a key
    #[arg(long, value_name = "TEXT", default_value = ":", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    separator: String,
    /// How many parts of a key make its prefix
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    depth: u32,
    /// How many prefixes are kept in memory
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..))]
    max_prefixes: u32,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut input = Input::open(&args.file, ParserOptions::new())?;
    let svg = args.svg.as_deref().map(Text::create).transpose()?;
    let mut csv = args.csv.as_deref().map(Text::create).transpose()?;
    let mut collector = Collector::new(args);
    if let Some(csv) = &mut csv {
        csv.write(|out| out.write_all(collect::CSV_HEAD))?;
    }
    while let Some(record) = collector.next(&mut input)? {
        if let Some(csv) = &mut csv {
            csv.write(|out| record.csv(out))?;
        }
    }
    let report = collector.finish(&input.name, input.offset());
    input.finish();
    if let Some(csv) = csv {
        csv.commit()?;
    }
    if let Some(mut svg) = svg {
        svg.write(|out| svg::draw(&report, out))?;
        svg.commit()?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = if args.json { json::print(&report, &mut out) } else { text::print(&report, &mut out) };
    printed.and_then(|()| out.flush()).map_err(|error| Failure::writing("standard output", &error))
}
