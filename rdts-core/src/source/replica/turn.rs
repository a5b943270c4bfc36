//! Full copies take turns: each has the source's host make and send a snapshot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::error::{Error, ErrorKind, Result};

/// For sources of one fleet: how many of a host may be copied at once.
#[derive(Debug)]
pub(crate) struct Turns {
    most: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Turns {
    /// At most so many of a host; 0: all at once.
    pub(crate) fn new(most: u32) -> Arc<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self { most, hosts: Mutex::default() })
    }

    fn of(&self, host: &str) -> Option<Arc<Semaphore>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = || Arc::new(Semaphore::new(self.most));
        (self.most > 0).then(|| hosts.entry(host.to_owned()).or_insert_with(permits).clone())
    }
}

/// The right to one full copy, which ends when the snapshot was received, or its source is dropped.
#[derive(Debug)]
pub(super) struct Permit(#[expect(dead_code, reason = "it counts as long as it is there")] OwnedSemaphorePermit);

/// One source's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    /// Whether it has had to wait for it.
    waits: watch::Sender<bool>,
}

impl Turn {
    /// Among others, with what is told when this has to wait.
    pub(crate) fn new(turns: Arc<Turns>) -> (Self, watch::Receiver<bool>) {
        let (waits, waiting) = watch::channel(false);
        (Self { turns, waits }, waiting)
    }

    /// Waits until one more full copy may be asked of `host`.
    pub(super) async fn take(&self, host: &str) -> Result<Option<Permit>> {
        let Some(permits) = self.turns.of(host) else { return Ok(None) };
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(Some(Permit(permit)));
        }
        self.waits.send_replace(true);
        tracing::info!(
            host,
            most = self.turns.most,
            "enough full copies of this host are under way: waiting for one to end"
        );
        let permit = permits.acquire_owned().await;
        let gone = |error| Error::new(ErrorKind::Interrupted, "nobody gives turns any more").with_source(error);
        permit.map(Permit).map(Some).map_err(gone)
    }
}
