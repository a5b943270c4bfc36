//! Commands: round trips, any chunking, the `redis` crate, offsets.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use rdts_resp::{CommandDecoder, DecodeErrorKind, Limits, encode};

use crate::support::{End, Seen, command, commands, pieces};

/// What stands in a stream: a command, or a byte that keeps the link alive.
fn item() -> impl Strategy<Value = Option<Vec<Vec<u8>>>> {
    prop_oneof![1 => Just(None), 5 => command().prop_map(Some)]
}

proptest! {
    #[test]
    fn in_pieces_as_a_whole_and_as_encoded(sent in vec(item(), 0..8), pieces in pieces()) {
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for item in &sent {
            let start = wire.len();
            match item {
                Some(args) => encode::command(&mut wire, args),
                None => wire.push(b'\n'),
            }
            expected.push(Seen {
                args: item.clone().unwrap_or_default(),
                raw: wire[start..].to_vec(),
                inline: item.is_none(),
            });
        }
        prop_assert_eq!(commands(&wire, &[], Limits::default()), (expected.clone(), End::Clean));
        prop_assert_eq!(commands(&wire, &pieces, Limits::default()), (expected, End::Clean));
    }

    #[test]
    fn the_redis_crate_packs_the_same(args in command()) {
        let mut wire = Vec::new();
        encode::command(&mut wire, &args);
        prop_assert_eq!(&wire, &redis::pack_command(&args));
        prop_assert_eq!(wire.len(), encode::command_len(&args));
        let mut other = BytesMut::new();
        encode::command(&mut other, &args);
        prop_assert_eq!(&wire[..], &other[..]);
    }

    #[test]
    fn lengths_are_foretold(signed in any::<i64>(), shift in 0_u32..64, len in 0_usize..2000) {
        let signed = signed >> shift;
        let unsigned = signed.unsigned_abs();
        let mut wire = Vec::new();
        encode::bulk_int(&mut wire, signed);
        prop_assert_eq!(wire.len(), encode::bulk_int_len(signed));
        wire.clear();
        encode::bulk_uint(&mut wire, unsigned);
        prop_assert_eq!(wire.len(), encode::bulk_uint_len(unsigned));
        wire.clear();
        encode::bulk(&mut wire, &vec![0; len]);
        prop_assert_eq!(wire.len(), encode::bulk_len(len));
        wire.clear();
        encode::array_header(&mut wire, len);
        prop_assert_eq!(wire.len(), encode::array_header_len(len));
    }

    #[test]
    fn a_prefix_asks_for_no_more_than_there_is(args in command(), cut in any::<prop::sample::Index>()) {
        let mut wire = Vec::new();
        encode::command(&mut wire, &args);
        let cut = cut.index(wire.len());
        let mut decoder = CommandDecoder::new();
        prop_assert!(decoder.decode(&wire[..cut]).unwrap().is_none());
        prop_assert!(cut + decoder.missing(cut) <= wire.len());
    }
}

#[test]
fn numbers_are_encoded_as_the_redis_crate_does() {
    for value in [0, 9, 10, 99, 100, -1, i64::MAX, i64::MIN] {
        let mut wire = Vec::new();
        encode::array_header(&mut wire, 1);
        encode::bulk_int(&mut wire, value);
        assert_eq!(wire, redis::pack_command(&[value.to_string().into_bytes()]));
    }
    let mut wire = Vec::new();
    encode::bulk_uint(&mut wire, u64::MAX);
    assert_eq!(wire, b"$20\r\n18446744073709551615\r\n");
}

#[test]
fn a_million_arguments_in_pieces() {
    let args: Vec<String> = (0..1_000_000).map(|n| n.to_string()).collect();
    let mut wire = Vec::new();
    encode::command(&mut wire, &args);
    let mut decoder = CommandDecoder::new();
    let mut end = 0;
    let (consumed, command) = loop {
        end = wire.len().min(end + (64 << 10));
        if decoder.decode(&wire[..end]).unwrap().is_some() {
            break decoder.decode(&wire).unwrap().unwrap();
        }
    };
    assert_eq!(consumed, wire.len());
    assert!(command.iter().eq(args.iter().map(String::as_bytes)));
    assert!(command.iter().rev().eq(args.iter().rev().map(String::as_bytes)));
}

/// Reading from the start of the frame at every byte would take minutes here.
#[test]
fn a_long_command_byte_by_byte_is_not_read_again_and_again() {
    let mut wire = Vec::new();
    encode::command(&mut wire, vec!["argument"; 60_000]);
    let mut decoder = CommandDecoder::new();
    for end in 0..wire.len() {
        assert!(decoder.decode(&wire[..end]).unwrap().is_none());
    }
    assert_eq!(decoder.decode(&wire).unwrap().unwrap().1.len(), 60_000);
}

#[test]
fn arrays_of_nothing_are_empty_commands() {
    for wire in ["*0\r\n", "*-1\r\n", "*-5\r\n"] {
        let seen = Seen { args: vec![], raw: wire.into(), inline: false };
        assert_eq!(commands(wire.as_bytes(), &[1; 9], Limits::default()), (vec![seen], End::Clean));
    }
}

#[test]
fn names_are_compared_in_either_case() {
    let mut decoder = CommandDecoder::new();
    let (_, command) = decoder.decode(b"*1\r\n$4\r\npInG\r\n").unwrap().unwrap();
    assert!(command.name_is(b"PING") && !command.name_is(b"PIN"));
    assert_eq!(command.name(), b"pInG");
    assert_eq!(command.arg(1), None);
    assert_eq!(format!("{command:?}"), r#"["pInG"]"#);
    let (_, command) = decoder.decode(b"\r\n").unwrap().unwrap();
    assert!(command.is_empty() && command.name().is_empty() && !command.name_is(b"PING"));
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits::default().max_line(8).max_bulk(5).max_args(2).max_frame(24);
    let cases: [(&str, Option<DecodeErrorKind>); 9] = [
        ("*1\r\n$5\r\nabcde\r\n", None),
        ("*1\r\n$6\r\nabcdef\r\n", Some(DecodeErrorKind::BulkTooLong)),
        ("*2\r\n$1\r\na\r\n$1\r\nb\r\n", None),
        ("*3\r\n", Some(DecodeErrorKind::TooManyElements)),
        ("*2\r\n$5\r\nabcde\r\n$4\r\nabcd\r\n", Some(DecodeErrorKind::FrameTooLong)),
        ("ECHO abc\r\n", None),
        ("ECHO abc\n", None),
        ("ECHO abcd\r\n", Some(DecodeErrorKind::LineTooLong)),
        ("ECHO abcdefgh", Some(DecodeErrorKind::LineTooLong)),
    ];
    for (wire, expected) in cases {
        for pieces in [&[][..], &[1; 64][..]] {
            let (_, end) = commands(wire.as_bytes(), pieces, limits);
            let kind = match end {
                End::Failed(kind, _) => Some(kind),
                End::Clean => None,
                End::Unfinished => panic!("{wire:?} is whole"),
            };
            assert_eq!(kind, expected, "{wire:?} in {pieces:?}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("*x\r\n", DecodeErrorKind::InvalidLength, 0),
        ("*1\r\n:1\r\n", DecodeErrorKind::UnknownType, 4),
        ("*1\r\n$-1\r\n", DecodeErrorKind::InvalidLength, 4),
        ("*2\r\n$1\r\na\r\n$1\r\nbb\r\n", DecodeErrorKind::MissingTerminator, 16),
        ("ECHO \"a\n", DecodeErrorKind::UnbalancedQuotes, 5),
        ("ECHO a\0b\n", DecodeErrorKind::InvalidInline, 6),
    ];
    for (wire, kind, offset) in cases {
        let error = CommandDecoder::new().decode(wire.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (kind, offset), "{wire:?}");
    }
}
