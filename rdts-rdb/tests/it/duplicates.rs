//! Keys, fields and members that occur twice: who looks for them, and who does not.

use rdts_rdb::encode::{EncodeErrorKind, EncodeOptions, Writer, encode_value};
use rdts_rdb::{
    Entry, Error, ErrorKind, Event, HashField, Limit, Limits, ParserOptions, Reader, Value, ValueMode, ValueType,
    Version,
};

use crate::feed::{Cut, log, options};
use crate::files;

fn error(file: &[u8], options: ParserOptions) -> Option<Error> {
    log(file, Cut::Whole, options).error
}

fn file(keys: &[(u64, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Version::redis(9)).unwrap();
    for (db, key) in keys {
        writer.entry(&Entry::new(*db, *key, Value::String(b"v".to_vec()))).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_key_that_is_there_twice_is_refused_on_request() {
    let file = files::one("corrupt", "dup_key.rdb");
    assert_eq!(error(&file, options()), None, "not without memory for every key");
    for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::RawOrDecode { limit: 1 << 20 }, ValueMode::Skip] {
        let options = options().value_mode(mode).unique_keys(true);
        let whole = log(&file, Cut::Whole, options);
        let error = whole.error.as_ref().unwrap();
        assert_eq!(error.kind(), &ErrorKind::Duplicate("key in a database"));
        assert_eq!(log(&file, Cut::Every(1), options).error.as_ref(), Some(error));
    }
}

#[test]
fn the_same_key_of_two_databases_is_two_keys() {
    // Database 0 comes twice, which is permitted.
    let good = file(&[(0, "a"), (1, "a"), (0, "b"), (1, "b")]);
    assert_eq!(error(&good, options().unique_keys(true)), None);
    let bad = file(&[(0, "a"), (1, "a"), (0, "a")]);
    let error = error(&bad, options().unique_keys(true)).unwrap();
    assert_eq!(error.kind(), &ErrorKind::Duplicate("key in a database"));
    assert_eq!(&bad[usize::try_from(error.offset()).unwrap()..][..2], b"\x01a");
}

#[test]
fn more_keys_than_can_be_remembered_are_an_error() {
    let file = file(&[(0, "a"), (0, "b"), (0, "c")]);
    let limited = |keys| options().unique_keys(true).limits(Limits::new().max_unique_keys(keys));
    assert_eq!(error(&file, limited(3)), None);
    let error = error(&file, limited(2)).unwrap();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded { limit: Limit::UniqueKeys, claimed: 3, max: 2 });
}

/// Decoding holds one element at a time and delivers what is there; a raw value that passes validation has none twice.
#[test]
fn elements_that_are_there_twice_are_refused_raw_and_delivered_decoded() {
    for (value, elements) in [
        (&b"\x02\x01k\x02\x01a\x01a"[..], 2),
        (b"\x04\x01k\x03\x01f\x011\x01g\x012\x01f\x013", 3),
        (b"\x03\x01k\x02\x01a\x011\x01a\x012", 2),
        // The same member once as an integer and once as its text.
        (b"\x02\x01k\x02\xC0\x07\x017", 2),
    ] {
        let file = [b"REDIS0003", value, b"\xFF"].concat();
        let mut found = 0;
        let mut reader = Reader::new(&file[..]);
        while let Some(event) = reader.next_event().unwrap() {
            let element = matches!(event, Event::SetMember(_) | Event::HashField { .. } | Event::ZSetMember { .. });
            found += usize::from(element);
        }
        assert_eq!(found, elements);
        for mode in [ValueMode::Raw, ValueMode::RawOrDecode { limit: 1 << 20 }] {
            let error = error(&file, options().value_mode(mode)).unwrap();
            assert!(matches!(error.kind(), ErrorKind::Duplicate(_)), "{error}");
            let limits = Limits::new().max_duplicate_check(1);
            assert_eq!(log(&file, Cut::Whole, options().value_mode(mode).limits(limits)).error, None);
        }
    }
}

#[test]
fn elements_that_are_there_twice_are_not_written() {
    let twice = || vec![b"a".to_vec(), b"b".to_vec(), b"a".to_vec()];
    for value in [
        Value::Set(twice()),
        Value::ZSet(twice().into_iter().zip([1.0, 2.0, 3.0]).collect()),
        Value::Hash(twice().into_iter().map(|field| HashField::new(field, "v")).collect()),
    ] {
        let mut out = Vec::new();
        let error = encode_value(&mut out, &value, &EncodeOptions::new(Version::redis(12))).unwrap_err();
        assert!(matches!(error.kind(), EncodeErrorKind::Duplicate(_)), "{error}");
        assert!(out.is_empty());
    }
    let options = EncodeOptions::new(Version::redis(12));
    assert_eq!(encode_value(&mut Vec::new(), &Value::List(twice()), &options), Ok(ValueType::List));
}
