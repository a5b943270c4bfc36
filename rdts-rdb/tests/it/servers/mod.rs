//! Files that real servers write of data at every boundary between encodings: what this crate reads in them is what the server says over RESP.

mod data;
mod said;

use std::collections::{BTreeMap, BTreeSet};

use rdts_rdb::dump::{self, Payload};
use rdts_rdb::encode::EncodeOptions;
use rdts_rdb::{Digester, Entry, Event, ParserOptions, Reader, Value, ValueMode, ValueType, Version};
use rdts_testkit::{Server, assert_same};

use crate::write::rewritten;
use ValueType as T;

/// What each kind of server writes such data with: the types that it writes, and must have written here.
fn written_types(server: &Server) -> Vec<ValueType> {
    let version = server.version();
    let mut types = vec![T::String, T::SetIntset, T::Set, T::Hash];
    let packed = match version {
        v if v.has_redis(7, 0) => [T::HashListpack, T::ZSetListpack, T::ListQuicklist2],
        v if v.has_redis(3, 2) => [T::HashZiplist, T::ZSetZiplist, T::ListQuicklist],
        _ => [T::HashZiplist, T::ZSetZiplist, T::ListZiplist],
    };
    types.extend(packed);
    if !version.has_redis(3, 2) {
        types.push(T::List);
    }
    // The server called redis-4.0 names itself 3.9.102.
    types.push(if version.has_redis(3, 9) { T::ZSet2 } else { T::ZSet });
    if version.has_redis(7, 2) {
        types.push(T::SetListpack);
    }
    types.extend(match version {
        v if v.has_redis(8, 8) => Some(T::Stream5),
        v if v.has_redis(8, 6) => Some(T::Stream4),
        v if v.has_redis(7, 2) => Some(T::Stream3),
        v if v.has_redis(7, 0) => Some(T::Stream2),
        v if v.has_redis(5, 0) => Some(T::Stream),
        _ => None,
    });
    if version.has_valkey(9, 0) {
        types.push(T::ValkeyHash2);
    } else if version.has_redis(7, 4) {
        types.extend([T::HashMetadata, T::HashListpackEx]);
    }
    if version.has_redis(8, 8) {
        types.push(T::Array);
    }
    types
}

/// Reads the file in another way: values raw, validated, or decoded where raw ones would be of no use.
fn check_raw(file: &[u8], server: &Server) {
    let mut connection = server.connection();
    let mut reader = Reader::with_options(
        file,
        ParserOptions::new().value_mode(ValueMode::RawOrDecode { limit: 1 << 30 }).unique_keys(true),
    );
    let mut version = 0;
    let mut current: Option<(Vec<u8>, ValueType)> = None;
    let (mut equal, mut all) = (0, 0);
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Header(header) => version = header.number,
            Event::SelectDb(db) => {
                let _: () = redis::cmd("SELECT").arg(db).query(&mut connection).unwrap();
            }
            Event::Key(header) => current = Some((header.key.to_vec(), header.value_type)),
            Event::Raw(raw) => {
                let (key, value_type) = current.take().unwrap();
                let mut ours = Vec::new();
                dump::append(&mut ours, value_type, raw, version);
                let theirs: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
                equal += usize::from(ours == theirs);
                all += 1;
                // A hash table may have been rehashed since the file was written: then the order differs. And now and then a server
                // compresses the same bytes in two ways: its compression begins with what was left on the stack.
                let table = matches!(value_type, T::Set | T::Hash | T::HashMetadata | T::ValkeyHash2);
                let same = ours == theirs
                    || if table {
                        digest(&ours) == digest(&theirs)
                    } else {
                        Value::from_dump(&ours).unwrap() == Value::from_dump(&theirs).unwrap()
                    };
                assert!(same, "{}: {value_type}: not what DUMP answers", key.escape_ascii());
            }
            _ => {}
        }
    }
    assert!(equal * 10 > all * 9, "only {equal} of {all} payloads are the same bytes");
}

fn digest(payload: &[u8]) -> rdts_rdb::Digest {
    let payload = Payload::parse(payload).unwrap();
    let mut digester = Digester::new(payload.value_type.kind());
    let mut events = payload.events(ParserOptions::new());
    while let Some(event) = events.next_event().unwrap() {
        digester.event(&event);
    }
    digester.finish()
}

fn check(name: &str) {
    let server = Server::builder(name).arg("activerehashing", "no").start();
    data::make(&server);
    server.cmd(&["SAVE"]);
    let file = std::fs::read(server.dir().join("dump.rdb")).unwrap();
    let mut version = None;
    let mut reader = Reader::new(&file[..]);
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Header(header) = event {
            version = Some(header);
        }
    }
    let version: Version = version.unwrap();
    let entries: Vec<Entry> = Reader::new(&file[..]).entries().map(Result::unwrap).collect();

    let types: BTreeSet<String> = entries.iter().map(|entry| entry.value_type.to_string()).collect();
    let expected: BTreeSet<String> = written_types(&server).iter().map(ToString::to_string).collect();
    assert_eq!(types, expected, "{name}");
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in &entries {
        *counts.entry(entry.db).or_default() += 1;
    }
    said::compare(&server, &entries, &counts);
    check_raw(&file, &server);

    // What is written of it, the server loads, and has the same.
    let (written, left_out) = rewritten(&file, EncodeOptions::new(version));
    assert_eq!(left_out, 0);
    let path = server.dir().join("written.rdb");
    std::fs::write(&path, written).unwrap();
    let ours = Server::builder(name).rdb(&path).start();
    assert_same(&server, &ours);
    println!("{name}: {} keys, {} bytes, {}", entries.len(), file.len(), version);
}

/// One of each family and time; all of them in the long form (`RDTS_LONG=1`).
const SHORT: [&str; 4] = ["redis-2.8", "redis-6.2", "redis-8.10", "valkey-9.1"];
const OTHERS: [&str; 11] = [
    "redis-3.0",
    "redis-3.2",
    "redis-4.0",
    "redis-5.0",
    "redis-6.0",
    "redis-7.0",
    "redis-7.2-stack",
    "redis-7.4-stack",
    "redis-8.2",
    "valkey-8.1",
    "valkey-9.0",
];

#[test]
fn what_servers_write_is_what_they_hold() {
    let mut names = SHORT.to_vec();
    if std::env::var_os("RDTS_LONG").is_some() {
        names.extend(OTHERS);
    }
    crate::files::in_parallel(&names, |name| check(name));
}

/// What no other server has: pending entries that nobody owns.
#[test]
fn what_nobody_owns_is_read_as_such() {
    let server = Server::start("redis-8.10");
    data::make(&server);
    server.cmd(&["SAVE"]);
    let file = std::fs::read(server.dir().join("dump.rdb")).unwrap();
    let mut entries = Reader::new(&file[..]).entries().map(Result::unwrap);
    let nacked = entries.find(|entry| entry.key == b"stream:nacked").unwrap();
    let Value::Stream(stream) = nacked.value else { panic!() };
    let owners: Vec<_> = stream.groups[0].pending.iter().map(|row| row.consumer).collect();
    assert_eq!(owners, [None, Some(0), Some(0)]);
}
