//! An initial data set, the same in every run from the same seed.

mod mixed;

use std::time::{Duration, Instant};

use redis::{Connection, Pipeline, Value};

use crate::cluster::{Router, Unit};
use crate::deployment::{Deployment, slot_of};
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
    /// Keys of all types that the server has, about 43 elements each, in [`dbs`](Self::dbs), every encoding of theirs in
    /// use: just below and just above the limits where an encoding ends, values that compress and such that do not,
    /// lists of several nodes, binary keys, TTLs. Default: 0.
    pub mixed: u64,
    /// The databases that the mixed keys are spread over. Default: 0, 3 and 7.
    pub dbs: Vec<u32>,
}

impl Default for FillOptions {
    fn default() -> Self {
        Self { seed: 1, strings: 0, mixed: 0, dbs: vec![0, 3, 7] }
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

    /// The same, all of it in database 0: what a cluster takes.
    #[must_use]
    pub fn in_one_database(self) -> Self {
        Self { dbs: vec![0], ..self }
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

/// Writes a data set to a server or a cluster, where all of it is in database 0. A million small strings take a few
/// seconds.
///
/// # Panics
/// When a server refuses anything of it, or is asked to be one of several servers: only their proxy knows which.
#[track_caller]
pub fn fill<'a, D: Into<Deployment<'a>>>(target: D, options: &FillOptions) -> FillReport {
    let start = Instant::now();
    let (goal, version) = match target.into() {
        Deployment::Sentinel(sentinel) => {
            let primary = sentinel.server(sentinel.primary());
            (Goal::Server(primary.connection()), primary.version())
        }
        Deployment::Server(server) => (Goal::Server(server.connection()), server.version()),
        Deployment::Cluster(cluster) => (Goal::Cluster(Router::new(cluster), Vec::new()), cluster.version()),
        Deployment::Servers(_) => panic!("fill each of the servers by itself"),
    };
    let mut writer = Writer { goal, commands: Pipeline::new(), bytes: 0 };
    writer.add(&["SELECT", "0"]);
    strings(&mut writer, options);
    let elements = mixed::write(&mut writer, version, options, Rng::new(options.seed ^ 1));
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
    goal: Goal,
    commands: Pipeline,
    bytes: usize,
}

enum Goal {
    Server(Connection),
    /// Collects what is to be routed instead of the pipeline.
    Cluster(Router, Vec<Unit>),
}

impl Writer {
    #[track_caller]
    fn add<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        match &mut self.goal {
            Goal::Server(_) => add(&mut self.commands, args),
            Goal::Cluster(_, units) => units.extend(routed(args)),
        }
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
        let replies = match &mut self.goal {
            Goal::Server(connection) => send(connection, &self.commands),
            Goal::Cluster(router, units) => {
                let outcomes = router.run_all(units).into_iter();
                units.clear();
                outcomes
                    .flat_map(|outcome| outcome.unwrap_or_else(|error| panic!("filling a cluster: {error}")))
                    .collect()
            }
        };
        for reply in replies {
            if let Value::ServerError(error) = reply {
                panic!("filling a server: {error:?}");
            }
        }
        self.commands.clear();
        self.bytes = 0;
    }
}

/// A command for a cluster, which has one database: an MSET goes key by key.
fn routed<A: AsRef<[u8]>>(args: &[A]) -> Vec<Unit> {
    let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_ref().to_vec()).collect();
    let commands = match &*args[0] {
        b"SELECT" => Vec::new(),
        b"MSET" => args[1..].chunks(2).map(|pair| vec![b"SET".to_vec(), pair[0].clone(), pair[1].clone()]).collect(),
        _ => vec![args],
    };
    commands.into_iter().map(|command| Unit { slot: slot_of(&command), commands: vec![command] }).collect()
}
