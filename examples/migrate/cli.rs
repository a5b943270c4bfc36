//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rdts_core::net::Deadlines;
use rdts_core::translate::OnConflict;
use rdts_core::{Endpoint, Error, ErrorKind};

use rdts_examples::migration::{self, Job};
use rdts_examples::selection::Selection;

/// Moves the data of one Redis or Valkey deployment into another while it is being written to.
///
/// Without any argument, a demonstration: a small primary inside this process is migrated, live, into memory and verified.
///
/// URLs: redis://[user:pass@]host[:port][/db], redis://a,b,… (servers that share the keys), redis-cluster://host[:port][,…],
/// redis-sentinel://host[:port][,…]/[db]?service=NAME, codis://[:product_auth@]dashboard[:port]; as targets alone
/// codis-proxy://host[:port][,…], redis-proxy://host[:port][,…] (twemproxy, Envoy, a cloud's proxies).
///
/// Exit status: 0 success, 2 usage, 3 precheck failed (nothing was written), 4 migration failed, 5 verification found
/// differences, 6 timeout.
#[derive(Debug, Parser)]
#[command(name = "migrate", version)]
pub(crate) struct Cli {
    /// Source: one of the URLs below, an RDB file, an AOF file or a folder of AOF files
    #[arg(long, value_name = "URL", requires = "to")]
    from: Option<String>,
    /// Target: one of the URLs below, memory:, or a file (.rdb; .resp or .aof; .json, .jsonl or .ndjson)
    #[arg(long, value_name = "URL", requires = "from")]
    to: Option<String>,
    /// full = the snapshot only; live = the snapshot, then every write until SIGINT or SIGTERM
    #[arg(long, value_enum, default_value_t = Mode::Live)]
    mode: Mode,
    /// caught-up = end once everything that the source had when the snapshot was in place is applied
    #[arg(long, value_enum, value_name = "EVENT")]
    until: Option<Until>,
    /// Directory that makes a run resumable: after a crash or a stop the same command goes on exactly where the target is
    #[arg(long, value_name = "DIR", requires = "from")]
    state: Option<PathBuf>,
    /// Name of the task, for output and for its checkpoints in the target: 1 to 64 letters, digits, -, _ or . (with --state, default: from both URLs)
    #[arg(long, value_name = "TASK")]
    pub(crate) name: Option<String>,
    /// What to do when a source cannot go on where the run before ended: stop says why; restart empties the target, which had to be empty
    /// when the task began, and copies again
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = OnLost::Stop, requires = "state")]
    on_lost: OnLost,
    /// What to do with keys that the target has: fail refuses a target that is not empty, replace puts the source's in their place, skip
    /// leaves them alone (but writes that follow the snapshot are applied to them)
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Conflict::Fail)]
    on_conflict: Conflict,
    #[command(flatten)]
    selection: Selection,
    /// What the target cannot hold and may be left out, instead of stopping at it: streams, hash-field-expiry, functions, …
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    drop: Vec<String>,
    /// Compare source and target at the end, while the writes go on: every key and its whole value. The demonstration always does
    #[arg(long, requires = "from")]
    verify: bool,
    /// Look at both sides and say what would be in the way of the migration; nothing is written anywhere
    #[arg(long, requires = "from", conflicts_with_all = ["until", "verify"])]
    pub(crate) check: bool,
    /// Write one JSON object a line to standard output, the last with "event":"summary"
    #[arg(long)]
    pub(crate) json: bool,
    /// How long a server that is loading its data is waited for, and a source that was lost is looked for
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    ready_timeout: u64,
    /// How long a server may be silent before its connection is taken for dead. A primary that has nothing to say says so every 10 s,
    /// and a server that executes a long command is silent for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    reply_timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Full,
    Live,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    CaughtUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Conflict {
    Fail,
    Replace,
    Skip,
}

/// What to do when a source cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnLost {
    Stop,
    Restart,
}

impl Cli {
    /// What is asked for; `None` is the demonstration.
    pub(crate) fn job(&self) -> Result<Option<Job>, Error> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else {
            return Ok(None);
        };
        let from: Endpoint = from.parse().map_err(|error: Error| error.at("--from"))?;
        let to: Endpoint = to.parse().map_err(|error: Error| error.at("--to"))?;
        if self.mode == Mode::Full && self.until.is_some() {
            return Err(Error::new(ErrorKind::Config, "--until needs --mode live: a full copy ends by itself"));
        }
        let mut job = Job::new(from, to);
        job.full |= self.mode == Mode::Full;
        job.until_caught_up = self.until.is_some();
        job.on_conflict = match self.on_conflict {
            Conflict::Fail => OnConflict::Fail,
            Conflict::Replace => OnConflict::Replace,
            Conflict::Skip => OnConflict::Skip,
        };
        job.deadlines = Deadlines::default()
            .reply(Duration::from_secs(self.reply_timeout))
            .ready(Duration::from_secs(self.ready_timeout));
        job.state.clone_from(&self.state);
        job.task.clone_from(&self.name);
        job.on_lost = match self.on_lost {
            OnLost::Stop => migration::OnLost::Stop,
            OnLost::Restart => migration::OnLost::Restart,
        };
        job.verify = self.verify;
        for kind in &self.drop {
            job.drop_lost(kind).map_err(|error| error.at("--drop"))?;
        }
        job.select(&self.selection)?;
        job.check()?;
        Ok(Some(job))
    }
}
