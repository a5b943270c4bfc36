//! An initial data set, the same in every run from the same seed.

mod mixed;

use std::time::{Duration, Instant};

use redis::{Connection, Pipeline, Value};

use crate::Server;
use crate::rng::Rng;
use crate::wire::{add, send};

/// What [`fn@fill`] writes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FillOptions {
    /// The same seed gives the same data on all versions that have the types. Default: 1.
    pub seed: u64,
    /// Small strings `string:N` in database 0, of 3 to 32 bytes; one of ten expires, in the years after 2096. Default:
    /// 0.
    pub strings: u64,
    /// Keys of all types that the server has, about 43 elements each, in three databases, every encoding of theirs in
    /// use: just below and just above the limits where an encoding ends, values that compress and such that do not,
    /// lists of several nodes, binary keys, TTLs. Default: 0.
    pub mixed: u64,
}

impl Default for FillOptions {
    fn default() -> Self {
        Self { seed: 1, strings: 0, mixed: 0 }
    }
}

impl FillOptions {
    /// So many small strings.
    #[must_use]
    pub fn strings(count: u64) -> Self {
        Self { strings: count, ..Self::default() }
    }

    /// So many keys of all types.
    #[must_use]
    pub fn mixed(count: u64) -> Self {
        Self { mixed: count, ..Self::default() }
    }
}

/// What [`fn@fill`] has written.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FillReport {
    /// Keys.
    pub keys: u64,
    /// Elements of the collections and strings.
    pub elements: u64,
    /// How long it took.
    pub time: Duration,
}

/// Pairs in one MSET.
const PAIRS: u64 = 100;
/// One string of so many expires.
const EXPIRING: u64 = 10;
/// Bytes of commands that are sent at a time.
const BATCH_BYTES: usize = 512 * 1024;
/// The year 2096, in milliseconds: a fixed time, so that two servers filled at different times hold the same.
const FAR_FUTURE: u64 = 4_000_000_000_000;

/// Writes a data set to a server. A million small strings take a few seconds.
///
/// # Panics
/// When the server refuses anything of it.
#[track_caller]
pub fn fill(server: &Server, options: &FillOptions) -> FillReport {
    let start = Instant::now();
    let mut writer = Writer { connection: server.connection(), commands: Pipeline::new(), bytes: 0 };
    writer.add(&["SELECT", "0"]);
    strings(&mut writer, options);
    let elements = mixed::write(&mut writer, server.version(), options.mixed, Rng::new(options.seed ^ 1));
    writer.flush();
    FillReport { keys: options.strings + options.mixed, elements: options.strings + elements, time: start.elapsed() }
}

fn strings(writer: &mut Writer, options: &FillOptions) {
    let mut rng = Rng::new(options.seed);
    let mut pairs: Vec<Vec<u8>> = Vec::new();
    for number in 0..options.strings {
        let length = rng.length(3, 32);
        let (key, value) = (format!("string:{number}").into_bytes(), rng.bytes(length));
        if number % EXPIRING == 0 {
            // In one command: SET knows no absolute times before Redis 6.2, and SETEX would make the data depend on the
            // hour.
            let time = FAR_FUTURE + number;
            writer.add(&[b"SET".as_slice(), &key, &value]);
            writer.add(&[b"PEXPIREAT".as_slice(), &key, time.to_string().as_bytes()]);
        } else {
            pairs.extend([key, value]);
        }
        if pairs.len() as u64 >= 2 * PAIRS || number + 1 == options.strings {
            writer.add_with(&[b"MSET"], &pairs);
            pairs.clear();
        }
    }
}

/// Collects commands and sends them in batches.
struct Writer {
    connection: Connection,
    commands: Pipeline,
    bytes: usize,
}

impl Writer {
    #[track_caller]
    fn add<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        add(&mut self.commands, args);
        self.bytes += args.iter().map(|arg| arg.as_ref().len() + 16).sum::<usize>();
        if self.bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    /// A command and as many items as there are.
    #[track_caller]
    fn add_with(&mut self, args: &[&[u8]], items: &[Vec<u8>]) {
        if !items.is_empty() {
            let all: Vec<&[u8]> = args.iter().copied().chain(items.iter().map(Vec::as_slice)).collect();
            self.add(&all);
        }
    }

    #[track_caller]
    fn flush(&mut self) {
        for reply in send(&mut self.connection, &self.commands) {
            if let Value::ServerError(error) = reply {
                panic!("filling a server: {error:?}");
            }
        }
        self.commands.clear();
        self.bytes = 0;
    }
}
