//! Files as targets: RDB, RESP, JSON lines.
//!
//! | extension | content | takes |
//! |---|---|---|
//! | `.rdb` | an RDB file, which servers load and every tool for such files reads | a snapshot and nothing else |
//! | `.resp`, `.aof` | the commands as RESP, with `SELECT` and `MULTI`/`EXEC`: `redis-cli --pipe` sends them, and a server loads them as an AOF | everything |
//! | `.json`, `.jsonl`, `.ndjson` | one JSON object a line, for keys and for commands | everything |
//!
//! A file is written under its name with `.partial` behind it, and gets its name when the sink is [closed](rdts_core::Sink::close), after
//! everything has reached the disk: what has its name is whole. When a run fails the sink is dropped: a part of an RDB is removed, since
//! it is of no use, parts of the others stay under their `.partial` names and are good up to the watermark.
//!
//! The watermark says what the operating system has been given; [`flush`](rdts_core::Sink::flush) has it written to the disk as well. An
//! RDB is only of use once it is closed: its watermark says what has been accepted.
//!
//! ```
//! use rdts_core::source::RdbSource;
//! use rdts_core::translate::TranslateOptions;
//! use rdts_core::{Pipeline, Sink};
//! use rdts_sink::file::{self, FileOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> rdts_core::Result<()> {
//! # let folder = std::env::temp_dir().join(format!("rdts-doc-file-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).expect("can be made");
//! let rdb: &[u8] = b"REDIS0003\xfe\x00\x00\x01k\x01v\xff";
//! let path = folder.join("keys.jsonl");
//! let sink = file::open(&path, FileOptions::default()).await?;
//! let target = sink.capabilities().target;
//! let source = RdbSource::read_from("example", rdb, target, TranslateOptions::default()).await?;
//! Pipeline::new(source, sink).run().await.result?;
//! let line = std::fs::read_to_string(&path).expect("is there");
//! assert_eq!(line, "{\"db\":0,\"key\":\"k\",\"type\":\"string\",\"encoding\":\"string\",\"expire_at_ms\":null,\"offset\":16,\"value\":\"v\"}\n");
//! # let _ = std::fs::remove_dir_all(&folder);
//! # Ok(())
//! # }
//! ```

mod entries;
mod json;
mod json_lines;
mod output;
mod rdb;
mod resp;
mod spool;

use std::fmt;
use std::path::{Path, PathBuf};

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::record::{Batch, Position};
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::translate::Target;
use tokio::task::{JoinError, JoinHandle};

pub use json::JsonEntries;

/// What a file is to contain.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// An RDB.
    Rdb,
    /// Commands as RESP.
    Resp,
    /// One JSON object a line.
    JsonLines,
}

impl FileFormat {
    /// The format that the extension of a path stands for, in upper or lower case.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for any other extension, or none.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("rdb") => Ok(Self::Rdb),
            Some("resp" | "aof") => Ok(Self::Resp),
            Some("json" | "jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => {
                let text = "what to write is told by the extension: .rdb; .resp or .aof (commands); .json, .jsonl or .ndjson (JSON lines)";
                Err(Error::new(ErrorKind::Config, text).at(path.display()))
            }
        }
    }

    /// Whether such a file can take the writes that follow a snapshot.
    pub fn takes_writes(self) -> bool {
        self != Self::Rdb
    }
}

/// How a [`FileSink`] writes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// The server that is to load the file: an RDB gets the newest version that it reads, RESP the commands that it knows. JSON does not
    /// depend on it. Default: Redis 7.2, whose RDB version 11 every later Redis and every Valkey reads.
    pub target: Target,
    /// Whether a file that is there may be replaced. Default: no.
    pub overwrite: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { target: Target::redis(7, 2, 0), overwrite: false }
    }
}

impl FileOptions {
    /// Sets [`target`](Self::target).
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Sets [`overwrite`](Self::overwrite).
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }
}

/// Creates the file at `path`, in the format of its extension.
///
/// # Errors
/// As [`FileFormat::of`] and [`FileSink::create`].
pub async fn open(path: impl AsRef<Path>, options: FileOptions) -> Result<FileSink> {
    let format = FileFormat::of(&path)?;
    FileSink::create(path, format, options).await
}

/// Writes batches to a file: see the [module](self).
///
/// All that touches the file runs outside of the asynchronous runtime's own threads. Memory is bounded: one batch, and of a value that comes in
/// pieces up to 16 MiB; the rest of such a value waits in a file `….value`, since an RDB tells a value's length in front of it.
pub struct FileSink {
    path: PathBuf,
    target: Target,
    work: Work,
    watermark: Watermark,
    /// Whether something was written since the last `fsync`.
    dirty: bool,
    failed: Option<(ErrorKind, String)>,
}

/// Who has the file.
enum Work {
    Idle(Box<dyn Format>),
    /// It is being written. Whoever waits for that may give up waiting; the next one goes on.
    Busy(JoinHandle<(Box<dyn Format>, Result<Done>)>),
    Gone,
}

/// What has been done to the file.
enum Done {
    Written(Position, Counts),
    Synchronised,
}

/// One kind of file; all of this blocks.
trait Format: Send {
    /// Writes a batch, down to the operating system where that makes sense.
    fn write(&mut self, batch: &Batch) -> Result<Counts>;
    /// Has everything written to the disk where that makes sense.
    fn sync(&mut self) -> Result<()>;
    /// Ends the file and gives it its name.
    fn finish(self: Box<Self>) -> Result<()>;
}

impl FileSink {
    /// Creates the file at `path`.
    ///
    /// # Errors
    /// [`TargetNotEmpty`](ErrorKind::TargetNotEmpty) if it is there and must not be replaced, [`Io`](ErrorKind::Io) if it cannot be made.
    pub async fn create(path: impl AsRef<Path>, format: FileFormat, options: FileOptions) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let target = match format {
            FileFormat::Rdb => rdb::translate_for(options.target),
            FileFormat::Resp => options.target,
            FileFormat::JsonLines => json_lines::TARGET,
        };
        let to = path.clone();
        let create = move || -> Result<Box<dyn Format>> {
            Ok(match format {
                FileFormat::Rdb => Box::new(rdb::RdbFile::create(&to, options)?),
                FileFormat::Resp => Box::new(resp::RespFile::create(&to, options)?),
                FileFormat::JsonLines => Box::new(json_lines::JsonFile::create(&to, options)?),
            })
        };
        let format = tokio::task::spawn_blocking(create).await.map_err(broken_off)?;
        let work = Work::Idle(format.map_err(|error| error.at(path.display()))?);
        Ok(Self { path, target, work, watermark: Watermark::default(), dirty: false, failed: None })
    }

    /// Runs `work` on the file, outside of the runtime's threads.
    async fn run(&mut self, work: impl FnOnce(&mut dyn Format) -> Result<Done> + Send + 'static) -> Result<()> {
        self.settle().await?;
        match std::mem::replace(&mut self.work, Work::Gone) {
            Work::Idle(mut format) => {
                self.work = Work::Busy(tokio::task::spawn_blocking(move || {
                    let done = work(&mut *format);
                    (format, done)
                }));
            }
            other => self.work = other,
        }
        self.settle().await
    }

    /// Waits for what is under way.
    async fn settle(&mut self) -> Result<()> {
        if let Work::Busy(running) = &mut self.work {
            let ended = running.await;
            let (work, done) = match ended {
                Ok((format, done)) => (Work::Idle(format), done),
                Err(error) => (Work::Gone, Err(broken_off(error))),
            };
            self.work = work;
            match done {
                Ok(Done::Synchronised) => self.dirty = false,
                Ok(Done::Written(position, counts)) => {
                    self.dirty |= counts.commands > 0;
                    self.watermark.batches += 1;
                    self.watermark.position = Some(position);
                    self.watermark.counts += counts;
                }
                Err(error) => {
                    let error = error.at(self.path.display());
                    self.failed = Some((error.kind(), error.to_string()));
                }
            }
        }
        match &self.failed {
            Some((kind, text)) => Err(Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }
}

fn broken_off(error: JoinError) -> Error {
    Error::new(ErrorKind::Interrupted, "writing was broken off").with_source(error)
}

impl Sink for FileSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.target)
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.run(move |format| Ok(Done::Written(*batch.position(), format.write(&batch)?))).await
    }

    fn acked(&self) -> Watermark {
        self.watermark
    }

    async fn flush(&mut self) -> Result<()> {
        self.settle().await?;
        if self.dirty {
            self.run(|format| format.sync().map(|()| Done::Synchronised)).await?;
        }
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        // An error of before is told once more, and leaves no file that looks whole.
        self.settle().await?;
        let Work::Idle(format) = self.work else { return Ok(()) };
        let finished = tokio::task::spawn_blocking(|| format.finish()).await.map_err(broken_off)?;
        finished.map_err(|error| error.at(self.path.display()))
    }
}

impl fmt::Debug for FileSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSink").field("path", &self.path).field("acked", &self.watermark).finish_non_exhaustive()
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot be written").with_source(error)
}
