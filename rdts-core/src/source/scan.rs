//! A server that may not be replicated, copied by reading its keys.

mod notifications;
mod table;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::Source;
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Rules;
use crate::ledger::Intake;
use crate::net::Deadlines;
use crate::record::{Batch, Position};
use crate::translate::{OnConflict, Target, TranslateOptions};

/// How a [`ScanSource`] learns what has changed since it read a key.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScanChanges {
    /// By notifications if `CONFIG GET notify-keyspace-events` says that the server tells of every change, otherwise by further passes.
    #[default]
    Auto,
    /// By notifications. Where `CONFIG GET` is forbidden the caller answers for it that they are on.
    Notifications,
    /// By reading everything again and again.
    Passes,
    /// Not at all: one pass, and the source is over.
    None,
}

/// How a [`ScanSource`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    /// How long to wait for what. A connection that breaks is made anew for [`Deadlines::ready`].
    pub deadlines: Deadlines,
    /// The translation. [`OnConflict::Skip`] needs [`ScanChanges::None`]: a key that is read again could not be told from one of the target's own.
    pub translate: TranslateOptions,
    /// How changes are found. Default: [`ScanChanges::Auto`].
    pub changes: ScanChanges,
    /// Whether `CONFIG SET notify-keyspace-events` may switch notifications on, beside those that are on; they stay on afterwards. Default: no.
    pub set_notifications: bool,
    /// Keys of one `SCAN`, whose values are asked for together. Default: 200.
    pub window: u32,
    /// Bytes of values that are asked for at a time, by `MEMORY USAGE` (Redis 4.0 and later, where the user may); one value goes however big it
    /// is. Default: 16 MiB.
    pub window_bytes: u64,
    /// A value that is bigger, by `MEMORY USAGE`, is refused with [`ErrorKind::Limit`], before the server would have to make the payload in its
    /// memory, while nobody else is served. Default: 512 MiB, the longest reply that is taken anyway.
    pub largest_value: u64,
    /// Keys a second, so that the server has time for others. Default: 0, no limit.
    pub keys_per_second: u32,
    /// Pause between two passes. Default: 5 s.
    pub pause: Duration,
    /// Bytes of names of keys that wait to be read after a notification; if more have changed, a pass finds them. Default: 64 MiB.
    pub pending: usize,
    /// Where the table of what was copied is kept: 100 to 200 bytes on disk for each key, and its name. Default: the system's folder for temporary
    /// files.
    pub folder: PathBuf,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            translate: TranslateOptions::default(),
            changes: ScanChanges::Auto,
            set_notifications: false,
            window: 200,
            window_bytes: 16 << 20,
            largest_value: 512 << 20,
            keys_per_second: 0,
            pause: Duration::from_secs(5),
            pending: 64 << 20,
            folder: std::env::temp_dir(),
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl ScanOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )*
        }
    };
}

setters! {
    deadlines: Deadlines,
    translate: TranslateOptions,
    changes: ScanChanges,
    set_notifications: bool,
    window: u32,
    window_bytes: u64,
    largest_value: u64,
    keys_per_second: u32,
    pause: Duration,
    pending: usize,
    folder: PathBuf,
}

/// A full copy by `SCAN`, `DUMP` and `PTTL`, and then what changes, for a server that does not let us replicate: a user without `PSYNC`,
/// a managed service.
///
/// [`ReplicaSource::open`](super::ReplicaSource::open) fails with [`ErrorKind::ReplicationForbidden`] there, before anything is written: a program
/// matches on that and opens this source instead. Replication is better in every respect; use it where it can be had.
///
/// # How
/// Rounds. The first reads every key of every database. Those that follow bring what has changed since: keys that the server tells of, or all
/// of them anew. A table on disk knows of every key what was copied, so that only what differs is sent, and what has vanished is deleted.
/// It needs `SCAN`, `DUMP`, `PTTL`, `INFO`, `SELECT` for other databases than 0; uses `PEXPIRETIME`, `MEMORY USAGE`, `FUNCTION LIST`,
/// `CONFIG GET` and `PSUBSCRIBE` where it may.
///
/// # What it cannot guarantee
/// - No moment: each key is copied as it is when it is read. The target holds a mixture of times until writing stops.
/// - No order between keys, and no transactions: what was written together does not arrive together.
/// - What a key was between two readings is never seen; a key that is created and deleted in between is not seen at all.
/// - Value and expiry are read one after the other; a change between the two is put right when the key is read again. Expiry is exact to the ms
///   with `PEXPIRETIME` (Redis 7.0), otherwise it is off by the way of the reply, and a change of less than a second goes unnoticed.
/// - Servers do not notify of everything: not of `FLUSHALL`, `FLUSHDB`, `SWAPDB`, `XACK` and other changes of a stream's groups. Those are found by
///   a pass alone: end with [`ScanHandle::full_pass`]. Notifications that were lost, since there were too many or the connection broke, are
///   made up for by a pass.
/// - Functions are copied once, cached scripts and messages not at all. How long ago or how often a key was used is not known.
/// - Every key is read, and so counts as used for the server's eviction policy; `DUMP` of a big value keeps the server from anything else.
///
/// Once writing has stopped and a pass that began after that is applied, the target equals the source.
///
/// # Positions
/// There are no replication offsets. In the first round: [`Position::Snapshot`], whose `rdb_bytes` count bytes of payloads. After it:
/// [`Position::Stream`] without a replication id, whose `offset` counts the rounds that are complete. [`ScanHandle::catch_up`] tells the
/// number of a round that will have everything that was written before the call: give it to
/// [`stop_at`](crate::pipeline::Handle::stop_at). A run cannot be resumed; a new one begins with a full copy.
pub struct ScanSource {
    batches: mpsc::Receiver<Result<Batch>>,
    handle: ScanHandle,
    notified: bool,
    _task: JoinSet<()>,
}

/// Steers a [`ScanSource`] from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ScanHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The number of the latest round that has begun.
    begun: AtomicU64,
    /// The next round is to read everything.
    full: AtomicBool,
    wake: Notify,
    intake: Mutex<Intake>,
}

impl ScanHandle {
    /// Begins another round now, and tells its number: what was written before the call, and what the server tells of, will be in the
    /// target when the position's offset has come to that.
    pub fn catch_up(&self) -> u64 {
        let round = self.0.begun.load(Ordering::SeqCst) + 1;
        self.0.wake.notify_one();
        round
    }

    /// As [`catch_up`](Self::catch_up), but the round reads all keys, whatever the server tells: nothing that was written before the call is
    /// missing then.
    pub fn full_pass(&self) -> u64 {
        self.0.full.store(true, Ordering::SeqCst);
        self.catch_up()
    }
}

impl ScanSource {
    /// Connects and starts reading, translating for `target`.
    ///
    /// # Errors
    /// What [`Connection::open`](crate::net::Connection::open) says; [`Auth`](ErrorKind::Auth) if the user may not do what is needed;
    /// [`Unsupported`](ErrorKind::Unsupported) if notifications are asked for and are not on, or rules choose by type while changes are followed; [`Config`](ErrorKind::Config) for options that
    /// contradict each other; [`Io`](ErrorKind::Io) if there is no place for the table.
    pub async fn open(address: &NodeAddress, target: Target, options: ScanOptions) -> Result<Self> {
        if options.translate.on_conflict == OnConflict::Skip && options.changes != ScanChanges::None {
            let text = "leaving keys of the target alone needs a copy without changes: a key that is read again could not be told from one of the target's own";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let rules = options.translate.rules.as_deref();
        if rules.is_some_and(Rules::chooses_types) && options.changes != ScanChanges::None {
            let text = "rules about types need a copy without changes, or a replication link: of a key whose type has changed to one that is not \
                        wanted, nothing would be heard here";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let handle = ScanHandle(Arc::default());
        let (sender, batches) = mpsc::channel(2);
        let worker = worker::Worker::open(address, target, options, handle.clone(), sender).await?;
        let notified = worker.is_notified();
        let mut task = JoinSet::new();
        task.spawn(worker.run());
        Ok(Self { batches, handle, notified, _task: task })
    }

    /// A handle to steer it.
    pub fn handle(&self) -> ScanHandle {
        self.handle.clone()
    }

    /// Whether the server tells of changes; otherwise all keys are read again and again.
    pub fn is_notified(&self) -> bool {
        self.notified
    }
}

impl Source for ScanSource {
    async fn next(&mut self) -> Result<Option<Batch>> {
        self.batches.recv().await.transpose()
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }

    fn intake(&self) -> Intake {
        *self.handle.0.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ScanSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanSource")
            .field("notified", &self.notified)
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
