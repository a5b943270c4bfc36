//! Migrations for a manager of tasks.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdts_core::fleet::{self, Handle};
use rdts_core::net::Deadlines;
use rdts_core::precheck::{self, Check, Report, Verdict};
use rdts_core::progress::{Monitor, Progress, ReadyWhen};
use rdts_core::task::{Ended, Failure, Migrator, Run, Steering, Task, Validation};
use rdts_core::translate::OnConflict;
use rdts_core::{Endpoint, Error, ErrorKind, Result};
use tokio::task::JoinSet;

use super::job::{Job, OnLost};
use super::observer::{Observer, Started};
use super::run::{check, migrate, release};
use super::state::State;
use crate::selection::Selection;

/// Migrates between real deployments, as `migrate` does, for a [`TaskManager`](rdts_core::task::TaskManager).
///
/// URLs are those of `migrate`. Options are `mode` (`live` or `full`), `on-conflict` (`fail`, `replace`, `skip`), `on-lost` (`stop`,
/// `restart`), `ready-timeout` and `reply-timeout` (seconds), `verify` (`yes`, `no`: before it is finished), `drop`, and those of
/// [`Selection`]. What a task needs in order to be gone on with is in a folder of its name.
#[derive(Debug)]
pub struct Deployments {
    dir: PathBuf,
    ready_when: ReadyWhen,
}

impl Deployments {
    /// Keeps the states of its migrations in `dir`, which is created when it is needed.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ready_when: ReadyWhen::default() }
    }

    /// Sets when clients may be led to a target.
    #[must_use]
    pub fn ready_when(mut self, ready_when: ReadyWhen) -> Self {
        self.ready_when = ready_when;
        self
    }

    /// What `task` is to do.
    fn job(&self, task: &Task) -> Result<Job> {
        let spec = &task.spec;
        let from: Endpoint = spec.from.parse().map_err(|error: Error| error.at("from"))?;
        let to: Endpoint = spec.to.parse().map_err(|error: Error| error.at("to"))?;
        let mut job = Job::new(from, to);
        let mut deadlines = Deadlines::default();
        let mut rules = Vec::new();
        for (name, value) in &spec.options {
            let nonsense = || Error::new(ErrorKind::Config, format!("'{value}' is nothing that it could be")).at(name);
            let seconds = || value.parse().map(Duration::from_secs).map_err(|_| nonsense());
            match (name.as_str(), value.as_str()) {
                ("mode", "live") | ("on-conflict", "fail") | ("on-lost", "stop") => {}
                ("mode", "full") => job.full = true,
                ("on-conflict", "replace") => job.on_conflict = OnConflict::Replace,
                ("on-conflict", "skip") => job.on_conflict = OnConflict::Skip,
                ("on-lost", "restart") => job.on_lost = OnLost::Restart,
                ("ready-timeout", _) => deadlines = deadlines.ready(seconds()?),
                ("reply-timeout", _) => deadlines = deadlines.reply(seconds()?),
                ("mode" | "on-conflict" | "on-lost", _) => return Err(nonsense()),
                ("verify", "no") => {}
                ("verify", "yes") => job.verify = true,
                ("drop", kinds) => {
                    kinds.split(',').try_for_each(|kind| job.drop_lost(kind)).map_err(|error| error.at(name))?;
                }
                ("verify", _) => return Err(nonsense()),
                _ => rules.push((name.as_str(), value.as_str())),
            }
        }
        job.select(&Selection::from_options(rules)?)?;
        job.deadlines = deadlines;
        job.task = Some(task.id.to_string());
        job.check()?;
        job.state = job.can_resume()?.then(|| self.dir.join(task.id.as_str()));
        Ok(job)
    }

    fn create_dir(&self) -> Result<()> {
        let failed = |error| Error::new(ErrorKind::Io, "cannot be created").with_source(error).at(self.dir.display());
        fs::create_dir_all(&self.dir).map_err(failed)
    }
}

impl Migrator for Deployments {
    async fn validate(&self, task: &Task) -> Result<Validation> {
        self.create_dir()?;
        let checked = async {
            let job = self.job(task)?;
            check(&job).await?;
            Ok(job)
        };
        let job = match checked.await {
            Ok(job) => job,
            Err(error) => return Ok(Validation::Refused(Failure::from(&error))),
        };
        let report = precheck::run(&job.plan()).await;
        if report.worst() == Verdict::Fail {
            return Ok(Validation::Refused(failed(&report)));
        }
        let mut warnings: Vec<String> = report.with(Verdict::Warn).map(ToString::to_string).collect();
        if job.state.is_none() {
            warnings.push(format!(
                "a migration from {} to {} cannot be gone on with after an interruption: it begins again, with an empty target",
                job.from, job.to
            ));
        }
        Ok(Validation::Passed(warnings))
    }

    async fn prepare(&self, task: &Task) -> Result<()> {
        let job = self.job(task)?;
        check(&job).await?;
        match &job.state {
            Some(dir) => State::open(dir, &job).map(drop),
            None => Ok(()),
        }
    }

    async fn run(&self, task: &Task, run: Run) -> Result<Ended> {
        let job = self.job(task)?;
        let mut follower = Follower { run: &run, ready_when: self.ready_when, running: None };
        migrate(&job, &mut follower, run.steering()).await.map_err(|stopped| stopped.error)
    }

    async fn release(&self, task: &Task) -> Result<()> {
        let dir = self.dir.join(task.id.as_str());
        // One that could never be used has left nothing.
        if let Ok(job) = self.job(task) {
            release(&job).await?;
        }
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::Io, "cannot be removed").with_source(error).at(dir.display()))
            }
            _ => Ok(()),
        }
    }
}

/// All checks that failed, as one failure.
fn failed(report: &Report) -> Failure {
    let failed: Vec<&Check> = report.with(Verdict::Fail).collect();
    let seen: Vec<String> = failed.iter().map(|check| format!("{}: {}", check.name, check.seen)).collect();
    let failure = Failure::new(ErrorKind::Config, seen.join("; "));
    let remedies: Vec<&str> = failed.iter().filter_map(|check| check.remedy.as_deref()).collect();
    if remedies.is_empty() { failure } else { failure.remedy(remedies.join("; ")) }
}

/// Tells the manager how far a migration is, and has it paused when that is wanted.
struct Follower<'a> {
    run: &'a Run,
    ready_when: ReadyWhen,
    running: Option<(Monitor, JoinSet<()>)>,
}

impl Observer for Follower<'_> {
    fn started(&mut self, started: &Started<'_>) {
        let monitor = Monitor::start(started.handle.clone(), started.snapshot_len, self.ready_when);
        // Before anything is taken, if that is wanted from the start on.
        if self.run.steering().is_paused() {
            started.handle.control().pause();
        }
        let mut pausing = JoinSet::new();
        pausing.spawn(pause(self.run.steering().clone(), started.handle.clone()));
        self.running = Some((monitor, pausing));
    }

    fn progress(&mut self, _: &fleet::Report) {
        if let Some((monitor, _)) = &self.running {
            let now = monitor.progress();
            if now != Progress::default() {
                self.run.report(now);
            }
        }
    }

    fn done(&mut self, report: fleet::Report) {
        if let Some((monitor, _)) = self.running.take() {
            self.run.report(monitor.last(&report));
        }
    }

    fn warn(&mut self, text: &str) {
        tracing::warn!("{text}");
    }

    fn say(&mut self, text: &str) {
        tracing::info!("{text}");
    }
}

async fn pause(steering: Steering, handle: Handle) {
    loop {
        steering.pause_asked(true).await;
        handle.control().pause();
        steering.pause_asked(false).await;
        handle.control().resume();
    }
}
