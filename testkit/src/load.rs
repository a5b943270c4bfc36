//! A write load with everything in it, the same in every run from the same seed.

mod collections;
mod generator;
mod goal;
mod misc;
mod streams;
mod strings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Pipeline, Value};

use crate::cluster::Unit;
use crate::deployment::Deployment;
use crate::wait::poll;
use crate::wire::{array, bytes};
use generator::{Generator, Op};
use goal::Goal;

/// What a [`Load`] writes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The same seed gives the same commands in the same order on the same version of a server. Default: 1.
    pub seed: u64,
    /// Commands a second; 0 for as many as the server takes. Default: 2000.
    pub rate: u32,
    /// The databases written to; of a cluster always 0 alone. Default: 0, 1 and 9.
    pub dbs: Vec<u32>,
    /// Keys of each kind in each database. Few of them make each key see many commands; three of a kind share a slot of a
    /// cluster, so that few of them are in few slots. Default: 50.
    pub keys: u64,
    /// What all keys begin with: loads on several servers whose data comes together need different ones. Default: `load`.
    pub prefix: String,
    /// Commands that are not to be written, in lower case. Default: none.
    pub without: Vec<&'static str>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { seed: 1, rate: 2000, dbs: vec![0, 1, 9], keys: 50, prefix: "load".to_owned(), without: Vec::new() }
    }
}

impl LoadOptions {
    /// What is fit for a cluster: database 0, and keys in 100 slots.
    #[must_use]
    pub fn cluster() -> Self {
        Self { dbs: vec![0], keys: 300, ..Self::default() }
    }
}

/// What a [`Load`] has done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadReport {
    /// Commands that the server has executed, those inside of MULTI/EXEC as well.
    pub commands: u64,
    /// Commands of which it is not known whether they were executed, since the connection broke, or the node was no
    /// primary any more. Always 0 of a single server.
    pub unknown: u64,
    /// Commands that it refused: at most one of a hundred.
    pub errors: u64,
    /// From the first to the last.
    pub time: Duration,
    /// The names of the commands that were sent.
    pub kinds: BTreeSet<&'static str>,
}

/// A write load that runs in a thread of its own until it is stopped.
///
/// It uses every type, and only commands that the server has: strings, counters, bitmaps, HyperLogLogs, lists, sets,
/// sorted sets, hashes with fields that expire, geo sets, streams with groups, scripts, functions, transactions,
/// several databases, binary and empty values, moves and swaps. On a cluster, all keys of a command or a transaction are
/// in one slot, by their hash tag. Through resharding and promotions it goes on, by redirections and what the Sentinels
/// say: whatever came of it then is in the deployment in the end. Its keys are apart from those of
/// [`fill`](crate::fill()). A key with a short time to live is only ever written as a whole together with its TTL, so
/// that the outcome does not depend on which of two clocks ends it first; all others live for hours.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<LoadReport>,
}

/// Commands in one pipeline, at most: few enough that the load is smooth.
const BATCH: u64 = 64;

impl Load {
    /// Starts writing to a server, a cluster, or what Sentinels watch over.
    ///
    /// # Panics
    /// When it cannot be reached, or is several servers.
    #[track_caller]
    #[must_use = "a load ends with `stop`"]
    pub fn start<'a, D: Into<Deployment<'a>>>(target: D, options: LoadOptions) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let mut writer = Writer::new(&target.into(), options);
        let (stopped, progress) = (Arc::clone(&stop), Arc::clone(&sent));
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                writer.batch(u64::MAX);
                progress.store(writer.report.commands, Ordering::Relaxed);
            }
            writer.finish()
        };
        let thread = std::thread::Builder::new().name("load".into()).spawn(run).expect("a thread can be started");
        Self { stop, sent, thread }
    }

    /// Writes about `commands` commands (a few more, since a transaction is not cut), and comes back when they are
    /// done.
    ///
    /// # Panics
    /// As [`Load::stop`].
    #[track_caller]
    pub fn run<'a, D: Into<Deployment<'a>>>(target: D, options: LoadOptions, commands: u64) -> LoadReport {
        let mut writer = Writer::new(&target.into(), options);
        while writer.report.commands < commands {
            writer.batch(commands - writer.report.commands);
        }
        writer.finish()
    }

    /// How many commands the server has executed so far.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until `more` further commands were executed.
    ///
    /// # Panics
    /// When they were not within `deadline`, or the load has broken off.
    #[track_caller]
    pub fn wait_for(&self, more: u64, deadline: Duration) {
        let goal = self.commands() + more;
        let reached = poll(deadline, || (self.commands() >= goal || self.thread.is_finished()).then_some(()));
        assert!(
            reached.is_some() && !self.thread.is_finished(),
            "the load stands at {} commands and was to reach {goal}",
            self.commands()
        );
    }

    /// Ends the load; everything that it sent has been answered.
    ///
    /// # Panics
    /// When the connection to a single server broke, a deployment was down for 60 s, or a server refused more than one command of a hundred: the load would not be what
    /// it claims to be.
    #[track_caller]
    pub fn stop(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

struct Writer {
    goal: Goal,
    generator: Generator,
    ops: Vec<&'static Op>,
    options: LoadOptions,
    start: Instant,
    report: LoadReport,
    refusals: BTreeMap<String, u64>,
}

impl Writer {
    #[track_caller]
    fn new(deployment: &Deployment<'_>, mut options: LoadOptions) -> Self {
        let mut goal = Goal::new(deployment);
        let (server, _) = deployment.parts()[0];
        let known = array(server.cmd(&["COMMAND"])).into_iter();
        let names = known.filter_map(|command| array(command).into_iter().next()).map(bytes);
        let known: BTreeSet<String> = names.map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase()).collect();
        let version = server.version();
        let all = [strings::OPS, collections::OPS, streams::OPS, misc::OPS];
        let ops = all.into_iter().flatten();
        let ops = ops.filter(|op| known.contains(op.command) && version.has_redis(op.since.0, op.since.1));
        let ops = ops.filter(|op| !options.without.contains(&op.command)).collect();
        let in_slots = matches!(goal, Goal::Cluster(_));
        if in_slots {
            options.dbs = vec![0];
        }
        let generator = Generator::new(&options, in_slots);
        let mut setup = Pipeline::new();
        misc::set_up_code(&mut setup, &known);
        let mut replies = goal.everywhere(&setup);
        if let Goal::Cluster(router) = &mut goal {
            router.set_script(misc::SCRIPT);
        }
        replies.extend(goal.run(&misc::groups(&known, &options.dbs, &generator)).replies);
        for reply in replies {
            if let Value::ServerError(error) = reply {
                // A load before this one may have made the groups.
                assert!(error.code() == "BUSYGROUP", "the load cannot begin: {error:?}");
            }
        }
        let report = LoadReport { commands: 0, unknown: 0, errors: 0, time: Duration::ZERO, kinds: BTreeSet::new() };
        Self { goal, generator, ops, options, start: Instant::now(), report, refusals: BTreeMap::new() }
    }

    /// Sends and awaits a few commands.
    fn batch(&mut self, at_most: u64) {
        self.pace();
        let goal = self.generator.rng.between(1, BATCH).min(at_most);
        let mut units = Vec::new();
        let mut count = 0;
        let mut push = |slot, commands: Vec<Vec<Vec<u8>>>| {
            count += commands.len() as u64;
            units.push(Unit { slot, commands });
            count
        };
        let mut length = 0;
        if !self.generator.in_slots() {
            // A new connection does not know which database is selected.
            let often = if matches!(self.goal, Goal::Sentinel(_)) { 1 } else { 4 };
            if self.generator.rng.one_in(often) {
                let db = *self.generator.rng.pick(&self.options.dbs);
                length = push(None, vec![select(db)]);
            } else if self.report.commands == 0 {
                length = push(None, vec![select(self.options.dbs[0])]);
            }
        }
        while length < goal {
            let op = **self.generator.rng.pick(&self.ops);
            self.report.kinds.insert(op.command);
            let slot = self.generator.next_slot();
            (op.build)(&mut self.generator);
            let commands = std::mem::take(&mut self.generator.commands);
            if commands.len() > 1 && op.atomic {
                let multi = [vec![b"MULTI".to_vec()]].into_iter();
                length = push(slot, multi.chain(commands).chain([vec![b"EXEC".to_vec()]]).collect());
            } else {
                for command in commands {
                    length = push(slot, vec![command]);
                }
            }
        }
        let outcome = self.goal.run(&units);
        self.report.unknown += outcome.unknown;
        self.report.commands += count - outcome.unknown;
        for reply in outcome.replies {
            self.count_errors(reply);
        }
    }

    fn count_errors(&mut self, reply: Value) {
        match reply {
            Value::ServerError(error) => {
                self.report.errors += 1;
                let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
                *self.refusals.entry(text).or_default() += 1;
            }
            Value::Array(replies) => replies.into_iter().for_each(|reply| self.count_errors(reply)),
            _ => {}
        }
    }

    /// Waits for the moment at which the next command is due.
    fn pace(&self) {
        if self.options.rate > 0 {
            let due = Duration::from_secs_f64(self.report.commands as f64 / f64::from(self.options.rate));
            if let Some(early) = due.checked_sub(self.start.elapsed()) {
                std::thread::sleep(early);
            }
        }
    }

    fn finish(mut self) -> LoadReport {
        self.report.time = self.start.elapsed();
        let LoadReport { commands, errors, .. } = self.report;
        assert!(errors * 100 <= commands, "{errors} of {commands} commands were refused: {:?}", self.refusals);
        self.report
    }
}

fn select(db: u32) -> Vec<Vec<u8>> {
    vec![b"SELECT".to_vec(), db.to_string().into_bytes()]
}
