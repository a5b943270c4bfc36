//! The nodes of a stream: listpacks of entries whose ids are relative to the node's.

use crate::decode::packed::{Form, Shape};
use crate::decode::{Decoder, Env, State, find_name};
use crate::error::{ErrorKind, Limit};
use crate::packed::{Element, Stop, listpack};
use crate::stream::StreamId;
use crate::tok::{Span, Tok};
use crate::token::{Halt, Leaf};

use super::{Stage, broken};

/// What comes next in a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum NodeStage {
    #[default]
    Head,
    Names,
    NamesEnd,
    EntryHead,
    EntryBody,
}

/// The entry that is being walked. Positions count from its first byte, which stays where it is until the entry is delivered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Walk {
    id: StreamId,
    deleted: bool,
    same_fields: bool,
    fields: u64,
    body: usize,
    position: usize,
    /// Elements to pass over, and met so far.
    left: u64,
    met: u32,
}

impl Decoder {
    pub(super) fn stream_open_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.nodes == 0 {
            self.stream.stage = Stage::Meta;
            return Ok(false);
        }
        let (key, next) = find_name(env, data, *at)?;
        // Before it is expanded: this is done again for as long as the node has not arrived.
        if key.len() != 16 {
            return Err(broken("the key of a node has not 16 bytes", *at));
        }
        let key = key.bytes(env, data)?;
        let Ok(bytes) = <[u8; 16]>::try_from(env.buffers.bytes(data, key)) else {
            return Err(broken("the key of a node has not 16 bytes", *at));
        };
        let master = StreamId::from_be_bytes(bytes);
        *at = self.packed.open(env, data, next, Form::Listpack, Shape::StreamNode)?;
        self.stream.nodes -= 1;
        self.stream.master = master;
        self.stream.node = NodeStage::Head;
        self.state = State::Packed;
        Ok(false)
    }

    /// The next step inside of a node.
    pub(in crate::decode) fn stream_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        match self.stream.node {
            NodeStage::Head => self.node_head(env, data, at),
            NodeStage::Names => self.node_name(env, data, at),
            NodeStage::NamesEnd => {
                let ([zero], n) = self.node_ints(env, data, *at, 0)?;
                if zero != 0 {
                    return Err(self.node_broken("the first entry of a node does not end", *at));
                }
                self.packed.seen += 1;
                self.packed.advance(at, n);
                self.stream.node = NodeStage::EntryHead;
                Ok(false)
            }
            NodeStage::EntryHead => self.entry_head(env, data, at),
            NodeStage::EntryBody => self.entry_body(env, data, at),
        }
    }

    fn node_broken(&self, why: &'static str, at: usize) -> Halt {
        self.packed.fail(ErrorKind::BadStream(why), at)
    }

    /// `N` integers of the node, `skip` bytes ahead; gives the number of bytes from there.
    fn node_ints<const N: usize>(&self, env: &Env<'_>, data: &[u8], at: usize, skip: usize) -> Leaf<([i64; N], usize)> {
        let window = self.packed.window(&env.buffers.blob, data, at);
        let mut position = window.at + skip;
        let mut ints = [0; N];
        for int in &mut ints {
            let found = listpack::element(window.bytes, position, env.limits.max_element);
            let (element, next) = found.map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
            let Element::Int(value) = element else {
                return Err(self.node_broken("a string where a number should be", at));
            };
            *int = value;
            position = next;
        }
        Ok((ints, position - window.at - skip))
    }

    fn node_head(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let ([count, deleted, fields], n) = self.node_ints(env, data, *at, 0)?;
        let entries = u64::try_from(count).ok().zip(u64::try_from(deleted).ok()).and_then(|(c, d)| c.checked_add(d));
        let (Some(entries), Ok(fields)) = (entries, u64::try_from(fields)) else {
            return Err(self.node_broken("a negative count", *at));
        };
        self.packed.advance(at, n);
        // Each element takes two bytes at least, and each entry has four of them.
        if entries > self.packed.left / 8 + 1 || fields > self.packed.left / 2 {
            return Err(self.node_broken("more entries or fields than the node has room for", *at));
        }
        self.packed.seen += 3;
        self.stream.entries = entries;
        self.stream.names = fields;
        self.stream.names_left = fields;
        env.buffers.names.clear();
        self.stream.node = NodeStage::Names;
        Ok(false)
    }

    /// Keeps the next name that entries share, as it is in the listpack.
    fn node_name(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.names_left == 0 {
            self.stream.node = NodeStage::NamesEnd;
            return Ok(false);
        }
        let buffers = &mut *env.buffers;
        let window = self.packed.window(&buffers.blob, data, *at);
        let here = window.at;
        let found = listpack::element(window.bytes, here, env.limits.max_element);
        let (_, next) = found.map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
        let claimed = (buffers.names.len() + next - here) as u64;
        let max = env.limits.max_blob as u64;
        if claimed > max {
            return Err(self.packed.fail(ErrorKind::LimitExceeded { limit: Limit::Blob, claimed, max }, *at));
        }
        buffers.names.extend_from_slice(&window.bytes[here..next]);
        self.packed.seen += 1;
        self.stream.names_left -= 1;
        self.packed.advance(at, next - here);
        Ok(false)
    }

    fn entry_head(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let window = self.packed.window(&env.buffers.blob, data, *at);
        match window.bytes.get(window.at) {
            None => return Err(self.packed.stopped(Stop::Short(window.at + 1), &window, env.limits)),
            Some(&listpack::END) => {
                if self.stream.entries != 0 {
                    return Err(self.node_broken("fewer entries than the node states", *at));
                }
                self.packed.check_end().map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
                self.end_of_blob(at)?;
                return Ok(false);
            }
            Some(_) => {}
        }
        if self.stream.entries == 0 {
            return Err(self.node_broken("more entries than the node states", *at));
        }
        let ([flags, ms, seq], mut n) = self.node_ints(env, data, *at, 0)?;
        let master = self.stream.master;
        let mut walk = Walk {
            // Differences are stored as signed numbers and wrap around.
            id: StreamId::new(master.ms.wrapping_add(ms.cast_unsigned()), master.seq.wrapping_add(seq.cast_unsigned())),
            deleted: flags & 1 != 0,
            same_fields: flags & 2 != 0,
            met: 3,
            ..Walk::default()
        };
        if walk.same_fields {
            walk.fields = self.stream.names;
            walk.left = walk.fields;
        } else {
            let ([fields], more) = self.node_ints(env, data, *at, n)?;
            n += more;
            walk.met = 4;
            walk.fields = u64::try_from(fields).map_err(|_| self.node_broken("a negative count", *at))?;
            walk.left = walk.fields.saturating_mul(2);
        }
        if walk.left > self.packed.left / 2 {
            return Err(self.node_broken("more fields than the node has room for", *at));
        }
        if self.stream.last_id.is_some_and(|last| last >= walk.id) {
            return Err(self.node_broken("ids do not ascend", *at));
        }
        walk.body = n;
        walk.position = n;
        self.stream.walk = walk;
        self.stream.node = NodeStage::EntryBody;
        Ok(false)
    }

    /// Walks on through the fields of an entry, and delivers it when it is there as a whole.
    fn entry_body(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let window = self.packed.window(&env.buffers.blob, data, *at);
        let walk = &mut self.stream.walk;
        while walk.left > 0 {
            let found = listpack::element(window.bytes, window.at + walk.position, env.limits.max_element);
            let (_, next) = found.map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
            walk.position = next - window.at;
            walk.left -= 1;
            walk.met = walk.met.wrapping_add(1);
            let max = env.limits.max_element as u64;
            if walk.position as u64 > max {
                let claimed = walk.position as u64;
                return Err(self.packed.fail(ErrorKind::LimitExceeded { limit: Limit::Element, claimed, max }, *at));
            }
        }
        let walk = *walk;
        let ([count], n) = self.node_ints(env, data, *at, walk.position)?;
        if count != i64::from(walk.met) {
            return Err(self.node_broken("an entry misstates its number of elements", *at));
        }
        let (source, start) = (window.source, window.at);
        self.packed.seen = self.packed.seen.wrapping_add(walk.met).wrapping_add(1);
        self.packed.advance(at, walk.position + n);
        self.stream.entries -= 1;
        self.stream.last_id = Some(walk.id);
        self.stream.node = NodeStage::EntryHead;
        if walk.deleted {
            return Ok(false);
        }
        env.give(Tok::StreamEntry {
            id: walk.id,
            names: walk.same_fields.then(|| Span::new(crate::tok::Source::Names, 0, env.buffers.names.len())),
            body: Span::new(source, start + walk.body, start + walk.position),
            fields: usize::try_from(walk.fields).unwrap_or(usize::MAX),
        })
    }
}
