//! A suite that checks any [`Sink`] against the contract that the rest of RDTS relies on.
//!
//! Needs the feature `conformance`. Whoever writes a sink implements [`Harness`], which makes sinks and reads back what they have
//! written, and has [`run`] do the rest. What a target cannot do is declared in [`Abilities`]; what is declared as impossible must
//! then be refused by a typed error, or the check is listed as not applicable, never as passed.
//!
//! # What is checked
//!
//! - **The watermark** is cumulative and never goes back, has the position of the very batch that it counts up to, and covers everything
//!   after a flush. Batches without commands move it as well. Its counts are those of the commands as they were given, however the
//!   sink has changed them on their way: each command once, its bytes, the keys of its [mark](crate::record::Mark).
//! - **The state**: commands of a key are applied in their order; several databases; transactions; commands with many keys; big
//!   batches; keys and values of any bytes; values that come in pieces and are renamed into place.
//! - **Errors** are typed. After one the watermark stays in front of the batch that met it, and nothing that is written afterwards
//!   is taken. What was under way by then may still be applied.
//! - **Expectations**: a key that must be new stops the sink when it is there ([`Expect::Created`](crate::record::Expect)), or is kept
//!   and counted; a key that may have expired on its way, and a script's own error, stop nothing.
//! - **Pressure**: accepted is not applied; what is accepted beyond that is bounded; a flush can be given up and asked for again;
//!   closing applies all that is left; dropping a sink does not hang.
//!
//! It uses string commands that every server has (`SET`, `APPEND`, …) and keys that begin with `rdts:conformance:`.
//!
//! # Example
//!
//! A sink that knows two commands, and what its author has the suite do:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! use rdts_core::conformance::{self, Abilities, Harness};
//! use rdts_core::record::Batch;
//! use rdts_core::sink::{Capabilities, Watermark};
//! use rdts_core::translate::Target;
//! use rdts_core::{Error, ErrorKind, Result, Sink};
//!
//! type Strings = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;
//!
//! struct StringSink {
//!     strings: Strings,
//!     watermark: Watermark,
//! }
//!
//! impl Sink for StringSink {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::new(Target::redis(7, 0, 0))
//!     }
//!     async fn write(&mut self, batch: Batch) -> Result<()> {
//!         for command in batch.commands() {
//!             let args: Vec<&[u8]> = command.args().collect();
//!             let mut strings = self.strings.lock().expect("nobody panics");
//!             match args[..] {
//!                 _ if command.db() != 0 => return Err(Error::new(ErrorKind::Unsupported, "there is one database")),
//!                 [b"SET", key, value] => drop(strings.insert(key.to_vec(), value.to_vec())),
//!                 [b"APPEND", key, value] => strings.entry(key.to_vec()).or_default().extend(value),
//!                 _ => return Err(Error::new(ErrorKind::Unsupported, "there are two commands")),
//!             }
//!             self.watermark.counts.commands += 1;
//!             self.watermark.counts.bytes += command.raw().len() as u64;
//!             self.watermark.counts.keys += u64::from(command.mark().keys);
//!         }
//!         self.watermark.batches += 1;
//!         self.watermark.position = Some(*batch.position());
//!         Ok(())
//!     }
//!     fn acked(&self) -> Watermark {
//!         self.watermark
//!     }
//!     async fn flush(&mut self) -> Result<()> {
//!         Ok(())
//!     }
//!     async fn close(self) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! struct Strict(Strings);
//!
//! impl Harness for Strict {
//!     type Sink = StringSink;
//!
//!     fn abilities(&self) -> Abilities {
//!         let all = Abilities::default().databases(false).transactions(false).renames(false).many_keys(false);
//!         all.conflicts(false).rejections(false).scripts(false)
//!     }
//!     async fn sink(&mut self) -> Result<StringSink> {
//!         self.0.lock().expect("nobody panics").clear();
//!         Ok(StringSink { strings: self.0.clone(), watermark: Watermark::default() })
//!     }
//!     async fn read(&mut self, _db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
//!         Ok(self.0.lock().expect("nobody panics").get(key).cloned())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let report = conformance::run(&mut Strict(Strings::default())).await;
//! assert!(report.passed(), "{report}");
//! # }
//! ```

mod bench;
mod errors;
mod failure;
mod pressure;
mod state;
mod watermark;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use self::bench::{Bench, Stop};
use crate::error::Result;
use crate::sink::Sink;

pub use self::failure::{Failure, FailureKind};

/// What the suite needs from the author of a sink.
pub trait Harness: Send {
    /// The sink to be checked.
    type Sink: Sink;

    /// What its target can do. Default: everything but to be [frozen](Self::freeze).
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// A fresh sink, for a target that is empty; every check begins with one. The one before is closed or dropped by then.
    ///
    /// # Errors
    /// Whatever keeps it from being made; the check fails with it.
    fn sink(&mut self) -> impl Future<Output = Result<Self::Sink>> + Send;

    /// The string at `key` in database `db` of the target of the last sink; `None` when there is no such key.
    ///
    /// # Errors
    /// Whatever keeps it from being read; the check fails with it.
    fn read(&mut self, db: u32, key: &[u8]) -> impl Future<Output = Result<Option<Vec<u8>>>> + Send;

    /// Keeps the target of the last sink from applying anything, without breaking connections (a server's process can be
    /// stopped), until [`thaw`](Self::thaw). Only called when [`Abilities::freezes`] says so.
    ///
    /// # Errors
    /// Whatever keeps it from being done; the check fails with it.
    fn freeze(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Has the target go on after [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// As [`freeze`](Self::freeze).
    fn thaw(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// What a target can do: [`Harness::abilities`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Whether it has several databases; otherwise a command for another one than 0 must be refused. Default: true.
    pub databases: bool,
    /// Whether it takes transactions, as such or one command after the other; otherwise they must be refused. Default: true.
    pub transactions: bool,
    /// Whether keys can be renamed, which is how big values come in place. Default: true.
    pub renames: bool,
    /// Whether one command may write many keys, wherever they are. Default: true.
    pub many_keys: bool,
    /// Whether it notices that a key that must be new is there already. Default: true.
    pub conflicts: bool,
    /// Whether it refuses a command for a key of another type. Default: true.
    pub rejections: bool,
    /// Whether it runs scripts. Default: true.
    pub scripts: bool,
    /// Whether what is flushed can be read before the sink is closed. Default: true.
    pub visible_after_flush: bool,
    /// Whether [`Harness::freeze`] does what it says. Default: false.
    pub freezes: bool,
    /// How many bytes of commands a sink may accept beyond what is applied, with all buffers on the way. Default: 64 MiB.
    pub in_flight: usize,
    /// How long a single step may take before it counts as hanging. Default: 30 s.
    pub patience: Duration,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            databases: true,
            transactions: true,
            renames: true,
            many_keys: true,
            conflicts: true,
            rejections: true,
            scripts: true,
            visible_after_flush: true,
            freezes: false,
            in_flight: 64 << 20,
            patience: Duration::from_secs(30),
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {$(
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )*};
}

impl Abilities {
    setters! {
        databases: bool,
        transactions: bool,
        renames: bool,
        many_keys: bool,
        conflicts: bool,
        rejections: bool,
        scripts: bool,
        visible_after_flush: bool,
        freezes: bool,
        in_flight: usize,
        patience: Duration,
    }
}

/// How a check has ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The sink keeps to the contract.
    Passed,
    /// The [`Abilities`] do not have what the check needs; the text says what that is.
    NotApplicable(&'static str),
    /// The sink breaks the contract.
    Failed(Failure),
}

/// How all checks have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// Every check by its name, in the order in which they ran.
    pub fn outcomes(&self) -> &[(&'static str, Outcome)] {
        &self.outcomes
    }

    /// What has failed.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.outcomes.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        })
    }

    /// Whether no check has failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.outcomes {
            match outcome {
                Outcome::Passed => writeln!(f, "{name}: passed")?,
                Outcome::NotApplicable(why) => writeln!(f, "{name}: not applicable without {why}")?,
                Outcome::Failed(failure) => writeln!(f, "{failure}")?,
            }
        }
        Ok(())
    }
}

macro_rules! checks {
    ($($module:ident: $($name:ident)*;)*) => {
        /// The names of all checks, in the order in which [`run`] runs them.
        pub const CHECKS: &[&str] = &[$($(stringify!($name)),*),*];

        async fn dispatch<H: Harness>(name: &str, bench: &mut Bench<'_, H>) -> Option<Result<(), Stop>> {
            match name {
                $($(stringify!($name) => Some($module::$name(bench).await),)*)*
                _ => None,
            }
        }
    };
}

checks! {
    watermark:
        a_fresh_sink_has_applied_nothing
        a_flush_covers_everything
        the_watermark_never_goes_back
        empty_batches_move_the_position
        counts_add_up;
    state:
        commands_of_a_key_keep_their_order
        databases_are_kept_apart
        transactions_are_applied
        a_command_may_have_many_keys
        a_big_batch_goes_through
        any_bytes_are_kept
        a_value_in_pieces_is_renamed_into_place
        closing_applies_what_is_left;
    errors:
        an_error_stops_the_sink
        an_error_spoils_its_whole_batch
        a_key_that_must_be_new_is_a_conflict
        a_key_that_was_there_is_kept
        a_key_that_expired_on_its_way_is_no_failure
        an_error_of_a_script_is_counted;
    pressure:
        accepted_is_not_applied
        what_is_accepted_is_bounded
        a_flush_can_be_given_up
        dropping_a_sink_does_not_hang;
}

/// Runs all checks, each with a fresh sink, and says how they ended. It takes a few seconds with a server. Needs a tokio runtime with
/// its timer.
pub async fn run<H: Harness>(harness: &mut H) -> Report {
    let mut outcomes = Vec::with_capacity(CHECKS.len());
    for name in CHECKS {
        if let Some(outcome) = check(harness, name).await {
            outcomes.push((*name, outcome));
        }
    }
    Report { outcomes }
}

/// Runs one check by its name; `None` when there is no such one.
pub async fn check<H: Harness>(harness: &mut H, name: &str) -> Option<Outcome> {
    let name = CHECKS.iter().find(|check| **check == name)?;
    let mut bench = Bench::new(harness, name);
    let checked = dispatch(name, &mut bench).await?;
    // A check that failed may have left it frozen.
    let thawed = bench.thaw().await;
    Some(match checked.and(thawed) {
        Ok(()) => Outcome::Passed,
        Err(Stop::NotApplicable(why)) => Outcome::NotApplicable(why),
        Err(Stop::Failed(failure)) => Outcome::Failed(failure.of(name)),
    })
}
