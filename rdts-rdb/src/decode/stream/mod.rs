//! Streams: nodes of entries, then what the stream knows about itself, then groups with what they have delivered.

mod group;
mod node;
mod producer;

use std::hash::RandomState;

use super::{Decoder, Env, State};
use crate::error::ErrorKind;
use crate::stream::{StreamId, StreamMeta};
use crate::tok::Tok;
use crate::token::{self, Halt, Leaf};
use crate::value_type::ValueType;

use group::IdSum;
use node::{NodeStage, Walk};

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
            Stage::ConsumerCount => self.stream_consumer_count(data, at),
            Stage::Consumers => self.stream_consumer(env, data, at),
            Stage::ConsumerPending | Stage::Nacked => self.stream_owned(env, data, at),
            Stage::NackedCount => self.stream_nacked_count(data, at),
            Stage::Idempotency => self.stream_idempotency(env, data, at),
            Stage::Producers => self.stream_producer(env, data, at),
            Stage::ProducerIds => self.stream_producer_id(env, data, at),
            Stage::Stats => self.stream_stats(env, data, at),
        }
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
}
