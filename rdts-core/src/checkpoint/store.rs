//! Positions kept beside a target that cannot keep them itself.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::CheckpointName;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Batch, Position};
use crate::sink::{Capabilities, Sink, Watermark};

/// A place where positions are kept.
pub trait CheckpointStore: Send + Sync + 'static {
    /// The position that was saved last under this name; `None` if there is none.
    ///
    /// # Errors
    /// If the place cannot be read, or holds something else.
    fn load(&self, name: &CheckpointName) -> impl Future<Output = Result<Option<Position>>> + Send;

    /// Saves a position, so that it survives a crash of the process and of the machine.
    ///
    /// # Errors
    /// If the place cannot be written to. What was saved before is still there then.
    fn save(&self, name: &CheckpointName, position: &Position) -> impl Future<Output = Result<()>> + Send;

    /// Forgets what was saved under this name, if anything.
    ///
    /// # Errors
    /// If the place cannot be written to.
    fn remove(&self, name: &CheckpointName) -> impl Future<Output = Result<()>> + Send;
}

/// Positions as files in a directory: `TASK.SHARD.position`, which holds the [`Position`]'s text and a line end.
#[derive(Debug, Clone)]
pub struct FileStore {
    dir: PathBuf,
}

impl FileStore {
    /// In `dir`, which has to be there.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    fn path(&self, name: &CheckpointName) -> PathBuf {
        self.dir.join(format!("{}.{}.position", name.task(), name.shard()))
    }
}

impl CheckpointStore for FileStore {
    async fn load(&self, name: &CheckpointName) -> Result<Option<Position>> {
        let path = self.path(name);
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => text.trim_end().parse().map(Some).map_err(|error: Error| error.at(path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }

    async fn save(&self, name: &CheckpointName, position: &Position) -> Result<()> {
        let path = self.path(name);
        let new = path.with_extension("position.new");
        let write = async {
            let mut file = tokio::fs::File::create(&new).await?;
            file.write_all(format!("{position}\n").as_bytes()).await?;
            file.sync_all().await?;
            // Never half a position under the name.
            tokio::fs::rename(&new, &path).await
        };
        write.await.map_err(|error| failed(&path, error))
    }

    async fn remove(&self, name: &CheckpointName) -> Result<()> {
        let path = self.path(name);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, error)),
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "the position cannot be kept").with_source(error).at(path.display())
}

/// How much may be applied a second time after a crash, in time.
const PERIOD: Duration = Duration::from_secs(1);

/// A sink whose target has no transactions (a proxy, for example), with its position in a [`CheckpointStore`].
///
/// The position is saved *after* what it stands for is applied, about once a second. So after a crash nothing is missing, but what was
/// applied since the last time is applied **again**: twice for `INCR`, `APPEND`, `LPUSH` and the like, and in the snapshot the keys are in
/// the way unless the conflict policy is to replace them. Where that matters, use a sink that keeps its checkpoint in the target, or begin
/// again with an empty one.
#[derive(Debug)]
pub struct AtLeastOnce<K, C> {
    sink: K,
    store: C,
    name: CheckpointName,
    resumed: Option<Position>,
    saved: Option<Position>,
    saved_at: Instant,
}

impl<K: Sink, C: CheckpointStore> AtLeastOnce<K, C> {
    /// Wraps `sink`, and reads what a run before has saved.
    ///
    /// # Errors
    /// As [`CheckpointStore::load`].
    pub async fn open(sink: K, store: C, name: CheckpointName) -> Result<Self> {
        let resumed = store.load(&name).await?;
        Ok(Self { sink, store, name, resumed, saved: resumed, saved_at: Instant::now() })
    }

    async fn save(&mut self) -> Result<()> {
        let position = self.sink.acked().position;
        if let Some(position) = position.filter(|_| position != self.saved) {
            self.store.save(&self.name, &position).await?;
            self.saved = Some(position);
        }
        self.saved_at = Instant::now();
        Ok(())
    }
}

impl<K: Sink, C: CheckpointStore> Sink for AtLeastOnce<K, C> {
    fn capabilities(&self) -> Capabilities {
        self.sink.capabilities()
    }

    fn resumed(&self) -> Option<Position> {
        self.resumed
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.sink.write(batch).await?;
        if self.saved_at.elapsed() >= PERIOD {
            self.save().await?;
        }
        Ok(())
    }

    fn acked(&self) -> Watermark {
        self.sink.acked()
    }

    async fn flush(&mut self) -> Result<()> {
        self.sink.flush().await?;
        self.save().await
    }

    async fn close(mut self) -> Result<()> {
        self.flush().await?;
        self.sink.close().await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::ReplicationId;
    use crate::translate::Target;

    /// Applies what it is given at once, or never.
    struct Here {
        watermark: Watermark,
        applies: bool,
    }

    impl Sink for Here {
        fn capabilities(&self) -> Capabilities {
            Capabilities::new(Target::redis(7, 0, 0))
        }
        async fn write(&mut self, batch: Batch) -> Result<()> {
            if self.applies {
                self.watermark.position = Some(*batch.position());
            }
            Ok(())
        }
        fn acked(&self) -> Watermark {
            self.watermark
        }
        async fn flush(&mut self) -> Result<()> {
            Ok(())
        }
        async fn close(self) -> Result<()> {
            Ok(())
        }
    }

    fn batch(offset: u64) -> Batch {
        crate::record::BatchBuilder::new(1).take(Position::stream(ReplicationId::NONE, offset, 3))
    }

    #[tokio::test]
    async fn only_what_is_applied_is_saved_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let (store, name) = (FileStore::new(dir.path()), CheckpointName::new("t", 1).unwrap());
        let open = async |applies| {
            let sink = Here { watermark: Watermark::default(), applies };
            AtLeastOnce::open(sink, store.clone(), name.clone()).await.unwrap()
        };
        let mut sink = open(true).await;
        assert_eq!(sink.resumed(), None);
        sink.write(batch(7)).await.unwrap();
        sink.flush().await.unwrap();
        let mut sink = open(false).await;
        assert_eq!(sink.resumed(), Some(*batch(7).position()));
        sink.write(batch(9)).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(open(true).await.resumed(), Some(*batch(7).position()));
        store.remove(&name).await.unwrap();
        store.remove(&name).await.unwrap();
        assert_eq!(open(true).await.resumed(), None);
    }

    #[tokio::test]
    async fn a_file_that_holds_something_else_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, name) = (FileStore::new(dir.path()), CheckpointName::new("t", 1).unwrap());
        std::fs::write(dir.path().join("t.1.position"), "stream 12").unwrap();
        let error = store.load(&name).await.unwrap_err();
        assert!(error.to_string().contains("t.1.position"), "{error}");
        let gone = FileStore::new(dir.path().join("nowhere"));
        assert_eq!(gone.save(&name, batch(1).position()).await.unwrap_err().kind(), ErrorKind::Io);
    }
}
