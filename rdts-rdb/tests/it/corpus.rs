//! Every file of the corpus gives exactly what it contains.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rdts_rdb::{Checksum, Entry, ErrorKind, Event, Function, Reader};
use serde_json::{Value as Json, json};

use crate::expected::{compare, hashed, latin1, sorted, text};
use crate::files::{self, File};

/// Keys of a file, apart from its other events.
fn entries(file: &File) -> Vec<Entry> {
    Reader::new(&file.bytes[..]).entries().map(|entry| entry.unwrap_or_else(|e| panic!("{}: {e}", file.name))).collect()
}

fn check_keys(file: &File, dbs: &serde_json::Map<String, Json>) {
    let mut theirs: BTreeMap<(String, String), &Json> = BTreeMap::new();
    for (db, keys) in dbs {
        for key in keys.as_array().unwrap() {
            // Old servers leave out what has expired; then it is not in the file.
            if key["expired_at_save"].as_bool() == Some(true) && key["present_in_file"].as_bool() == Some(false) {
                continue;
            }
            theirs.insert((db.clone(), hashed(&key["key"]).to_string()), key);
        }
    }
    let mut not_loaded: Vec<(String, String)> = Vec::new();
    for key in file.json["keys_not_loaded_by_server"].as_array().into_iter().flatten() {
        not_loaded.push((key["db"].to_string(), hashed(&key["key"]).to_string()));
    }
    for entry in entries(file) {
        let place = (entry.db.to_string(), text(&entry.key).to_string());
        match theirs.remove(&place) {
            Some(expected) => compare(&file.name, &entry, expected),
            None => {
                // Servers drop keys without elements, and those that have expired.
                let dropped = entry.value.is_empty() || not_loaded.contains(&place);
                assert!(dropped, "{}: {place:?} is not expected", file.name);
            }
        }
    }
    assert!(theirs.is_empty(), "{}: not found: {:?}", file.name, theirs.keys());
}

/// What is in the file besides keys.
fn check_container(file: &File) {
    let rdb = &file.json["rdb"];
    let mut reader = Reader::new(&file.bytes[..]);
    let mut aux = Vec::new();
    let mut functions = Vec::new();
    let mut pre_ga = Vec::new();
    let mut keys = 0;
    let mut types: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Header(version) => {
                assert_eq!(json!(version.number), rdb["version"], "{}", file.name);
                let magic = if version.dialect == rdts_rdb::Dialect::Valkey { "VALKEY" } else { "REDIS" };
                assert_eq!(json!(magic), rdb["magic"], "{}", file.name);
            }
            Event::Aux { name, value } => aux.push(json!([latin1(name), latin1(value)])),
            Event::Function(Function::Library { code }) => functions.push(latin1(code)),
            Event::Function(Function::PreGa { name, engine, description, code }) => {
                let description = description.map(latin1);
                pre_ga.push(
                    json!({"name": latin1(name), "engine": latin1(engine), "desc": description, "code": latin1(code)}),
                );
            }
            Event::Key(header) => {
                keys += 1;
                *types.entry(header.value_type.byte().to_string()).or_default() += 1;
            }
            Event::End { checksum } => match rdb["checksum"].as_str() {
                Some("ok") => assert!(matches!(checksum, Checksum::Verified(_)), "{}", file.name),
                Some("zero-or-absent") => {
                    assert!(matches!(checksum, Checksum::Absent | Checksum::Disabled), "{}", file.name);
                }
                _ => {}
            },
            _ => {}
        }
    }
    assert_eq!(json!(keys), rdb["keys"], "{}", file.name);
    if let Some(theirs) = rdb["type_counts"].as_object() {
        let theirs: BTreeMap<_, _> = theirs.iter().map(|(k, v)| (k.clone(), v.as_u64().unwrap())).collect();
        assert_eq!(types, theirs, "{}", file.name);
    }
    if let Some(theirs) = rdb["aux"].as_array() {
        for field in theirs {
            assert!(aux.contains(field), "{}: {field} is missing in {aux:?}", file.name);
        }
    }
    for function in file.json["functions"].as_array().into_iter().flatten() {
        assert!(functions.iter().any(|code| json!(code) == function["code"]), "{}: {function}", file.name);
    }
    assert_eq!(functions.len(), file.json["functions"].as_array().map_or(0, Vec::len), "{}", file.name);
    if let Some(theirs) = file.json["functions_prega"].as_array() {
        assert_eq!(sorted(pre_ga), sorted(theirs.clone()), "{}", file.name);
    }
    check_tail(file, reader.offset());
}

/// The commands behind the preamble of an append-only file belong to the caller, all of them.
fn check_tail(file: &File, end: u64) {
    let tail = &file.bytes[usize::try_from(end).unwrap()..];
    match file.json["tail_resp_commands"].as_array() {
        None => {
            let trailing = file.json["rdb"]["trailing_bytes"].as_u64().unwrap_or(0);
            assert_eq!(tail.len() as u64, trailing, "{}", file.name);
        }
        Some(commands) => {
            let mut resp = String::new();
            for command in commands {
                let args = command.as_array().unwrap();
                resp += &format!("*{}\r\n", args.len());
                for arg in args {
                    let arg = arg.as_str().unwrap();
                    resp += &format!("${}\r\n{arg}\r\n", arg.len());
                }
            }
            assert_eq!(latin1(tail), resp, "{}", file.name);
        }
    }
}

#[test]
fn every_file_gives_its_expected_contents() {
    files::in_parallel(&files::good(), |file| {
        if file.json["expect"] == "unsupported" {
            return;
        }
        check_keys(file, file.json["dbs"].as_object().unwrap());
        check_container(file);
    });
}

#[test]
fn values_of_redis_4_release_candidate_modules_are_refused_by_name() {
    let file = files::one("generated", "redis-4.0-rc2_module-v1.rdb");
    let error = Reader::new(&file[..]).entries().find_map(Result::err).unwrap();
    let error = error.as_rdb().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Unsupported(_)), "{error}");
}

#[test]
fn files_of_other_projects_give_their_expected_contents() {
    let Some(folder) = files::public() else { return };
    let companion = |path: &Path| {
        let name = path.display().to_string();
        PathBuf::from(if name.ends_with(".dump") {
            name.replace(".dump", ".json")
        } else {
            format!("{name}.expected.json")
        })
    };
    let mut compared = 0;
    for file in files::with_companions(&folder, companion) {
        if file.name.ends_with(".dump") {
            continue;
        }
        if file.json["verdict"] == "aof" {
            let error = Reader::new(&file.bytes[..]).next_event().unwrap_err();
            assert_eq!(error.as_rdb().unwrap().kind(), &ErrorKind::BadMagic, "{}", file.name);
            continue;
        }
        compared += 1;
        match file.json["dbs"].as_object() {
            Some(dbs) if file.json["verdict"] == "ok" => check_keys(&file, dbs),
            _ => {
                let keys = file.json["keys_by_reference_parser"].as_array().unwrap();
                assert_eq!(entries(&file).len(), keys.len(), "{}", file.name);
            }
        }
    }
    println!("{compared} files of other projects compared");
    assert!(compared > 80);
}
