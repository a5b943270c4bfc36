//! An RDB as a source: a file, or anything else that can be read.

use std::fmt;
use std::path::Path;

use bytes::{Buf, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::snapshot::{Snapshot, Step};
use super::{BATCH, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
use crate::record::{Batch, BatchBuilder, Position, ReplicationId};
use crate::translate::{SnapshotTranslator, Target, TranslateOptions};

/// The keys of an RDB.
///
/// The checksum is verified, and packed values are walked through before they are passed on: a file may come from anywhere.
pub struct RdbSource<R = File> {
    name: String,
    reader: R,
    length: Option<u64>,
    /// What positions name: a file that is another one has another.
    identity: ReplicationId,
    buffer: BytesMut,
    eof: bool,
    snapshot: Snapshot,
    builder: BatchBuilder,
    over: bool,
}

/// One read of the file.
const BLOCK: usize = 256 << 10;

impl RdbSource {
    /// Opens a file and looks at its first bytes.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if it cannot be read, [`Snapshot`](ErrorKind::Snapshot) if it is no RDB.
    pub async fn open(path: impl AsRef<Path>, target: Target, options: TranslateOptions) -> Result<Self> {
        Self::resume(path, target, options, None).await
    }

    /// The same, but what a run before has brought into the target, as its checkpoint says, is not given out again.
    ///
    /// Positions of a file carry its length and a checksum of its first 64 KiB in the place of a replication id.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`HistoryLost`](ErrorKind::HistoryLost) if that position is not one of this file.
    pub async fn resume(
        path: impl AsRef<Path>,
        target: Target,
        options: TranslateOptions,
        resumed: Option<Position>,
    ) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let cannot = |error| Error::new(ErrorKind::Io, "cannot be read").with_source(error).at(&name);
        let file = File::open(&path).await.map_err(cannot)?;
        let metadata = file.metadata().await.map_err(cannot)?;
        if metadata.is_dir() {
            return Err(Error::new(ErrorKind::Io, "is a directory, not an RDB file").at(name));
        }
        let mut source = Self::read_from(name, file, target, options).await?;
        if metadata.is_file() {
            source.length = Some(metadata.len());
            source.identify(metadata.len()).await?;
        }
        match resumed {
            None => {}
            Some(Position::Snapshot { replid, rdb_bytes, .. }) if replid == source.identity && !replid.is_none() => {
                source.snapshot = source.snapshot.skip_to(rdb_bytes);
            }
            Some(position) => {
                let text = format!("the target holds a part of something else, up to '{position}'");
                return Err(Error::new(ErrorKind::HistoryLost, text).at(&source.name));
            }
        }
        Ok(source)
    }

    /// Makes the identity of a file of `length` bytes.
    async fn identify(&mut self, length: u64) -> Result<()> {
        while self.buffer.len() < IDENTITY && !self.eof {
            self.fill(BLOCK).await?;
        }
        let first = &self.buffer[..self.buffer.len().min(IDENTITY)];
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, first);
        self.identity = format!("rdb-----{length:016x}{checksum:016x}").parse()?;
        Ok(())
    }

    /// The length of the file in bytes, if it is a regular one.
    pub fn snapshot_len(&self) -> Option<u64> {
        self.length
    }
}

impl<R: AsyncRead + Send + Unpin + 'static> RdbSource<R> {
    /// Reads an RDB from `reader`, and looks at its first bytes at once. `name` is what errors call it.
    ///
    /// # Errors
    /// As [`open`](RdbSource::open).
    pub async fn read_from(
        name: impl Into<String>,
        reader: R,
        target: Target,
        options: TranslateOptions,
    ) -> Result<Self> {
        let mut source = Self {
            name: name.into(),
            reader,
            length: None,
            identity: ReplicationId::NONE,
            buffer: BytesMut::new(),
            eof: false,
            snapshot: Snapshot::new(SnapshotTranslator::new(target, options), true),
            builder: BatchBuilder::new(BATCH + BATCH / 4),
            over: false,
        };
        while source.buffer.len() < MAGIC && !source.eof {
            source.fill(BLOCK).await?;
        }
        if !(source.buffer.starts_with(b"REDIS") || source.buffer.starts_with(b"VALKEY")) {
            let text = "this is no RDB: one starts with REDIS or VALKEY and a version";
            return Err(Error::new(ErrorKind::Snapshot, text).at(source.name));
        }
        Ok(source)
    }

    async fn fill(&mut self, least: usize) -> Result<()> {
        self.buffer.reserve(least.max(BLOCK));
        let read = self.reader.read_buf(&mut self.buffer).await;
        let count =
            read.map_err(|error| Error::new(ErrorKind::Io, "cannot be read").with_source(error).at(&self.name))?;
        self.eof = count == 0;
        Ok(())
    }
}

/// So many bytes at the beginning of a file tell it from others: in them are the time at which it was made, and keys.
const IDENTITY: usize = 64 << 10;

/// The first bytes of every RDB since the first version.
const MAGIC: usize = 9;

impl<R: AsyncRead + Send + Unpin + 'static> Source for RdbSource<R> {
    async fn next(&mut self) -> Result<Option<Batch>> {
        while !self.over {
            let advanced = self.snapshot.advance(&self.buffer, self.eof, &mut self.builder);
            let (used, step) = advanced.map_err(|error| error.at(&self.name))?;
            self.buffer.advance(used);
            match step {
                Step::NeedMoreData(least) => {
                    self.fill(least).await?;
                    continue;
                }
                Step::BatchFull => {}
                Step::End => self.over = true,
            }
            let position = Position::snapshot(self.identity, 0, self.snapshot.offset());
            return Ok(Some(self.builder.take(position)));
        }
        Ok(None)
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }

    fn intake(&self) -> Intake {
        self.snapshot.intake()
    }
}

impl<R> fmt::Debug for RdbSource<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RdbSource").field("name", &self.name).field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
