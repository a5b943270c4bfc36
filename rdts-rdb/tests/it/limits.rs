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
