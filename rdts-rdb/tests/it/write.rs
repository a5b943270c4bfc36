//! What the writer writes is read again, by this crate and by real servers, and is the same.

use std::collections::BTreeMap;

use rdts_rdb::dump::{self, ValueEvents};
use rdts_rdb::encode::{EncodeErrorKind, EncodeOptions, Loss, Writer, convert, encode_value};
use rdts_rdb::{Digest, Digester, Entry, Event, HashField, Reader, Value, ValueKind, ValueMode, ValueType, Version};
use rdts_testkit::{Server, assert_same};

use crate::files;

/// The digest of each key of a file.
fn digests(file: &[u8]) -> BTreeMap<(u64, Vec<u8>), Digest> {
    let mut reader = Reader::new(file);
    let mut digests = BTreeMap::new();
    let mut db = 0;
    let mut current: Option<(Vec<u8>, Option<i64>, Digester)> = None;
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::SelectDb(number) => db = number,
            Event::Key(header) => {
                current = Some((header.key.to_vec(), header.expire_at_ms, Digester::new(header.value_type.kind())));
            }
            Event::ValueEnd => {
                let (key, expiry, digester) = current.take().unwrap();
                let digest = digester.finish_key(db, &key, expiry);
                assert!(digests.insert((db, key), digest).is_none());
            }
            event => {
                if let Some((_, _, digester)) = &mut current {
                    digester.event(&event);
                }
            }
        }
    }
    digests
}

fn entries(file: &[u8]) -> Vec<Entry> {
    Reader::new(file).entries().map(Result::unwrap).collect()
}

/// The file written again, without the keys that the version does not know. Gives their number, too.
pub(crate) fn rewritten(file: &[u8], options: EncodeOptions) -> (Vec<u8>, usize) {
    let mut writer = Writer::with_options(Vec::new(), options).unwrap();
    let mut left_out = 0;
    for entry in entries(file) {
        match writer.entry(&entry) {
            Ok(()) => {}
            Err(rdts_rdb::encode::WriteError::Encode(error)) => {
                assert!(
                    matches!(error.kind(), EncodeErrorKind::NeedsNewerVersion(_) | EncodeErrorKind::Empty),
                    "{:?}: {error}",
                    entry.key
                );
                left_out += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (writer.finish().unwrap(), left_out)
}

#[test]
fn a_file_written_again_has_the_same_contents() {
    files::in_parallel(&files::good(), |file| {
        if file.json["expect"] == "unsupported" || file.bytes.len() > 300_000 {
            return;
        }
        let before = digests(&file.bytes);
        for version in [Version::redis(9), Version::redis(12), Version::redis(15), Version::valkey(80)] {
            let options = EncodeOptions::new(version).compress(version.number != 12).loss(Loss::Drop);
            let (written, left_out) = rewritten(&file.bytes, options);
            let after = digests(&written);
            assert_eq!(after.len() + left_out, before.len(), "{} as {version}", file.name);
            let loses = version.number == 80 && file.name.starts_with("v14_stream_xnack");
            if (version.number != 15 && version.number != 80) || loses {
                // Something may have been lost; not from the newest on, and not from those that lose nothing.
                continue;
            }
            for (key, digest) in &after {
                assert_eq!(digest, &before[key], "{} as {version}: {:?}", file.name, key.1.escape_ascii().to_string());
            }
        }
    });
}

/// What every version can express is the same in every version.
#[test]
fn plain_values_are_the_same_in_every_version() {
    let file = files::one("generated", "redis-6.2.5_alltypes.rdb");
    let before = digests(&file);
    for number in [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 80] {
        let version = Version::from_number(number);
        let (written, left_out) = rewritten(&file, EncodeOptions::new(version));
        let after = digests(&written);
        let streams = entries(&file).iter().filter(|entry| entry.value.kind() == ValueKind::Stream).count();
        assert_eq!(left_out, if number < 9 { streams } else { 0 }, "{version}");
        for (key, digest) in &after {
            assert_eq!(digest, &before[key], "{version}");
        }
    }
}

/// Writes `file` again for a server that wrote it or one like it, and loads both.
fn loads_the_same(server: &str, version: Version, name: &str) {
    let original = files::one("generated", name);
    let (written, left_out) = rewritten(&original, EncodeOptions::new(version));
    assert_eq!(left_out, 0);
    let folder = std::env::temp_dir().join(format!("rdts-rdb-write-{}-{server}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (a, b) = (folder.join("a.rdb"), folder.join("b.rdb"));
    std::fs::write(&a, &original).unwrap();
    std::fs::write(&b, &written).unwrap();
    let native = Server::builder(server).rdb(&a).start();
    let ours = Server::builder(server).rdb(&b).start();
    assert_same(&native, &ours);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn redis_2_8_loads_what_is_written() {
    loads_the_same("redis-2.8", Version::redis(6), "redis-2.8.17_alltypes.rdb");
}

#[test]
fn redis_5_0_loads_what_is_written() {
    loads_the_same("redis-5.0", Version::redis(9), "redis-5.0.6_alltypes.rdb");
}

#[test]
fn redis_7_0_loads_what_is_written() {
    loads_the_same("redis-7.0", Version::redis(10), "redis-7.0.15_streams.rdb");
}

#[test]
fn redis_8_2_loads_what_is_written() {
    loads_the_same("redis-8.2", Version::redis(12), "redis-8.2.3_alltypes.rdb");
}

#[test]
fn redis_8_10_loads_what_is_written() {
    loads_the_same("redis-8.10", Version::redis(15), "redis-8.2.3_alltypes.rdb");
}

#[test]
fn valkey_9_1_loads_what_is_written() {
    loads_the_same("valkey-9.1", Version::valkey(80), "valkey-9.1.2_alltypes.rdb");
}

/// Every raw value, made readable for old readers, still has its contents.
#[test]
fn converted_values_have_their_contents() {
    let digest_of = |value_type: ValueType, raw: &[u8]| {
        let mut digester = Digester::new(value_type.kind());
        let mut events = ValueEvents::new(value_type, raw);
        while let Some(event) = events.next_event().unwrap() {
            digester.event(&event);
        }
        digester.finish()
    };
    let mut converted = 0;
    for name in ["redis-8.2.3_alltypes.rdb", "valkey-9.1.2_hfe.rdb", "redis-2.6.17_alltypes.rdb"] {
        let file = files::one("generated", name);
        let options = rdts_rdb::ParserOptions::new().value_mode(ValueMode::RawOrDecode { limit: 1 << 30 });
        let mut reader = Reader::with_options(&file[..], options);
        let mut value_type = ValueType::String;
        while let Some(event) = reader.next_event().unwrap() {
            match event {
                Event::Key(header) => value_type = header.value_type,
                Event::Raw(raw) => {
                    for number in [6, 9, 12, 80] {
                        let version = Version::from_number(number);
                        let result = match convert(value_type, raw, &EncodeOptions::new(version)) {
                            Ok(result) => result,
                            Err(error) => {
                                let text = error.to_string();
                                assert!(text.contains("does not know") || text.contains("cannot express"), "{text}");
                                continue;
                            }
                        };
                        assert!(result.value_type.min_rdb_version() <= number);
                        assert_eq!(digest_of(result.value_type, &result.raw), digest_of(value_type, raw));
                        converted += usize::from(result.value_type != value_type);
                        let mut payload = Vec::new();
                        dump::append(&mut payload, result.value_type, &result.raw, number);
                        assert!(Value::from_dump(&payload).is_ok());
                    }
                }
                _ => {}
            }
        }
    }
    assert!(converted > 60, "{converted}");
}

#[test]
fn an_element_whose_length_is_written_in_two_ways_is_not_handed_on() {
    for name in ["listpack_backlen_16383_redis_a.rdb", "listpack_backlen_16383_valkey91_a.rdb"] {
        let file = files::one("handcrafted", name);
        let entry = entries(&file).remove(0);
        let options = rdts_rdb::ParserOptions::new().value_mode(ValueMode::RawOrDecode { limit: 1 << 30 });
        let mut reader = Reader::with_options(&file[..], options);
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Raw(raw) = event {
                let result = convert(ValueType::HashListpack, raw, &EncodeOptions::new(Version::valkey(80))).unwrap();
                assert_eq!(result.value_type, ValueType::Hash);
                assert_eq!(ValueEvents::new(result.value_type, &result.raw).collect_value().unwrap(), entry.value);
            }
        }
    }
}

#[test]
fn what_cannot_be_expressed_is_refused_or_left_out_on_request() {
    let kind =
        |value: &Value, options: EncodeOptions| encode_value(&mut Vec::new(), value, &options).map_err(|e| e.kind());
    let expiring = Value::Hash(vec![HashField::expiring("f", "v", 1_900_000_000_000)]);
    let v9 = EncodeOptions::new(Version::redis(9));
    assert!(matches!(kind(&expiring, v9), Err(EncodeErrorKind::WouldLose(_))));
    assert_eq!(kind(&expiring, v9.loss(Loss::Drop)), Ok(ValueType::Hash));
    assert_eq!(kind(&expiring, EncodeOptions::new(Version::redis(12))), Ok(ValueType::HashMetadata));
    assert_eq!(kind(&expiring, EncodeOptions::new(Version::valkey(80))), Ok(ValueType::ValkeyHash2));
    assert_eq!(kind(&Value::List(Vec::new()), v9), Err(EncodeErrorKind::Empty));
    assert_eq!(kind(&Value::ZSet(vec![(b"m".to_vec(), f64::NAN)]), v9), Err(EncodeErrorKind::NotANumber));
    let file = files::one("handcrafted", "v14_stream_xnack_a.rdb");
    let stream = entries(&file).remove(0).value;
    assert!(matches!(kind(&stream, v9), Err(EncodeErrorKind::WouldLose(_))));
    assert_eq!(kind(&stream, v9.loss(Loss::Drop)), Ok(ValueType::Stream));
    assert_eq!(kind(&stream, EncodeOptions::new(Version::redis(14))), Ok(ValueType::Stream5));
    assert!(matches!(
        kind(&stream, EncodeOptions::new(Version::redis(6)).loss(Loss::Drop)),
        Err(EncodeErrorKind::NeedsNewerVersion(_))
    ));
}

/// The newest forms, which no server of the corpus writes: Redis 8.10 loads the files that were put together by hand, and what it saves of
/// them (in forms of its own choice) has the same contents.
#[test]
fn redis_8_10_has_the_newest_forms() {
    for name in ["v13_key_meta_a.rdb", "v14_array_a.rdb", "v15_hash_templates_a.rdb"] {
        let server = Server::builder("redis-8.10").rdb(files::data().join("handcrafted").join(name)).start();
        server.cmd(&["SAVE"]);
        let saved = std::fs::read(server.dir().join("dump.rdb")).unwrap();
        assert_eq!(digests(&saved), digests(&files::one("handcrafted", name)), "{name}");
    }
}
