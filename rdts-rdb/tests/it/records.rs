//! Records other than keys: each that is read can be written and read again, or is refused by name.

use rdts_rdb::encode::{EncodeErrorKind, EncodeOptions, Loss, WriteError, Writer};
use rdts_rdb::{
    Entry, Event, KeyExtras, KeyHeader, ModuleId, Parser, ParserOptions, Progress, Reader, Value, ValueMode, ValueType,
    Version,
};

use crate::files;

fn writer(version: Version) -> Writer<Vec<u8>> {
    Writer::new(Vec::new(), version).unwrap()
}

fn kind(result: Result<(), WriteError>) -> EncodeErrorKind {
    match result {
        Err(WriteError::Encode(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

/// Copies every record as it is, values and data of modules raw; only templates, which their hashes then do without, are not written.
fn copied(file: &[u8]) -> Vec<u8> {
    let mut parser = Parser::with_options(ParserOptions::new());
    let mut rest = file;
    let mut writer: Option<Writer<Vec<u8>>> = None;
    loop {
        let raw = match parser.parse(rest, true).unwrap() {
            Progress::Done => return writer.unwrap().finish().unwrap(),
            Progress::NeedMoreData(_) => panic!(),
            Progress::Parsed { consumed, event } => {
                rest = &rest[consumed..];
                let w = writer.get_or_insert_with(|| match event {
                    Event::Header(version) => self::writer(version),
                    _ => panic!(),
                });
                match event {
                    Event::Header(_) | Event::End { .. } => {}
                    Event::Aux { name, value } => w.aux(name, value).unwrap(),
                    Event::SelectDb(db) => w.select_db(db).unwrap(),
                    Event::ResizeDb { keys, expires } => w.resize_db(keys, expires).unwrap(),
                    Event::SlotInfo { slot, keys, expires } => w.slot_info(slot, keys, expires).unwrap(),
                    Event::SlotImport(import) => {
                        w.slot_import(import.job, &import.ranges().collect::<Vec<_>>()).unwrap();
                    }
                    Event::Function(function) => w.function(&function.loadable()).unwrap(),
                    Event::ModuleAux { module, when } => w.module_aux(module, when).unwrap(),
                    Event::Key(header) => w.key(&header).unwrap(),
                    Event::RawChunk { data, .. } => w.raw(data).unwrap(),
                    Event::SubkeyExpire { member, expire_at_ms } => {
                        w.aux(b"keydb-subexpire-key", member).unwrap();
                        w.aux(b"keydb-subexpire-when", expire_at_ms.to_string().as_bytes()).unwrap();
                    }
                    Event::Consumed => {}
                    other => panic!("{other:?}"),
                }
                matches!(event, Event::ModuleAux { .. } | Event::Key(_))
            }
        };
        if raw {
            parser.set_value_mode(ValueMode::Raw);
        }
    }
}

/// Everything that a file says, one line each; values and data of modules decoded.
fn told(file: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(file);
    let mut lines = Vec::new();
    loop {
        let decode = match reader.next_event().unwrap() {
            None => return lines,
            Some(event) => {
                match &event {
                    // Integers in aux fields are written as such, so the checksum differs.
                    Event::End { .. } => {}
                    // Written with the line that a released server wants.
                    Event::Function(function) => lines.push(format!("{:?}", function.loadable())),
                    Event::Key(header) => {
                        let mut header = *header;
                        // Read, but not written: see the writer.
                        header.extras = header.extras.filter(|extras| !extras.key_meta.is_empty());
                        lines.push(format!("{header:?}"));
                    }
                    event => lines.push(format!("{event:?}")),
                }
                matches!(event, Event::ModuleAux { .. })
            }
        };
        if decode {
            reader.set_value_mode(ValueMode::Decode);
        }
    }
}

#[test]
fn every_record_can_be_copied() {
    let mut opcodes = std::collections::BTreeMap::new();
    let files = files::good();
    for file in &files {
        let has_templates = file.name.starts_with("v15_hash_templates");
        if file.json["expect"] == "unsupported" || has_templates {
            continue;
        }
        let copy = copied(&file.bytes);
        let (before, after) = (told(&file.bytes), told(&copy));
        for line in &after {
            let name = line.split(['(', ' ', '{']).next().unwrap();
            *opcodes.entry(name.to_owned()).or_insert(0) += 1;
        }
        assert_eq!(before, after, "{}", file.name);
    }
    for record in ["ModuleAux", "SlotInfo", "ResizeDb", "Aux", "SubkeyExpire", "SelectDb"] {
        assert!(opcodes.contains_key(record), "no file has {record}: {opcodes:?}");
    }
}

#[test]
fn a_slot_import_makes_the_round_trip() {
    let mut writer = writer(Version::valkey(80));
    writer.slot_import(b"job-name", &[(0, 5), (100, 16_383)]).unwrap();
    let file = writer.finish().unwrap();
    let mut reader = Reader::new(&file[..]);
    reader.next_event().unwrap();
    let Some(Event::SlotImport(import)) = reader.next_event().unwrap() else { panic!() };
    assert_eq!((import.job, import.ranges().collect::<Vec<_>>()), (&b"job-name"[..], vec![(0, 5), (100, 16_383)]));
}

#[test]
fn what_a_version_does_not_know_is_refused_by_name() {
    let needs = |result| assert!(matches!(kind(result), EncodeErrorKind::NeedsNewerVersion(_)));
    needs(writer(Version::redis(9)).function(b"#!lua name=l\n"));
    needs(writer(Version::redis(8)).module_aux(ModuleId::from_raw(1 << 20), 1));
    needs(writer(Version::redis(15)).slot_import(b"job", &[]));
    let many = vec![(0, 0); 16_385];
    let result = writer(Version::valkey(80)).slot_import(b"job", &many);
    assert!(matches!(kind(result), EncodeErrorKind::Inconsistent(_)));
}

/// A key that cannot be written as it is is refused, and then nothing of it is written; or what cannot be is left out.
#[test]
fn no_attribute_that_matters_is_lost_silently() {
    let plain = || Entry::new(0, "k", Value::String(b"v".to_vec()));
    let mut meta = plain();
    let mut extras = KeyExtras::default();
    extras.key_meta = vec![0];
    meta.extras = Some(Box::new(extras));
    let mut members = plain();
    members.value = Value::Set(vec![b"m".to_vec()]);
    members.subkey_expires = vec![(b"m".to_vec(), 4_102_444_800_123)];
    let mut late = plain();
    late.expire_at_ms = Some(4_102_444_800_123);
    for (entry, version, good) in [
        (meta, Version::redis(12), Version::redis(13)),
        (members, Version::redis(10), Version::redis(9)),
        (late, Version::redis(2), Version::redis(3)),
    ] {
        let options = EncodeOptions::new(version);
        let mut strict = Writer::with_options(Vec::new(), options).unwrap();
        assert!(matches!(kind(strict.entry(&entry)), EncodeErrorKind::WouldLose(_)));
        assert_eq!(strict.written(), 9, "only the header");
        let mut lossy = Writer::with_options(Vec::new(), options.loss(Loss::Drop)).unwrap();
        lossy.entry(&entry).unwrap();
        let file = lossy.finish().unwrap();
        let left = Reader::new(&file[..]).entries().next().unwrap().unwrap();
        assert_eq!((&left.key, &left.value), (&entry.key, &entry.value));
        assert_eq!((&left.extras, &left.subkey_expires), (&None, &Vec::new()));
        assert_eq!(left.expire_at_ms, entry.expire_at_ms.map(|_| i64::from(i32::MAX) * 1000));
        let mut newer = writer(good);
        newer.entry(&entry).unwrap();
        let file = newer.finish().unwrap();
        let whole = Reader::new(&file[..]).entries().next().unwrap().unwrap();
        assert_eq!(
            (&whole.extras, &whole.subkey_expires, whole.expire_at_ms),
            (&entry.extras, &entry.subkey_expires, entry.expire_at_ms)
        );
    }
}

#[test]
fn a_hash_by_reference_to_a_template_is_not_written_raw() {
    let header = KeyHeader::new(b"h", ValueType::HashTemplateArrayRef);
    assert!(matches!(kind(writer(Version::redis(15)).key(&header)), EncodeErrorKind::Inconsistent(_)));
}
