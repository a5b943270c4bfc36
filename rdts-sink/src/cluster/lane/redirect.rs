//! What to do when a unit has stopped because of the node or the slot.

use std::cell::Cell;

use rdts_core::command::{Sharding, keys, sharding, split};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::slot::slot;
use rdts_resp::{Reply, encode};

use super::super::link::Link;
use super::super::routes::checkpoint_key;
use super::super::unit::{Collector, How, NO_SLOT, New, Unit};
use super::recover::redirection;
use super::reply::{Stop, counts};
use super::{Entry, Lane};

impl Lane {
    /// Does what it takes so that the first unit can be tried again. Nothing is on its way.
    pub(super) async fn resolve(&mut self, stop: Stop) -> Result<()> {
        let result = match stop {
            Stop::Changed => Err(Error::new(ErrorKind::Disconnected, "the checkpoint is not what it was")),
            Stop::NoScript => self.load_script().await,
            Stop::NotInScript => {
                self.alone_from_now();
                Ok(())
            }
            Stop::Wait(said) => {
                self.pause(Error::new(ErrorKind::NotReady, format!("the node says '{said}'"))).await?;
                let _ = self.shared.refresh().await;
                if self.replaced() { Err(super::disconnected()) } else { Ok(()) }
            }
            Stop::Checkpoint => {
                let key = self.checkpoint();
                self.redirect(vec![key], true).await
            }
            Stop::Elsewhere => {
                let keys = self.head_keys();
                self.redirect(keys, false).await
            }
        };
        match result {
            Err(error) if super::may_pass(&error) => self.recover(Some(error)).await,
            result => result,
        }
    }

    /// The keys of the first command that is not applied.
    fn head_keys(&self) -> Vec<Vec<u8>> {
        let args = self.log[self.applied].unit.args(0);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        keys(&args).map(|keys| keys.map(|key| args[key.index].to_vec()).collect()).unwrap_or_default()
    }

    /// A key is not at the node: asks the node where it is. A script only learns that it is not there.
    async fn redirect(&mut self, keys: Vec<Vec<u8>>, checkpoint: bool) -> Result<()> {
        let Some(key) = keys.first() else {
            return self.pause(Error::new(ErrorKind::NotReady, "a command without keys was refused")).await;
        };
        let reply = self.call(&[b"EXISTS", key]).await?;
        if redirection(&reply, "MOVED").is_some() {
            let Some(link) = &self.link else { return Err(super::disconnected()) };
            let address = link.address().clone();
            if let Err(error) = self.shared.refresh_from(&address).await {
                // In the middle of a fail-over it may tell of slots that nobody serves.
                self.pause(error).await?;
                return Err(super::disconnected());
            }
            if self.replaced() {
                return Err(super::disconnected());
            }
            return self.reroute(slot(key)).await;
        }
        let wait = |said: &Reply| {
            let said = said
                .as_error()
                .map_or_else(|| "the slot is being moved".into(), |text| text.escape_ascii().to_string());
            Error::new(ErrorKind::NotReady, said)
        };
        if !checkpoint && keys.len() > 1 && self.split_head() {
            return Ok(());
        }
        match redirection(&reply, "ASK") {
            Some(_) if checkpoint => {
                let at = self.log[self.applied].from;
                self.move_checkpoint(at).await
            }
            Some(place) if self.log[self.applied].unit.how == How::Script => self.ask(&place).await,
            _ => self.pause(wait(&reply)).await,
        }
    }

    /// Gives slots that are served elsewhere to the lanes there, with all that is not applied of them.
    async fn reroute(&mut self, slot: u16) -> Result<()> {
        let stays = {
            let shared = self.shared.clone();
            let mut routes = shared.routes();
            routes.give_up(&shared, self.index);
            while let Ok(message) = self.queue.try_recv() {
                self.accept(message);
            }
            let at = self.log[self.applied].from;
            let rest: Vec<Entry> = self.log.split_off(self.applied).into();
            for entry in rest {
                let mut lanes: Vec<usize> =
                    entry.unit.items().iter().map(|item| self.owner(&routes, item.slot)).collect();
                let all = lanes.clone();
                lanes.sort_unstable();
                lanes.dedup();
                for lane in lanes {
                    let mut index = 0;
                    let part = entry.unit.filtered(|_| {
                        index += 1;
                        all[index - 1] == lane
                    });
                    let Some(unit) = part else { continue };
                    if lane == self.index {
                        self.log.push_back(Entry { unit, ..entry });
                    } else if !entry.told {
                        routes.send(lane, unit);
                    }
                }
            }
            self.renumber(at);
            if self.log.is_empty() {
                // Something has to say where the next one begins.
                self.start = at;
            }
            routes.lane_of(slot) == self.index
        };
        if stays {
            self.pause(Error::new(ErrorKind::NotReady, format!("nodes disagree about slot {slot}"))).await?;
            let _ = self.shared.refresh().await;
        }
        Ok(())
    }

    fn owner(&self, routes: &super::super::routes::Routes, slot: u16) -> usize {
        if slot == NO_SLOT { self.index } else { routes.lane_of(slot) }
    }

    /// Replaces a unit's first command by one for each of its keys, if that is the same. `false` if it is not.
    fn split_head(&mut self) -> bool {
        self.cut(1);
        let entry = &self.log[self.applied];
        let item = entry.unit.items()[0];
        let args = entry.unit.args(0);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        if !matches!(sharding(&args), Ok(Sharding::Split)) {
            return false;
        }
        // Every key counts as a slot of its own.
        let next = Cell::new(0u16);
        let Ok(parts) = split(&args, |_| next.replace(next.get().wrapping_add(1))) else { return false };
        let batch = entry.unit.batch;
        let mut collector = Collector::default();
        for (index, part) in parts.iter().enumerate() {
            let mut raw = Vec::new();
            encode::command(&mut raw, &part.args);
            let (commands, bytes) = if index == 0 { (item.commands, item.bytes) } else { (0, 0) };
            let keys = if index == 0 { item.mark.keys } else { 0 };
            let new = New { slot: item.slot, mark: item.mark.keys(keys), raw: &raw, commands, bytes, alone: false };
            collector.push(batch, new, true);
        }
        let (at, told) = (entry.from, entry.told);
        if !told {
            self.shared.progress.expect(batch, parts.len() as u64 - 1);
        }
        self.log.remove(self.applied);
        for (index, unit) in collector.take().into_iter().enumerate() {
            self.log.insert(self.applied + index, Entry { unit, from: at, told, tried: false });
        }
        self.renumber(at);
        true
    }

    /// The first command that is not applied goes alone.
    fn alone_from_now(&mut self) {
        self.cut(1);
        let entry = &mut self.log[self.applied];
        let item = entry.unit.items()[0];
        entry.unit = Unit::alone(entry.unit.batch, item.slot, item.mark, &entry.unit.raw(0), item.commands, item.bytes);
    }

    /// Executes the first command that is not applied at the node that is taking its slot over: with a marker in the same slot there,
    /// as a checkpoint of its own. In this lane it is no more then.
    async fn ask(&mut self, place: &str) -> Result<()> {
        self.cut(1);
        let Some(link) = &self.link else { return Err(super::disconnected()) };
        let Some(mut address) = self.shared.routes().topology.redirected(place, link.address()) else {
            return self.pause(Error::new(ErrorKind::NotReady, format!("the node said ASK {place}"))).await;
        };
        let slot = self.log[self.applied].unit.items()[0].slot;
        let key = checkpoint_key(slot, &self.shared.id, self.index);
        let before = self.markers.get(&slot).cloned().unwrap_or_default();
        self.asked += 1;
        let after = format!("asked {}", self.asked);
        let script = self.shared.script.clone();
        let mut sent = false;
        let reply = loop {
            let result = async {
                let mut link = Link::open(&address, self.shared.options.topology.deadlines).await?;
                encode::command(link.output(), [b"ASKING"]);
                // Once it may have been executed, the marker tells.
                if sent {
                    encode::command(link.output(), [b"GET".as_slice(), &key]);
                } else {
                    sent = true;
                    let unit = &self.log[self.applied].unit;
                    unit.append_call(link.output(), [b"EVAL", script.as_bytes()], &key, &before, &after);
                    link.receive().await?;
                    return link.receive().await.map(Some);
                }
                link.receive().await?;
                let reply = link.receive().await?;
                if let Some(place) = redirection(&reply, "MOVED").or_else(|| redirection(&reply, "ASK")) {
                    if let Some(next) = self.shared.routes().topology.redirected(&place, &address) {
                        address = next;
                    }
                    return Ok(None);
                }
                match reply.as_str() {
                    Some(text) if !reply.is_error() && text == after => Ok(Some(Reply::Integer(1))),
                    _ if reply.is_error() => Ok(None),
                    // Not executed: it can be tried from the beginning.
                    _ => Ok(Some(Reply::Array(vec![Reply::Integer(-1)]))),
                }
            }
            .await;
            match result {
                Ok(Some(reply)) => break reply,
                Ok(None) => self.pause(Error::new(ErrorKind::NotReady, "the slot is on its way").at(&address)).await?,
                Err(error) if super::may_pass(&error) => self.pause(error).await?,
                Err(error) => return Err(error),
            }
        };
        let done = match reply.as_array() {
            None if !reply.is_error() => Some(vec![]),
            Some([Reply::Integer(1), error, kept @ ..]) if error.as_bytes() == Some(b"") => Some(kept.to_vec()),
            _ => None,
        };
        if let Some(kept) = done {
            self.markers.insert(slot, after);
            self.trouble = None;
            let kept: Vec<usize> = if kept.is_empty() { vec![] } else { vec![0] };
            let Some(entry) = self.log.remove(self.applied) else { return Ok(()) };
            if !entry.told {
                let counts = counts(&entry, &kept);
                self.shared.progress.done(entry.unit.batch, entry.unit.len() as u64, counts);
            }
            if self.log.is_empty() {
                self.start = entry.from;
            }
            self.renumber(entry.from);
            return Ok(());
        }
        let said = match reply.as_array() {
            Some([Reply::Integer(-2), held, ..]) => {
                // The node was replaced by one that has another marker, or none.
                self.markers.insert(slot, held.as_str().unwrap_or_default().to_owned());
                "another marker".to_owned()
            }
            Some([Reply::Integer(0), error, ..]) => {
                let error = error.as_bytes().unwrap_or_default().to_vec();
                self.stopped(&error)?;
                error.escape_ascii().to_string()
            }
            _ => match reply.as_error().map(<[u8]>::to_vec) {
                Some(error) => {
                    self.stopped(&error)?;
                    error.escape_ascii().to_string()
                }
                None => "the slot is on its way".to_owned(),
            },
        };
        self.pause(Error::new(ErrorKind::NotReady, said).at(&address)).await
    }
}
