//! What a stream knows of idempotent producers (Redis 8.6).

use crate::decode::{Decoder, Env, State, find_name};
use crate::tok::Tok;
use crate::token::{self, Leaf};

use super::{Stage, id_of_lengths};

impl Decoder {
    pub(super) fn stream_idempotency(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (duration_s, next) = token::length(data, *at)?;
        let (max_entries, next) = token::length(data, next)?;
        let (producers, next) = token::length(data, next)?;
        *at = next;
        self.stream.producers = producers;
        self.stream.stage = Stage::Producers;
        env.give(Tok::StreamIdempotency { duration_s, max_entries })
    }

    pub(super) fn stream_producer(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.producers == 0 {
            self.stream.stage = Stage::Stats;
            return Ok(false);
        }
        let (id, next) = find_name(env, data, *at)?;
        let (ids, next) = token::length(data, next)?;
        let id = id.bytes(env, data)?;
        *at = next;
        self.stream.producers -= 1;
        self.stream.rows = ids;
        self.stream.stage = Stage::ProducerIds;
        env.give(Tok::StreamProducer { id, ids })
    }

    pub(super) fn stream_producer_id(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.stream.rows == 0 {
            self.stream.stage = Stage::Producers;
            return Ok(false);
        }
        let (iid, next) = find_name(env, data, *at)?;
        let (id, next) = id_of_lengths(data, next)?;
        let iid = iid.bytes(env, data)?;
        *at = next;
        self.stream.rows -= 1;
        env.give(Tok::StreamProducerId { iid, id })
    }
    pub(super) fn stream_stats(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (added, next) = token::length(data, *at)?;
        let (duplicates, next) = token::length(data, next)?;
        *at = next;
        self.state = State::End;
        env.give(Tok::StreamIdempotencyStats { added, duplicates })
    }
}
