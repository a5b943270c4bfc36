//! What to do when a unit has stopped because of the node or the slot.

use std::cell::Cell;
use std::sync::Arc;

use rdts_core::command::{Sharding, keys, sharding, split};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::slot::slot;
use rdts_resp::{Reply, encode};

use super::super::claims::Vouched;
use super::super::link::Link;
use super::super::place::{Reached, Slots};
use super::super::routes::Routes;
use super::super::unit::{Collector, How, NO_SLOT, New, Step, Unit};
use super::recover::redirection;
use super::reply::Stop;
use super::{After, Entry, Lane};

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
            let mut told = self.now().vouched.clone();
            let mut tells = self.without_gone(&routes, &told, self.now().reached);
            if let Some(vouched) = &tells {
                // Before anything else, the checkpoint says that it does not speak for them any more.
                let after = After { vouched: vouched.clone(), ..self.now().clone() };
                self.log.push_back(Entry::new(Unit::empty(), at, after));
            }
            for mut entry in rest {
                if !Arc::ptr_eq(&entry.after.vouched, &told) {
                    told = entry.after.vouched.clone();
                    tells = self.without_gone(&routes, &told, entry.after.reached);
                }
                if let Some(vouched) = &tells {
                    entry.after.vouched = vouched.clone();
                }
                if entry.unit.len() == 0 {
                    self.log.push_back(entry);
                    continue;
                }
                let mut lanes: Vec<usize> = entry.unit.slots().map(|slot| self.owner(&routes, slot)).collect();
                let all = lanes.clone();
                lanes.sort_unstable();
                lanes.dedup();
                let mut own = None;
                for lane in lanes {
                    let mut index = 0;
                    let part = entry.unit.filtered(|_| {
                        index += 1;
                        all[index - 1] == lane
                    });
                    let Some(unit) = part else { continue };
                    if lane == self.index {
                        own = Some(unit);
                    } else if !entry.told {
                        routes.send(lane, self.marked(unit));
                    }
                }
                if let Some(unit) = own {
                    self.log.push_back(Entry { unit, ..entry });
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

    /// What is left to speak for when the slots that others have now were lost at `reached`; `None` if there are no such slots.
    fn without_gone(&self, routes: &Routes, vouched: &Arc<Vouched>, reached: Reached) -> Option<Arc<Vouched>> {
        if !self.shared.keys.persistent() {
            return None;
        }
        let gone: Slots = vouched.own.iter().filter(|slot| routes.lane_of(*slot) != self.index).collect();
        if gone.is_empty() {
            return None;
        }
        let mut left = (**vouched).clone();
        left.lose(&gone, reached);
        Some(Arc::new(left))
    }

    /// A unit for another lane, with which each slot tells by a marker how far it has come.
    fn marked(&self, unit: Unit) -> Unit {
        if !self.shared.keys.persistent() {
            return unit;
        }
        let keys = &self.shared.keys;
        unit.marked(|slot, reached| keys.mark(slot, self.index, reached))
    }

    fn owner(&self, routes: &Routes, slot: u16) -> usize {
        if slot == NO_SLOT { self.index } else { routes.lane_of(slot) }
    }

    /// Replaces a unit's first command by one for each of its keys, if that is the same. `false` if it is not.
    fn split_head(&mut self) -> bool {
        self.cut(1);
        let before = self.now().reached.place;
        let entry = &self.log[self.applied];
        let item = entry.unit.item(0);
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
            // Only the last one makes it whole; done again from the beginning, it is the same.
            let place = if index + 1 == parts.len() { item.place } else { before };
            let mark = item.mark.keys(keys);
            let new = New { slot: item.slot, mark, raw: &raw, commands, bytes, alone: false, marks: false, place };
            collector.push(batch, entry.unit.position, new, true);
        }
        let (at, told, late) = (entry.from, entry.told, entry.unit.late);
        let mut after = self.now().clone();
        if !told {
            self.shared.progress.expect(batch, parts.len() as u64 - 1);
        }
        self.log.remove(self.applied);
        for (index, mut unit) in collector.take().into_iter().enumerate() {
            unit.late = late;
            if !late {
                after.reached = after.reached.or_later(Reached { place: unit.place(), position: unit.position });
            }
            let entry = Entry { told, ..Entry::new(unit, at, after.clone()) };
            self.log.insert(self.applied + index, entry);
        }
        self.renumber(at);
        true
    }

    /// The first command that is not applied goes alone.
    fn alone_from_now(&mut self) {
        self.cut(1);
        let entry = &mut self.log[self.applied];
        entry.unit = entry.unit.first_alone();
    }

    /// Executes the first command that is not applied at the node that is taking its slot over: with a marker in the same slot there,
    /// as a checkpoint of its own. In this lane it is no more then.
    async fn ask(&mut self, place: &str) -> Result<()> {
        self.cut(1);
        let Some(link) = &self.link else { return Err(super::disconnected()) };
        let Some(mut address) = self.shared.routes().topology.redirected(place, link.address()) else {
            return self.pause(Error::new(ErrorKind::NotReady, format!("the node said ASK {place}"))).await;
        };
        let unit = &self.log[self.applied].unit;
        let item = unit.item(0);
        let slot = item.slot;
        let keys = &self.shared.keys;
        let key = keys.marker(slot, self.index);
        let before = self.markers.get(&slot).cloned().unwrap_or_default();
        self.asked += 1;
        let reached = Reached { place: item.place, position: unit.position };
        let after = keys.value(format_args!("asked{}", self.asked), &reached, None);
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
                    let step = Step { key: &key, gate: &before, value: &after, places: false };
                    unit.append_call(link.output(), [b"EVAL", script.as_bytes()], &step);
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
                let counts = entry.unit.counts(&kept);
                self.shared.progress.done(entry.unit.batch, entry.unit.weight(), counts);
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
