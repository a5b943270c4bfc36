//! One lane: everything that goes to one place of the cluster, in order.

mod alone;
mod recover;
mod redirect;
mod reply;

pub(super) use self::recover::redirection;
pub(super) use self::reply::is_about_the_node;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::failpoint;
use rdts_core::ledger::Counts;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::reply::Stop;
use super::claims::Vouched;
use super::link::Link;
use super::place::{Reached, Slots};
use super::progress::out_of_patience;
use super::routes::Shared;
use super::unit::{How, Step, Unit};

/// What a lane is told.
#[derive(Debug)]
pub(super) enum Message {
    Unit(Unit),
    /// All lanes have come as far as this: have the checkpoint say so, and speak for these slots. Whoever waits is told when it does.
    Forward(Reached, Option<Slots>, Option<oneshot::Sender<()>>),
    /// Have the checkpoint be there: a command that another lane has executed at the same node may have removed it.
    Restore(oneshot::Sender<()>),
    /// Apply everything, remove the checkpoint unless it is to last, and end.
    Close,
}

/// What the checkpoint says at some point of a lane's history.
#[derive(Debug, Clone, Default)]
pub(super) struct After {
    pub(super) reached: Reached,
    pub(super) vouched: Arc<Vouched>,
}

/// With what a lane begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    pub(super) after: After,
    /// The checkpoint is written.
    pub(super) written: bool,
}

/// How often a node that owes something is looked at from elsewhere: it may have been replaced.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// A unit, and where it stands in the lane's history.
#[derive(Debug)]
struct Entry {
    unit: Unit,
    /// How many commands come before it, which is what the checkpoint holds then.
    from: u64,
    /// It has been told that it is applied.
    told: bool,
    /// It went alone and may have been executed.
    tried: bool,
    /// What the checkpoint says behind it.
    after: After,
    /// Who waits for it.
    waits: Option<oneshot::Sender<()>>,
}

impl Entry {
    fn new(unit: Unit, from: u64, after: After) -> Self {
        Self { unit, from, told: false, tried: false, after, waits: None }
    }

    /// Also what only writes the checkpoint counts, so that the count tells what is written.
    fn to(&self) -> u64 {
        self.from + self.unit.len().max(1) as u64
    }
}

/// Sends units to the node where its checkpoint is, one after the other without waiting for the replies, and knows at any time which
/// of them are applied.
///
/// A unit is executed only if the checkpoint says that everything before it is, and moves the checkpoint in the same atomic
/// step. So once one has stopped in the middle, all behind it refuse themselves, and after a broken connection the
/// checkpoint tells where to go on. The checkpoint is a key like any other: it moves with its slot and is replicated with the
/// data, so that a promoted replica which lacks writes lacks the checkpoint's last steps, too.
pub(super) struct Lane {
    shared: Arc<Shared>,
    index: usize,
    queue: mpsc::UnboundedReceiver<Message>,
    /// The slot of the checkpoint.
    slot: u16,
    link: Option<Link>,
    sha: String,
    /// First what is applied and kept in case a promoted replica lacks it, then what is not.
    log: VecDeque<Entry>,
    applied: usize,
    /// Of what is not applied, how many are on their way.
    sent: usize,
    in_flight: usize,
    /// Bytes that may be on their way: less after something stopped, since it was sent in vain.
    window: usize,
    kept_bytes: usize,
    /// How many replies are still to come of what was sent behind a unit that stopped.
    draining: Option<(usize, Stop)>,
    /// What the second checkpoint holds: keys that were left alone.
    kept: u64,
    /// Markers at nodes that take slots over, and what they hold.
    markers: BTreeMap<u16, String>,
    /// How many commands went to such nodes.
    asked: u64,
    /// Where an empty log begins.
    start: u64,
    /// What the checkpoint says in front of the log.
    base: After,
    /// The checkpoint was written by this run, so it must be there.
    written: bool,
    closing: bool,
    /// Who waits for the checkpoint to be there.
    restore: Option<oneshot::Sender<()>>,
    /// Since when nothing could be applied, how long to wait before the next attempt, and why.
    trouble: Option<(Instant, Duration)>,
}

impl Lane {
    pub(super) fn new(
        shared: Arc<Shared>,
        index: usize,
        slot: u16,
        start: Start,
        queue: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let window = shared.options.window as usize;
        Self {
            shared,
            index,
            queue,
            slot,
            link: None,
            sha: String::new(),
            log: VecDeque::new(),
            applied: 0,
            sent: 0,
            in_flight: 0,
            window,
            kept_bytes: 0,
            draining: None,
            kept: 0,
            markers: BTreeMap::new(),
            asked: 0,
            start: 0,
            base: start.after,
            written: start.written,
            closing: false,
            restore: None,
            trouble: None,
        }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.serve().await {
            let batch = self.log.range(self.applied..).find(|entry| entry.unit.len() > 0).map(|entry| entry.unit.batch);
            self.shared.progress.fail(&error, batch);
        }
    }

    async fn serve(&mut self) -> Result<()> {
        self.recover(None).await?;
        loop {
            while let Ok(message) = self.queue.try_recv() {
                self.accept(message);
            }
            if self.log.len() == self.applied {
                if self.restore.is_some() {
                    if let Err(error) = self.put_back().await {
                        self.recover(Some(error)).await?;
                    }
                } else if self.closing {
                    match self.leave().await {
                        Ok(true) => return Ok(()),
                        Ok(false) => {}
                        Err(error) => self.recover(Some(error)).await?,
                    }
                } else if !self.wait().await? {
                    return Ok(());
                }
                continue;
            }
            let result = match self.log[self.applied].unit.how {
                How::Alone if self.sent == 0 => self.alone().await,
                _ => self.exchange().await,
            };
            match result {
                Ok(None) => {}
                Ok(Some(stop)) => self.resolve(stop).await?,
                Err(error) if may_pass(&error) => self.recover(Some(error)).await?,
                Err(error) => return Err(error),
            }
        }
    }

    fn accept(&mut self, message: Message) {
        match message {
            Message::Unit(unit) => {
                let from = self.end();
                let mut after = self.last().clone();
                // What comes late does not move the lane.
                if !unit.late {
                    after.reached = after.reached.or_later(Reached { place: unit.place(), position: unit.position });
                }
                self.log.push_back(Entry::new(unit, from, after));
            }
            Message::Forward(reached, slots, waits) => {
                let from = self.end();
                let mut after = self.last().clone();
                after.reached = after.reached.or_later(reached);
                if let Some(slots) = slots {
                    let groups = after.vouched.ahead_of(after.reached.place, &slots);
                    after.vouched = Arc::new(Vouched { own: slots, groups });
                }
                self.log.push_back(Entry { waits, ..Entry::new(Unit::empty(), from, after) });
            }
            Message::Restore(waits) => self.restore = Some(waits),
            Message::Close => self.closing = true,
        }
    }

    /// What the checkpoint says behind everything that the log has.
    fn last(&self) -> &After {
        self.log.back().map_or(&self.base, |entry| &entry.after)
    }

    /// What it says now, as far as is known.
    fn now(&self) -> &After {
        self.behind(self.applied)
    }

    /// What it says behind the first `count` entries.
    fn behind(&self, count: usize) -> &After {
        count.checked_sub(1).and_then(|last| self.log.get(last)).map_or(&self.base, |entry| &entry.after)
    }

    /// The value of the checkpoint, whole.
    fn value(&self, count: u64, after: &After) -> String {
        self.shared.keys.value(count, &after.reached, Some(&after.vouched))
    }

    /// What the call of an entry needs: the first words of the value before it, and the value after it.
    fn words(&self, index: usize) -> (String, String) {
        let keys = &self.shared.keys;
        let entry = &self.log[index];
        let vouched = &entry.after.vouched;
        let changed = !Arc::ptr_eq(vouched, &self.behind(index).vouched);
        (keys.word(entry.from), keys.value(entry.to(), &entry.after.reached, changed.then_some(vouched)))
    }

    /// How many commands the log ends with.
    fn end(&self) -> u64 {
        self.log.back().map_or(self.start, Entry::to)
    }

    /// Waits for something to do; `false` if nothing will ever come.
    async fn wait(&mut self) -> Result<bool> {
        let Some(link) = &mut self.link else {
            self.recover(None).await?;
            return Ok(true);
        };
        // Nothing is owed, so silence is no sign.
        link.awake();
        tokio::select! {
            biased;
            message = self.queue.recv() => {
                let Some(message) = message else { return Ok(false) };
                self.accept(message);
            }
            step = link.step() => match step {
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                // What was acknowledged may be lost with the node, so somebody has to look even if there is nothing to do.
                Err(error) => self.recover(Some(error)).await?,
                Ok(()) => {
                    let text = "the node said something although nothing was asked";
                    let error = Error::new(ErrorKind::Disconnected, text);
                    self.recover(Some(error)).await?;
                }
            }
        }
        Ok(true)
    }

    /// Sends what the window has room for.
    fn fill(&mut self) {
        if self.draining.is_some() || self.link.is_none() {
            return;
        }
        let key = self.checkpoint();
        while let Some(entry) = self.log.get(self.applied + self.sent) {
            let size = entry.unit.bytes();
            if entry.unit.how == How::Alone || (self.sent > 0 && self.in_flight + size > self.window) {
                break;
            }
            let (gate, value) = self.words(self.applied + self.sent);
            let step = Step { key: &key, gate: &gate, value: &value, places: self.shared.keys.persistent() };
            let (Some(link), Some(entry)) = (&mut self.link, self.log.get(self.applied + self.sent)) else { break };
            if self.sent == 0 {
                link.awake();
            }
            entry.unit.append_call(link.output(), [b"EVALSHA", self.sha.as_bytes()], &step);
            self.sent += 1;
            self.in_flight += size;
            failpoint::hit("sink.written");
        }
    }

    /// Sends, and takes what comes. Something is returned when a unit has stopped and nothing more is on its way.
    async fn exchange(&mut self) -> Result<Option<Stop>> {
        self.fill();
        let Some(link) = &mut self.link else { return Err(disconnected()) };
        let more = self.draining.is_none() && self.in_flight < self.window;
        tokio::select! {
            biased;
            step = link.step() => {
                step?;
                failpoint::hit("sink.committed");
            }
            message = self.queue.recv(), if more && !self.closing => {
                self.accept(message.unwrap_or(Message::Close));
                return Ok(None);
            }
            () = tokio::time::sleep(LOOK_AFTER) => {
                if link.silent() >= LOOK_AFTER && self.shared.refresh().await.is_ok() && self.replaced() {
                    return Err(disconnected());
                }
                return Ok(None);
            }
        }
        loop {
            let Some(link) = &mut self.link else { return Err(disconnected()) };
            if self.sent == 0 && self.draining.is_none() {
                return Ok(None);
            }
            let Some(reply) = link.reply()? else { return Ok(None) };
            if let Some((left, _)) = &mut self.draining {
                if !reply::refused(&reply) {
                    let text = "a unit was executed although one before it was not";
                    return Err(Error::new(ErrorKind::Protocol, text).at(link.address()));
                }
                *left -= 1;
            } else if let Some(stop) = self.reply(&reply)? {
                // What stopped is not applied, and what is behind it refuses itself.
                let behind = self.sent - 1;
                self.draining = Some((behind, stop));
            }
            if let Some((0, _)) = &self.draining {
                self.sent = 0;
                self.in_flight = 0;
                self.window = 1;
                return Ok(self.draining.take().map(|(_, stop)| stop));
            }
        }
    }

    /// Whether the cluster says that another node has the checkpoint now.
    fn replaced(&self) -> bool {
        let primary = self.shared.primary_of(self.slot);
        self.link.as_ref().is_none_or(|link| *link.address() != primary)
    }

    /// The first unit that is not applied is applied now, but for what `counts` does not have.
    fn advance(&mut self, counts: Counts) {
        let entry = &mut self.log[self.applied];
        if !entry.told {
            entry.told = true;
            if entry.unit.len() > 0 {
                self.shared.progress.done(entry.unit.batch, entry.unit.weight(), counts);
            }
        }
        if let Some(waits) = entry.waits.take() {
            // Who does not wait any more need not be told.
            let _ = waits.send(());
        }
        self.kept_bytes += entry.unit.bytes();
        self.applied += 1;
        self.trouble = None;
        self.window = (self.window * 2).min(self.shared.options.window as usize);
        while self.applied > 0 && self.kept_bytes > self.shared.options.keep {
            let Some(entry) = self.log.front() else { break };
            // The last one stays: it says where the next begins.
            if self.log.len() == 1 {
                break;
            }
            self.kept_bytes -= entry.unit.bytes();
            if let Some(entry) = self.log.pop_front() {
                self.base = entry.after;
            }
            self.applied -= 1;
        }
    }

    /// Waits a while, longer each time.
    ///
    /// # Errors
    /// `error`, with its story, once patience is at its end.
    async fn pause(&mut self, error: Error) -> Result<()> {
        let patience = self.shared.options.patience;
        let (since, pause) = self.trouble.get_or_insert((Instant::now(), Duration::from_millis(2)));
        if since.elapsed() > patience {
            return Err(out_of_patience(patience, &error));
        }
        tracing::debug!(lane = self.index, %error, "waiting for the cluster");
        let now = *pause;
        *pause = (now * 2).min(Duration::from_secs(1));
        tokio::time::sleep(now).await;
        Ok(())
    }
}

fn disconnected() -> Error {
    Error::new(ErrorKind::Disconnected, "the node was replaced by another one, or the connection broke")
}

/// Whether an error is about a node and not about data.
pub(super) fn may_pass(error: &Error) -> bool {
    use ErrorKind::{Connect, Disconnected, NotReady, Timeout};
    matches!(error.kind(), Connect | Disconnected | NotReady | Timeout)
}
