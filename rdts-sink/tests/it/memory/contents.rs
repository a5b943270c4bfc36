//! Compares what a server holds with what a store holds, key by key, read with the server's own commands.

use std::collections::{BTreeMap, BTreeSet};

use rdts_sink::memory::{Entry, MemoryStore, Stream, Value as Stored};
use rdts_testkit::Server;
use redis::{Connection, Value};

/// Two clocks, and the time between reading them, differ by less.
const SKEW_MS: i64 = 20_000;

pub(crate) struct Reader<'s> {
    server: &'s Server,
    connection: Connection,
    /// Whether times must be equal to the millisecond (they came with the stream) or only within [`SKEW_MS`].
    pub(crate) exact_times: bool,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(server: &'s Server) -> Self {
        Self { server, connection: server.connection(), exact_times: false }
    }

    fn ask(&mut self, args: &[&[u8]]) -> Value {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(*arg);
        }
        command
            .query(&mut self.connection)
            .unwrap_or_else(|error| panic!("{:?}: {error}", args[0].escape_ascii().to_string()))
    }

    fn redis(&self, major: u16, minor: u16) -> bool {
        self.server.version().has_redis(major, minor)
    }

    /// All differences in one database, as text.
    pub(crate) fn differences(&mut self, store: &MemoryStore, db: u32) -> Vec<String> {
        self.ask(&[b"SELECT", db.to_string().as_bytes()]);
        let keys: BTreeSet<Vec<u8>> = list(self.ask(&[b"KEYS", b"*"])).into_iter().map(bytes).collect();
        let mut found = Vec::new();
        for (key, _) in store.entries(db) {
            if !keys.contains(key) {
                found.push(format!("db {db}: {} is only in the store", key.escape_ascii()));
            }
        }
        for key in keys {
            let difference = match store.get(db, &key) {
                None => Some("only on the server".to_owned()),
                Some(entry) => self.difference(&key, entry),
            };
            if let Some(difference) = difference {
                found.push(format!("db {db}: {}: {difference}", key.escape_ascii()));
            }
        }
        found
    }

    fn same_time(&self, a: i64, b: i64) -> bool {
        if self.exact_times { a == b } else { a.abs_diff(b) < SKEW_MS.unsigned_abs() }
    }

    fn difference(&mut self, key: &[u8], entry: &Entry) -> Option<String> {
        let kind = String::from_utf8(bytes(self.ask(&[b"TYPE", key]))).unwrap();
        if kind != entry.value.type_name() {
            return Some(format!("type {kind}, stored {}", entry.value.type_name()));
        }
        let expiry = self.expiry(key);
        let same = match (expiry, entry.expires_at) {
            (Some(a), Some(b)) => self.same_time(a, b),
            (a, b) => a == b,
        };
        if !same {
            return Some(format!("expires at {expiry:?}, stored {:?}", entry.expires_at));
        }
        match &entry.value {
            Stored::String(value) => unequal(&bytes(self.ask(&[b"GET", key])), value),
            Stored::List(value) => {
                let server: Vec<_> = list(self.ask(&[b"LRANGE", key, b"0", b"-1"])).into_iter().map(bytes).collect();
                unequal(&server, &value.iter().cloned().collect())
            }
            Stored::Set(value) => {
                let server: BTreeSet<_> = list(self.ask(&[b"SMEMBERS", key])).into_iter().map(bytes).collect();
                unequal(&server, &value.iter().cloned().collect())
            }
            Stored::ZSet(value) => {
                let flat = list(self.ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]));
                let server: Vec<_> =
                    pairs(flat).into_iter().map(|(member, score)| (bytes(member), number(&bytes(score)))).collect();
                unequal(&server, &value.iter().map(|(member, score)| (member.to_vec(), score)).collect())
            }
            Stored::Hash(value) => {
                let server: BTreeMap<_, _> = pairs(list(self.ask(&[b"HGETALL", key])))
                    .into_iter()
                    .map(|(field, value)| (bytes(field), bytes(value)))
                    .collect();
                let stored = value.iter().map(|(name, field)| (name.clone(), field.value.clone())).collect();
                unequal(&server, &stored).or_else(|| {
                    value.iter().find_map(|(name, field)| {
                        let server = self.field_expiry(key, name);
                        let same = match (server, field.expires_at) {
                            (Some(a), Some(b)) => self.same_time(a, b),
                            (a, b) => a == b,
                        };
                        (!same).then(|| {
                            format!(
                                "field {} expires at {server:?}, stored {:?}",
                                name.escape_ascii(),
                                field.expires_at
                            )
                        })
                    })
                })
            }
            Stored::Stream(stream) => self.stream_difference(key, stream),
            other => Some(format!("unexpected {other:?}")),
        }
    }

    fn expiry(&mut self, key: &[u8]) -> Option<i64> {
        if self.redis(7, 0) {
            return Some(integer(&self.ask(&[b"PEXPIRETIME", key]))).filter(|at| *at >= 0);
        }
        let left = integer(&self.ask(&[b"PTTL", key]));
        (left >= 0).then(|| left + super::now_ms())
    }

    fn field_expiry(&mut self, key: &[u8], field: &[u8]) -> Option<i64> {
        let version = self.server.version();
        let has_field_expiry = if version.is_valkey() { version.has_valkey(9, 0) } else { version.has_redis(7, 4) };
        if !has_field_expiry {
            return None;
        }
        let answer = list(self.ask(&[b"HPEXPIRETIME", key, b"FIELDS", b"1", field]));
        Some(integer(&answer[0])).filter(|at| *at >= 0)
    }

    fn stream_difference(&mut self, key: &[u8], stream: &Stream) -> Option<String> {
        let entries: Vec<_> = list(self.ask(&[b"XRANGE", key, b"-", b"+"]))
            .into_iter()
            .map(|entry| {
                let mut parts = list(entry).into_iter();
                let id = text(parts.next().unwrap());
                let fields: Vec<_> =
                    pairs(list(parts.next().unwrap())).into_iter().map(|(f, v)| (bytes(f), bytes(v))).collect();
                (id, fields)
            })
            .collect();
        let stored = stream.entries.iter().map(|(id, fields)| (id.to_string(), fields.clone())).collect();
        if let Some(difference) = unequal(&entries, &stored) {
            return Some(difference);
        }
        let info = if self.redis(6, 0) {
            map(self.ask(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]))
        } else {
            map(self.ask(&[b"XINFO", b"STREAM", key]))
        };
        let mut expected = vec![("last-generated-id", stream.last_id.to_string())];
        if self.redis(7, 0) {
            expected.push(("max-deleted-entry-id", stream.max_deleted_id.to_string()));
            expected.push(("entries-added", stream.entries_added.to_string()));
        }
        for (name, stored) in expected {
            let server = shown(&info[name]);
            if server != stored {
                return Some(format!("{name} {server}, stored {stored}"));
            }
        }
        let groups =
            list(if self.redis(6, 0) { info["groups"].clone() } else { self.ask(&[b"XINFO", b"GROUPS", key]) });
        let names: BTreeSet<_> = groups.iter().map(|group| bytes(map(group.clone())["name"].clone())).collect();
        if names != stream.groups.keys().cloned().collect() {
            return Some(format!("groups {names:?}, stored {:?}", stream.groups.keys()));
        }
        groups.into_iter().find_map(|group| self.group_difference(key, &map(group), stream))
    }

    fn group_difference(&mut self, key: &[u8], info: &BTreeMap<String, Value>, stream: &Stream) -> Option<String> {
        let name = bytes(info["name"].clone());
        let group = &stream.groups[&name];
        let prefix = format!("group {}: ", name.escape_ascii());
        let last_id = shown(&info["last-delivered-id"]);
        if last_id != group.last_id.to_string() {
            return Some(format!("{prefix}last id {last_id}, stored {}", group.last_id));
        }
        if self.redis(7, 0) {
            let read = shown(&info["entries-read"]);
            let stored = group.entries_read.map_or("nil".to_owned(), |read| read.to_string());
            if read != stored {
                return Some(format!("{prefix}entries read {read}, stored {stored}"));
            }
        }
        let consumers = if self.redis(6, 0) {
            list(info["consumers"].clone())
        } else {
            list(self.ask(&[b"XINFO", b"CONSUMERS", key, &name]))
        };
        let consumers: BTreeSet<_> =
            consumers.into_iter().map(|consumer| bytes(map(consumer)["name"].clone())).collect();
        if consumers != group.consumers {
            return Some(format!("{prefix}consumers {consumers:?}, stored {:?}", group.consumers));
        }
        let now = super::now_ms();
        // Both give id, consumer, time and count; XPENDING the time since, XINFO FULL the time at which.
        let pending: BTreeMap<String, (Vec<u8>, i64, i64)> =
            list(self.ask(&[b"XPENDING", key, &name, b"-", b"+", b"100000"]))
                .into_iter()
                .map(|row| {
                    let row = list(row);
                    (text(row[0].clone()), (bytes(row[1].clone()), now - integer(&row[2]), integer(&row[3])))
                })
                .collect();
        let stored: BTreeMap<String, _> = group.pending.iter().map(|(id, pending)| (id.to_string(), pending)).collect();
        if !pending.keys().eq(stored.keys()) {
            return Some(format!("{prefix}pending {:?}, stored {:?}", pending.keys(), stored.keys()));
        }
        pending.iter().zip(stored.values()).find_map(|((id, (consumer, at, count)), stored)| {
            let same = Some(consumer) == stored.consumer.as_ref()
                && at.abs_diff(stored.delivered_at) < SKEW_MS.unsigned_abs()
                && count.unsigned_abs() == stored.deliveries;
            (!same).then(|| format!("{prefix}pending {id} {consumer:?} {at} {count}, stored {stored:?}"))
        })
    }
}

fn unequal<T: PartialEq + std::fmt::Debug>(server: &T, stored: &T) -> Option<String> {
    (server != stored).then(|| format!("{server:?}, stored {stored:?}"))
}

pub(crate) fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.into_bytes(),
        other => panic!("a string was expected, not {other:?}"),
    }
}

pub(crate) fn text(value: Value) -> String {
    String::from_utf8(bytes(value)).unwrap()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(n) => n.to_string(),
        other => text(other.clone()),
    }
}

pub(crate) fn number(text: &[u8]) -> f64 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

fn integer(value: &Value) -> i64 {
    if let Value::Int(n) = value { *n } else { panic!("a number was expected, not {value:?}") }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Nil => Vec::new(),
        other => panic!("an array was expected, not {other:?}"),
    }
}

fn pairs(flat: Vec<Value>) -> Vec<(Value, Value)> {
    let mut items = flat.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

fn map(value: Value) -> BTreeMap<String, Value> {
    pairs(list(value)).into_iter().map(|(name, value)| (text(name), value)).collect()
}
