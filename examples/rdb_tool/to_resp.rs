//! `to-resp`: the commands that put a file's content into a server.

use std::io::{self, BufWriter, Cursor, Write};
use std::path::PathBuf;
use std::str::FromStr;

use rdts_core::filter::Rules;
use rdts_core::source::RdbSource;
use rdts_core::translate::{Family, LossKind, Losses, OnConflict, OnLoss, Target, TranslateOptions};
use rdts_core::{ErrorKind, Source};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::failure::Failure;
use crate::input;

/// Writes the commands that put a file's content into a server, for redis-cli --pipe.
///
/// Strings become SET, values that the target's RESTORE reads become RESTORE, others the commands that build them. Keys
/// that the target has are replaced. What no command can put there (data of modules outside of keys, functions before
/// Redis 7.0) is left out and counted on standard error.
///
/// Memory: one batch of commands and the longest value that has to go whole (8 MiB; of a stream or module up to 512
/// MiB).
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The file; "-" reads standard input
    file: PathBuf,
    /// The server that will take the commands: 6.2, 7.0.15, valkey-9.1. Default: the oldest server that reads such a
    /// file
    #[arg(long, value_name = "VERSION")]
    target: Option<Server>,
    /// Take only this database
    #[arg(long, value_name = "N")]
    db: Option<u32>,
    /// Put that database's keys into this one
    #[arg(long, value_name = "N", requires = "db")]
    into_db: Option<u32>,
}

/// A version on the command line.
#[derive(Debug, Clone, Copy)]
struct Server(Target);

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (make, number): (fn(u16, u16, u16) -> Target, _) = match text.split_once('-') {
            Some(("redis", number)) => (Target::redis, number),
            Some(("valkey", number)) => (Target::valkey, number),
            None => (Target::redis, text),
            Some(_) => return Err("a version is a number, or redis-NUMBER or valkey-NUMBER".into()),
        };
        let parts: Option<Vec<u16>> = number.split('.').map(|part| part.parse().ok()).collect();
        let (major, minor, patch) = match parts.as_deref() {
            Some([major]) => (*major, 0, 0),
            Some([major, minor]) => (*major, *minor, 0),
            Some([major, minor, patch]) => (*major, *minor, *patch),
            _ => return Err("a version is one to three numbers, such as 7.0".into()),
        };
        let target = make(major, minor, patch);
        let oldest = if target.family() == Family::Valkey { (7, 2, 0) } else { (2, 8, 0) };
        if target.version() < oldest {
            return Err("the oldest servers supported are Redis 2.8 and Valkey 7.2".into());
        }
        Ok(Self(target))
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Failure::Work(format!("no runtime: {error}")))?;
    let done = runtime.block_on(translate(args));
    // A read of standard input that never ends must not hold the program.
    runtime.shutdown_background();
    done
}

async fn translate(args: &Args) -> Result<(), Failure> {
    if input::is_standard(&args.file) {
        return feed(args, "standard input", tokio::io::stdin()).await;
    }
    let name = args.file.display().to_string();
    let cannot = |error: io::Error| Failure::usage(format!("{name}: {error}"));
    let file = tokio::fs::File::open(&args.file).await.map_err(cannot)?;
    if file.metadata().await.map_err(cannot)?.is_dir() {
        return Err(Failure::usage(format!("{name}: is a directory, not an RDB file")));
    }
    feed(args, &name, file).await
}

async fn feed(args: &Args, name: &str, mut reader: impl AsyncRead + Send + Unpin + 'static) -> Result<(), Failure> {
    let mut head = Vec::new();
    let read = (&mut reader).take(MAGIC).read_to_end(&mut head).await;
    read.map_err(|error| Failure::Input(format!("{name}: {error}")))?;
    let target = args.target.map_or_else(|| oldest_reader(&head), |server| server.0);
    let losses = Losses::default().on(LossKind::Functions, OnLoss::Drop);
    let mut options = TranslateOptions::default().on_conflict(OnConflict::Replace).losses(losses);
    if let Some(db) = args.db {
        options = options.rules(Rules::one_db(db, args.into_db.unwrap_or(db)));
    }
    let whole = Cursor::new(head).chain(reader);
    let mut source = RdbSource::read_from(name, whole, target, options).await.map_err(failure)?;

    let broken = |error| Failure::writing("standard output", &error);
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut db = 0;
    let result = loop {
        match source.next().await {
            Ok(Some(batch)) => {
                for command in batch.commands() {
                    if command.db() != db {
                        db = command.db();
                        let digits = db.to_string();
                        write!(out, "*2\r\n$6\r\nSELECT\r\n${}\r\n{digits}\r\n", digits.len()).map_err(broken)?;
                    }
                    out.write_all(command.raw()).map_err(broken)?;
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(failure(error)),
        }
    };
    out.flush().map_err(broken)?;
    let skipped = source.intake();
    for (count, what) in [
        (skipped.expired, "keys whose expiry is before 1970: no server can hold them"),
        (skipped.empty, "keys without elements: no server can hold them"),
        (skipped.functions, "function libraries: the target has no functions"),
        (skipped.module_aux, "records of modules' data outside of keys: no command restores them"),
    ] {
        if count > 0 {
            eprintln!("rdb_tool: {name}: left out {count} {what}");
        }
    }
    result
}

/// Bytes of an RDB's magic and version.
const MAGIC: u64 = 9;

/// The oldest server that reads files of the version in `head`, which may be anything.
fn oldest_reader(head: &[u8]) -> Target {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u16>().ok();
    if head.starts_with(b"VALKEY") {
        return Target::valkey(9, 0, 0);
    }
    match head.get(5..).and_then(number) {
        Some(15..) => Target::redis(8, 10, 0),
        Some(14) => Target::redis(8, 8, 0),
        Some(13) => Target::redis(8, 6, 0),
        Some(12) => Target::redis(7, 4, 0),
        Some(11) => Target::redis(7, 2, 0),
        Some(10) => Target::redis(7, 0, 0),
        Some(9) => Target::redis(5, 0, 0),
        Some(8) => Target::redis(4, 0, 0),
        Some(7) => Target::redis(3, 2, 0),
        _ => Target::redis(2, 8, 0),
    }
}

fn failure(error: rdts_core::Error) -> Failure {
    let rdb = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<rdts_rdb::Error>());
    match (rdb, error.kind()) {
        (Some(rdb), _) => Failure::Input(format!("{error} ({})", rdb.kind().name())),
        (None, ErrorKind::Unsupported) => Failure::Work(format!("{error}; --target names another server")),
        (None, _) => Failure::Input(error.to_string()),
    }
}
