//! The task that owns the connection: what is sent, and when.

use std::time::Duration;

use rdts_core::checkpoint::CheckpointName;
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::failpoint;
use rdts_core::record::Position;
use rdts_core::source::Locator;
use rdts_core::translate::{Family, Target};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::{NodeOptions, Status};
use super::link::{Link, Owed};
use super::log::Log;
use super::recover::{self, may_pass};
use super::transaction::{Accepted, Transaction, append};
use crate::failure::Failure;

/// A connection on which nothing was said for so long is tried: the peer may be gone without a word, and `timeout` of a server cuts
/// clients that say nothing.
const PING_AFTER: Duration = Duration::from_secs(5);

/// What the sink tells its task.
#[derive(Debug)]
pub(super) enum Message {
    Batch(Accepted),
    /// A batch that a run before has applied; the target is here.
    Passed(Position),
    /// Nothing more will come.
    Close,
}

/// Sends transactions, reads what they are answered with, and moves the watermark.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) options: NodeOptions,
    pub(super) key: String,
    pub(super) locator: Locator,
    /// Whether a server that refuses to queue a command may still execute the rest of its transaction.
    careful: bool,
    queue: mpsc::UnboundedReceiver<Message>,
    /// What was taken from there, and has no transaction yet.
    waiting: Option<Accepted>,
    closing: bool,
    /// The checkpoint was looked at once more, on this connection, after everything else.
    pub(super) looked: bool,
    pub(super) link: Link,
    pub(super) log: Log,
    pub(super) status: watch::Sender<Status>,
    /// Since when nothing could be applied, and how long to wait before the next attempt.
    pub(super) trouble: Option<(Instant, Duration)>,
    /// What a command of a transaction that was executed was answered with.
    pub(super) failed: Option<String>,
    /// Where the target is now, as the locator says, asked from time to time.
    place: watch::Receiver<Option<NodeAddress>>,
    follower: JoinHandle<()>,
}

impl Committer {
    pub(super) async fn connect(
        locator: Locator,
        name: &CheckpointName,
        options: NodeOptions,
        queue: mpsc::UnboundedReceiver<Message>,
        status: watch::Sender<Status>,
    ) -> Result<(Self, Target, Option<Position>)> {
        let address = locator.locate().await?;
        let key = name.key();
        let (mut connection, target) = super::super::open(&address, options.deadlines).await?;
        let found = recover::look(&mut connection, &key).await?;
        if let Some(failed) = found.as_ref().and_then(|found| found.failed.as_ref()) {
            return Err(Error::new(ErrorKind::Rejected, super::log::failed_before(failed)).at(&key).at(&address));
        }
        let resumed = found.as_ref().and_then(|found| found.position);
        let (sender, place) = watch::channel(None);
        let follower = tokio::spawn(recover::follow(locator.clone(), sender));
        let committer = Self {
            link: Link::over(connection, options.deadlines.reply),
            log: Log::new(found, options.keep),
            // Before Redis 6.2 a replica refuses to queue a write, and then executes what it has queued before.
            careful: target.family() == Family::Redis && target.version() < (6, 2, 0),
            options,
            key,
            locator,
            queue,
            waiting: None,
            closing: false,
            looked: false,
            status,
            trouble: None,
            failed: None,
            place,
            follower,
        };
        Ok((committer, target, resumed))
    }

    /// Runs until the sink is closed or something fails.
    pub(super) async fn run(mut self) {
        let Err(error) = self.serve().await else { return };
        if let Some(failed) = self.failed.take() {
            self.mark(&failed).await;
        }
        let error = error.at(self.link.address());
        self.status.send_modify(|status| status.failed = Some(Failure::of(&error)));
    }

    async fn serve(&mut self) -> Result<()> {
        loop {
            match self.go_on().await {
                Ok(()) => return Ok(()),
                Err(error) if may_pass(&error) => self.recover(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn go_on(&mut self) -> Result<()> {
        loop {
            self.fill();
            match self.link.owed() {
                Some(owed) => self.take(owed).await?,
                None if self.is_done() && self.looked => return Ok(()),
                None if self.is_done() => {
                    self.looked = true;
                    self.link.say(&["GET", &self.key], Owed::Checkpoint);
                }
                None => self.more().await?,
            }
        }
    }

    fn is_done(&self) -> bool {
        self.closing && self.waiting.is_none() && self.log.is_all_applied()
    }

    /// Waits until something more has come or gone.
    pub(super) async fn more(&mut self) -> Result<()> {
        self.fill();
        let idle = self.link.owed().is_none();
        let ping = self.link.alive() + PING_AFTER;
        tokio::select! {
            biased;
            Ok(()) = self.place.changed() => {
                let place = self.place.borrow_and_update().clone();
                if place.is_some_and(|place| place != *self.link.address()) {
                    let text = format!("{} has another primary now", self.locator.name());
                    return Err(Error::new(ErrorKind::Disconnected, text));
                }
            }
            step = self.link.step() => step?,
            message = self.queue.recv(), if self.waiting.is_none() && !self.closing => {
                self.accept(message.unwrap_or(Message::Close));
            }
            () = tokio::time::sleep_until(ping), if idle => self.link.say(&["PING"], Owed::Success("PING")),
        }
        Ok(())
    }

    fn accept(&mut self, message: Message) {
        match message {
            Message::Batch(accepted) => self.waiting = Some(accepted),
            // Only before everything else.
            Message::Passed(at) => self.status.send_modify(|status| {
                status.watermark.batches += 1;
                status.watermark.position = Some(at);
            }),
            Message::Close => self.closing = true,
        }
    }

    /// Has everything sent that may be sent now.
    fn fill(&mut self) {
        loop {
            let index = self.log.applied() + usize::from(self.link.executing);
            self.group(index);
            if index >= self.log.len() {
                return;
            }
            self.put(index);
            // All of it has to be known to be right by the time of `EXEC`: that the transaction before did what was meant, that the
            // checkpoint is what it should be, that the databases are there.
            if self.link.executing || self.link.unverified > 0 {
                return;
            }
            self.seal(index);
            if self.careful && self.link.owed().is_some() {
                return;
            }
            failpoint::hit("sink.written");
            self.link.say(&["EXEC"], Owed::Executed);
            self.watch();
            (self.link.executing, self.link.begun, self.link.sealed) = (true, false, false);
        }
    }

    /// Puts what comes into transaction `index`, as long as that takes it.
    fn group(&mut self, index: usize) {
        loop {
            while self.waiting.is_none() && !self.closing {
                match self.queue.try_recv() {
                    Ok(message) => self.accept(message),
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => self.closing = true,
                }
            }
            let Some(accepted) = self.waiting.take() else { return };
            if self.log.len() == index {
                self.log.push(Transaction::default());
            }
            let window = self.options.window as usize;
            let known = !self.link.begun || accepted.dbs.is_subset(&self.link.dbs);
            let last = self.log.len() == index + 1;
            match self.log.get_mut(index) {
                Some(open) if last && known && open.takes(&accepted, window) => open.push(accepted),
                _ => {
                    self.waiting = Some(accepted);
                    return;
                }
            }
        }
    }

    /// Sends what was not sent yet of transaction `index`.
    fn put(&mut self, index: usize) {
        let Some(transaction) = self.log.get(index) else { return };
        let link = &mut self.link;
        if !link.begun {
            if !self.log.seen() {
                // Something to compare with, also if a promoted replica lacks all that follows.
                link.say(&["UNWATCH"], Owed::Success("UNWATCH"));
                link.say(
                    &["SET", &self.key, &self.log.checkpoint(0).to_string(), "NX"],
                    Owed::Success("SET of the checkpoint"),
                );
                link.say(&["WATCH", &self.key], Owed::Success("WATCH"));
                link.say(&["GET", &self.key], Owed::Checkpoint);
            }
            // A `SELECT` that failed inside would have what follows applied to another database.
            for db in transaction.dbs() {
                if link.dbs.insert(db) {
                    link.say(&["SELECT", &db.to_string()], Owed::Select(db));
                    link.say(&["SELECT", "0"], Owed::Select(0));
                }
            }
            link.say(&["MULTI"], Owed::Multi);
            (link.begun, link.put, link.db) = (true, 0, 0);
        }
        for batch in &transaction.batches()[link.put..] {
            let mut db = link.db;
            let count = append(batch, &mut db, link.output());
            link.owe(Owed::Queued(count));
            (link.db, link.put) = (db, link.put + 1);
        }
    }

    /// Ends transaction `index` with its checkpoint.
    fn seal(&mut self, index: usize) {
        if self.link.sealed {
            return;
        }
        let value = self.log.checkpoint(index + 1).to_string();
        let Some(transaction) = self.log.get_mut(index) else { return };
        transaction.closed = true;
        for command in transaction.tail(self.link.db, &self.key, &value) {
            self.link.say(&command, Owed::Queued(1));
        }
        self.link.sealed = true;
    }

    /// Has the checkpoint watched and read.
    fn watch(&mut self) {
        self.link.say(&["WATCH", &self.key], Owed::Success("WATCH"));
        self.link.say(&["GET", &self.key], Owed::Checkpoint);
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.follower.abort();
    }
}
