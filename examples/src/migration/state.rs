//! The directory that makes a run resumable.
//!
//! ```text
//! DIR/task.json   what is moved from where to where, under which name; written once it is certain that the copy may begin
//! DIR/shard-N/    the spool of each shard of the source
//! DIR/ledger.json what became of every key and command, a line for each run that came to an end by itself
//! DIR/lock        held as long as a process works on it
//! ```
//!
//! How far the copy has come is not in here but in the target, in one atomic step with the data.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rdts_core::checkpoint::CheckpointName;
use rdts_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::job::Job;

/// An open state directory.
#[derive(Debug)]
pub(super) struct State {
    dir: PathBuf,
    task: String,
    /// What must not change between runs.
    what: Value,
    /// Which shard of the source had which slots, once that is known; only for sources that have slots.
    layout: Option<String>,
    begun: bool,
    _lock: File,
}

impl State {
    /// Opens `dir`, which is created if it is not there, for `job`.
    ///
    /// # Errors
    /// If it belongs to another job or another process is at work on it.
    pub(super) fn open(dir: &Path, job: &Job) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|error| failed("cannot be created", dir, error))?;
        let lock = lock(dir)?;
        let (from, to) = (job.from.to_string(), job.to.to_string());
        let task = job.task.clone().unwrap_or_else(|| name_of(&from, &to));
        CheckpointName::new(task.as_str(), 0).map_err(|error| error.at("--name"))?;
        let what = json!({
            "task": task, "from": from, "to": to,
            "mode": if job.full { "full" } else { "live" },
            "on_conflict": format!("{:?}", job.on_conflict).to_lowercase(),
            "rules": job.rules.as_ref().map(|rules| format!("{rules:?}")),
            "left_out": job.dropped(),
        });
        let mut state = Self { dir: dir.to_owned(), task, what, layout: None, begun: false, _lock: lock };
        if let Some(known) = state.read()? {
            if known["what"] != state.what {
                let text = format!("belongs to another run ({}), not to this one ({})", known["what"], state.what);
                return Err(Error::new(ErrorKind::Config, text).at(state.file().display()).at("--state"));
            }
            state.layout = known["layout"].as_str().map(str::to_owned);
            state.begun = true;
        }
        Ok(state)
    }

    /// Whether a run before has found that the copy may begin: a target that had to be empty was.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Where the source's slots were when the copy began.
    pub(super) fn layout(&self) -> Option<&str> {
        self.layout.as_deref()
    }

    /// The copy may begin.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.write()?;
        self.begun = true;
        Ok(())
    }

    /// The source is open, and its slots were where `layout` says when the copy began.
    pub(super) fn opened(&mut self, layout: Option<String>) -> Result<()> {
        if self.begun && (self.layout.is_some() || layout.is_none()) {
            return Ok(());
        }
        self.layout = layout;
        self.begin()
    }

    fn write(&self) -> Result<()> {
        let text = json!({ "what": self.what, "layout": self.layout }).to_string();
        let (path, new) = (self.file(), self.dir.join("task.json.new"));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| failed("cannot be written", &path, error))
    }

    /// Adds what became of all that a run has read to `ledger.json`, a line for each run.
    pub(super) fn keep_ledger(&self, account: &Value) -> Result<()> {
        let path = self.dir.join("ledger.json");
        let mut open = File::options();
        let file = open.create(true).append(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{account}"));
        written.map_err(|error| failed("cannot be written", &path, error))
    }

    /// What is known of the copy is forgotten: it begins again.
    pub(super) fn start_over(&mut self) -> Result<()> {
        // First what says that there is something to go on with.
        remove(&self.file(), |path| fs::remove_file(path))?;
        for entry in fs::read_dir(&self.dir).map_err(|error| failed("cannot be read", &self.dir, error))?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"shard-") {
                remove(&entry.path(), |path| fs::remove_dir_all(path))?;
            }
        }
        (self.begun, self.layout) = (false, None);
        Ok(())
    }

    /// How many shards there were: each has a spool. One at least, which may not have got as far.
    pub(super) fn shards(&self) -> Result<usize> {
        let failed = |error| failed("cannot be read", &self.dir, error);
        let mut shards = 1;
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("shard-")?.parse::<usize>().ok());
            shards = shards.max(number.map_or(0, |number| number + 1));
        }
        Ok(shards)
    }

    /// What the checkpoints are named after.
    pub(super) fn task(&self) -> &str {
        &self.task
    }

    /// Where the spool of a shard is.
    pub(super) fn spool(&self, shard: usize) -> PathBuf {
        self.dir.join(format!("shard-{shard}"))
    }

    fn file(&self) -> PathBuf {
        self.dir.join("task.json")
    }

    fn read(&self) -> Result<Option<Value>> {
        let path = self.file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("cannot be read", &path, error)),
        };
        let nonsense = |error: serde_json::Error| {
            let text = "is not what this program wrote; remove the directory to begin again";
            Error::new(ErrorKind::Config, text).with_source(error).at(path.display()).at("--state")
        };
        serde_json::from_str(&text).map(Some).map_err(nonsense)
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|error| failed("cannot be created", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(ErrorKind::Config, "another process is at work on it").at(dir.display()).at("--state"))
        }
        Err(TryLockError::Error(error)) => Err(failed("cannot be locked", &path, error)),
    }
}

/// A name that the same two places always get, whoever logs in there.
fn name_of(from: &str, to: &str) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Redis, format!("{from} {to}").as_bytes());
    format!("{crc:016x}")
}

fn remove(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    match how(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("cannot be removed", path, error)),
        _ => Ok(()),
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, what).with_source(error).at(path.display()).at("--state")
}
