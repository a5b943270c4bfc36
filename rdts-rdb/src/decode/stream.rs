//! Streams: nodes of entries, then what the stream knows about itself, then groups with what they have delivered.

use std::hash::{BuildHasher, RandomState};

use super::packed::{Form, Shape};
use super::{Decoder, Env, State, name};
use crate::error::{ErrorKind, Limit};
use crate::packed::{Element, Stop, listpack};
use crate::stream::{StreamId, StreamMeta, StreamPending};
use crate::tok::{Span, Tok};
use crate::token::{self, Halt, Leaf};
use crate::value_type::ValueType;

/// What comes next in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Nodes,
    Meta,
    Groups,
    Pending,
    ConsumerCount,
    Consumers,
    ConsumerPending,
    NackedCount,
    Nacked,
    Idempotency,
    Producers,
    ProducerIds,
    Stats,
}

/// What comes next in a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum NodeStage {
    #[default]
    Head,
    Names,
    NamesEnd,
    EntryHead,
    EntryBody,
}

/// The entry that is being walked. Positions count from its first byte, which stays where it is until the entry is delivered.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
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

/// A set of ids, of which only equality with another one matters: sums of keyed hashes take no memory, however many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct IdSum(u64, u64);

#[derive(Debug, Default)]
pub(super) struct StreamState {
    version: u8,
    stage: Stage,
    nodes: u64,
    master: StreamId,
    last_id: Option<StreamId>,
    node: NodeStage,
    entries: u64,
    names: u64,
    names_left: u64,
    walk: Walk,
    groups: u64,
    rows: u64,
    consumers: u64,
    producers: u64,
    last_pending: Option<StreamId>,
    pending: IdSum,
    owned: IdSum,
    keys: [RandomState; 2],
}

impl StreamState {
    fn add(keys: &[RandomState; 2], sum: &mut IdSum, id: StreamId) {
        sum.0 = sum.0.wrapping_add(keys[0].hash_one(id));
        sum.1 = sum.1.wrapping_add(keys[1].hash_one(id));
    }
}

fn broken(why: &'static str, at: usize) -> Halt {
    Halt::fail(ErrorKind::BadStream(why), at)
}

fn id_of_lengths(data: &[u8], at: usize) -> Leaf<(StreamId, usize)> {
    let (ms, next) = token::length(data, at)?;
    let (seq, next) = token::length(data, next)?;
    Ok((StreamId::new(ms, seq), next))
}

fn raw_id(data: &[u8], at: usize) -> Leaf<(StreamId, usize)> {
    let (bytes, next) = token::array(data, at)?;
    Ok((StreamId::from_be_bytes(bytes), next))
}

impl Decoder {
    pub(super) fn begin_stream(&mut self, data: &[u8], at: &mut usize, value_type: ValueType) -> Leaf<bool> {
        let (nodes, next) = token::length(data, *at)?;
        *at = next;
        let stream = &mut self.stream;
        stream.version = match value_type {
            ValueType::Stream => 1,
            ValueType::Stream2 => 2,
            ValueType::Stream3 => 3,
            ValueType::Stream4 => 4,
            _ => 5,
        };
        stream.stage = Stage::Nodes;
        stream.nodes = nodes;
        stream.master = StreamId::ZERO;
        stream.last_id = None;
        self.state = State::Stream;
        Ok(false)
    }

    pub(super) fn stream(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        match self.stream.stage {
            Stage::Nodes => self.stream_open_node(env, data, at),
            Stage::Meta => {
                let meta = self.stream_meta(data, at)?;
                env.give(meta)
            }
            Stage::Groups => self.stream_group(env, data, at),
            Stage::Pending => self.stream_pending(env, data, at),
            Stage::ConsumerCount => {
                let (count, next) = token::length(data, *at)?;
                *at = next;
                self.stream.consumers = count;
                self.stream.stage = Stage::Consumers;
                Ok(false)
            }
            Stage::Consumers => self.stream_consumer(env, data, at),
            Stage::ConsumerPending | Stage::Nacked => self.stream_owned(env, data, at),
            Stage::NackedCount => {
                let (count, next) = token::length(data, *at)?;
                *at = next;
                self.stream.rows = count;
                self.stream.stage = Stage::Nacked;
                Ok(false)
            }
            Stage::Idempotency => {
                let (duration_s, next) = token::length(data, *at)?;
                let (max_entries, next) = token::length(data, next)?;
                let (producers, next) = token::length(data, next)?;
                *at = next;
                self.stream.producers = producers;
                self.stream.stage = Stage::Producers;
                env.give(Tok::StreamIdempotency { duration_s, max_entries })
            }
            Stage::Producers => self.stream_producer(env, data, at),
            Stage::ProducerIds => self.stream_producer_id(env, data, at),
            Stage::Stats => {
                let (added, next) = token::length(data, *at)?;
                let (duplicates, next) = token::length(data, next)?;
                *at = next;
                self.state = State::End;
                env.give(Tok::StreamIdempotencyStats { added, duplicates })
            }
        }
    }

    fn stream_open_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.nodes == 0 {
            self.stream.stage = Stage::Meta;
            return Ok(false);
        }
        let (key, next) = name(env, data, *at)?;
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
    pub(super) fn stream_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
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

    fn stream_meta(&mut self, data: &[u8], at: &mut usize) -> Leaf<Tok> {
        let (length, next) = token::length(data, *at)?;
        let (last_id, mut next) = id_of_lengths(data, next)?;
        let mut meta =
            StreamMeta { length, last_id, first_id: None, max_deleted_id: None, entries_added: None, groups: 0 };
        if self.stream.version >= 2 {
            let (first, after) = id_of_lengths(data, next)?;
            let (deleted, after) = id_of_lengths(data, after)?;
            let (added, after) = token::length(data, after)?;
            meta.first_id = Some(first);
            meta.max_deleted_id = Some(deleted);
            meta.entries_added = Some(added);
            next = after;
        }
        let (groups, next) = token::length(data, next)?;
        meta.groups = groups;
        *at = next;
        self.stream.groups = groups;
        self.stream.stage = Stage::Groups;
        Ok(Tok::StreamMeta(meta))
    }

    fn stream_group(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.groups == 0 {
            if self.stream.version >= 4 {
                self.stream.stage = Stage::Idempotency;
            } else {
                self.state = State::End;
            }
            return Ok(false);
        }
        let (name, next) = name(env, data, *at)?;
        let (last_id, mut next) = id_of_lengths(data, next)?;
        let mut entries_read = None;
        if self.stream.version >= 2 {
            let (read, after) = token::length(data, next)?;
            entries_read = Some(read.cast_signed());
            next = after;
        }
        let (pending, next) = token::length(data, next)?;
        *at = next;
        let stream = &mut self.stream;
        stream.groups -= 1;
        stream.rows = pending;
        stream.last_pending = None;
        stream.pending = IdSum::default();
        stream.owned = IdSum::default();
        stream.stage = Stage::Pending;
        env.give(Tok::StreamGroup { name, last_id, entries_read, pending })
    }

    fn stream_pending(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let stream = &mut self.stream;
        if stream.rows == 0 {
            stream.stage = Stage::ConsumerCount;
            return Ok(false);
        }
        let (id, next) = raw_id(data, *at)?;
        let (time, next) = token::array(data, next)?;
        let (delivery_count, next) = token::length(data, next)?;
        if stream.last_pending.is_some_and(|last| last >= id) {
            return Err(broken("pending entries do not ascend", *at));
        }
        *at = next;
        stream.rows -= 1;
        stream.last_pending = Some(id);
        StreamState::add(&stream.keys, &mut stream.pending, id);
        env.give(Tok::StreamPending(StreamPending { id, delivery_time_ms: i64::from_le_bytes(time), delivery_count }))
    }

    fn stream_consumer(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.consumers == 0 {
            if self.stream.version >= 5 {
                self.stream.stage = Stage::NackedCount;
            } else {
                self.end_of_group(*at)?;
            }
            return Ok(false);
        }
        let (name, next) = name(env, data, *at)?;
        let (seen, mut next) = token::array(data, next)?;
        let mut active_time_ms = None;
        if self.stream.version >= 3 {
            let (active, after) = token::array(data, next)?;
            active_time_ms = Some(i64::from_le_bytes(active));
            next = after;
        }
        let (pending, next) = token::length(data, next)?;
        *at = next;
        self.stream.consumers -= 1;
        self.stream.rows = pending;
        self.stream.stage = Stage::ConsumerPending;
        env.give(Tok::StreamConsumer { name, seen_time_ms: i64::from_le_bytes(seen), active_time_ms, pending })
    }

    fn stream_owned(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let nacked = self.stream.stage == Stage::Nacked;
        if self.stream.rows == 0 {
            if nacked {
                self.end_of_group(*at)?;
            } else {
                self.stream.stage = Stage::Consumers;
            }
            return Ok(false);
        }
        let (id, next) = raw_id(data, *at)?;
        *at = next;
        let stream = &mut self.stream;
        stream.rows -= 1;
        StreamState::add(&stream.keys, &mut stream.owned, id);
        env.give(if nacked { Tok::StreamNacked(id) } else { Tok::StreamConsumerPending(id) })
    }

    /// Every pending entry must have exactly one owner: servers have been made to free one twice by files in which it has two.
    fn end_of_group(&mut self, at: usize) -> Leaf<()> {
        if self.stream.pending != self.stream.owned {
            return Err(broken("the pending entries of a group and those of its consumers differ", at));
        }
        self.stream.stage = Stage::Groups;
        Ok(())
    }

    fn stream_producer(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.producers == 0 {
            self.stream.stage = Stage::Stats;
            return Ok(false);
        }
        let (id, next) = name(env, data, *at)?;
        let (ids, next) = token::length(data, next)?;
        *at = next;
        self.stream.producers -= 1;
        self.stream.rows = ids;
        self.stream.stage = Stage::ProducerIds;
        env.give(Tok::StreamProducer { id, ids })
    }

    fn stream_producer_id(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.rows == 0 {
            self.stream.stage = Stage::Producers;
            return Ok(false);
        }
        let (iid, next) = name(env, data, *at)?;
        let (id, next) = id_of_lengths(data, next)?;
        *at = next;
        self.stream.rows -= 1;
        env.give(Tok::StreamProducerId { iid, id })
    }
}
