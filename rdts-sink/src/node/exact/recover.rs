//! Finding the target again, and where to go on there.

use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::net::{Connection, Deadlines, shortened};
use rdts_core::record::Batch;
use rdts_core::source::Locator;
use rdts_resp::Reply;
use tokio::sync::watch;
use tokio::time::Instant;

use super::checkpoint::Checkpoint;
use super::commit::Committer;
use super::judged::refused;
use super::link::Link;
use super::log::Found;

/// One attempt may take so long: the server may have died again, and another be primary by then.
const ATTEMPT: Duration = Duration::from_secs(15);
/// A server that says that it is not ready is asked for so long in one attempt. It may be the wrong one.
const READY: Duration = Duration::from_secs(1);
/// The pause before the second attempt; it doubles with each.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often the locator is asked although all is well: a former primary may not know for ten seconds that it is none.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Watches and reads the checkpoint over a new connection, to a server that has to be a primary.
pub(super) async fn look(connection: &mut Connection, key: &str) -> Result<Option<Checkpoint>> {
    let address = connection.address().clone();
    let role = connection.call(["ROLE"]).await?;
    // Older servers (before 2.8.12) do not know it, and a user may lack it: the first write tells then.
    if role.as_array().and_then(|items| items.first()).and_then(Reply::as_bytes).is_some_and(|role| role != b"master") {
        return Err(Error::new(ErrorKind::NotReady, "is a replica").at(&address));
    }
    let watched = connection.call(["WATCH", key]).await?;
    if let Some(error) = watched.as_error() {
        return Err(refused("WATCH", error).at(&address));
    }
    let found = connection.call(["GET", key]).await?;
    if let Some(error) = found.as_error() {
        return Err(refused(&format!("GET of the checkpoint {key}"), error).at(&address));
    }
    let text = found.as_bytes().map(String::from_utf8_lossy);
    text.map(|text| text.parse().map_err(|error: Error| error.at(key).at(&address))).transpose()
}

/// Says where the target is, as often as that changes.
pub(super) async fn follow(locator: Locator, place: watch::Sender<Option<NodeAddress>>) {
    while !place.is_closed() {
        tokio::time::sleep(LOOK_AFTER).await;
        if let Ok(address) = locator.locate().await {
            place.send_if_modified(|place| place.replace(address.clone()) != Some(address));
        }
    }
}

impl Committer {
    /// Connects to where the target is now, however often it takes, and goes on where its checkpoint says.
    pub(super) async fn recover(&mut self, why: Error) -> Result<()> {
        tracing::warn!(target = self.locator.name(), error = %why, "connecting to the target again");
        self.link.shut().await;
        let mut error = why;
        loop {
            self.pause(error).await?;
            let found = match tokio::time::timeout(ATTEMPT, self.attempt()).await {
                Ok(Ok((connection, found))) => (connection, found),
                Ok(Err(failed)) if may_pass(&failed) => {
                    error = failed;
                    continue;
                }
                Ok(Err(failed)) => return Err(failed),
                Err(_) => {
                    let text = format!("no answer of {} within {ATTEMPT:?}", self.locator.name());
                    error = Error::new(ErrorKind::Timeout, text);
                    continue;
                }
            };
            let (connection, found) = found;
            self.link = Link::over(connection, self.options.deadlines.reply);
            self.looked = false;
            self.resume(self.log.compare(found.as_ref())?);
            if self.log.is_all_applied() {
                self.trouble = None;
            }
            return Ok(());
        }
    }

    async fn attempt(&self) -> Result<(Connection, Option<Checkpoint>)> {
        let address = self.locator.locate().await?;
        let mut connection = Connection::open(&address, quick(self.options.deadlines)).await?;
        let found = look(&mut connection, &self.key).await?;
        Ok((connection, found))
    }

    /// Arranges the log by what the checkpoint says.
    fn resume(&mut self, found: Found) {
        let Found::Applied(applied) = found else { return };
        self.log.see();
        if applied < self.log.applied() {
            let again = self.log.applied() - applied;
            tracing::warn!(transactions = again, "the target has lost what it had acknowledged: it is sent again");
            self.log.go_back(applied);
        }
        // Advancing may shift the numbers of what is left.
        for _ in self.log.applied()..applied {
            let index = self.log.applied();
            let batches = self.log.get(index).map(|transaction| transaction.batches().to_vec()).unwrap_or_default();
            tracing::warn!(batches = batches.len(), "applied, but the replies were lost: all is counted as successful");
            for (number, batch) in batches.iter().enumerate() {
                self.tell(index, number, batch, as_if_successful(batch));
            }
            self.log.advance();
            self.trouble = None;
        }
    }

    /// Waits a while, longer each time; not at all after the first error.
    ///
    /// # Errors
    /// `error`, with its story, once patience is at its end.
    async fn pause(&mut self, error: Error) -> Result<()> {
        let patience = self.options.patience;
        if patience.is_zero() {
            return Err(error);
        }
        let Some((since, pause)) = &mut self.trouble else {
            self.trouble = Some((Instant::now(), PAUSE));
            return Ok(());
        };
        if since.elapsed() >= patience {
            let text = format!("the target has not taken writes again within {patience:?}; last: {error}");
            return Err(Error::new(error.kind(), text));
        }
        tracing::debug!(%error, "waiting for the target");
        let now = shortened(*pause);
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        tokio::time::sleep(now).await;
        Ok(())
    }

    /// Writes into the checkpoint that a command of the last transaction failed.
    pub(super) async fn mark(&mut self, failed: &str) {
        self.link.shut().await;
        self.trouble = None;
        loop {
            let marked = tokio::time::timeout(ATTEMPT, self.try_mark(failed)).await;
            let error = match marked {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(_) => Error::new(ErrorKind::Timeout, format!("no answer within {ATTEMPT:?}")),
            };
            let may_pass = may_pass(&error);
            let text = error.to_string();
            if !may_pass || self.pause(error).await.is_err() {
                tracing::error!(
                    error = text,
                    key = self.key,
                    "the checkpoint could not be marked as failed: do not resume"
                );
                return;
            }
        }
    }

    async fn try_mark(&self, failed: &str) -> Result<()> {
        let (mut connection, found) = self.attempt().await?;
        let executed = self.log.applied() + 1;
        // A promoted replica may lack it, and may then be resumed.
        if self.log.compare(found.as_ref())? != Found::Applied(executed) {
            return Ok(());
        }
        let value = Checkpoint { failed: Some(failed.to_owned()), ..self.log.checkpoint(executed) }.to_string();
        connection.call(["MULTI"]).await?;
        connection.call(["SET", &self.key, &value]).await?;
        let reply = connection.call(["EXEC"]).await?;
        match reply.as_array() {
            Some([reply]) if reply.is_ok() => Ok(()),
            _ => Err(refused("EXEC", reply.as_error().unwrap_or(b"nothing"))),
        }
    }
}

/// Deadlines for one of several attempts.
fn quick(deadlines: Deadlines) -> Deadlines {
    deadlines.ready(deadlines.ready.min(READY))
}

/// Whether an error is about the server and not about data.
pub(super) fn may_pass(error: &Error) -> bool {
    use ErrorKind::{Connect, Disconnected, NotReady, Timeout};
    matches!(error.kind(), Connect | Disconnected | NotReady | Timeout)
}

/// What a batch counts for if nobody knows what it was answered with.
fn as_if_successful(batch: &Batch) -> Counts {
    let mut counts = Counts::default();
    for command in batch.commands() {
        counts.commands += 1;
        counts.bytes += command.raw().len() as u64;
        counts.keys += u64::from(command.mark().keys);
    }
    counts
}
