//! The report as one JSON object.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::report::{BigKey, Report, Rows, Tally};

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let aux: Map<String, Value> = report.aux.iter().map(|(name, value)| (latin1(name), latin1(value).into())).collect();
    let other = &report.other;
    let value = json!({
        "file": report.file,
        "version": report.version,
        "aux": aux,
        "now_ms": report.now_ms,
        "file_bytes": report.file_bytes,
        "total": tally(&report.total),
        "expiring_fields": report.expiring_fields,
        "functions": report.functions,
        "module_aux": report.module_aux,
        "databases": rows("db", &report.databases),
        "types": rows("type", &report.types),
        "encodings": rows("encoding", &report.encodings),
        "expiry": rows("left", &report.expiry),
        "sizes": rows("bytes_per_key", &report.sizes),
        "prefixes": report.prefixes.iter().map(|(prefix, t)| named("prefix", latin1(prefix), t)).collect::<Vec<_>>(),
        "prefixes_other": {
            "keys": other.tally.keys,
            "bytes": other.tally.bytes,
            "elements": other.tally.elements,
            "expiring": other.tally.expiring,
            "prefixes_not_shown": other.hidden,
            "given_up": other.given_up,
            "shown_may_lack": tally(&other.may_lack),
        },
        "biggest_by_bytes": report.by_bytes.iter().map(big_key).collect::<Vec<_>>(),
        "biggest_by_elements": report.by_elements.iter().map(big_key).collect::<Vec<_>>(),
    });
    writeln!(out, "{value}")
}

fn tally(tally: &Tally) -> Value {
    json!({ "keys": tally.keys, "bytes": tally.bytes, "elements": tally.elements, "expiring": tally.expiring })
}

fn named(what: &str, name: String, counts: &Tally) -> Value {
    let mut value = tally(counts);
    value[what] = name.into();
    value
}

fn rows(what: &str, rows: &Rows) -> Vec<Value> {
    rows.iter().map(|(name, counts)| named(what, name.clone(), counts)).collect()
}

fn big_key(big: &BigKey) -> Value {
    let mut value = json!({
        "db": big.db,
        "key": latin1(&big.key),
        "type": big.kind,
        "encoding": big.encoding,
        "bytes": big.bytes,
        "elements": big.elements,
        "longest_element": big.longest,
        "expire_at_ms": big.expire_at_ms,
    });
    if big.key.len() < big.key_len {
        value["key_len"] = big.key_len.into();
    }
    value
}

/// Each byte as the character of its number.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
