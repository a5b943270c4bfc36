//! However a file is cut, and however its values are taken, it is the same file.

use rdts_rdb::dump::ValueEvents;
use rdts_rdb::{Event, Parser, ParserOptions, ValueMode, ValueType};

use crate::feed::{Cut, Log, feed, log, options};
use crate::files::{self, File};

/// Above this, feeding byte by byte takes too long in a test.
const SMALL: usize = 20_000;

fn cuts(file: &File) -> Vec<Cut> {
    let mut cuts = vec![Cut::Random(5000, 7), Cut::Every(65_536)];
    if file.bytes.len() <= SMALL {
        cuts.extend([Cut::Every(1), Cut::Every(7), Cut::Random(30, 3)]);
    }
    cuts
}

fn same(a: &Log, b: &Log, what: &str) {
    for (i, (x, y)) in a.lines.iter().zip(&b.lines).enumerate() {
        assert_eq!(x, y, "{what}: event {i}");
    }
    assert_eq!((a.lines.len(), &a.error), (b.lines.len(), &b.error), "{what}");
    if a.error.is_none() {
        assert_eq!(a.offset, b.offset, "{what}");
    }
}

#[test]
fn any_cut_gives_the_same_events() {
    files::in_parallel(&files::good(), |file| {
        let whole = log(&file.bytes, Cut::Whole, options());
        for cut in cuts(file) {
            same(&log(&file.bytes, cut, options()), &whole, &format!("{} {cut:?}", file.name));
        }
    });
}

#[test]
fn any_cut_of_a_broken_file_gives_the_same_error() {
    for file in files::corrupt() {
        for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::RawOrDecode { limit: 100 }, ValueMode::Skip] {
            for validate in [true, false] {
                let options = options().value_mode(mode).validate(validate);
                let whole = log(&file.bytes, Cut::Whole, options);
                for cut in cuts(&file) {
                    same(&log(&file.bytes, cut, options), &whole, &format!("{} {cut:?} {mode:?}", file.name));
                }
            }
        }
    }
}

/// What is taken raw, by key.
fn raws(file: &File, cut: Cut, options: ParserOptions) -> Vec<(Vec<u8>, ValueType, Option<Vec<u8>>)> {
    let mut keys: Vec<(Vec<u8>, ValueType, Option<Vec<u8>>)> = Vec::new();
    let mut raw = Vec::new();
    let mut parser = Parser::with_options(options);
    let (error, _) = feed(&mut parser, &file.bytes, cut, |event| {
        match event {
            Event::Key(header) => keys.push((header.key.to_vec(), header.value_type, None)),
            Event::Raw(data) => keys.last_mut().unwrap().2 = Some(data.to_vec()),
            Event::RawChunk { data, last } => {
                raw.extend_from_slice(data);
                if *last {
                    keys.last_mut().unwrap().2 = Some(std::mem::take(&mut raw));
                }
            }
            _ => {}
        }
        None
    });
    assert_eq!(error, None, "{}", file.name);
    keys
}

/// The events of each key's value.
fn decoded(file: &File) -> Vec<Vec<String>> {
    let mut values: Vec<Vec<String>> = Vec::new();
    let mut inside = false;
    let mut parser = Parser::new();
    feed(&mut parser, &file.bytes, Cut::Whole, |event| {
        match event {
            Event::Key(_) => {
                values.push(Vec::new());
                inside = true;
            }
            event if inside => values.last_mut().unwrap().push(format!("{event:?}")),
            _ => {}
        }
        inside &= !matches!(event, Event::ValueEnd);
        None
    });
    values
}

#[test]
fn raw_decoded_and_skipped_agree() {
    files::in_parallel(&files::good(), |file| {
        if file.json["expect"] == "unsupported" {
            return;
        }
        let decoded = decoded(file);
        let chunks = raws(file, Cut::Random(5000, 3), options().value_mode(ValueMode::Raw));
        let trusted = raws(file, Cut::Random(3000, 5), options().value_mode(ValueMode::Raw).validate(false));
        assert_eq!(chunks, trusted, "{}", file.name);
        let limit = 1 << 30;
        let whole = raws(file, Cut::Random(9000, 5), options().value_mode(ValueMode::RawOrDecode { limit }));
        let skipped = raws(file, Cut::Random(500, 9), options().value_mode(ValueMode::Skip));
        assert_eq!(chunks.len(), decoded.len());
        assert_eq!(chunks.len(), whole.len());
        assert_eq!(chunks.len(), skipped.len());
        for (((key, value_type, raw), events), (whole, skipped)) in
            chunks.iter().zip(&decoded).zip(whole.iter().zip(&skipped))
        {
            let raw = raw.as_ref().unwrap();
            assert_eq!((key, value_type), (&whole.0, &whole.1));
            assert_eq!((key, value_type, &None), (&skipped.0, &skipped.1, &skipped.2));
            if value_type.is_file_only() {
                assert_eq!(whole.2, None, "it would mean nothing elsewhere");
                continue;
            }
            assert_eq!(whole.2.as_ref(), Some(raw), "{}: {key:?}", file.name);
            let mut value = ValueEvents::new(*value_type, raw);
            let mut again = Vec::new();
            while let Some(event) = value.next_event().unwrap() {
                again.push(format!("{event:?}"));
            }
            assert_eq!(&again, events, "{}: {key:?}", file.name);
        }
    });
}

#[test]
fn values_above_the_limit_are_decoded_and_the_others_are_not() {
    files::in_parallel(&files::good(), |file| {
        if file.json["expect"] == "unsupported" {
            return;
        }
        let sizes = raws(file, Cut::Whole, options().value_mode(ValueMode::Raw));
        for limit in [0, 20, 500] {
            let options = options().value_mode(ValueMode::RawOrDecode { limit });
            for cut in [Cut::Whole, Cut::Random(2000, 2)] {
                for ((key, value_type, all), (_, _, some)) in sizes.iter().zip(raws(file, cut, options)) {
                    let fits = all.as_ref().unwrap().len() <= limit && !value_type.is_file_only();
                    assert_eq!(some.is_some(), fits, "{}: {key:?} with limit {limit}", file.name);
                }
            }
        }
    });
}

#[test]
fn the_mode_can_be_chosen_key_by_key() {
    let file = files::one("generated", "redis-8.2.3_alltypes.rdb");
    let mut parser = Parser::with_options(options().value_mode(ValueMode::Skip));
    let mut n = 0;
    let mut expect = "";
    let (error, _) = feed(&mut parser, &file, Cut::Whole, |event| {
        let kind = match event {
            Event::Key(_) => {
                n += 1;
                expect = ["skip", "decode", "raw", "chunks"][n % 4];
                return Some(
                    [ValueMode::Skip, ValueMode::Decode, ValueMode::RawOrDecode { limit: 1 << 20 }, ValueMode::Raw]
                        [n % 4],
                );
            }
            Event::Raw(_) => "raw",
            Event::RawChunk { .. } => "chunks",
            Event::ValueEnd if expect == "skip" => "skip",
            Event::Aux { .. } | Event::SelectDb(_) | Event::ResizeDb { .. } | Event::Header(_) | Event::End { .. } => {
                return None;
            }
            Event::Function(_) => return None,
            _ => "decode",
        };
        assert_eq!(kind, expect);
        None
    });
    assert_eq!(error, None);
    assert!(n > 200);
}
