//! Reading one of the two servers that are compared.

use std::collections::{BTreeMap, BTreeSet};

use redis::{Connection, Pipeline, Value};

use super::content::{Content, Entry, Field, Pending, Stream};
use crate::Server;
use crate::wire::{add, array, bytes, int, send, show};

pub(super) struct Side {
    connection: Connection,
    /// Database → whether any hash in it has fields that expire.
    dbs: BTreeMap<u32, bool>,
    commands: BTreeSet<String>,
    /// Whether both servers can tell when a hash field expires, and one of them has such fields.
    field_expiry: bool,
    /// Whether consumers with nothing pending count.
    idle_consumers: bool,
    /// What both servers say of a stream and of a group.
    stream_fields: Vec<&'static str>,
    group_fields: Vec<&'static str>,
}

impl Side {
    pub(super) fn new(server: &Server) -> Self {
        let keyspace = server.info("keyspace");
        let dbs = keyspace.iter().map(|(db, state)| {
            let number = db.strip_prefix("db").and_then(|number| number.parse().ok());
            // Redis says `subexpiry=N`, Valkey `keys_with_volatile_items=N`.
            let fields = state.split(',').filter_map(|field| field.split_once('='));
            let volatile = |(name, count): (&str, &str)| {
                matches!(name, "subexpiry" | "keys_with_volatile_items") && count.trim() != "0"
            };
            (number.expect("INFO keyspace has lines dbN:"), fields.into_iter().any(volatile))
        });
        let version = server.version();
        let newer = version.has_redis(7, 0);
        let (mut stream_fields, mut group_fields) =
            (vec!["last-generated-id"], vec!["name", "last-delivered-id", "pending"]);
        if newer {
            stream_fields.extend(["max-deleted-entry-id", "entries-added"]);
            group_fields.push("entries-read");
        }
        let dbs = dbs.collect();
        let mut connection = server.connection();
        let known = send(&mut connection, redis::pipe().cmd("COMMAND")).into_iter().flat_map(array);
        let commands = known.filter_map(|command| array(command).into_iter().next()).map(bytes);
        let commands = commands.map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase()).collect();
        Self { connection, dbs, commands, field_expiry: false, idle_consumers: false, stream_fields, group_fields }
    }

    /// Only what both servers know can be compared.
    pub(super) fn agree_on_abilities(&mut self, other: &mut Self, idle_stream_state: bool) {
        let know = |side: &Self| side.commands.contains("hpexpiretime");
        let have = |side: &Self| side.dbs.values().any(|volatile| *volatile);
        self.field_expiry = know(self) && know(other) && (have(self) || have(other));
        other.field_expiry = self.field_expiry;
        self.idle_consumers = idle_stream_state;
        other.idle_consumers = idle_stream_state;
        if !idle_stream_state {
            self.group_fields.retain(|field| *field != "entries-read");
        }
        for (mine, theirs) in
            [(&mut self.stream_fields, &mut other.stream_fields), (&mut self.group_fields, &mut other.group_fields)]
        {
            mine.retain(|field| theirs.contains(field));
            theirs.clone_from(mine);
        }
    }

    pub(super) fn dbs(&self) -> impl Iterator<Item = u32> {
        self.dbs.keys().copied()
    }

    /// All keys of a database, which is the selected one from now on.
    pub(super) fn keys(&mut self, db: u32) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        let mut cursor = b"0".to_vec();
        let mut commands = Pipeline::new();
        add(&mut commands, &["SELECT", &db.to_string()]);
        loop {
            add(&mut commands, &[b"SCAN".as_slice(), &cursor, b"COUNT", b"2000"]);
            let page = send(&mut self.connection, &commands).pop().expect("one reply to each command");
            let [next, found] = array(page).try_into().expect("SCAN answers a cursor and keys");
            keys.extend(array(found).into_iter().map(bytes));
            cursor = bytes(next);
            if cursor == b"0" {
                return keys;
            }
            commands.clear();
        }
    }

    /// The states of `keys` in the selected database.
    pub(super) fn entries(&mut self, keys: &[&[u8]]) -> Vec<Entry> {
        let mut commands = Pipeline::new();
        add(&mut commands, &["TIME"]);
        for key in keys {
            add(&mut commands, &[b"TYPE".as_slice(), key]);
            add(&mut commands, &[b"PTTL".as_slice(), key]);
        }
        let mut replies = send(&mut self.connection, &commands).into_iter();
        let now = millis(replies.next());
        let mut entries: Vec<Entry> = (0..keys.len())
            .map(|_| {
                let kind = String::from_utf8_lossy(&bytes(replies.next().expect("a reply to TYPE"))).into_owned();
                let ttl = Some(int(&replies.next().expect("a reply to PTTL"))).filter(|ttl| *ttl >= 0);
                Entry { kind, expires: ttl.map(|ttl| now + ttl), ttl, content: Content::None }
            })
            .collect();
        let mut commands = Pipeline::new();
        for (key, entry) in keys.iter().zip(&entries) {
            match &*entry.kind {
                "string" => add(&mut commands, &[b"GET".as_slice(), key]),
                "list" => add(&mut commands, &[b"LRANGE".as_slice(), key, b"0", b"-1"]),
                "set" => add(&mut commands, &[b"SMEMBERS".as_slice(), key]),
                "zset" => add(&mut commands, &[b"ZRANGE".as_slice(), key, b"0", b"-1", b"WITHSCORES"]),
                "hash" => add(&mut commands, &[b"HGETALL".as_slice(), key]),
                "stream" => add(&mut commands, &[b"XRANGE".as_slice(), key, b"-", b"+"]),
                // Of no use for a key that is gone, but keeps the replies in step.
                _ => add(&mut commands, &[b"DUMP".as_slice(), key]),
            }
        }
        let replies = send(&mut self.connection, &commands);
        for ((key, entry), reply) in keys.iter().zip(&mut entries).zip(replies) {
            entry.content = self.content(key, &entry.kind, reply);
        }
        entries
    }

    fn content(&mut self, key: &[u8], kind: &str, reply: Value) -> Content {
        if kind == "none" || matches!(reply, Value::Nil) {
            return Content::None;
        }
        let reply = match reply {
            Value::ServerError(error) => panic!("cannot read {kind} {}: {error:?}", show(key)),
            reply => reply,
        };
        match kind {
            "string" => Content::Bytes(bytes(reply)),
            "stream" => Content::Stream(self.stream(key, reply)),
            "list" | "set" | "zset" | "hash" => {
                let mut items: Vec<Vec<u8>> = array(reply).into_iter().map(bytes).collect();
                match kind {
                    // It expired between TYPE and now.
                    _ if items.is_empty() => Content::None,
                    "list" => Content::Items(items),
                    "set" => {
                        items.sort_unstable();
                        Content::Items(items)
                    }
                    "zset" => {
                        let mut scores: Vec<_> = pairs(items).map(|(member, score)| (member, number(&score))).collect();
                        scores.sort_by(|left, right| left.0.cmp(&right.0));
                        Content::Scores(scores)
                    }
                    _ => Content::Fields(self.fields(key, pairs(items))),
                }
            }
            _ => {
                // The payload's last ten bytes are the RDB version and a checksum over all of it.
                let mut payload = bytes(reply);
                payload.truncate(payload.len().saturating_sub(10));
                Content::Bytes(payload)
            }
        }
    }

    fn fields(&mut self, key: &[u8], pairs: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<Field> {
        let mut fields: Vec<Field> =
            pairs.map(|(name, value)| Field { name, value, expires: None, ttl: None }).collect();
        fields.sort_by(|left, right| left.name.cmp(&right.name));
        if self.field_expiry {
            let count = fields.len().to_string();
            let mut args = vec![b"HPEXPIRETIME".as_slice(), key, b"FIELDS", count.as_bytes()];
            args.extend(fields.iter().map(|field| field.name.as_slice()));
            let mut commands = Pipeline::new();
            add(&mut commands, &["TIME"]);
            add(&mut commands, &args);
            let [now, times] = send(&mut self.connection, &commands).try_into().expect("two replies");
            let now = millis(Some(now));
            // Less than -1 where it has expired after it was read: the same as one whose time has just come.
            let times = array(times).into_iter().map(|time| int(&time)).map(|time| if time < -1 { now } else { time });
            for (field, time) in fields.iter_mut().zip(times) {
                field.expires = Some(time).filter(|time| *time >= 0);
                field.ttl = field.expires.map(|time| time - now);
            }
        }
        fields
    }

    fn stream(&mut self, key: &[u8], entries: Value) -> Stream {
        let flat = |entry: Value| -> Vec<Vec<u8>> {
            let mut parts = array(entry).into_iter();
            let id = bytes(parts.next().expect("an entry has an ID"));
            let fields = parts.next().map(array).unwrap_or_default();
            std::iter::once(id).chain(fields.into_iter().map(bytes)).collect()
        };
        let entries = array(entries).into_iter().map(flat).collect();
        let mut commands = Pipeline::new();
        add(&mut commands, &["TIME"]);
        add(&mut commands, &[b"XINFO".as_slice(), b"STREAM", key]);
        add(&mut commands, &[b"XINFO".as_slice(), b"GROUPS", key]);
        let [time, stream, groups] = send(&mut self.connection, &commands).try_into().expect("three replies");
        let now = millis(Some(time));
        let mut state = vec![describe(&named(stream), &self.stream_fields)];
        let mut pending = Vec::new();
        let mut groups: Vec<_> = array(groups).into_iter().map(named).collect();
        groups.sort_by_key(|group| bytes(group["name"].clone()));
        for group in groups {
            let name = bytes(group["name"].clone());
            state.push(format!("group {}", describe(&group, &self.group_fields)));
            let count = int(&group["pending"]).to_string();
            let mut commands = Pipeline::new();
            add(&mut commands, &[b"XINFO".as_slice(), b"CONSUMERS", key, &name]);
            if count != "0" {
                add(&mut commands, &[b"XPENDING".as_slice(), key, &name, b"-", b"+", count.as_bytes()]);
            }
            let mut replies = send(&mut self.connection, &commands).into_iter();
            let consumers = replies.next().map(array).unwrap_or_default().into_iter().map(named);
            let counted = consumers.filter(|consumer| self.idle_consumers || int(&consumer["pending"]) > 0);
            let mut consumers: Vec<_> = counted
                .map(|consumer| format!("group {} consumer {}", show(&name), describe(&consumer, &["name", "pending"])))
                .collect();
            consumers.sort_unstable();
            state.append(&mut consumers);
            for entry in replies.next().map(array).unwrap_or_default() {
                let [id, consumer, idle, deliveries] = array(entry).try_into().expect("XPENDING answers four parts");
                let (id, consumer, deliveries) = (bytes(id), bytes(consumer), int(&deliveries));
                let what = format!("group {} {} of {} ×{deliveries}", show(&name), show(&id), show(&consumer));
                pending.push(Pending { what, delivered: now - int(&idle) });
            }
        }
        Stream { entries, state, pending }
    }
}

/// `TIME` in milliseconds.
fn millis(reply: Option<Value>) -> i64 {
    let parts: Vec<i64> = array(reply.expect("a reply to TIME"))
        .into_iter()
        .map(|part| String::from_utf8_lossy(&bytes(part)).parse().expect("TIME answers numbers"))
        .collect();
    parts[0] * 1000 + parts[1] / 1000
}

fn pairs(items: Vec<Vec<u8>>) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

fn number(score: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(score);
    text.parse().unwrap_or_else(|_| panic!("not a score: {text}"))
}

/// A reply of names and values in turn.
fn named(reply: Value) -> BTreeMap<String, Value> {
    let mut items = array(reply).into_iter();
    let next = || Some((String::from_utf8_lossy(&bytes(items.next()?)).into_owned(), items.next()?));
    std::iter::from_fn(next).collect()
}

fn describe(state: &BTreeMap<String, Value>, fields: &[&str]) -> String {
    let shown = fields.iter().map(|field| match &state[*field] {
        Value::Nil => format!("{field}=nil"),
        value => format!("{field}={}", show(&bytes(value.clone()))),
    });
    shown.collect::<Vec<_>>().join(" ")
}
