//! Memory is bounded by limits, not by what a file says.

use rdts_rdb::{ErrorKind, Event, Limit, Limits, Parser, ParserOptions, ValueMode};

use crate::feed::{Cut, feed, log, options};

fn len32(n: u32) -> Vec<u8> {
    [&[0x80][..], &n.to_be_bytes()].concat()
}

fn file(parts: &[&[u8]]) -> Vec<u8> {
    [b"REDIS0003", &parts.concat()[..], b"\xFF"].concat()
}

#[test]
fn each_limit_is_enforced() {
    let blob = len32(3_000_000);
    let limits = Limits::new().max_key(100).max_element(1000).max_blob(2000).max_string(1_000_000);
    for (input, limit) in [
        (file(&[b"\x00", &len32(101)]), Limit::Key),
        (file(&[b"\x00\x01k", &blob]), Limit::String),
        (file(&[b"\x01\x01k\x01", &len32(1001)]), Limit::Element),
        (file(&[b"\x04\x01k\x01\x01f", &len32(1001)]), Limit::Element),
        (file(&[b"\x0A\x01k\xC3\x41\x00\x4B\x00"]), Limit::Blob),
        (file(&[b"\xFA\x01n", &len32(2001)]), Limit::Blob),
        (file(&[b"\xF5", &len32(2001)]), Limit::Blob),
    ] {
        let log = log(&input, Cut::Whole, ParserOptions::new().limits(limits));
        let error = log.error.unwrap();
        assert!(
            matches!(error.kind(), ErrorKind::LimitExceeded { limit: l, .. } if *l == limit),
            "{error} instead of {limit:?}"
        );
    }
}

#[test]
fn a_long_string_passes_in_pieces_through_a_small_buffer() {
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    let input = file(&[b"\x00\x01k", &len32(3_000_000), &body]);
    for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::Skip] {
        for validate in [true, false] {
            let log = log(&input, Cut::Every(10_000), options().value_mode(mode).validate(validate));
            assert_eq!(log.error, None);
            assert!(log.held <= 20_000, "{mode:?} holds {}", log.held);
        }
    }
}

#[test]
fn a_long_compressed_string_passes_in_pieces() {
    // "ab" and then copies of it: 264 bytes for every three.
    let mut packed = vec![1, b'a', b'b'];
    let mut full = 2;
    while full < 20_000_000 {
        packed.extend([0xE0, 0xFF, 0x01]);
        full += 264;
    }
    let mut input = b"REDIS0003\x00\x01k\xC3".to_vec();
    input.extend(len32(packed.len() as u32));
    input.extend(len32(full));
    input.extend(&packed);
    input.push(0xFF);
    let mut parser = Parser::new();
    let mut at = 0;
    let (error, held) = feed(&mut parser, &input, Cut::Every(1000), |event| {
        if let Event::String(piece) = event {
            assert!(piece.data.len() <= Limits::new().chunk);
            assert_eq!(piece.offset, at);
            for (i, &b) in piece.data.iter().enumerate() {
                assert_eq!(b, b"ab"[(at as usize + i) % 2]);
            }
            at += piece.data.len() as u64;
        }
        None
    });
    assert_eq!((error, at), (None, u64::from(full)));
    assert!(held <= 2000);
}

#[test]
fn an_aggregate_of_a_million_elements_passes_through_a_small_buffer() {
    let mut input = b"REDIS0003\x02\x01k".to_vec();
    input.extend(len32(1_000_000));
    for i in 0..1_000_000u32 {
        input.push(4);
        input.extend(i.to_be_bytes());
    }
    input.push(0xFF);
    for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::Skip, ValueMode::RawOrDecode { limit: 10_000 }] {
        let options = options().value_mode(mode).validate(false);
        let mut members = 0;
        let mut parser = Parser::with_options(options);
        let (error, held) = feed(&mut parser, &input, Cut::Every(8192), |event| {
            members += usize::from(matches!(event, Event::SetMember(_)));
            None
        });
        assert_eq!(error, None);
        assert!(held <= 32_768, "{mode:?} holds {held}");
        assert_eq!(
            members,
            if matches!(mode, ValueMode::Decode | ValueMode::RawOrDecode { .. }) { 1_000_000 } else { 0 }
        );
    }
}

#[test]
fn what_is_asked_for_at_once_does_not_grow_with_what_is_claimed() {
    for head in
        [&b"\x00\x01k\x80\x1F\xFF\xFF\xFF"[..], b"\x02\x01k\x01\x80\x1F\xFF\xFF\xFF", b"\x0B\x01k\x80\x1F\xFF\xFF\xFF"]
    {
        for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::Skip, ValueMode::RawOrDecode { limit: usize::MAX }] {
            let input = [b"REDIS0003", head].concat();
            let mut rest = &input[..];
            let mut parser = Parser::with_options(options().value_mode(mode));
            loop {
                match parser.parse(rest, false).unwrap() {
                    rdts_rdb::Progress::Parsed { consumed, .. } => rest = &rest[consumed..],
                    rdts_rdb::Progress::NeedMoreData(hint) => {
                        assert!((1..=1 << 20).contains(&hint));
                        break;
                    }
                    rdts_rdb::Progress::Done => panic!(),
                }
            }
        }
    }
}

/// A compressed name in front of something that has not arrived must not be expanded each time that more of it arrives.
#[test]
fn a_name_is_not_expanded_before_all_of_its_record_is_there() {
    // 2 MiB of zeros in 24 kB.
    let mut name = vec![0, 0];
    let mut full = 1;
    while full + 264 <= 2 << 20 {
        name.extend([0xE0, 0xFF, 0x00]);
        full += 264;
    }
    let name = [&b"\xC3"[..], &len32(name.len() as u32), &len32(full), &name].concat();
    // What stands behind it: a group's last id and counts, an aux field's value, the ranges of a slot import.
    let id = b"\x81\0\0\0\0\0\0\0\x01".repeat(2);
    let group = (&b"REDIS0003\x0F\x01s\0\0\0\0\x01"[..], [&id[..], b"\0\0\xFF"].concat());
    let aux = (&b"REDIS0003\xFA"[..], [&b"\x43\xFF"[..], &[b'v'; 1023], b"\xFF"].concat());
    let import = (&b"VALKEY080\xF3"[..], [&b"\x40\x80"[..], &[0; 256], b"\xFF", &[0; 8]].concat());
    for (head, tail) in [group, aux, import] {
        let input = [head, &name, &tail].concat();
        let arrived = input.len() - tail.len();
        let took = |mut end: usize| {
            let started = std::time::Instant::now();
            let mut parser = Parser::new();
            let mut start = 0;
            let mut retries = 0;
            loop {
                match parser.parse(&input[start..end], end == input.len()).unwrap() {
                    rdts_rdb::Progress::Parsed { consumed, .. } => start += consumed,
                    rdts_rdb::Progress::NeedMoreData(_) => {
                        end += 1;
                        retries += 1;
                    }
                    rdts_rdb::Progress::Done => return (started.elapsed(), retries),
                }
            }
        };
        let (once, _) = took(input.len());
        let (bytewise, retries) = took(arrived);
        assert_eq!(retries, tail.len());
        // With an expansion for each of at least 20 retries it would be that many times as long.
        let most = (tail.len() as u32 / 2).min(100);
        assert!(bytewise < once * most, "{once:?} at once, {bytewise:?} with {retries} retries");
    }
}

/// Exactly as many bytes as the file has are enough; with fewer of them it ends at the limit, however it is cut.
#[test]
fn nothing_is_looked_at_beyond_the_total() {
    for name in ["redis-2.8.17_alltypes.rdb", "redis-7.0.15_streams.rdb"] {
        let file = crate::files::one("generated", name);
        let len = file.len() as u64;
        for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::RawOrDecode { limit: 1 << 20 }, ValueMode::Skip] {
            let options = |total| options().value_mode(mode).limits(Limits::new().max_total(total));
            assert_eq!(log(&file, Cut::Whole, options(len)).error, None);
            for total in [0, 1, 8, 9, 100, len / 2, len - 9, len - 1] {
                let expected = ErrorKind::LimitExceeded { limit: Limit::Total, claimed: total + 1, max: total };
                let whole = log(&file, Cut::Whole, options(total));
                let error = whole.error.as_ref().unwrap();
                assert_eq!((error.kind(), error.offset()), (&expected, total), "{name} {mode:?}");
                for cut in [Cut::Every(1), Cut::Every(1000), Cut::Random(300, total)] {
                    assert_eq!(log(&file, cut, options(total)).error, whole.error, "{name} {mode:?} {total} {cut:?}");
                }
                // What ends before the limit is cut, as without one.
                let cut = log(&file[..file.len().min(total as usize)], Cut::Whole, options(total)).error.unwrap();
                assert_eq!(cut.kind(), &ErrorKind::Truncated);
            }
        }
    }
}

#[test]
fn what_follows_the_file_does_not_count() {
    let file = [&b"REDIS0003\x00\x01k\x01v\xFF"[..], &[b'x'; 100]].concat();
    let log = log(&file, Cut::Whole, options().limits(Limits::new().max_total(15)));
    assert_eq!((log.error, log.offset), (None, 15));
}

#[test]
fn a_payload_has_a_total_and_an_owned_value_has_a_size() {
    let file = crate::files::one("generated", "redis-7.0.15_streams.rdb");
    let entries = |max| {
        let options = options().limits(Limits::new().max_value(max));
        rdts_rdb::Reader::with_options(&file[..], options).entries().collect::<Result<Vec<_>, _>>()
    };
    assert!(entries(1 << 20).is_ok());
    let error = entries(100).unwrap_err();
    let kind = error.as_rdb().unwrap().kind();
    assert!(matches!(kind, ErrorKind::LimitExceeded { limit: Limit::Value, max: 100, .. }), "{error}");

    let mut payload = Vec::new();
    rdts_rdb::dump::append(&mut payload, rdts_rdb::ValueType::Set, b"\x02\x01a\x01b", 6);
    let parsed = rdts_rdb::dump::Payload::parse(&payload).unwrap();
    let events = |limits| parsed.events(options().limits(limits));
    // Type byte and value: six bytes.
    assert!(events(Limits::new().max_total(6)).collect_value().is_ok());
    for result in
        [events(Limits::new().max_total(5)).collect_value().map(drop), events(Limits::new().max_total(5)).validate()]
    {
        let kind = result.unwrap_err().kind().clone();
        assert_eq!(kind, ErrorKind::LimitExceeded { limit: Limit::Total, claimed: 6, max: 5 });
    }
    // Two members of one byte, and what a vector of vectors takes for them.
    assert!(events(Limits::new().max_value(50)).collect_value().is_ok());
    assert!(events(Limits::new().max_value(49)).collect_value().is_err());
}
