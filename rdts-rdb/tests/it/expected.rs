//! Comparison of what was read with what the corpus says is there.

use std::collections::BTreeMap;

use rdts_rdb::value::{ArrayItem, OwnedItem, Stream};
use rdts_rdb::{Entry, Value};
use serde_json::{Value as Json, json};

use crate::sha256;

/// A string as the corpus writes it: one character a byte, long ones by their hash.
pub(crate) fn text(bytes: &[u8]) -> Json {
    if bytes.len() > 300 {
        json!({"len": bytes.len(), "sha256": sha256::hex(bytes)})
    } else {
        Json::String(latin1(bytes))
    }
}

pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// The same with long strings by their hash throughout; some companions have them in full.
pub(crate) fn hashed(json: &Json) -> Json {
    match json {
        Json::String(s) if s.chars().count() > 300 => {
            text(&s.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>())
        }
        Json::Array(items) => Json::Array(items.iter().map(hashed).collect()),
        Json::Object(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), hashed(v))).collect()),
        other => other.clone(),
    }
}

/// Sorted by their JSON form, which only has to be the same on both sides.
pub(crate) fn sorted(mut items: Vec<Json>) -> Json {
    items.sort_by_cached_key(Json::to_string);
    Json::Array(items)
}

fn resorted(json: &Json) -> Json {
    sorted(json.as_array().unwrap().clone())
}

fn score(text: &Json) -> f64 {
    text.as_str().unwrap().parse().unwrap()
}

/// Panics unless `entry` is what `expected` says.
pub(crate) fn compare(file: &str, entry: &Entry, expected: &Json) {
    let key = latin1(&entry.key);
    let at = format!("{file}: {key:?} of type {}", entry.value_type);
    assert_eq!(expected["pexpireat"].as_i64(), entry.expire_at_ms, "{at}");
    if let Some(rdb_type) = expected["rdb_type"].as_u64() {
        assert_eq!(rdb_type, u64::from(entry.value_type.byte()), "{at}");
    }
    if let Some(idle) = expected["lru_idle"].as_u64() {
        assert_eq!(entry.idle_seconds, Some(idle), "{at}");
    }
    if let Some(freq) = expected["lfu_freq"].as_u64() {
        assert_eq!(entry.lfu_frequency.map(u64::from), Some(freq), "{at}");
    }
    let value = &hashed(&expected["value"]);
    match &entry.value {
        Value::String(s) => assert_eq!(&text(s), value, "{at}"),
        Value::List(items) => assert_eq!(&Json::Array(items.iter().map(|i| text(i)).collect()), value, "{at}"),
        Value::Set(members) => assert_eq!(sorted(members.iter().map(|m| text(m)).collect()), resorted(value), "{at}"),
        Value::ZSet(members) => {
            let mut theirs: BTreeMap<String, f64> =
                value.as_array().unwrap().iter().map(|pair| (pair[0].to_string(), score(&pair[1]))).collect();
            assert_eq!(theirs.len(), members.len(), "{at}");
            for (member, score) in members {
                assert_eq!(theirs.remove(&text(member).to_string()), Some(*score), "{at}: {member:?}");
            }
        }
        Value::Hash(fields) => {
            let pairs = fields.iter().map(|f| json!([text(&f.field), text(&f.value)])).collect();
            assert_eq!(sorted(pairs), resorted(value), "{at}");
            let expiries: BTreeMap<String, i64> =
                fields.iter().filter_map(|f| Some((latin1(&f.field), f.expire_at_ms?))).collect();
            let theirs: BTreeMap<String, i64> = expected["field_pexpireat"]
                .as_object()
                .map(|map| map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_i64()?))).collect())
                .unwrap_or_default();
            assert_eq!(expiries, theirs, "{at}");
        }
        Value::Stream(stream) => compare_stream(&at, stream, value),
        Value::Module(module) => {
            assert_eq!(entry.value_type.byte(), 7, "{at}");
            if value.is_object() {
                assert_eq!(module.id.name().as_str(), value["name"].as_str().unwrap(), "{at}");
                assert_eq!(u64::from(module.id.encoding_version()), value["encver"].as_u64().unwrap(), "{at}");
                let items: Vec<Json> = module.items.iter().map(item).collect();
                assert_eq!(&Json::Array(items), &value["items"], "{at}");
            }
        }
        Value::Array(array) => {
            assert_eq!(json!(array.insert_index), value["insert_idx"], "{at}");
            let items: Vec<Json> = array
                .items
                .iter()
                .map(|(index, item)| {
                    let text = match item {
                        ArrayItem::Bytes(b) => text(b),
                        ArrayItem::Int(i) => json!(i.to_string()),
                        ArrayItem::Double(d) => json!(d.to_string()),
                        other => panic!("{other:?}"),
                    };
                    json!([index, text])
                })
                .collect();
            assert_eq!(Json::Array(items), value["elements"], "{at}");
        }
        other => panic!("{at}: {other:?}"),
    }
    if let Some(expires) = expected["keydb_subexpire"].as_object() {
        let ours: BTreeMap<_, _> = entry.subkey_expires.iter().map(|(m, ms)| (latin1(m), *ms)).collect();
        let theirs: BTreeMap<_, _> = expires.iter().map(|(m, ms)| (m.clone(), ms.as_i64().unwrap())).collect();
        assert_eq!(ours, theirs, "{at}");
    }
}

fn item(item: &OwnedItem) -> Json {
    match item {
        OwnedItem::Signed(i) => json!(["i", i]),
        OwnedItem::Unsigned(u) => json!(["u", u]),
        OwnedItem::Float(f) => json!(["f", f.to_string()]),
        OwnedItem::Double(d) => json!(["d", d.to_string()]),
        OwnedItem::Bytes(b) => json!(["s", text(b)]),
        other => panic!("{other:?}"),
    }
}

/// Names and values alternating, as servers answer.
fn object(list: &[Json]) -> Json {
    Json::Object(list.chunks(2).map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone())).collect())
}

fn compare_stream(at: &str, stream: &Stream, expected: &Json) {
    let entries: Vec<Json> = stream
        .entries
        .iter()
        .map(|(id, pairs)| {
            json!([id.to_string(), pairs.iter().flat_map(|(f, v)| [text(f), text(v)]).collect::<Vec<_>>()])
        })
        .collect();
    assert_eq!(Json::Array(entries), expected["entries"], "{at}");
    let meta = &stream.meta;
    // Two forms: what the server's commands say, and what a file made by hand contains.
    let flat;
    let info = match &expected["info"] {
        Json::Array(list) => {
            flat = object(list);
            &flat
        }
        Json::Null => expected,
        info => info,
    };
    let check = |names: [&str; 2], ours: Json| {
        let theirs = names.iter().map(|name| &info[*name]).find(|json| !json.is_null());
        if let Some(theirs) = theirs {
            assert_eq!(&ours, theirs, "{at}: {names:?}");
        }
    };
    check(["length", "length"], json!(meta.length));
    check(["last-generated-id", "last"], json!(meta.last_id.to_string()));
    if let (Some(first), Some(deleted)) = (meta.first_id, meta.max_deleted_id) {
        check(["recorded-first-entry-id", "first"], json!(first.to_string()));
        check(["max-deleted-entry-id", "maxdel"], json!(deleted.to_string()));
        check(["entries-added", "added"], json!(meta.entries_added));
    }
    let groups = expected["groups"].as_array().unwrap();
    assert_eq!(groups.len(), stream.groups.len(), "{at}");
    for (group, theirs) in stream.groups.iter().zip(groups) {
        let raw = theirs["raw"].as_array().map_or(Json::Null, |list| object(list));
        let find =
            |names: &[&str]| names.iter().flat_map(|name| [&theirs[*name], &raw[*name]]).find(|json| !json.is_null());
        assert_eq!(text(&group.name), theirs["name"], "{at}");
        assert_eq!(Some(&json!(group.last_id.to_string())), find(&["last-delivered-id", "last"]), "{at}");
        if let (Some(ours), Some(theirs)) = (group.entries_read, find(&["entries-read", "read"])) {
            assert_eq!(&json!(ours), theirs, "{at}");
        }
        let rows = find(&["pending", "pel"]).unwrap().as_array().unwrap();
        assert_eq!(rows.len(), group.pending.len(), "{at}");
        for (row, theirs) in group.pending.iter().zip(rows) {
            assert_eq!(json!(row.id.to_string()), theirs[0], "{at}");
            let rest = theirs.as_array().unwrap();
            let (time, count) = (&rest[rest.len() - 2], &rest[rest.len() - 1]);
            assert_eq!(&json!(row.delivery_count), count, "{at}");
            // XPENDING of Redis 5 and 6 tells how long ago instead of when.
            if time.as_i64().is_some_and(|ms| ms > 1_000_000_000_000) {
                assert_eq!(&json!(row.delivery_time_ms), time, "{at}");
            }
            if rest.len() == 4 {
                let owner = row.consumer.map_or(Json::Null, |c| text(&group.consumers[c].name));
                assert_eq!(owner, theirs[1], "{at}");
            }
        }
        if let Some(consumers) = theirs["consumers"].as_array() {
            let ours: Vec<_> = group.consumers.iter().map(|c| text(&c.name)).collect();
            let consumers: Vec<_> =
                consumers.iter().map(|c| c.as_array().map_or(c.clone(), |list| object(list))).collect();
            let names: Vec<_> = consumers.iter().map(|c| c["name"].clone()).collect();
            assert_eq!(sorted(ours), sorted(names), "{at}");
            for consumer in &consumers {
                let ours = group.consumers.iter().find(|c| text(&c.name) == consumer["name"]).unwrap();
                for (field, value) in [("seen", ours.seen_time_ms), ("active", ours.active_time_ms.unwrap_or(-1))] {
                    if let Some(theirs) = consumer[field].as_i64() {
                        assert_eq!(value, theirs, "{at}");
                    }
                }
            }
        }
        if let Some(nacked) = theirs["nacked"].as_array() {
            let ours: Vec<_> = group
                .pending
                .iter()
                .filter(|row| row.consumer.is_none())
                .map(|row| json!(row.id.to_string()))
                .collect();
            assert_eq!(&ours, nacked, "{at}");
        }
    }
    if let Some(idempotency) = &stream.idempotency {
        let producers: Vec<Json> = idempotency
            .producers
            .iter()
            .map(|producer| {
                json!([
                    text(&producer.id),
                    producer.iids.iter().map(|(iid, entry)| json!([text(iid), entry.to_string()])).collect::<Vec<_>>()
                ])
            })
            .collect();
        assert_eq!(json!(producers), expected["idmp_producers"], "{at}");
        assert_eq!(json!(idempotency.duration_s), expected["idmp_duration"], "{at}");
        assert_eq!(json!(idempotency.max_entries), expected["idmp_max"], "{at}");
        assert_eq!(json!(idempotency.added), expected["iids_added"], "{at}");
        assert_eq!(json!(idempotency.duplicates), expected["iids_dup"], "{at}");
    }
}
