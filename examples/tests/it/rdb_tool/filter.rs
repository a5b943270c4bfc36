//! `filter`: what it writes is loaded by real servers and is what was asked for.

use std::path::Path;

use rdts_rdb::{Reader, ValueType};
use rdts_testkit::{ChildProgram, Server, assert_same};

use super::{Folder, LIBRARY, ends, filled, keys, run_with, saved};
use crate::support::LONG;

#[test]
fn without_rules_everything_is_kept() {
    for name in ["redis-2.8", "redis-7.0", "redis-8.2", "valkey-9.1"] {
        let server = filled(name, 240);
        let file = saved(&server);
        let folder = Folder::new();
        let out = folder.path("out.rdb");
        ends(&["filter", &file, "-o", &out], 0);
        let encodings = |file: &str| -> Vec<ValueType> {
            let entries = Reader::new(std::fs::File::open(file).unwrap()).entries();
            entries.map(|entry| entry.unwrap().value_type).collect()
        };
        assert_eq!(encodings(&file), encodings(&out), "{name}: values are passed on as they are");
        let loaded = Server::builder(name).rdb(&out).start();
        assert_same(&server, &loaded);
        if server.version().has_redis(7, 0) {
            assert_eq!(server.cmd(&["FUNCTION", "DUMP"]), loaded.cmd(&["FUNCTION", "DUMP"]));
        }
        let piped = run_with(&["filter", "-", "-o", "-"], &std::fs::read(&file).unwrap());
        assert_eq!(piped.code, Some(0), "{}", piped.stderr);
        assert!(piped.stdout == std::fs::read(&out).unwrap(), "{name}: a pipe gives the same");
    }
}

/// Every file of the corpus, with all that servers, forks and modules put into files.
#[test]
fn every_good_file_stays_what_it_is() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rdts-rdb/tests/data");
    let mut files: Vec<_> = ["generated", "handcrafted"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(data.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rdb"))
        .collect();
    files.sort();
    let mut copied = 0;
    for file in &files {
        let folder = Folder::new();
        let (out, parts, merged) = (folder.path("out.rdb"), folder.path("parts"), folder.path("merged.rdb"));
        let file = file.to_str().unwrap();
        if run_with(&["stats", file], b"").code == Some(4) {
            continue;
        }
        copied += 1;
        ends(&["filter", file, "-o", &out], 0);
        ends(&["diff", file, &out], 0);
        ends(&["split", file, "-o", &parts, "--slots", "0-8000,8001-16383"], 0);
        let [a, b] = ["0-8000", "8001-16383"].map(|range| format!("{parts}/{range}.rdb"));
        ends(&["merge", &a, &b, "-o", &merged], 0);
        ends(&["diff", file, &merged], 0);
        // And what belongs to no key.
        let others = |file: &str| {
            let report = ends(&["stats", file, "--json"], 0).json();
            ["functions", "module_aux", "expiring_fields"].map(|field| report[field].clone())
        };
        assert_eq!(others(file), others(&out), "{file}");
        assert_eq!(others(file), others(&merged), "{file}");
    }
    assert!(copied > 20 && copied + 5 > files.len(), "{copied} of {}", files.len());
}

/// For servers of other versions, with and without what they cannot express.
#[test]
fn for_another_version() {
    for (from, to, version, lossy) in [
        ("redis-8.2", "redis-7.0", "10", true),
        ("redis-7.0", "redis-5.0", "9", true),
        ("redis-7.0", "redis-8.2", "12", false),
        ("valkey-9.1", "redis-8.2", "12", false),
        ("redis-8.2", "valkey-9.1", "80", false),
        ("redis-3.2", "redis-2.8", "6", false),
        ("redis-2.8", "valkey-9.1", "80", false),
    ] {
        let server = filled(from, 240);
        let folder = Folder::new();
        let out = folder.path("out.rdb");
        let file = saved(&server);
        let args = ["filter", &file, "-o", &out, "--rdb-version", version];
        if lossy {
            let refused = ends(&args, 4);
            assert!(
                refused.stderr.contains("cannot express") && refused.stderr.contains("--lossy"),
                "{}",
                refused.stderr
            );
            assert!(folder.names().is_empty(), "{:?}", folder.names());
            let ended = ends(&[&args[..], &["--lossy"]].concat(), 0);
            assert!(ended.stderr.contains("left out"), "{}", ended.stderr);
        } else {
            ends(&args, 0);
        }
        let loaded = Server::builder(to).rdb(&out).start();
        assert_same(&server, &loaded);
    }
}

/// Which keys a pattern matches, a server knows best.
#[test]
fn patterns_are_those_of_the_server() {
    let server = Server::start("redis-7.0");
    let names: [&[u8]; 16] = [
        b"",
        b"a",
        b"ab",
        b"abc",
        b"abcabc",
        b"a*c",
        b"a?c",
        b"[a]",
        b"a-c",
        b"\\",
        b"a\\c",
        b"^",
        b"\xff\x00",
        b"a]c",
        b"b",
        b"hello world",
    ];
    for name in names {
        server.cmd(&[b"SET".as_slice(), name, b"v"]);
    }
    let file = saved(&server);
    let folder = Folder::new();
    for pattern in [
        "*", "", "?", "??", "a*", "*c", "a*c", "a**c", "*a*b*c*", "a?c", "a\\*c", "a\\?c", "[a]", "[^a]", "[^ab]*",
        "[a-b]", "[b-a]", "[a-]*", "\\[a\\]", "[]", "[", "[^", "[a", "[^a", "a[*]c", "a[\\]]c", "a[?-]c", "\\", "\\\\",
        "a\\", "[\\]", "[\\", "[^\\^]", "*o*o*", "*abc", "a[b-", "*\\", "abc*abc",
    ] {
        let redis::Value::Array(found) = server.cmd(&["KEYS", pattern]) else { panic!("no array") };
        let mut expected: Vec<_> = found
            .into_iter()
            .map(|name| match name {
                redis::Value::BulkString(bytes) => (0, bytes),
                other => panic!("{other:?}"),
            })
            .collect();
        expected.sort();
        let (kept, others) = (folder.path("kept.rdb"), folder.path("others.rdb"));
        ends(&["filter", &file, "-o", &kept, &format!("--key={pattern}")], 0);
        assert_eq!(keys(&kept), expected, "{pattern}");
        ends(&["filter", &file, "-o", &others, &format!("--not-key={pattern}")], 0);
        assert_eq!(keys(&others).len() + expected.len(), names.len(), "{pattern}");
    }
}

/// A pattern that backtracks without end in a simpler matcher.
#[test]
fn a_hostile_pattern_ends() {
    let folder = Folder::new();
    let file = folder.file("a.rdb", &super::strings(9, &[(&"a".repeat(3000), "v")]));
    let pattern = format!("{}b", "a*".repeat(40));
    ends(&["filter", &file, "-o", &folder.path("out.rdb"), "--key", &pattern], 0);
}

/// However long a value is, it passes through.
#[test]
fn a_big_value_in_little_memory() {
    const LENGTH: u32 = 96 << 20;
    let mut bytes = b"REDIS0003\xFE\x00\x00\x03big\x80".to_vec();
    bytes.extend(LENGTH.to_be_bytes());
    bytes.resize(bytes.len() + LENGTH as usize, b'x');
    bytes.push(0xFF);
    let folder = Folder::new();
    let (file, out) = (folder.file("big.rdb", &bytes), folder.path("out.rdb"));
    for args in [
        &["stats", &file][..],
        &["filter", &file, "-o", &out],
        &["filter", &file, "-o", &out, "--rdb-version", "11"],
        &["split", &file, "-o", &folder.path("parts"), "--parts", "16"],
        &["merge", &file, "-o", &out],
        &["diff", &file, &out],
    ] {
        let finished = ChildProgram::example("rdb_tool", args).wait(LONG);
        assert_eq!(finished.code, Some(0), "{args:?}: {}", finished.stderr);
        assert!(finished.cost.peak_memory < 24 << 20, "{args:?}: {} bytes", finished.cost.peak_memory);
    }
    assert!(std::fs::read(&out).unwrap() == bytes);
}

#[test]
fn rules() {
    let server = Server::start("redis-7.0");
    let mut connection = server.connection();
    for command in [
        "SET user:1 a",
        "SET user:2 a PXAT 4000000000000",
        "RPUSH jobs:1 a b",
        "RPUSH jobs:2 a b",
        "PEXPIREAT jobs:2 4000000000000",
        "SELECT 3",
        "SET user:3 a",
        "HSET h f v",
        "SELECT 5",
        "ZADD z 1 a",
    ] {
        let mut words = command.split(' ');
        redis::cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).exec(&mut connection).unwrap();
    }
    server.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    let file = saved(&server);
    let folder = Folder::new();
    let out = folder.path("out.rdb");
    for (rules, expected) in [
        ("--db 0", "0/jobs:1 0/jobs:2 0/user:1 0/user:2"),
        ("--db 3,5", "3/h 3/user:3 5/z"),
        ("--not-db 0 --not-db 5", "3/h 3/user:3"),
        ("--type list", "0/jobs:1 0/jobs:2"),
        ("--type string,zset", "0/user:1 0/user:2 3/user:3 5/z"),
        ("--not-type string", "0/jobs:1 0/jobs:2 3/h 5/z"),
        ("--expiring", "0/jobs:2 0/user:2"),
        ("--persistent --type list", "0/jobs:1"),
        ("--prefix user:", "0/user:1 0/user:2 3/user:3"),
        ("--prefix user: --key h", "0/user:1 0/user:2 3/h 3/user:3"),
        ("--key *:1 --not-prefix jobs", "0/user:1"),
        ("--key *:* --not-key *:2 --db 0", "0/jobs:1 0/user:1"),
        ("--key nothing", ""),
    ] {
        ends(&[&["filter", &file, "-o", &out], &rules.split(' ').collect::<Vec<_>>()[..]].concat(), 0);
        let kept: Vec<_> = keys(&out).into_iter().map(|(db, key)| format!("{db}/{}", key.escape_ascii())).collect();
        assert_eq!(kept.join(" "), expected, "{rules}");
        // It loads, also when there is nothing in it, and functions stay.
        let loaded = Server::builder("redis-7.0").rdb(&out).start();
        assert_eq!(server.cmd(&["FUNCTION", "DUMP"]), loaded.cmd(&["FUNCTION", "DUMP"]), "{rules}");
    }
}
