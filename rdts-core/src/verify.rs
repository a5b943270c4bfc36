//! Proving that two deployments hold the same, while they are being written to.
//!
//! ```text
//!  source ─SCAN─► pages of keys ─► lanes: both sides are asked, answers compared ──┐ those that
//!  target ─SCAN─► pages of keys ─► lanes: does the source have them? ──────────────┤ may differ
//!                                                                                  ▼
//!        report ◄── repair, if that is asked for ◄── rounds: wait (fence, time), look again
//! ```
//!
//! Every key of the source is compared with the target's, then every key of the target is looked for in the source. What differs is no
//! difference yet: it may be on its way. It is looked at again in several [rounds](VerifyOptions::rounds), before each of which time passes,
//! and with a [`Fence`] everything that the source had is applied. A key is reported when neither side has changed between two rounds and they
//! still differ. As long as some of what differed arrives, there are further rounds. A key that keeps changing is watched instead: it is in
//! order when the target has a value that the source had a little before; after some [patience](VerifyOptions::patience) it is reported as
//! [unsettled](DifferenceKind::Unsettled).
//!
//! # What is the same
//! Values are compared as `DUMP` gives them: bytes first, and where these differ by a canonical digest ([`rdts_rdb::Digester`], which says
//! what counts), so that versions and encodings do not matter. Values beyond [`VerifyOptions::big`] are read piece by piece by the commands of
//! their type; of a stream's pending entries the time of delivery does not count then. Expiries may be apart by a
//! [tolerance](VerifyOptions::tolerance), and a key that is about to expire may be on one side alone. Keys that RDTS keeps in a target
//! for itself do not count.
//!
//! # Repair
//! What differs after all rounds is set right on request: the source's value is put in place of the target's, an extra key is deleted. The order
//! is: watch the target's key (`WATCH`); read both sides; only if the source still has what it had at the last round, and they differ,
//! put the value in place in a transaction, which is void if anybody has written to the key; read both sides again. With a [`Fence`] that is
//! exact while writes go on: whatever was written to the source's key before is applied already, and whatever comes after
//! meets the repaired value, or has the transaction tried again. Without one it is exact as long as no write is longer on its way than
//! [`VerifyOptions::interval`]; beyond that, a write which the value contains may be applied to it once more. Values of more
//! than 8 MiB are built under another name and renamed. Where somebody else keeps writing into the target, nothing is repaired for long.
//!
//! # Limits
//! - Memory does not depend on the number of keys: pages, at most 12 MiB of candidates, and 2 MiB of values for each of the
//!   [connections](VerifyOptions::connections). A single element of a big value is in memory as a whole. Values of modules and arrays whose payload is
//!   longer than 16 MiB are not read and reported as unsettled.
//! - With rules that rename keys or put several databases into one, keys that the target has too many are not looked for; the report says so.
//! - `SWAPDB` while keys are listed hides keys; the report says so.
//! - Slots that move while keys are listed hide keys: if they did, the end is an [error](crate::ErrorKind::Topology).
//! - How long a key was idle, and the counters of its use, are not compared; functions and scripts are no keys.
//! - Servers before 4.0 do not tell the size of a value: there, collections count 64 bytes for each element.
//!
//! ```no_run
//! use rdts_core::verify::{Verifier, VerifyOptions};
//!
//! # async fn example() -> rdts_core::Result<()> {
//! let (from, to) = ("redis://10.0.0.7".parse()?, "redis-cluster://10.0.0.8:7000".parse()?);
//! let report = Verifier::open(&from, &to, VerifyOptions::default()).await?.run().await?;
//! println!("{report}");
//! assert!(report.equal);
//! # Ok(())
//! # }
//! ```

mod count;
mod face;
mod fence;
mod keys;
mod names;
mod options;
mod pair;
mod pass;
mod pieces;
mod reader;
mod repair;
mod report;
mod settle;
mod side;
mod wire;

use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;

pub use fence::{BoxFence, Fence};
pub use options::{Mode, VerifyOptions};
pub use report::{DatabaseCount, Difference, DifferenceKind, Differences, Report, Summary};

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, info_field};
use names::Mapping;
use pass::Direction;
use side::Side;

/// The least number of keys that a sample has, about.
const LEAST_SAMPLE: f64 = 10_000.0;

/// Compares two deployments.
#[derive(Debug)]
pub struct Verifier {
    context: Arc<Context>,
}

/// How far a comparison is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Context>);

impl Progress {
    /// Keys of the source that were compared.
    pub fn compared(&self) -> u64 {
        self.0.compared.load(Ordering::Relaxed)
    }

    /// Keys of the target that were looked for in the source.
    pub fn looked_for(&self) -> u64 {
        self.0.looked_for.load(Ordering::Relaxed)
    }

    /// Keys that may differ and are to be looked at again; all that were found so far.
    pub fn candidates(&self) -> u64 {
        self.0.candidates.load(Ordering::Relaxed)
    }

    /// How many keys both sides had at the beginning, together; 0 before that is known.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }
}

/// What all parts of a comparison share.
#[derive(Debug)]
struct Context {
    from: Endpoint,
    to: Endpoint,
    options: VerifyOptions,
    names: Mapping,
    source: Arc<Side>,
    target: Arc<Side>,
    /// Keys with a hash up to this are compared.
    sampled: AtomicU64,
    compared: AtomicU64,
    looked_for: AtomicU64,
    candidates: AtomicU64,
    total: AtomicU64,
    bytes: AtomicU64,
    /// Rules have given some key another name.
    renamed: AtomicBool,
    /// The source's databases that have keys.
    databases: Mutex<Vec<u32>>,
}

impl Context {
    fn source_databases(&self) -> Vec<u32> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn saw_databases(&self, databases: impl Iterator<Item = u32>) {
        let mut known = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(databases);
        known.sort_unstable();
        known.dedup();
    }

    fn source(&self) -> Arc<Side> {
        Arc::clone(&self.source)
    }

    fn target(&self) -> Arc<Side> {
        Arc::clone(&self.target)
    }

    fn is_sampled(&self, key: &[u8]) -> bool {
        let most = self.sampled.load(Ordering::Relaxed);
        if most == u64::MAX {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(key);
        hasher.finish() <= most
    }

    fn went_through(&self, direction: Direction, keys: usize, candidates: usize) {
        self.candidates.fetch_add(candidates as u64, Ordering::Relaxed);
        let counter = match direction {
            Direction::Forward => &self.compared,
            Direction::Back => &self.looked_for,
        };
        counter.fetch_add(keys as u64, Ordering::Relaxed);
    }

    fn read_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.options.control.took(0, bytes);
    }
}

impl Verifier {
    /// Finds the servers of both sides and looks whether they let themselves be compared. Nothing is compared yet.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for what is no deployment of servers, such as files and proxies, and for a database of the target
    /// without one of the source; [`Auth`](ErrorKind::Auth) if the user may not `SCAN`, `DUMP` or `PTTL`; what finding and connecting to
    /// them says. All name the endpoint or node.
    pub async fn open(from: &Endpoint, to: &Endpoint, options: VerifyOptions) -> Result<Self> {
        let names = Mapping::new(from, to, options.rules.clone())?;
        let find = Side::find(from, options.deadlines);
        let (source, target) = tokio::try_join!(find, Side::find(to, options.deadlines))?;
        let counter = AtomicU64::default;
        let named = match from {
            Endpoint::Node { db, .. } | Endpoint::Sentinel { db, .. } => db.iter().copied().collect(),
            _ => vec![0],
        };
        let context = Context {
            from: from.clone(),
            to: to.clone(),
            options,
            names,
            source: Arc::new(source),
            target: Arc::new(target),
            sampled: AtomicU64::new(u64::MAX),
            compared: counter(),
            looked_for: counter(),
            candidates: counter(),
            total: counter(),
            bytes: counter(),
            renamed: AtomicBool::new(false),
            // What the rules say of a database without keys counts as well, if URLs name it.
            databases: Mutex::new(named),
        };
        Ok(Self { context: Arc::new(context) })
    }

    /// Tells how far it is, from elsewhere.
    pub fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.context))
    }

    /// Compares, and repairs if that is asked for. A difference is no error.
    ///
    /// # Errors
    /// A server that cannot be reached for longer than [`Deadlines::ready`](crate::net::Deadlines::ready), or refuses what has to be asked;
    /// [`Topology`](ErrorKind::Topology) if slots have moved meanwhile.
    pub async fn run(self) -> Result<Report> {
        let context = self.context;
        let started = Instant::now();
        let mut report = Report::new(context.options.mode);
        if context.options.mode == Mode::Count {
            report.databases = count::compare(&context).await?;
            report.equal = report.databases.iter().all(|count| count.source == count.target);
            report.seconds = started.elapsed().as_secs_f64();
            return Ok(report);
        }
        report.fraction = context.measure().await?;
        let swaps = context.swaps().await;
        // Few, since those that are found wait where they are while others are looked at again.
        let (found, candidates) = mpsc::channel(1024);
        let settling = tokio::spawn(settle::run(Arc::clone(&context), candidates));
        let passed = async {
            pass::run(&context, Direction::Forward, &found).await?;
            report.notes.extend(context.why_not_back());
            if report.notes.is_empty() {
                pass::run(&context, Direction::Back, &found).await?;
            }
            Ok(())
        }
        .await;
        drop(found);
        if let Err(error) = passed {
            settling.abort();
            // What keeps the other part from going on says more than that nobody takes what is found.
            return Err(error);
        }
        let settled = settling
            .await
            .map_err(|error| Error::new(ErrorKind::Interrupted, "the comparison was aborted").with_source(error))??;
        context.check_layout().await?;
        if context.swaps().await != swaps {
            let text = "databases were swapped (SWAPDB) while keys were listed: keys may have been missed";
            report.notes.push(text.to_owned());
        }
        report.differences = settled.differences;
        report.keys = settled.keys;
        report.in_motion = settled.in_motion;
        report.repaired = settled.repaired;
        report.compared = context.compared.load(Ordering::Relaxed);
        report.looked_for = context.looked_for.load(Ordering::Relaxed);
        report.bytes = context.bytes.load(Ordering::Relaxed);
        report.equal = report.differences.total() == 0;
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

impl Context {
    /// Counts the keys and decides how many of them are looked at: the fraction.
    async fn measure(&self) -> Result<f64> {
        let deadlines = self.options.deadlines;
        let (source, target) =
            tokio::try_join!(count::keys(&self.source, deadlines), count::keys(&self.target, deadlines))?;
        self.saw_databases(source.keys().copied());
        let total = |counts: &std::collections::BTreeMap<u32, u64>| counts.values().sum::<u64>();
        self.total.store(total(&source) + total(&target), Ordering::Relaxed);
        if self.options.mode != Mode::Sample {
            return Ok(1.0);
        }
        let least = LEAST_SAMPLE / (total(&source).max(total(&target)).max(1) as f64);
        let fraction = self.options.sample.max(least).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "it is between 0 and u64::MAX")]
        #[expect(clippy::cast_sign_loss, reason = "it is not negative")]
        let most = if fraction < 1.0 { (fraction * u64::MAX as f64) as u64 } else { u64::MAX };
        self.sampled.store(most, Ordering::Relaxed);
        Ok(fraction)
    }

    /// How often databases were swapped on each node, where servers tell.
    async fn swaps(&self) -> Vec<Option<String>> {
        let mut swaps = Vec::new();
        for node in self.source.nodes.iter().chain(&self.target.nodes) {
            let asked = async {
                let info = Connection::open(&node.address, self.options.deadlines).await?.info("commandstats").await?;
                let calls = info_field(&info, "cmdstat_swapdb").and_then(|stats| stats.split(',').next());
                Ok::<_, Error>(calls.map(str::to_owned))
            };
            // Whoever may not ask, or asks a node that is gone, learns nothing; that is no reason to fail.
            swaps.push(asked.await.unwrap_or_default());
        }
        swaps
    }

    /// Why the target's keys cannot be looked for in the source.
    fn why_not_back(&self) -> Option<String> {
        if self.renamed.load(Ordering::Relaxed) {
            return Some(
                "keys have other names in the target: those that it has too many were not looked for".to_owned(),
            );
        }
        let all = self.source_databases();
        let several =
            |db: &u32| self.names.target_db(*db).is_some_and(|target| self.names.source_dbs(target, &all).len() > 1);
        let text = "several databases are one in the target: keys that it has too many were not looked for";
        all.iter().any(several).then(|| text.to_owned())
    }

    /// Keys that move while they are listed may be listed by neither node.
    async fn check_layout(&self) -> Result<()> {
        let deadlines = self.options.deadlines;
        for (endpoint, before) in [(&self.from, &self.source), (&self.to, &self.target)] {
            if before.one_database() && !Side::find(endpoint, deadlines).await?.same_layout(before) {
                let text = "slots have moved while keys were compared, and keys may have been missed: let the moves finish, and compare again";
                return Err(Error::new(ErrorKind::Topology, text).at(endpoint));
            }
        }
        Ok(())
    }
}
