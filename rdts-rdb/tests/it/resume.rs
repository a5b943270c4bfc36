//! Parsers that go on at a point that another one gave.

use std::sync::LazyLock;

use proptest::prelude::*;
use rdts_rdb::{Event, Parser, ParserOptions, Progress, ResumePoint, ValueMode};

use crate::files;

fn shown(event: &Event<'_>, lines: &mut Vec<String>) {
    if !matches!(event, Event::Consumed) {
        lines.push(format!("{event:?}"));
    }
}

/// The events of a file from `parser` on, and the points that it gave: where in the lines, and what.
fn events(
    parser: &mut Parser,
    rest: &[u8],
    mut wanted: impl FnMut() -> bool,
) -> (Vec<String>, Vec<(usize, ResumePoint)>) {
    let (mut lines, mut points) = (Vec::new(), Vec::new());
    let mut at = 0;
    loop {
        if wanted()
            && let Some(point) = parser.resume_point(&rest[at..])
        {
            points.push((lines.len(), point));
        }
        match parser.parse(&rest[at..], true) {
            Ok(Progress::Parsed { consumed, event }) => {
                at += consumed;
                shown(&event, &mut lines);
            }
            Ok(Progress::Done) => return (lines, points),
            Ok(Progress::NeedMoreData(_)) => panic!("all is there"),
            // What it does not support, and where.
            Err(error) => {
                lines.push(format!("{error:?}"));
                return (lines, points);
            }
        }
    }
}

fn modes() -> [ParserOptions; 3] {
    let options = ParserOptions::new();
    [
        options,
        options.value_mode(ValueMode::Skip),
        options.value_mode(ValueMode::RawOrDecode { limit: 1000 }).validate(false),
    ]
}

#[test]
fn from_every_point_of_every_file_the_rest_is_the_rest_of_the_whole() {
    files::in_parallel(&files::good(), |file| {
        if !file.bytes.starts_with(b"REDIS") && !file.bytes.starts_with(b"VALKEY") {
            return;
        }
        for options in modes() {
            let mut parser = Parser::with_options(options);
            let (lines, mut points) = events(&mut parser, &file.bytes, || true);
            let keys = lines.iter().filter(|line| line.starts_with("Key(")).count();
            // In front of each key there is one, unless an auxiliary field stands there.
            assert!(points.len() >= keys, "{}: {} points, {keys} keys", file.name, points.len());
            // Of very many keys not every one: that would take the square of the file.
            let step = points.len() / 10 + 1;
            points = points.into_iter().step_by(step).collect();
            for (line, point) in points {
                let again = ResumePoint::from_bytes(&point.to_bytes()).unwrap();
                assert_eq!(again, point);
                let mut parser = Parser::resume(options, &again);
                let rest = &file.bytes[usize::try_from(point.offset()).unwrap()..];
                assert_eq!(parser.version(), Some(point.version()));
                let (rest, _) = events(&mut parser, rest, || false);
                assert!(rest == lines[line..], "{}: from {point:?}", file.name);
            }
        }
    });
}

/// A file that is big enough that the checksum runs ahead, with a checksum.
fn big() -> Vec<u8> {
    let good = files::good();
    let file = good
        .into_iter()
        .filter(|file| file.bytes.starts_with(b"REDIS") && file.bytes.len() < 400_000)
        .max_by_key(|file| file.bytes.len());
    file.unwrap().bytes
}

#[test]
fn the_checksum_of_the_whole_is_verified_after_any_number_of_points() {
    let file = big();
    let mut parser = Parser::new();
    let (_, points) = events(&mut parser, &file, || true);
    let point = &points[points.len() / 2].1;
    let at = usize::try_from(point.offset()).unwrap();
    let end = file.len();
    for damaged in [None, Some(end - 1)] {
        let mut file = file.clone();
        if let Some(byte) = damaged {
            file[byte] ^= 1;
        }
        let mut parser = Parser::resume(ParserOptions::new(), point);
        let mut rest = &file[at..];
        let error = loop {
            match parser.parse(rest, true) {
                Ok(Progress::Parsed { consumed, event }) => {
                    if let Event::End { checksum } = &event {
                        assert!(matches!(checksum, rdts_rdb::Checksum::Verified(_)), "{checksum:?}");
                    }
                    rest = &rest[consumed..];
                }
                Ok(_) => break None,
                Err(error) => break Some(error),
            }
        };
        assert_eq!(error.is_some(), damaged.is_some(), "{error:?}");
    }
    // A point with another checksum is one of another file.
    let other = ResumePoint::from_bytes(&{
        let mut parser = Parser::with_options(ParserOptions::new().checksum(false));
        let (_, points) = events(&mut parser, &file, || true);
        points[points.len() / 2].1.to_bytes()
    });
    assert_ne!(other.as_ref(), Ok(point));
}

#[test]
fn stored_points_that_are_damaged_are_refused() {
    for file in files::good().iter().filter(|file| file.bytes.starts_with(b"REDIS") && file.bytes.len() < 2000) {
        let mut parser = Parser::new();
        let (_, points) = events(&mut parser, &file.bytes, || true);
        let Some((_, point)) = points.last() else { continue };
        let bytes = point.to_bytes();
        for at in 0..bytes.len() {
            assert!(ResumePoint::from_bytes(&bytes[..at]).is_err());
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert!(ResumePoint::from_bytes(&damaged).is_err(), "{}: byte {at}", file.name);
        }
    }
}

static SMALL: LazyLock<Vec<files::File>> = LazyLock::new(|| {
    let rdb = |file: &files::File| file.bytes.starts_with(b"REDIS") || file.bytes.starts_with(b"VALKEY");
    files::good().into_iter().filter(|file| rdb(file) && file.bytes.len() < 100_000).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    /// However the input is cut, and however often one gives way to the next.
    #[test]
    fn chains_of_parsers_say_what_one_says(seed in any::<u64>(), most in 1usize..3000, every in 1u64..40) {
        let good = &*SMALL;
        let file = &good[usize::try_from(seed % good.len() as u64).unwrap()];
        let options = modes()[2];
        let (whole, _) = events(&mut Parser::with_options(options), &file.bytes, || false);
        let mut parser = Parser::with_options(options);
        let mut random = seed | 1;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut lines, mut at, mut end) = (Vec::new(), 0, 0);
        loop {
            if next(every) == 0 && let Some(point) = parser.resume_point(&file.bytes[at..end]) {
                prop_assert_eq!(point.offset(), at as u64);
                let stored = ResumePoint::from_bytes(&point.to_bytes()).unwrap();
                parser = Parser::resume(options, &stored);
                // What comes next may be less than what was shown before.
                end = (at + usize::try_from(next(most as u64)).unwrap()).min(file.bytes.len());
            }
            let progress = match parser.parse(&file.bytes[at..end], end == file.bytes.len()) {
                Ok(progress) => progress,
                Err(error) => {
                    lines.push(format!("{error:?}"));
                    break;
                }
            };
            match progress {
                Progress::Parsed { consumed, event } => {
                    at += consumed;
                    shown(&event, &mut lines);
                }
                Progress::NeedMoreData(_) => end = (end + 1 + usize::try_from(next(most as u64)).unwrap()).min(file.bytes.len()),
                Progress::Done => break,
            }
        }
        // Long strings are cut where the pieces are.
        let uncut = |lines: &[String]| lines.iter().filter(|line| !line.starts_with("String(")).cloned().collect::<Vec<_>>();
        prop_assert!(uncut(&lines) == uncut(&whole), "{}", file.name);
    }
}
