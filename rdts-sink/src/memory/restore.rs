//! `RESTORE`: a value as a payload of the `DUMP` format.

use rdts_rdb::dump::Payload;
use rdts_rdb::{Error, ErrorKind, value};

use super::args::Args;
use super::context::Context;
use super::database::Entry;
use super::error::{CommandError, CommandErrorKind, Result};
use super::reply::Reply;
use super::stream::{ConsumerGroup, PendingEntry, Stream, StreamId};
use super::value::{HashField, Opaque, Value};
use super::zset::SortedSet;

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ n]`, and `RESTORE-ASKING`. How recently and how often a key was used
/// is not kept.
pub(super) fn restore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, ttl, payload) = (args.next()?, args.next()?, args.next()?);
    let (mut replace, mut absolute) = (false, false);
    while args.left() > 0 {
        if args.keyword("REPLACE") {
            replace = true;
        } else if args.keyword("ABSTTL") {
            absolute = true;
        } else if args.keyword("IDLETIME") || args.keyword("FREQ") {
            args.natural()?;
        } else {
            return Err(CommandError::syntax());
        }
    }
    if !replace && cx.db().contains(key) {
        return Err(CommandError::new(CommandErrorKind::Exists, "BUSYKEY Target key name already exists."));
    }
    let ttl = Args::new(args.name(), &[ttl]).integer()?;
    if ttl < 0 {
        return Err(CommandError::invalid("ERR Invalid TTL value, must be >= 0"));
    }
    let expires_at = match ttl {
        0 => None,
        ttl if absolute => Some(ttl),
        ttl => Some(args.time(ttl, 1, cx.now)?),
    };
    let value = decode(payload)?;
    cx.db().put(key, Entry { value, expires_at });
    Ok(Reply::OK)
}

fn decode(payload: &[u8]) -> Result<Value> {
    let parsed = Payload::parse(payload).map_err(|error| match error.kind() {
        ErrorKind::BadChecksum { .. } | ErrorKind::BadPayload(_) => {
            corrupt("ERR DUMP payload version or checksum are wrong", &error)
        }
        _ => corrupt("ERR Bad data format", &error),
    })?;
    if parsed.key_meta.is_some() {
        return Err(CommandError::unsupported(b"RESTORE with key metadata", "modules' metadata of keys is not kept"));
    }
    let bad = |error: Error| corrupt("ERR Bad data format", &error);
    Ok(match parsed.value().map_err(bad)? {
        value::Value::String(string) => Value::String(string),
        value::Value::List(elements) => Value::List(elements.into()),
        value::Value::Set(members) => Value::Set(members.into_iter().collect()),
        value::Value::ZSet(members) => Value::ZSet(sorted_set(members)?),
        value::Value::Hash(fields) => Value::Hash(fields.into_iter().map(field).collect()),
        value::Value::Stream(stream) => Value::Stream(Stream::from_rdb(stream)?),
        // Without the footer, whose version differs between servers that hold the same.
        _ => Value::Opaque(Opaque { payload: payload[..payload.len() - 10].to_vec() }),
    })
}

fn corrupt(message: &str, error: &Error) -> CommandError {
    CommandError::new(CommandErrorKind::Corrupt, format!("{message} ({error})"))
}

fn bad_format(what: &str) -> CommandError {
    CommandError::new(CommandErrorKind::Corrupt, format!("ERR Bad data format ({what})"))
}

fn sorted_set(members: Vec<(Vec<u8>, f64)>) -> Result<SortedSet> {
    let mut zset = SortedSet::default();
    for (member, score) in members {
        if score.is_nan() {
            return Err(bad_format("a score is not a number"));
        }
        zset.insert(&member, score);
    }
    Ok(zset)
}

fn field(field: value::HashField) -> (Vec<u8>, HashField) {
    (field.field, HashField { value: field.value, expires_at: field.expire_at_ms })
}

impl Stream {
    /// Old payloads lack some numbers: they become what Redis 7 makes of them.
    fn from_rdb(stream: value::Stream) -> Result<Self> {
        let meta = stream.meta;
        let mut loaded = Self {
            entries: stream.entries.into_iter().collect(),
            last_id: meta.last_id,
            max_deleted_id: meta.max_deleted_id.unwrap_or_default(),
            entries_added: meta.entries_added.unwrap_or(meta.length),
            idempotency: stream.idempotency.filter(|known| !known.producers.is_empty()),
            ..Self::default()
        };
        for group in stream.groups {
            let names: Vec<_> = group.consumers.into_iter().map(|consumer| consumer.name).collect();
            let owner = |index: Option<usize>| match index {
                None => Ok(None),
                Some(index) => {
                    names.get(index).cloned().map(Some).ok_or_else(|| bad_format("a pending entry of nobody"))
                }
            };
            let mut pending = std::collections::BTreeMap::new();
            for row in group.pending {
                let consumer = owner(row.consumer)?;
                let entry =
                    PendingEntry { consumer, delivered_at: row.delivery_time_ms, deliveries: row.delivery_count };
                pending.insert(row.id, entry);
            }
            let entries_read = match group.entries_read {
                None => loaded.entries_before(group.last_id),
                Some(known) => u64::try_from(known).ok(),
            };
            let consumers = names.into_iter().collect();
            loaded
                .groups
                .insert(group.name, ConsumerGroup { last_id: group.last_id, entries_read, pending, consumers });
        }
        Ok(loaded)
    }

    /// How many entries were ever added up to an id, where that follows from what is known.
    fn entries_before(&self, id: StreamId) -> Option<u64> {
        let length = self.entries.len() as u64;
        let first = self.entries.keys().next();
        if self.entries_added == 0 {
            Some(0)
        } else if id == self.last_id || length == 0 && id < self.last_id {
            Some(self.entries_added)
        } else if id > self.last_id || first.is_none_or(|first| self.max_deleted_id > *first) {
            None
        } else {
            let before = self.entries_added.saturating_sub(length);
            match first.map(|first| id.cmp(first)) {
                Some(std::cmp::Ordering::Less) => Some(before),
                Some(std::cmp::Ordering::Equal) => Some(before + 1),
                _ => None,
            }
        }
    }
}
