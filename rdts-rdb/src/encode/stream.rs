//! Making streams.

use super::listpack::Listpack;
use super::{EncodeError, EncodeErrorKind, Encoder, Loss};
use crate::stream::StreamId;
use crate::value::{Group, Idempotency, Stream, StreamPairs};
use crate::value_type::ValueType;

/// Entries and bytes of a node, as servers limit them by default.
const NODE_ENTRIES: usize = 100;
const NODE_BYTES: usize = 4096;
/// Seconds, and ids of a producer, in a stream whose settings nobody changed (Redis 8.10.2); a server refuses to load zero.
const IDMP_DEFAULT: u64 = 100;

impl Encoder<'_> {
    pub(super) fn stream(&mut self, stream: &Stream) -> Result<ValueType, EncodeError> {
        let nacked = stream.groups.iter().any(|group| group.pending.iter().any(|row| row.consumer.is_none()));
        let value_type = self.stream_type(stream, nacked)?;
        let version = match value_type {
            ValueType::Stream => 1,
            ValueType::Stream2 => 2,
            ValueType::Stream3 => 3,
            ValueType::Stream4 => 4,
            _ => 5,
        };
        if stream.entries.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(EncodeErrorKind::Inconsistent("ids of a stream do not ascend").into());
        }
        self.stream_nodes(&stream.entries);
        let meta = &stream.meta;
        self.length(meta.length);
        self.id(meta.last_id);
        if version >= 2 {
            // What older files do not have, servers make up in this way when they load one.
            let first = stream.entries.first().map_or(StreamId::ZERO, |(id, _)| *id);
            self.id(meta.first_id.unwrap_or(first));
            self.id(meta.max_deleted_id.unwrap_or(StreamId::ZERO));
            self.length(meta.entries_added.unwrap_or(meta.length));
        }
        self.count(stream.groups.len());
        for group in &stream.groups {
            self.stream_group(group, version)?;
        }
        if version >= 4 {
            let none = Idempotency { duration_s: IDMP_DEFAULT, max_entries: IDMP_DEFAULT, ..Idempotency::default() };
            let idempotency = stream.idempotency.as_ref().unwrap_or(&none);
            self.length(idempotency.duration_s);
            self.length(idempotency.max_entries);
            self.count(idempotency.producers.len());
            for producer in &idempotency.producers {
                self.string(&producer.id);
                self.count(producer.iids.len());
                for (iid, id) in &producer.iids {
                    self.string(iid);
                    self.id(*id);
                }
            }
            self.length(idempotency.added);
            self.length(idempotency.duplicates);
        }
        Ok(value_type)
    }

    /// The plainest form that the version knows and that can express the stream.
    fn stream_type(&self, stream: &Stream, nacked: bool) -> Result<ValueType, EncodeError> {
        let options = self.options;
        let drop = options.loss == Loss::Drop;
        if nacked {
            if options.is_redis(14) {
                return Ok(ValueType::Stream5);
            }
            if !drop {
                return Err(EncodeErrorKind::WouldLose("pending entries of a stream that nobody owns").into());
            }
        }
        // Redis 8.6 and later save settings with every stream; only producers are contents.
        if stream.idempotency.as_ref().is_some_and(|idempotency| !idempotency.producers.is_empty()) {
            if options.is_redis(13) {
                return Ok(ValueType::Stream4);
            }
            if !drop {
                return Err(EncodeErrorKind::WouldLose("idempotent producers of a stream").into());
            }
        }
        if options.knows(11) {
            Ok(ValueType::Stream3)
        } else if options.knows(10) {
            Ok(ValueType::Stream2)
        } else if options.knows(9) {
            Ok(ValueType::Stream)
        } else {
            Err(EncodeErrorKind::NeedsNewerVersion("streams").into())
        }
    }

    fn id(&mut self, id: StreamId) {
        self.length(id.ms);
        self.length(id.seq);
    }

    fn stream_nodes(&mut self, entries: &[(StreamId, StreamPairs)]) {
        let mut nodes = 0;
        let mut made = Vec::new();
        let mut rest = entries;
        while let Some(((master, pairs), _)) = rest.split_first() {
            let (node, taken) = self.stream_node(*master, pairs, rest);
            made.push((*master, node));
            rest = &rest[taken..];
            nodes += 1;
        }
        self.count(nodes);
        for (master, node) in made {
            self.string(&master.to_be_bytes());
            self.string(&node);
        }
    }

    /// One node out of the first of `entries`, and how many of them are in it.
    fn stream_node(
        &self,
        master: StreamId,
        names: &StreamPairs,
        entries: &[(StreamId, StreamPairs)],
    ) -> (Vec<u8>, usize) {
        let mut body = Listpack::new(self.options.version);
        // The counts stand in front, so the number of entries has to be known first.
        let mut size = 0;
        let mut taken = 0;
        for (_, pairs) in entries {
            let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>() + 16;
            if taken > 0 && (taken == NODE_ENTRIES || size + bytes > NODE_BYTES) {
                break;
            }
            size += bytes;
            taken += 1;
        }
        body.int(int(taken));
        body.int(0);
        body.int(int(names.len()));
        for (name, _) in names {
            body.string(name);
        }
        body.int(0);
        for (id, pairs) in &entries[..taken] {
            let same = pairs.len() == names.len() && pairs.iter().zip(names).all(|((a, _), (b, _))| a == b);
            body.int(if same { 2 } else { 0 });
            body.int(id.ms.wrapping_sub(master.ms).cast_signed());
            body.int(id.seq.wrapping_sub(master.seq).cast_signed());
            if !same {
                body.int(int(pairs.len()));
            }
            for (name, value) in pairs {
                if !same {
                    body.string(name);
                }
                body.string(value);
            }
            body.int(int(if same { pairs.len() + 3 } else { pairs.len() * 2 + 4 }));
        }
        (body.finish(), taken)
    }

    fn stream_group(&mut self, group: &Group, version: u8) -> Result<(), EncodeError> {
        if group.pending.windows(2).any(|pair| pair[0].id >= pair[1].id) {
            return Err(EncodeErrorKind::Inconsistent("pending entries do not ascend").into());
        }
        self.string(&group.name);
        self.id(group.last_id);
        if version >= 2 {
            self.length(group.entries_read.unwrap_or(-1).cast_unsigned());
        }
        // Before the fifth form every pending entry has an owner; those that have none were permitted to be lost.
        let rows = || group.pending.iter().filter(|row| version >= 5 || row.consumer.is_some());
        self.count(rows().count());
        for row in rows() {
            self.out.extend(row.id.to_be_bytes());
            self.out.extend(row.delivery_time_ms.to_le_bytes());
            self.length(row.delivery_count);
        }
        self.count(group.consumers.len());
        for (i, consumer) in group.consumers.iter().enumerate() {
            self.string(&consumer.name);
            self.out.extend(consumer.seen_time_ms.to_le_bytes());
            if version >= 3 {
                self.out.extend(consumer.active_time_ms.unwrap_or(consumer.seen_time_ms).to_le_bytes());
            }
            let owned = || group.pending.iter().filter(move |row| row.consumer == Some(i));
            self.count(owned().count());
            for row in owned() {
                self.out.extend(row.id.to_be_bytes());
            }
        }
        if group.pending.iter().any(|row| row.consumer.is_some_and(|i| i >= group.consumers.len())) {
            return Err(EncodeErrorKind::Inconsistent("a pending entry of a consumer that is not there").into());
        }
        if version >= 5 {
            let nobody = || group.pending.iter().filter(|row| row.consumer.is_none());
            self.count(nobody().count());
            for row in nobody() {
                self.out.extend(row.id.to_be_bytes());
            }
        }
        Ok(())
    }
}

fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
