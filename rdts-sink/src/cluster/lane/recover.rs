//! Finding the node of a lane, and where to go on there.

use std::time::Duration;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_resp::Reply;

use super::super::link::Link;
use super::reply::classify;
use super::{Lane, may_pass};

impl Lane {
    /// Connects to where the checkpoint is, however often it takes, and goes on where that says. What was under way is known then.
    pub(super) async fn recover(&mut self, why: Option<Error>) -> Result<()> {
        if let Some(error) = &why {
            tracing::warn!(lane = self.index, %error, "looking for the node of a lane again");
        }
        self.link = None;
        (self.sent, self.in_flight, self.draining, self.window) = (0, 0, None, 1);
        loop {
            let error = match self.attach().await {
                Ok(at) => match self.resume(at).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if !may_pass(&error) {
                return Err(error);
            }
            self.link = None;
            // It fails as long as nodes disagree.
            let _ = self.shared.refresh().await;
            self.pause(error).await?;
        }
    }

    /// Connects, and reads the checkpoint.
    async fn attach(&mut self) -> Result<Option<u64>> {
        let address = self.shared.primary_of(self.slot);
        // A node that is not ready is asked again from here, where others may take its place meanwhile.
        let deadlines = self.shared.options.topology.deadlines.ready(Duration::from_secs(1));
        self.link = Some(Link::open(&address, deadlines).await?);
        self.load_script().await?;
        let key = self.checkpoint();
        let reply = self.call(&[b"GET", &key]).await?;
        if let Some(place) = redirection(&reply, "MOVED") {
            self.shared.refresh_from(&address).await?;
            return Err(Error::new(ErrorKind::NotReady, format!("its checkpoint is at {place} now")).at(&address));
        }
        if let Some(place) = redirection(&reply, "ASK") {
            return self.follow_checkpoint(&place).await;
        }
        let at = self.count(&reply)?.map_err(|()| self.refusal("GET of its checkpoint", &reply))?;
        let kept = self.call(&[b"GET", &[&key[..], b":kept"].concat()]).await?;
        let kept = number(&kept).ok().flatten().unwrap_or(0);
        self.take_kept(kept);
        Ok(at)
    }

    /// How many keys were left alone in units whose replies were lost.
    fn take_kept(&mut self, kept: u64) {
        let lost = kept.saturating_sub(self.kept);
        if let Some(entry) = self.log.get(self.applied).filter(|entry| !entry.told && lost > 0) {
            let counts = rdts_core::ledger::Counts::default();
            let mut counts = counts;
            counts.kept = lost;
            self.shared.progress.count(entry.unit.batch, counts);
        }
        self.kept = kept;
    }

    pub(super) async fn load_script(&mut self) -> Result<()> {
        let script = self.shared.script.clone();
        let reply = self.call(&[b"SCRIPT", b"LOAD", script.as_bytes()]).await?;
        match reply.as_str() {
            Some(sha) if !reply.is_error() => {
                sha.clone_into(&mut self.sha);
                Ok(())
            }
            _ => Err(self.refusal("SCRIPT LOAD", &reply)),
        }
    }

    /// The checkpoint has been moved to the node that takes its slot over, which is not the owner yet: this lane gets a new one.
    async fn follow_checkpoint(&mut self, place: &str) -> Result<Option<u64>> {
        let Some(link) = &self.link else { return Err(super::disconnected()) };
        let Some(address) = self.shared.routes().topology.redirected(place, link.address()) else {
            return Err(Error::new(ErrorKind::NotReady, format!("its checkpoint is at {place}")).at(link.address()));
        };
        let mut link = Link::open(&address, self.shared.options.topology.deadlines).await?;
        link.call(&[b"ASKING"]).await?;
        let reply = link.call(&[b"GET", &self.checkpoint()]).await?;
        let on_its_way = |()| Error::new(ErrorKind::NotReady, "its checkpoint is on its way").at(&address);
        let at = self.count(&reply)?.map_err(on_its_way)?;
        if let Some(at) = at {
            self.move_checkpoint(at).await?;
        }
        Ok(at)
    }

    /// How many commands the value of the checkpoint counts, if it is there.
    ///
    /// # Errors
    /// If another run has taken the checkpoint over.
    fn count(&self, reply: &Reply) -> Result<std::result::Result<Option<u64>, ()>> {
        if reply.is_null() {
            return Ok(Ok(None));
        }
        let Some(text) = reply.as_str().filter(|_| !reply.is_error()) else { return Ok(Err(())) };
        let word = text.split(' ').next().unwrap_or_default();
        let run = if self.shared.keys.persistent() { self.shared.keys.run() } else { "" };
        match word.strip_prefix(run).map(|count| count.trim_start_matches(':').parse()) {
            Some(Ok(count)) => Ok(Ok(Some(count))),
            _ if self.shared.keys.persistent() => {
                let text = "another run of the same task writes here now: this one must not go on";
                Err(Error::new(ErrorKind::Rejected, text))
            }
            _ => Ok(Err(())),
        }
    }

    /// Puts the checkpoint, which is known to be `at`, into another slot of the same node.
    pub(super) async fn move_checkpoint(&mut self, at: u64) -> Result<()> {
        const TRIES: usize = 8;
        let candidates: Vec<u16> = {
            let routes = self.shared.routes();
            let shard = &routes.topology.shards()[routes.topology.shard_of(self.slot)];
            // From all over the node, and not those next to the one that is moving.
            let slots: Vec<u16> = shard.slots.iter().cloned().flatten().filter(|slot| *slot != self.slot).collect();
            slots.iter().rev().step_by((slots.len() / TRIES).max(1)).copied().collect()
        };
        let before = self.log.iter().take_while(|entry| entry.to() <= at).count();
        let value = self.value(at, self.behind(before));
        for slot in candidates {
            // Taken before it is written, so that no other lane takes it as well.
            let old = self.slot;
            let taken = {
                let mut routes = self.shared.routes();
                let taken = routes.has_checkpoint(slot);
                if !taken {
                    routes.checkpoint_moved(self.index, slot);
                }
                taken
            };
            if taken {
                continue;
            }
            let key = self.shared.keys.checkpoint(slot, self.index);
            let reply = self.call(&[b"SET", &key, value.as_bytes()]).await;
            if !matches!(&reply, Ok(reply) if reply.is_ok()) {
                self.shared.routes().checkpoint_moved(self.index, old);
                reply?;
                continue;
            }
            self.slot = slot;
            if self.shared.keys.persistent() {
                // Another lane may want that place for its own.
                let key = self.shared.keys.checkpoint(old, self.index);
                super::super::calls::Calls::new(self.shared.clone()).remove(old, &key).await?;
            } else {
                self.markers.insert(old, value);
            }
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotReady, "no slot of the node takes a checkpoint"))
    }

    /// Arranges the log by what the checkpoint holds: everything up to there is applied, all the rest has to be sent.
    async fn resume(&mut self, at: Option<u64>) -> Result<()> {
        let first = self.log.front().map_or(self.start, |entry| entry.from);
        let at = match at {
            Some(at) => at,
            None if first == 0 && !self.written => {
                let key = self.checkpoint();
                let value = self.value(0, &self.base);
                let reply = self.call(&[b"SET", &key, value.as_bytes()]).await?;
                if !reply.is_ok() {
                    return Err(self.refusal("SET of its checkpoint", &reply));
                }
                0
            }
            None => return Err(self.lost(None)),
        };
        if at < first {
            return Err(self.lost(Some(at)));
        }
        if at > self.end() {
            let text = format!(
                "the checkpoint says {at}, and only {} commands were sent: somebody else writes it",
                self.end()
            );
            return Err(Error::new(ErrorKind::Rejected, text));
        }
        // The unit that the checkpoint is in the middle of.
        if let Some(index) = self.log.iter().position(|entry| entry.from < at && at < entry.to()) {
            let done = usize::try_from(at - self.log[index].from).unwrap_or_default();
            self.cut_at(index, done);
            self.applied += usize::from(index < self.applied);
        }
        while self.applied < self.log.len() && self.log[self.applied].to() <= at {
            let counts = self.log[self.applied].unit.counts(&[]);
            self.advance(counts);
        }
        let back = self.log.iter().take(self.applied).filter(|entry| entry.from >= at).count();
        if back > 0 {
            tracing::warn!(
                lane = self.index,
                units = back,
                "a node has lost what it had acknowledged: it is sent again"
            );
            self.applied -= back;
            self.forget_moved();
        }
        self.kept_bytes = self.log.iter().take(self.applied).map(|entry| entry.unit.bytes()).sum();
        self.renumber(at);
        Ok(())
    }

    /// Slots that were moved away took what was applied with them.
    fn forget_moved(&mut self) {
        let rest = self.log.split_off(self.applied);
        let routes = self.shared.routes();
        for mut entry in rest {
            if entry.told && entry.unit.len() > 0 {
                let own = entry.unit.filtered(|slot| routes.lane_of(slot) == self.index);
                let Some(unit) = own else { continue };
                entry.unit = unit;
            }
            self.log.push_back(entry);
        }
    }

    /// Numbers everything that is not applied, from `at` on.
    pub(super) fn renumber(&mut self, at: u64) {
        let mut from = at;
        for entry in self.log.iter_mut().skip(self.applied) {
            entry.from = from;
            from = entry.to();
        }
    }

    fn lost(&self, at: Option<u64>) -> Error {
        let first = self.log.front().map_or(self.start, |entry| entry.from);
        let has = at.map_or_else(|| "knows nothing of this run".to_owned(), |at| format!("has {at} of its commands"));
        let text = format!(
            "the node was replaced by one that lacks acknowledged writes: it {has}, and those before {first} are not kept any more \
             (ClusterOptions::keep)"
        );
        let address = self.link.as_ref().map(|link| link.address().to_string()).unwrap_or_default();
        Error::new(ErrorKind::Rejected, text).at(address)
    }

    /// Writes the checkpoint if it is not there. All that the log has is applied.
    pub(super) async fn put_back(&mut self) -> Result<()> {
        let (key, value) = (self.checkpoint(), self.value(self.end(), self.last()));
        let reply = self.call(&[b"SET", &key, value.as_bytes(), b"NX"]).await?;
        if reply.is_error() {
            return Err(self.refusal("SET of its checkpoint", &reply));
        }
        if let Some(waits) = self.restore.take() {
            // Who does not wait any more need not be told.
            let _ = waits.send(());
        }
        Ok(())
    }

    /// Removes what this lane has put there for itself, but for what is to last; `false` if there is more to do.
    pub(super) async fn leave(&mut self) -> Result<bool> {
        let key = self.checkpoint();
        let reply = self.call(&[b"GET", &key]).await?;
        // The last occasion to find that a node has lost something.
        if self.count(&reply)?.ok().flatten() != Some(self.end()) {
            return Err(super::disconnected());
        }
        let kept = [&key[..], b":kept"].concat();
        if self.shared.keys.persistent() {
            self.call(&[b"DEL", &kept]).await?;
        } else {
            self.call(&[b"DEL", &key, &kept]).await?;
        }
        for slot in std::mem::take(&mut self.markers).into_keys() {
            let marker = self.shared.keys.marker(slot, self.index);
            if marker == key {
                continue;
            }
            let calls = super::super::calls::Calls::new(self.shared.clone());
            if let Err(error) = calls.remove(slot, &marker).await {
                tracing::warn!(%error, key = %marker.escape_ascii(), "a checkpoint could not be removed");
            }
        }
        Ok(true)
    }

    pub(super) fn checkpoint(&self) -> Vec<u8> {
        self.shared.keys.checkpoint(self.slot, self.index)
    }

    pub(super) async fn call(&mut self, args: &[&[u8]]) -> Result<Reply> {
        match &mut self.link {
            Some(link) => link.call(args).await,
            None => Err(super::disconnected()),
        }
    }

    /// The error for a reply that should have been another.
    fn refusal(&self, what: &str, reply: &Reply) -> Error {
        let error = reply.as_error().unwrap_or(b"something unexpected");
        let kind = match reply.error_code() {
            _ if classify(error).is_some() => ErrorKind::NotReady,
            Some("NOPERM" | "NOAUTH") => ErrorKind::Auth,
            _ => ErrorKind::Rejected,
        };
        let shown = error[..error.len().min(200)].escape_ascii();
        let error = Error::new(kind, format!("{what} was answered with '{shown}'"));
        match &self.link {
            Some(link) => error.at(link.address()),
            None => error,
        }
    }
}

/// The address of a redirection of this kind: `MOVED 4711 host:port`.
pub(in super::super) fn redirection(reply: &Reply, kind: &str) -> Option<String> {
    let text = std::str::from_utf8(reply.as_error()?).ok()?;
    let mut words = text.split(' ');
    (words.next() == Some(kind)).then(|| words.nth(1).map(str::to_owned)).flatten()
}

/// The number that a key holds, if it is there.
fn number(reply: &Reply) -> std::result::Result<Option<u64>, ()> {
    match reply {
        Reply::Null => Ok(None),
        reply => reply.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or(()),
    }
}
