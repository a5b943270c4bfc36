//! DUMP payloads: taken apart, made, and equal to what servers answer.

use rdts_rdb::dump::{self, Payload};
use rdts_rdb::{ErrorKind, Event, Parser, Value, ValueMode, ValueType};

use crate::expected::latin1;
use crate::feed::{Cut, feed, options};
use crate::files;
use crate::sha256;

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bits = 0u32;
    let mut n = 0;
    for c in text.bytes().filter(|&c| c != b'=') {
        let v = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(v);
        n += 6;
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    out
}

/// What the server answers to DUMP is the raw value of the file, wrapped.
#[test]
fn raw_values_make_the_payloads_that_servers_make() {
    let mut equal = 0;
    let mut other = Vec::new();
    for file in files::good() {
        let Some(dbs) = file.json["dbs"].as_object() else { continue };
        let mut raws = std::collections::HashMap::new();
        let mut current = (0, Vec::new(), ValueType::String);
        let mut parser = Parser::with_options(options().value_mode(ValueMode::RawOrDecode { limit: 1 << 30 }));
        feed(&mut parser, &file.bytes, Cut::Whole, |event| {
            match event {
                Event::SelectDb(db) => current.0 = *db,
                Event::Key(header) => current = (current.0, header.key.to_vec(), header.value_type),
                Event::Raw(raw) => {
                    raws.insert((current.0.to_string(), latin1(&current.1)), (current.2, raw.to_vec()));
                }
                _ => {}
            }
            None
        });
        for (db, keys) in dbs {
            for key in keys.as_array().unwrap() {
                let Some(name) = key["key"].as_str() else { continue };
                let Some((value_type, raw)) = raws.get(&(db.clone(), name.to_owned())) else { continue };
                let is_same = if let Some(dump) = key["dump_b64"].as_str() {
                    let theirs = base64(dump);
                    let payload = Payload::parse(&theirs).unwrap();
                    if &payload.value_type == value_type {
                        assert_eq!(Value::from_dump(&theirs).unwrap().kind(), value_type.kind());
                    }
                    let mut ours = vec![b'x'; 3];
                    dump::append(&mut ours, *value_type, raw, payload.version);
                    assert_eq!(ours.len() - 3, dump::len(raw));
                    let mut put = bytes::BytesMut::from(&b"yy"[..]);
                    dump::put(&mut put, *value_type, raw, payload.version);
                    assert_eq!(ours[3..], put[2..]);
                    ours[3..] == theirs[..]
                } else if let Some(hash) = key["dump_sha256"].as_str() {
                    let version = file.json["rdb"]["version"].as_u64().unwrap();
                    let mut ours = Vec::new();
                    dump::append(&mut ours, *value_type, raw, version as u16);
                    sha256::hex(&ours) == hash
                } else {
                    continue;
                };
                if is_same {
                    equal += 1;
                } else {
                    other.push(format!("{} {name} {value_type}", file.name));
                }
            }
        }
    }
    println!("{equal} payloads equal, {} not: {other:#?}", other.len());
    assert!(equal > 4000, "{equal} of {}", equal + other.len());
    // A graph module's value has addresses in its process's memory in it: five, in another order each time that it is saved.
    assert_eq!(other, ["redis-8.2.3_graphmodule.rdb g1 module2"]);
}

#[test]
fn worked_examples() {
    let hex = |text: &str| -> Vec<u8> { text.split(' ').map(|b| u8::from_str_radix(b, 16).unwrap()).collect() };
    let payload = hex("00 c0 ff 0c 00 c7 e5 4a e4 7f 22 03 8c");
    assert_eq!(Value::from_dump(&payload).unwrap(), Value::String(b"-1".to_vec()));
    let payload = hex(
        "16 02 01 78 c0 01 7b d8 c3 2c bb 03 00 00 01 79 c0 02 7b d8 c3 2c bb 03 00 00 50 00 de e4 49 4c 99 90 3a b5",
    );
    assert_eq!(Payload::parse(&payload).unwrap().value_type, ValueType::ValkeyHash2, "the footer's version decides");
    let Value::Hash(fields) = Value::from_dump(&payload).unwrap() else { panic!() };
    assert_eq!(fields[0].expire_at_ms, Some(4_102_444_800_123));
    let payload =
        hex("16 02 00 01 79 c0 02 00 01 78 c3 09 40 c8 01 5a 5a e0 bb 00 01 5a 5a 0c 00 d8 48 1a 88 9b 9f 55 59");
    assert_eq!(Payload::parse(&payload).unwrap().value_type, ValueType::HashMetadataPreGa);
}

#[test]
fn payloads_that_are_none() {
    let mut good = Vec::new();
    dump::append(&mut good, ValueType::List, b"\x01\x01a", 9);
    assert!(Value::from_dump(&good).is_ok());
    let kind = |payload: &[u8]| Value::from_dump(payload).unwrap_err().kind().clone();
    assert!(matches!(kind(&good[..9]), ErrorKind::BadPayload(_)));
    assert!(matches!(kind(&good[1..]), ErrorKind::BadChecksum { .. } | ErrorKind::UnknownType(_)));
    let mut zero = good.clone();
    let end = zero.len();
    zero[end - 8..].fill(0);
    assert!(matches!(kind(&zero), ErrorKind::BadChecksum { stored: 0, .. }), "zero is no exemption");
    let mut long = Vec::new();
    dump::append(&mut long, ValueType::List, b"\x01\x01a\x00", 9);
    assert!(matches!(kind(&long), ErrorKind::BadPayload(_)), "servers let this through");
    let mut empty = Vec::new();
    dump::append(&mut empty, ValueType::List, b"\x00", 9);
    assert!(matches!(kind(&empty), ErrorKind::BadStructure(_)));
    let mut meta = vec![243, 1, b'c', b'l', b's', 1, 2, 5, 0, 0, 1, b'v'];
    dump::append_footer(&mut meta, 0, 13);
    let payload = Payload::parse(&meta).unwrap();
    assert_eq!(payload.key_meta, Some(&[1, b'c', b'l', b's', 1, 2, 5, 0][..]));
    assert_eq!(payload.value().unwrap(), Value::String(b"v".to_vec()));
}
