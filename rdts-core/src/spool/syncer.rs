//! Makes what was written safe against a crash of the machine.

use std::fs::File;
use std::io;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::failed;
use super::format::FilePlace;
use super::writer::Writer;
use crate::error::{Error, ErrorKind, Result};

/// Syncs a spool's files now and then, beside the writing.
#[derive(Debug)]
pub(crate) struct Syncer {
    due: Instant,
    running: Option<JoinHandle<(io::Result<()>, FilePlace)>>,
}

impl Syncer {
    /// The first time is a period from now.
    pub(crate) fn new(writer: &Writer) -> Self {
        Self { due: Instant::now() + writer.options().sync_period, running: None }
    }

    /// When [`tick`](Self::tick) should be called.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// The next time is now.
    pub(crate) fn hurry(&mut self) {
        self.due = Instant::now();
    }

    /// Waits for the round that is under way.
    #[cfg(test)]
    pub(super) async fn settle(&mut self) {
        while self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            tokio::task::yield_now().await;
        }
    }

    /// Starts the next round if it is time and the last one has ended.
    ///
    /// # Errors
    /// The disk did not take what was written.
    pub(crate) async fn tick(&mut self, writer: &mut Writer) -> Result<()> {
        if Instant::now() < self.due {
            return Ok(());
        }
        self.due = Instant::now() + writer.options().sync_period;
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        if let Some(running) = self.running.take() {
            let (result, place) = running
                .await
                .map_err(|error| Error::new(ErrorKind::Spool, "syncing the spool ended").with_source(error))?;
            result.map_err(|error| failed("the spool cannot be synced to the disk", writer.directory(), error))?;
            writer.set_synced(place);
        }
        if let Some((files, place)) = writer.unsynced() {
            let directory = writer.directory().to_owned();
            self.running = Some(tokio::task::spawn_blocking(move || {
                let synced = files.iter().try_for_each(|file| file.sync_data());
                // The names of new files are in the directory; not every system lets it be synced.
                let _ = File::open(directory).and_then(|directory| directory.sync_all());
                (synced, place)
            }));
        }
        Ok(())
    }
}
