//! Reading one server of a side.

use std::collections::{BTreeMap, BTreeSet};

use redis::{Connection, Pipeline, Value};

use super::content::{Content, Entry, Field, Pending, Stream};
use crate::cluster::NodeView;
use crate::wire::{add, array, bytes, int, send, show};
use crate::{Server, key_slot};

pub(super) struct Shard {
    connection: Connection,
    address: String,
    /// What a node of a cluster says of its slots.
    slots: Option<NodeView>,
    /// Database → whether any hash in it has fields that expire.
    dbs: BTreeMap<u32, bool>,
    commands: BTreeSet<String>,
    newer: bool,
    /// Whether all servers can tell when a hash field expires, and one of them has such fields.
    field_expiry: bool,
    /// Whether consumers with nothing pending count.
    idle_consumers: bool,
    /// What all servers say of a stream and of a group.
    stream_fields: Vec<&'static str>,
    group_fields: Vec<&'static str>,
}

impl Shard {
    pub(super) fn new(server: &Server, slots: Option<NodeView>) -> Self {
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
        let dbs = dbs.collect();
        let mut connection = server.connection();
        let known = send(&mut connection, redis::pipe().cmd("COMMAND")).into_iter().flat_map(array);
        let commands = known.filter_map(|command| array(command).into_iter().next()).map(bytes);
        let commands = commands.map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase()).collect();
        let newer = server.version().has_redis(7, 0);
        Self {
            connection,
            address: server.addr(),
            slots,
            dbs,
            commands,
            newer,
            field_expiry: false,
            idle_consumers: false,
            stream_fields: Vec::new(),
            group_fields: Vec::new(),
        }
    }

    pub(super) fn knows_field_expiry(&self) -> bool {
        self.commands.contains("hpexpiretime")
    }

    pub(super) fn has_field_expiry(&self) -> bool {
        self.dbs.values().any(|volatile| *volatile)
    }

    pub(super) fn knows_newer_stream_state(&self) -> bool {
        self.newer
    }

    /// Has it read only what all servers can tell.
    pub(super) fn limit_to(&mut self, field_expiry: bool, newer_stream_state: bool, idle_stream_state: bool) {
        self.field_expiry = field_expiry;
        self.idle_consumers = idle_stream_state;
        self.stream_fields = vec!["last-generated-id"];
        self.group_fields = vec!["name", "last-delivered-id", "pending"];
        if newer_stream_state {
            self.stream_fields.extend(["max-deleted-entry-id", "entries-added"]);
            if idle_stream_state {
                self.group_fields.push("entries-read");
            }
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether the key belongs here, or is on its way here.
    pub(super) fn may_hold(&self, key: &[u8]) -> bool {
        let holds = |own: &NodeView| own.has(key_slot(key)) || own.importing.contains(&key_slot(key));
        self.slots.as_ref().is_none_or(holds)
    }

    /// Sends commands about `keys`, and gives the replies to them.
    fn ask(&mut self, questions: &[(&[u8], Vec<&[u8]>)]) -> Vec<Value> {
        let mut commands = Pipeline::new();
        let mut asking = Vec::new();
        for (key, question) in questions {
            // A node that gets a slot shows its keys only to those who say that they were sent.
            if self.slots.as_ref().is_some_and(|own| !own.has(key_slot(key))) {
                asking.push(commands.len());
                add(&mut commands, &["ASKING"]);
            }
            add(&mut commands, question);
        }
        let replies = send(&mut self.connection, &commands).into_iter().enumerate();
        replies.filter(|(place, _)| asking.binary_search(place).is_err()).map(|(_, reply)| reply).collect()
    }

    /// The server's clock, in milliseconds.
    fn now(&mut self) -> i64 {
        let reply = send(&mut self.connection, redis::pipe().cmd("TIME")).pop().expect("a reply to TIME");
        let parts: Vec<i64> = array(reply)
            .into_iter()
            .map(|part| String::from_utf8_lossy(&bytes(part)).parse().expect("TIME answers numbers"))
            .collect();
        parts[0] * 1000 + parts[1] / 1000
    }

    pub(super) fn dbs(&self) -> impl Iterator<Item = u32> {
        self.dbs.keys().copied()
    }

    /// All keys of a database, which is the selected one from now on.
    pub(super) fn scan(&mut self, db: u32) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        if !self.dbs.contains_key(&db) {
            return keys;
        }
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
        let questions =
            keys.iter().flat_map(|key| [(*key, vec![b"TYPE".as_slice(), key]), (*key, vec![b"PTTL".as_slice(), key])]);
        let now = self.now();
        let mut replies = self.ask(&questions.collect::<Vec<_>>()).into_iter();
        let mut entries: Vec<Entry> = (0..keys.len())
            .map(|_| {
                let kind = String::from_utf8_lossy(&bytes(replies.next().expect("a reply to TYPE"))).into_owned();
                let ttl = Some(int(&replies.next().expect("a reply to PTTL"))).filter(|ttl| *ttl >= 0);
                Entry { kind, expires: ttl.map(|ttl| now + ttl), ttl, content: Content::None }
            })
            .collect();
        let questions = keys.iter().zip(&entries).map(|(key, entry)| {
            let question: &[&[u8]] = match &*entry.kind {
                "string" => &[b"GET", key],
                "list" => &[b"LRANGE", key, b"0", b"-1"],
                "set" => &[b"SMEMBERS", key],
                "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
                "hash" => &[b"HGETALL", key],
                "stream" => &[b"XRANGE", key, b"-", b"+"],
                // Of no use for a key that is gone, but keeps the replies in step.
                _ => &[b"DUMP", key],
            };
            (*key, question.to_vec())
        });
        let replies = self.ask(&questions.collect::<Vec<_>>());
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
            let now = self.now();
            let [times] = self.ask(&[(key, args)]).try_into().expect("one reply");
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
        let now = self.now();
        let questions =
            [(key, vec![b"XINFO".as_slice(), b"STREAM", key]), (key, vec![b"XINFO".as_slice(), b"GROUPS", key])];
        let [stream, groups] = self.ask(&questions).try_into().expect("two replies");
        let mut state = vec![describe(&named(stream), &self.stream_fields)];
        let mut pending = Vec::new();
        let mut groups: Vec<_> = array(groups).into_iter().map(named).collect();
        groups.sort_by_key(|group| bytes(group["name"].clone()));
        for group in groups {
            let name = bytes(group["name"].clone());
            state.push(format!("group {}", describe(&group, &self.group_fields)));
            let count = int(&group["pending"]).to_string();
            let mut questions = vec![(key, vec![b"XINFO".as_slice(), b"CONSUMERS", key, &name])];
            if count != "0" {
                questions.push((key, vec![b"XPENDING".as_slice(), key, &name, b"-", b"+", count.as_bytes()]));
            }
            let mut replies = self.ask(&questions).into_iter();
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
