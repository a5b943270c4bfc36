//! What a server says of its keys over RESP, against what was read in its file.

use std::collections::{BTreeMap, HashMap};

use rdts_rdb::value::Stream;
use rdts_rdb::{Entry, StreamId, Value};
use rdts_testkit::Server;
use redis::{Cmd, Connection, FromRedisValue};

/// By how much times may differ that the server tells as a distance from now.
const TOLERANCE_MS: i64 = 5000;

type Named = HashMap<String, redis::Value>;

/// Compares all keys, database by database.
pub(super) fn compare(server: &Server, entries: &[Entry], counts: &BTreeMap<u64, u64>) {
    let mut asked = Asked { connection: server.connection(), server };
    for (db, count) in counts {
        let () = asked.ask(redis::cmd("SELECT").arg(db));
        assert_eq!(asked.ask::<u64>(&mut redis::cmd("DBSIZE")), *count, "db {db}");
        for entry in entries.iter().filter(|entry| entry.db == *db) {
            asked.expiry(entry);
            asked.value(entry);
        }
    }
    let keyspace = server.info("keyspace");
    assert_eq!(keyspace.keys().filter(|name| name.starts_with("db")).count(), counts.len());
}

struct Asked<'s> {
    connection: Connection,
    server: &'s Server,
}

impl Asked<'_> {
    #[track_caller]
    fn ask<T: FromRedisValue>(&mut self, command: &mut Cmd) -> T {
        command.query(&mut self.connection).unwrap()
    }

    fn now(&mut self) -> i64 {
        let (seconds, micros): (i64, i64) = self.ask(&mut redis::cmd("TIME"));
        seconds * 1000 + micros / 1000
    }

    fn expiry(&mut self, entry: &Entry) {
        let now = self.now();
        let left: i64 = self.ask(redis::cmd("PTTL").arg(&entry.key));
        let said = (left >= 0).then(|| now + left);
        let same = match (said, entry.expire_at_ms) {
            (Some(said), Some(read)) => said.abs_diff(read) < TOLERANCE_MS.unsigned_abs(),
            (said, read) => said == read,
        };
        assert!(same, "{}: {said:?} {:?}", entry.key.escape_ascii(), entry.expire_at_ms);
    }

    fn value(&mut self, entry: &Entry) {
        let key = &entry.key;
        let name = format!("{}: {}", self.server.name(), key.escape_ascii());
        let kind: String = self.ask(redis::cmd("TYPE").arg(key));
        match &entry.value {
            Value::String(read) => {
                let said: Vec<u8> = self.ask(redis::cmd("GET").arg(key));
                assert!(said == *read, "{name}");
            }
            Value::List(read) => {
                let said: Vec<Vec<u8>> = self.ask(redis::cmd("LRANGE").arg(key).arg(0).arg(-1));
                assert!(said == *read, "{name}");
            }
            Value::Set(read) => {
                let said: Vec<Vec<u8>> = self.ask(redis::cmd("SMEMBERS").arg(key));
                assert!(sorted(said) == sorted(read.clone()), "{name}");
            }
            Value::ZSet(read) => {
                let said: Vec<Vec<u8>> = self.ask(redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES"));
                let said = said.chunks(2).map(|pair| {
                    let score: f64 = std::str::from_utf8(&pair[1]).unwrap().parse().unwrap();
                    (pair[0].clone(), score.to_bits())
                });
                let read = read.iter().map(|(member, score)| (member.clone(), score.to_bits()));
                assert_eq!(sorted(said.collect()), sorted(read.collect()), "{name}");
            }
            Value::Hash(read) => {
                let mut said = Vec::new();
                let pairs: Vec<Vec<u8>> = self.ask(redis::cmd("HGETALL").arg(key));
                for pair in pairs.chunks(2) {
                    said.push((pair[0].clone(), pair[1].clone(), self.field_expiry(key, &pair[0])));
                }
                let read = read.iter().map(|f| (f.field.clone(), f.value.clone(), f.expire_at_ms));
                assert!(sorted(said) == sorted(read.collect()), "{name}");
            }
            Value::Stream(read) => self.stream(key, &name, read),
            // Compared by the payloads that DUMP answers.
            Value::Array(_) => assert_eq!(kind, "array"),
            other => panic!("{name}: not made by this test: {other:?}"),
        }
        if entry.value.kind() != rdts_rdb::ValueKind::Array {
            assert_eq!(kind, entry.value.kind().to_string(), "{name}");
        }
    }

    fn field_expiry(&mut self, key: &[u8], field: &[u8]) -> Option<i64> {
        let version = self.server.version();
        if !(version.has_redis(7, 4) || version.has_valkey(9, 0)) {
            return None;
        }
        let [time]: [i64; 1] = self.ask(redis::cmd("HPEXPIRETIME").arg(key).arg("FIELDS").arg(1).arg(field));
        (time >= 0).then_some(time)
    }

    fn stream(&mut self, key: &[u8], name: &str, read: &Stream) {
        let said: Vec<(String, Vec<Vec<u8>>)> = self.ask(redis::cmd("XRANGE").arg(key).arg("-").arg("+"));
        let entries = read.entries.iter().map(|(id, pairs)| {
            let fields = pairs.iter().flat_map(|(field, value)| [field.clone(), value.clone()]).collect();
            (id.to_string(), fields)
        });
        assert!(said == entries.collect::<Vec<(String, Vec<Vec<u8>>)>>(), "{name}");

        let info: Named = self.ask(redis::cmd("XINFO").arg("STREAM").arg(key));
        let meta = &read.meta;
        assert_eq!(said_as::<u64>(&info, "length"), Some(meta.length), "{name}");
        assert_eq!(said_as(&info, "last-generated-id"), Some(meta.last_id.to_string()), "{name}");
        assert_eq!(said_as(&info, "entries-added"), meta.entries_added, "{name}");
        assert_eq!(said_as(&info, "max-deleted-entry-id"), meta.max_deleted_id.map(text), "{name}");
        assert_eq!(said_as(&info, "recorded-first-entry-id"), meta.first_id.map(text), "{name}");

        let groups: Vec<Named> = self.ask(redis::cmd("XINFO").arg("GROUPS").arg(key));
        assert_eq!(groups.len(), read.groups.len(), "{name}");
        for group in &read.groups {
            let said = groups.iter().find(|said| said_as(said, "name") == Some(group.name.clone()));
            let said = said.unwrap_or_else(|| panic!("{name}: {}", group.name.escape_ascii()));
            assert_eq!(said_as(said, "last-delivered-id"), Some(group.last_id.to_string()), "{name}");
            assert_eq!(said_as(said, "pending"), Some(group.pending.len()), "{name}");
            assert_eq!(said_as(said, "entries-read"), group.entries_read.filter(|read| *read >= 0), "{name}");
            self.consumers(key, name, group);
            self.pending(key, name, group);
        }
    }

    fn consumers(&mut self, key: &[u8], name: &str, group: &rdts_rdb::value::Group) {
        let said: Vec<Named> = self.ask(redis::cmd("XINFO").arg("CONSUMERS").arg(key).arg(&group.name));
        let said =
            said.iter().map(|c| (said_as::<Vec<u8>>(c, "name").unwrap(), said_as::<usize>(c, "pending").unwrap()));
        let read = group.consumers.iter().enumerate().map(|(index, consumer)| {
            let owned = group.pending.iter().filter(|row| row.consumer == Some(index)).count();
            (consumer.name.clone(), owned)
        });
        assert_eq!(sorted(said.collect()), sorted(read.collect()), "{name}");
    }

    fn pending(&mut self, key: &[u8], name: &str, group: &rdts_rdb::value::Group) {
        let now = self.now();
        let mut command = redis::cmd("XPENDING");
        command.arg(key).arg(&group.name).arg("-").arg("+").arg(10_000);
        let said: Vec<(String, Vec<u8>, i64, u64)> = self.ask(&mut command);
        assert_eq!(said.len(), group.pending.len(), "{name}");
        for ((id, consumer, idle, deliveries), row) in said.into_iter().zip(&group.pending) {
            let owner = row.consumer.map_or(Vec::new(), |index| group.consumers[index].name.clone());
            assert_eq!((id, consumer, deliveries), (row.id.to_string(), owner, row.delivery_count), "{name}");
            // The server says 0 for one that it gives up.
            let delivered = now - idle;
            let near = delivered.abs_diff(row.delivery_time_ms) < TOLERANCE_MS.unsigned_abs();
            assert!(near || row.consumer.is_none(), "{name}: {delivered} {row:?}");
        }
    }
}

fn text(id: StreamId) -> String {
    id.to_string()
}

/// What is said under a name; `None` for nothing and for nil.
fn said_as<T: FromRedisValue>(said: &Named, name: &str) -> Option<T> {
    let value = said.get(name).filter(|value| **value != redis::Value::Nil)?;
    Some(T::from_redis_value(value.clone()).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}
