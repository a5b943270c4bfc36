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
//! assert_eq!(line, "{\"db\":0,\"key\":\"k\",\"type\":\"string\",\"encoding\":\"string\",\"expire_at_ms\":null,\"offset\":18,\"value\":\"v\"}\n");
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
use rdts_core::record::Batch;
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::translate::Target;

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
    format: Option<Box<dyn Format>>,
    watermark: Watermark,
    /// Whether something was written since the last `fsync`.
    dirty: bool,
    failed: Option<(ErrorKind, String)>,
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
        let format = blocking(create).await?.map_err(|error| error.at(path.display()))?;
        Ok(Self { path, target, format: Some(format), watermark: Watermark::default(), dirty: false, failed: None })
    }

    /// Runs `work` on the file, outside of the runtime's threads.
    async fn with_file<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Format) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some((kind, text)) = &self.failed {
            return Err(Error::new(*kind, text.clone()));
        }
        let Some(mut format) = self.format.take() else {
            let text = "a write was given up half way";
            return Err(Error::new(ErrorKind::Interrupted, text).at(self.path.display()));
        };
        let run = move || {
            let result = work(&mut *format);
            (format, result)
        };
        let (format, result) = blocking(run).await?;
        self.format = Some(format);
        result.map_err(|error| {
            let error = error.at(self.path.display());
            self.failed = Some((error.kind(), error.to_string()));
            error
        })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(ErrorKind::Interrupted, "writing was broken off").with_source(error))
}

impl Sink for FileSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.target)
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        let position = *batch.position();
        let counts = self.with_file(move |format| format.write(&batch)).await?;
        self.dirty |= counts.commands > 0;
        self.watermark.batches += 1;
        self.watermark.position = Some(position);
        self.watermark.counts += counts;
        Ok(())
    }

    fn acked(&self) -> Watermark {
        self.watermark
    }

    async fn flush(&mut self) -> Result<()> {
        if !self.dirty && self.failed.is_none() {
            return Ok(());
        }
        self.with_file(|format| format.sync()).await?;
        self.dirty = false;
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        // An error of before is told once more, and leaves no file that looks whole.
        self.with_file(|_| Ok(())).await?;
        let Some(format) = self.format.take() else { return Ok(()) };
        blocking(|| format.finish()).await?.map_err(|error| error.at(self.path.display()))
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
