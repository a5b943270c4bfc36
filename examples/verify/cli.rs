//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use rdts_core::control::{Control, RateLimit};
use rdts_core::net::Deadlines;
use rdts_core::verify::VerifyOptions;
use rdts_core::{Endpoint, Error};
use rdts_examples::migration;
use rdts_examples::selection::Selection;

/// Compares the data of two Redis or Valkey deployments while they are being written to.
///
/// What differs is looked at again in several rounds, so that what is merely on its way from one to the other is not reported. Type, value,
/// expiry and, of streams, groups and pending entries count; versions and encodings do not.
///
/// URLs: redis://[user:pass@]host[:port][/db], redis://a,b,… (servers that share the keys), redis-cluster://host[:port][,…],
/// redis-sentinel://host[:port][,…]/[db]?service=NAME, codis://[:product_auth@]dashboard[:port].
///
/// Exit status: 0 equal (after --repair: all differences are repaired), 2 usage, 3 a side cannot be reached or refuses to be read, 4 failed on
/// the way, 5 the sides differ (the keys are listed).
#[derive(Debug, Parser)]
#[command(name = "verify", version)]
pub(crate) struct Cli {
    /// Source: what is right
    #[arg(long, value_name = "URL")]
    from: String,
    /// Target: what has to be the same
    #[arg(long, value_name = "URL")]
    to: String,
    /// count = numbers of keys alone; outline = which keys, types, lengths, expiries; full = everything; sample = everything of some keys
    #[arg(long, value_enum, default_value_t = Mode::Full)]
    mode: Mode,
    /// Set right what differs in the target: put the source's values in place, delete keys that the source does not have
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    selection: Selection,
    /// How often what differs is looked at again before it counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long before each of these rounds is waited: longer than a write is on its way
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    interval: u64,
    /// How long a key is watched that keeps changing, before it is reported as unsettled
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// How far the expiries of a key may be apart
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    tolerance: u64,
    /// The fraction of the keys that --mode sample compares; about 10,000 are the least
    #[arg(long, value_name = "FRACTION", default_value_t = 0.01)]
    sample: f64,
    /// Compare at most so many keys per second
    #[arg(long, value_name = "KEYS")]
    rate: Option<u64>,
    /// List at most so many of the keys that differ
    #[arg(long, value_name = "N", default_value_t = 1000)]
    list: usize,
    /// Write one JSON object a line to standard output: one for each key that differs, and at last one with "event":"summary"
    #[arg(long)]
    pub(crate) json: bool,
    /// How long a server that is loading its data or was lost is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    ready_timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Count,
    Outline,
    Full,
    Sample,
}

/// What is asked for.
pub(crate) struct Job {
    pub from: Endpoint,
    pub to: Endpoint,
    pub options: VerifyOptions,
}

impl Cli {
    pub(crate) fn job(&self) -> Result<Job, Error> {
        use rdts_core::verify::Mode as Core;
        let from: Endpoint = self.from.parse().map_err(|error: Error| error.at("--from"))?;
        let to: Endpoint = self.to.parse().map_err(|error: Error| error.at("--to"))?;
        let mut migration = migration::Job::new(from.clone(), to.clone());
        migration.select(&self.selection)?;
        if !(self.sample > 0.0 && self.sample <= 1.0) {
            let text = "--sample: a fraction is more than 0 and at most 1";
            return Err(Error::new(rdts_core::ErrorKind::Config, text));
        }
        let control = Control::default();
        if let Some(rate) = self.rate {
            control.set_limit(RateLimit::NONE.commands(rate));
        }
        let options = VerifyOptions::default()
            .mode(match self.mode {
                Mode::Count => Core::Count,
                Mode::Outline => Core::Outline,
                Mode::Full => Core::Full,
                Mode::Sample => Core::Sample,
            })
            .repair(self.repair)
            .rounds(self.rounds)
            .interval(Duration::from_millis(self.interval))
            .patience(Duration::from_secs(self.patience))
            .tolerance(Duration::from_millis(self.tolerance))
            .sample(self.sample)
            .list(self.list)
            .rules(migration.rules)
            .control(control)
            .deadlines(Deadlines::default().ready(Duration::from_secs(self.ready_timeout)));
        Ok(Job { from, to, options })
    }
}
