//! The consumer groups of a stream: what was delivered and not acknowledged, and to whom.

use std::hash::{BuildHasher, RandomState};

use crate::decode::{Decoder, Env, State, find_name};
use crate::stream::{StreamId, StreamPending};
use crate::tok::Tok;
use crate::token::{self, Leaf};

use super::{Stage, broken, id_of_lengths, raw_id};

/// A set of ids, of which only equality with another one matters: sums of keyed hashes take no memory, however many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct IdSum(u64, u64);

impl IdSum {
    fn add(&mut self, keys: &[RandomState; 2], id: StreamId) {
        self.0 = self.0.wrapping_add(keys[0].hash_one(id));
        self.1 = self.1.wrapping_add(keys[1].hash_one(id));
    }
}

impl Decoder {
    pub(super) fn stream_group(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.groups == 0 {
            if self.stream.version >= 4 {
                self.stream.stage = Stage::Idempotency;
            } else {
                self.state = State::End;
            }
            return Ok(false);
        }
        let (name, next) = find_name(env, data, *at)?;
        let (last_id, mut next) = id_of_lengths(data, next)?;
        let mut entries_read = None;
        if self.stream.version >= 2 {
            let (read, after) = token::length(data, next)?;
            entries_read = Some(read.cast_signed());
            next = after;
        }
        let (pending, next) = token::length(data, next)?;
        let name = name.bytes(env, data)?;
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

    pub(super) fn stream_pending(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
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
        stream.pending.add(&stream.keys, id);
        env.give(Tok::StreamPending(StreamPending { id, delivery_time_ms: i64::from_le_bytes(time), delivery_count }))
    }

    pub(super) fn stream_consumer_count(&mut self, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (count, next) = token::length(data, *at)?;
        *at = next;
        self.stream.consumers = count;
        self.stream.stage = Stage::Consumers;
        Ok(false)
    }

    pub(super) fn stream_consumer(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.consumers == 0 {
            if self.stream.version >= 5 {
                self.stream.stage = Stage::NackedCount;
            } else {
                self.end_of_group(*at)?;
            }
            return Ok(false);
        }
        let (name, next) = find_name(env, data, *at)?;
        let (seen, mut next) = token::array(data, next)?;
        let mut active_time_ms = None;
        if self.stream.version >= 3 {
            let (active, after) = token::array(data, next)?;
            active_time_ms = Some(i64::from_le_bytes(active));
            next = after;
        }
        let (pending, next) = token::length(data, next)?;
        let name = name.bytes(env, data)?;
        *at = next;
        self.stream.consumers -= 1;
        self.stream.rows = pending;
        self.stream.stage = Stage::ConsumerPending;
        env.give(Tok::StreamConsumer { name, seen_time_ms: i64::from_le_bytes(seen), active_time_ms, pending })
    }

    pub(super) fn stream_nacked_count(&mut self, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (count, next) = token::length(data, *at)?;
        *at = next;
        self.stream.rows = count;
        self.stream.stage = Stage::Nacked;
        Ok(false)
    }

    pub(super) fn stream_owned(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
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
        stream.owned.add(&stream.keys, id);
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
}
