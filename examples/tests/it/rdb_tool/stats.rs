//! `stats`, beside files of which everything is known, and what servers say of themselves.

use std::collections::BTreeMap;

use rdts_rdb::encode::Writer;
use rdts_rdb::{Entry, HashField, Value, Version};
use rdts_testkit::ChildProgram;
use serde_json::Value as Json;

use super::{Folder, ends, filled, saved};
use crate::support::LONG;

const NOW: i64 = 1_700_000_000_000;

fn list(count: usize) -> Value {
    Value::List((0..count).map(|i| i.to_string().into_bytes()).collect())
}

fn row<'j>(rows: &'j Json, field: &str, name: &str) -> &'j Json {
    rows.as_array().unwrap().iter().find(|row| row[field] == name).unwrap_or_else(|| panic!("no {name} in {rows}"))
}

#[test]
fn everything_is_counted() {
    let mut writer = Writer::new(Vec::new(), Version::redis(12)).unwrap();
    writer.aux(b"redis-ver", b"7.4.0").unwrap();
    writer.aux(b"ctime", (NOW / 1000).to_string().as_bytes()).unwrap();
    writer.function(b"#!lua name=lib\n").unwrap();
    let mut bytes_of = BTreeMap::new();
    let mut put = |db: u64, key: &str, value: Value, left_ms: Option<i64>| {
        writer.select_db(db).unwrap();
        let before = writer.written();
        let mut entry = Entry::new(db, key, value);
        entry.expire_at_ms = left_ms.map(|left| NOW + left);
        writer.entry(&entry).unwrap();
        bytes_of.insert(key.to_owned(), writer.written() - before);
    };
    put(0, "user:1", Value::String(b"plain".to_vec()), None);
    put(0, "user:2", Value::String(b"12345".to_vec()), Some(-1));
    put(0, "user:3", Value::String(vec![b'x'; 100_000]), Some(59_999));
    put(0, "alone", list(3), Some(60_000));
    put(2, "queue:big:x", list(1000), Some(3_600_000));
    put(2, "queue:small:x", list(10), Some(400 * 86_400_000));
    let fields = vec![HashField::expiring("f", "vv", NOW), HashField::new("ff", "a longer value")];
    put(2, "h\"<&>\x01", Value::Hash(fields), None);
    let file = writer.finish().unwrap();
    let folder = Folder::new();
    let (path, svg, csv) = (folder.file("a.rdb", &file), folder.path("a.svg"), folder.path("a.csv"));

    let report = ends(&["stats", &path, "--json", "--top", "2", "--csv", &csv], 0).json();
    assert_eq!(report["version"], "REDIS0012");
    assert_eq!(report["aux"]["redis-ver"], "7.4.0");
    assert_eq!(report["file_bytes"], file.len());
    let all: u64 = bytes_of.values().sum();
    assert_eq!(
        report["total"],
        serde_json::json!({"keys": 7, "bytes": all, "elements": 3 + 3 + 1010 + 2, "expiring": 5})
    );
    assert_eq!((&report["functions"], &report["expiring_fields"]), (&Json::from(1), &Json::from(1)));
    let strings = row(&report["types"], "type", "string");
    assert_eq!(strings["keys"], 3);
    assert_eq!(strings["bytes"], bytes_of["user:1"] + bytes_of["user:2"] + bytes_of["user:3"]);
    assert_eq!(row(&report["types"], "type", "list")["elements"], 1013);
    for encoding in ["string", "string-int", "string-lzf", "hash-metadata"] {
        assert_eq!(row(&report["encodings"], "encoding", encoding)["keys"], 1, "{encoding}");
    }
    assert_eq!(row(&report["databases"], "db", "0")["keys"], 4);
    assert_eq!(row(&report["databases"], "db", "2")["elements"], 1012);
    let prefixes: Vec<_> = report["prefixes"].as_array().unwrap().iter().map(|row| &row["prefix"]).collect();
    assert_eq!(prefixes, ["queue:", "user:"]);
    assert_eq!(row(&report["prefixes"], "prefix", "queue:")["keys"], 2);
    assert_eq!(report["prefixes_other"]["keys"], 2);
    assert_eq!(report["prefixes_other"]["given_up"], 0);
    for (bucket, keys) in [("expired", 1), ("< 1 min", 1), ("< 1 h", 1), ("< 1 day", 1), ("later", 1), ("never", 2)] {
        assert_eq!(row(&report["expiry"], "left", bucket)["keys"], keys, "{bucket}");
    }
    let big = &report["biggest_by_bytes"];
    assert_eq!(big[0]["key"], "queue:big:x");
    assert_eq!(big[0]["bytes"], bytes_of["queue:big:x"]);
    assert_eq!(big[1]["key"], "user:3");
    assert_eq!(big[1]["longest_element"], 100_000);
    let elements = &report["biggest_by_elements"];
    assert_eq!((&elements[0]["elements"], &elements[1]["elements"]), (&Json::from(1000), &Json::from(10)));
    assert_eq!(big.as_array().unwrap().len(), 2);

    // Two parts of a name, and another separator.
    let report = ends(&["stats", &path, "--json", "--depth", "2"], 0).json();
    assert_eq!(row(&report["prefixes"], "prefix", "queue:big:")["keys"], 1);
    let report = ends(&["stats", &path, "--json", "--separator", ":x"], 0).json();
    assert_eq!(row(&report["prefixes"], "prefix", "queue:small:x")["keys"], 1);

    let csv = std::fs::read_to_string(csv).unwrap();
    assert_eq!(csv.lines().count(), 8);
    let line = format!("2,hash,\"h\"\"<&>\\x01\",{},hash-metadata,2,14,", bytes_of["h\"<&>\x01"]);
    assert!(csv.lines().any(|other| other == line), "{line} in {csv}");
    ends(&["stats", &path, "--svg", &svg], 0);
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("&lt;&amp;&gt;") && !svg.contains("<&>") && !svg.contains('\x01'), "names are escaped");
    for tag in ["text", "svg", "style"] {
        assert_eq!(svg.matches(&format!("<{tag}")).count(), svg.matches(&format!("</{tag}>")).count(), "{tag}");
    }

    let text = ends(&["stats", &path], 0).text();
    for part in ["written by Redis 7.4.0, 2023-11-14 22:13:20 UTC", "7 keys, 1,018 elements", "queue:big:x", "█"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

/// A real server's own counts are the same.
#[test]
fn a_server_counts_the_same() {
    for name in ["redis-7.0", "redis-8.2", "valkey-9.1"] {
        let server = filled(name, 240);
        let report = ends(&["stats", &saved(&server), "--json", "--top", "1000"], 0).json();
        let keyspace = server.info("keyspace");
        assert_eq!(keyspace.len(), report["databases"].as_array().unwrap().len());
        for (db, counts) in &keyspace {
            let ours = row(&report["databases"], "db", db.trim_start_matches("db"));
            let start = format!("keys={},expires={},", ours["keys"], ours["expiring"]);
            assert!(counts.starts_with(&start), "{name} {db}: {counts}, but {ours}");
        }
        let mut connection = server.connection();
        let mut types: BTreeMap<String, u64> = BTreeMap::new();
        for big in report["biggest_by_bytes"].as_array().unwrap() {
            let key: Vec<u8> = big["key"].as_str().unwrap().chars().map(|c| u8::try_from(c).unwrap()).collect();
            redis::cmd("SELECT").arg(big["db"].as_u64()).exec(&mut connection).unwrap();
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut connection).unwrap();
            let length = match kind.as_str() {
                "list" => "LLEN",
                "set" => "SCARD",
                "zset" => "ZCARD",
                "hash" => "HLEN",
                "stream" => "XLEN",
                _ => "STRLEN",
            };
            let length: u64 = redis::cmd(length).arg(&key).query(&mut connection).unwrap();
            let field = if kind == "string" { "longest_element" } else { "elements" };
            assert_eq!(big[field], length, "{name}: {big}");
            assert_eq!(big["type"], kind.as_str());
            *types.entry(kind).or_default() += 1;
        }
        assert_eq!(types.values().sum::<u64>(), 240);
        for (kind, count) in types {
            assert_eq!(row(&report["types"], "type", &kind)["keys"], count, "{name} {kind}");
        }
        assert_eq!(report["functions"], 1);
    }
}

/// However many prefixes there are, memory is bounded, the sums are right, and a big one is seen.
#[test]
fn many_prefixes_in_little_memory() {
    const MANY: u64 = 400_000;
    let mut writer = Writer::new(Vec::new(), Version::redis(11)).unwrap();
    for i in 0..MANY {
        writer.entry(&Entry::new(0, format!("some-longer-prefix-{i}:x"), Value::String(b"v".to_vec()))).unwrap();
        if i >= MANY / 2 && i % 100 == 0 {
            writer.entry(&Entry::new(0, format!("late:{i}"), Value::String(vec![b'v'; 15]))).unwrap();
        }
    }
    let late = MANY / 2 / 100;
    let folder = Folder::new();
    let path = folder.file("many.rdb", &writer.finish().unwrap());
    let program = ChildProgram::example("rdb_tool", &["stats", &path, "--json", "--max-prefixes", "1000"]);
    let finished = program.wait(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.cost.peak_memory < 24 << 20, "{} bytes", finished.cost.peak_memory);
    let report: Json = serde_json::from_str(&finished.stdout).unwrap();
    let other = &report["prefixes_other"];
    assert!(other["given_up"].as_u64().unwrap() > MANY - 1500);
    let shown = report["prefixes"].as_array().unwrap();
    assert_eq!(shown[0]["prefix"], "late:");
    let keys = shown[0]["keys"].as_u64().unwrap();
    let may_lack = other["shown_may_lack"]["keys"].as_u64().unwrap();
    assert!(keys <= late && keys + may_lack >= late, "{keys} of {late}, may lack {may_lack}");
    let sum = |field: &str| shown.iter().chain([other]).map(|row| row[field].as_u64().unwrap()).sum::<u64>();
    for field in ["keys", "bytes", "elements", "expiring"] {
        assert_eq!(sum(field), report["total"][field], "{field}");
    }
}

#[test]
fn an_empty_file() {
    let folder = Folder::new();
    let path = folder.file("empty.rdb", &super::strings(9, &[]));
    assert!(ends(&["stats", &path], 0).text().contains("0 keys"));
    let svg = folder.path("empty.svg");
    ends(&["stats", &path, "--svg", &svg, "--json"], 0);
    assert!(std::fs::read_to_string(svg).unwrap().ends_with("</svg>\n"));
}
