//! What is asked for.

use std::path::PathBuf;
use std::sync::Arc;

use rdts_core::filter::Rules;
use rdts_core::net::Deadlines;
use rdts_core::precheck::Plan;
use rdts_core::translate::{LossKind, Losses, OnConflict, OnLoss, TranslateOptions};
use rdts_core::{Endpoint, Error, ErrorKind, Result};
use rdts_sink::FileFormat;

use crate::selection::Selection;

/// A migration between two places of the user's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Job {
    /// Where the data is.
    pub from: Endpoint,
    /// Where it goes.
    pub to: Endpoint,
    /// End with the snapshot.
    pub full: bool,
    /// End when caught up.
    pub until_caught_up: bool,
    /// What to do with keys that the target has.
    pub on_conflict: OnConflict,
    /// How long servers are waited for.
    pub deadlines: Deadlines,
    /// Where the state of a resumable run is kept.
    pub state: Option<PathBuf>,
    /// The name of the task.
    pub task: Option<String>,
    /// What to do when a source cannot go on where the run before ended.
    pub on_lost: OnLost,
    /// What is wanted of the source, and under which name: [`select`](Self::select).
    pub rules: Option<Arc<Rules>>,
    /// What becomes of what the target cannot hold.
    pub losses: Losses,
    /// Compare both sides before the end.
    pub verify: bool,
}

/// What to do when a source cannot go on where the run before ended.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// Say why.
    #[default]
    Stop,
    /// Empty the target, which had to be empty when the task began, and copy again.
    Restart,
}

impl Job {
    /// All that `from` has and every write that follows, to `to`, until somebody says that it is enough; a file is read to its end.
    pub fn new(from: Endpoint, to: Endpoint) -> Self {
        Self {
            full: matches!(from, Endpoint::File(_)),
            from,
            to,
            until_caught_up: false,
            on_conflict: OnConflict::Fail,
            deadlines: Deadlines::default(),
            state: None,
            task: None,
            on_lost: OnLost::Stop,
            rules: None,
            losses: Losses::default(),
            verify: false,
        }
    }

    /// Takes what `selection` says. To be called when everything else is set.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for what contradicts itself or the URLs.
    pub fn select(&mut self, selection: &Selection) -> Result<()> {
        // What is there then is the task's own: commands that empty a database may go there.
        let owns_target = self.on_conflict == OnConflict::Fail;
        self.rules = selection.rules(self.source_db(), self.named_target_db(), owns_target)?;
        Ok(())
    }

    /// Leaves what is called `kind` out where the target cannot hold it.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if nothing is called so.
    pub fn drop_lost(&mut self, kind: &str) -> Result<()> {
        let Some(found) = LossKind::from_name(kind) else {
            let names: Vec<&str> = LossKind::ALL.into_iter().map(LossKind::name).collect();
            let text =
                format!("'{}' is nothing that can be left out; that is {}", kind.escape_debug(), names.join(", "));
            return Err(Error::new(ErrorKind::Config, text));
        };
        self.losses = self.losses.clone().on(found, OnLoss::Drop);
        Ok(())
    }

    /// What may be left out where the target cannot hold it.
    pub fn dropped(&self) -> Vec<&'static str> {
        let dropped = LossKind::ALL.into_iter().filter(|kind| self.losses.policy(*kind) == OnLoss::Drop);
        dropped.map(LossKind::name).collect()
    }

    /// What is to be looked at before it begins.
    pub fn plan(&self) -> Plan {
        Plan::new(self.from.clone(), self.to.clone())
            .rules(self.rules())
            .losses(self.losses.clone())
            .on_conflict(self.on_conflict)
            .deadlines(self.deadlines)
            .checkpoints(self.state.is_some())
            .scan(self.state.is_none())
    }

    /// Refuses what no migration can be, before anybody is asked anything.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) and [`Unsupported`](ErrorKind::Unsupported), with the option of `migrate` that is to blame.
    pub fn check(&self) -> Result<()> {
        let config = |text: &str| Err(Error::new(ErrorKind::Config, text));
        match &self.from {
            Endpoint::Memory => return config("--from: memory: can only be a target"),
            Endpoint::Proxy { .. } => {
                return config(
                    "--from: a proxy can only be a target: name the servers behind it (redis://a,b,…), or the dashboard of a Codis",
                );
            }
            _ => {}
        }
        if let Endpoint::File(path) = &self.to {
            let format = FileFormat::of(path).map_err(|error| error.at("--to"))?;
            if !format.takes_writes() && !self.full {
                return config("--to: an RDB file holds a snapshot and no writes that follow it: add --mode full");
            }
        }
        if self.verify {
            for (option, endpoint) in [("--from", &self.from), ("--to", &self.to)] {
                if matches!(endpoint, Endpoint::File(_) | Endpoint::Memory | Endpoint::Proxy { .. }) {
                    let text = format!("--verify compares servers, and {endpoint} is none that can be read key by key");
                    return Err(Error::new(ErrorKind::Unsupported, text).at(option));
                }
            }
        }
        if self.state.is_some() {
            self.check_resumable()?;
        }
        if self.source_db().is_none() && named_db(&self.to).is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "--to: putting all databases into one is not supported yet; name the source's database as well, as in redis://host/0",
            ));
        }
        Ok(())
    }

    /// Whether it could be gone on with after an interruption, if it had a state.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if it asks for two things that exclude each other then.
    pub fn can_resume(&self) -> Result<bool> {
        match self.check_resumable() {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
            checked => checked.map(|()| true),
        }
    }

    /// Refuses what cannot be resumed.
    fn check_resumable(&self) -> Result<()> {
        let unsupported = |text: String| Err(Error::new(ErrorKind::Unsupported, text).at("--state"));
        match &self.from {
            Endpoint::Node { .. } | Endpoint::Sentinel { .. } | Endpoint::Shards(_) | Endpoint::Cluster { .. } => {}
            other => return unsupported(format!("a copy from {other} cannot be resumed yet")),
        }
        match &self.to {
            Endpoint::Node { .. } | Endpoint::Sentinel { .. } | Endpoint::Cluster { .. } => {}
            other => {
                return unsupported(format!("{other} keeps no checkpoint, and a copy to it cannot be resumed yet"));
            }
        }
        if self.on_lost == OnLost::Restart && self.on_conflict != OnConflict::Fail {
            let text = "--on-lost restart empties the target, and needs --on-conflict fail: only then all that is there is the task's";
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(())
    }

    /// The one database that is read; `None` means all of them.
    pub(super) fn source_db(&self) -> Option<u32> {
        named_db(&self.from)
    }

    /// The one database that is written to; `None` means all of them.
    pub(super) fn target_db(&self) -> Option<u32> {
        match &self.rules {
            Some(rules) => rules.db(self.source_db()?),
            None => self.named_target_db(),
        }
    }

    /// The same as far as the URLs say it.
    fn named_target_db(&self) -> Option<u32> {
        let from = self.source_db()?;
        Some(match (&self.to, named_db(&self.to)) {
            (_, Some(db)) => db,
            // They have no other.
            (Endpoint::Cluster { .. } | Endpoint::Proxy { .. }, None) => 0,
            (_, None) => from,
        })
    }

    /// How what is read is translated for a target that takes commands with any keys, or only with those of one slot.
    pub(super) fn translation(&self, multi_key: bool) -> TranslateOptions {
        let mut options = TranslateOptions::default().on_conflict(self.on_conflict).group_strings(multi_key);
        (options.losses, options.rules) = (self.losses.clone(), self.rules());
        options
    }

    /// What is wanted of the source: what was selected, or what the URLs say.
    pub(super) fn rules(&self) -> Option<Arc<Rules>> {
        let named = || Some(Arc::new(Rules::one_db(self.source_db()?, self.target_db()?)));
        self.rules.clone().or_else(named)
    }
}

/// The database that a URL names.
fn named_db(endpoint: &Endpoint) -> Option<u32> {
    match endpoint {
        Endpoint::Node { db, .. } | Endpoint::Sentinel { db, .. } => *db,
        _ => None,
    }
}
