//! Replies: round trips, any chunking, the `redis` crate.

use proptest::prelude::*;
use rdts_resp::{DecodeErrorKind, Limits, Reply, ReplyDecoder, ReplyRef, encode};

use crate::support::{End, from_redis, pieces, replies, reply};

proptest! {
    #[test]
    fn in_pieces_as_a_whole_and_as_encoded(sent in proptest::collection::vec(reply(), 0..6), pieces in pieces()) {
        let mut wire = Vec::new();
        for reply in &sent {
            encode::reply(&mut wire, reply);
        }
        let (whole, end) = replies(&wire, &[], Limits::default());
        prop_assert_eq!(&whole, &sent);
        prop_assert_eq!(&end, &End::Clean);
        prop_assert_eq!(replies(&wire, &pieces, Limits::default()), (whole, end));
    }

    #[test]
    fn the_redis_crate_reads_the_same(sent in reply()) {
        let mut wire = Vec::new();
        encode::reply(&mut wire, &sent);
        let theirs = redis::parse_redis_value(&wire).unwrap();
        prop_assert_eq!(from_redis(theirs), sent);
    }

    #[test]
    fn a_prefix_asks_for_no_more_than_there_is(sent in reply(), cut in any::<prop::sample::Index>()) {
        let mut wire = Vec::new();
        encode::reply(&mut wire, &sent);
        let cut = cut.index(wire.len());
        let mut decoder = ReplyDecoder::new();
        prop_assert!(decoder.decode(&wire[..cut]).unwrap().is_none());
        prop_assert!(cut + decoder.missing(cut) <= wire.len());
    }
}

#[test]
fn helpers_tell_the_kinds_apart() {
    let mut decoder = ReplyDecoder::new();
    let mut read = |wire: &'static str| decoder.decode(wire.as_bytes()).unwrap().unwrap().1;
    assert!(read("+OK\r\n").is_ok() && !read("+OKAY\r\n").is_ok() && !read("$2\r\nOK\r\n").is_ok());
    assert_eq!(read("+PONG\r\n").as_str(), Some("PONG"));
    assert_eq!(read("$2\r\n\u{80}\r\n").as_str(), Some("\u{80}"));
    assert_eq!(read(":-7\r\n").as_integer(), Some(-7));
    assert!(read("$-1\r\n").is_null() && read("*-1\r\n").is_null() && !read("*0\r\n").is_null());
    let moved = read("-MOVED 3999 127.0.0.1:6381\r\n");
    assert_eq!(moved.error_code(), Some("MOVED"));
    assert_eq!(moved.to_owned().error_code(), Some("MOVED"));
    assert_eq!(moved.as_error(), Some(&b"MOVED 3999 127.0.0.1:6381"[..]));
    assert_eq!(read("-OOM\r\n").error_code(), Some("OOM"));
    assert!(read("-\r\n").is_error() && read("-\r\n").error_code() == Some(""));
    let array = read("*3\r\n*2\r\n:1\r\n*1\r\n+a\r\n*0\r\n$1\r\nb\r\n").as_array().unwrap();
    assert_eq!(array.len(), 3);
    assert_eq!(format!("{array:?}"), r#"[[Integer(1), [Simple("a")]], [], Bulk("b")]"#);
    assert!(matches!(array.iter().last(), Some(ReplyRef::Bulk(b"b"))));
}

#[test]
fn a_lone_cr_or_lf_is_text_of_a_line() {
    for pieces in [&[][..], &[1; 20]] {
        let (seen, end) = replies(b"+a\rb\nc\r\r\n", pieces, Limits::default());
        assert_eq!((seen, end), (vec![Reply::Simple("a\rb\nc\r".into())], End::Clean));
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits::default().max_line(4).max_bulk(5).max_elements(2).max_depth(2).max_frame(24);
    let cases: [(&str, Option<DecodeErrorKind>); 12] = [
        ("+abcd\r\n", None),
        ("+abcde\r\n", Some(DecodeErrorKind::LineTooLong)),
        ("-abcdefgh", Some(DecodeErrorKind::LineTooLong)),
        ("$5\r\nabcde\r\n", None),
        ("$6\r\n", Some(DecodeErrorKind::BulkTooLong)),
        ("*2\r\n:1\r\n:2\r\n", None),
        ("*3\r\n", Some(DecodeErrorKind::TooManyElements)),
        ("*1\r\n*1\r\n:1\r\n", None),
        ("*1\r\n*1\r\n*1\r\n", Some(DecodeErrorKind::TooDeep)),
        ("*2\r\n$4\r\nabcd\r\n$4\r\nabcd\r\n", None),
        ("*2\r\n$5\r\nabcde\r\n$4\r\n", Some(DecodeErrorKind::FrameTooLong)),
        ("*2\r\n$5\r\nabcde\r\n$4\r\nabcd\r\n", Some(DecodeErrorKind::FrameTooLong)),
    ];
    for (wire, expected) in cases {
        for pieces in [&[][..], &[1; 64][..]] {
            let (_, end) = replies(wire.as_bytes(), pieces, limits);
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
        ("@1\r\n", DecodeErrorKind::UnknownType, 0),
        ("*2\r\n:1\r\n?", DecodeErrorKind::UnknownType, 8),
        (":x\r\n", DecodeErrorKind::InvalidInteger, 0),
        ("$-2\r\n", DecodeErrorKind::InvalidLength, 0),
        ("*-2\r\n", DecodeErrorKind::InvalidLength, 0),
        ("*1\r\n$x\r\n", DecodeErrorKind::InvalidLength, 4),
        ("$2\r\nabc\r\n", DecodeErrorKind::MissingTerminator, 6),
    ];
    for (wire, kind, offset) in cases {
        let error = ReplyDecoder::new().decode(wire.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (kind, offset), "{wire:?}");
        assert!(error.to_string().contains("expected"), "{error}");
    }
    let error = ReplyDecoder::new().decode(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
    let text = "invalid RESP at byte 0 of a frame: expected a reply, one of + - : $ * of RESP2 \
                or _ # , ( ! = % ~ > | of RESP3, found \"HTTP/1.1 400 Bad Request\"";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_decoder_is_as_new_after_reset() {
    let mut decoder = ReplyDecoder::new();
    assert!(decoder.decode(b"*2\r\n$5\r\nab").unwrap().is_none());
    decoder.reset();
    assert_eq!(decoder.decode(b":5\r\n").unwrap().unwrap().1.as_integer(), Some(5));
}

/// Reading from the start of the frame at every byte would take minutes here.
#[test]
fn a_long_array_byte_by_byte_is_not_read_again_and_again() {
    let row = Reply::Array(vec![Reply::Integer(1), Reply::Bulk("ab".into()), Reply::Null]);
    let sent = Reply::Array(vec![row; 20_000]);
    let mut wire = Vec::new();
    encode::reply(&mut wire, &sent);
    let mut decoder = ReplyDecoder::new();
    for end in 0..wire.len() {
        assert!(decoder.decode(&wire[..end]).unwrap().is_none());
    }
    assert!(decoder.decode(&wire).unwrap().unwrap().1.to_owned() == sent);
}
