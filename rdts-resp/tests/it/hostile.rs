//! Input that nobody should send.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rdts_resp::{CommandDecoder, DecodeErrorKind, Limits, ReplyDecoder, encode};

use crate::support::{End, command, commands, pieces, replies};

/// Bytes that look like RESP more often than chance would have it.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let tokens: &[&[u8]] = &[
        b"*",
        b"$",
        b"+",
        b"-",
        b":",
        b"\r",
        b"\n",
        b"\r\n",
        b"\"",
        b"'",
        b"\\",
        b"0",
        b"1",
        b"2",
        b"3",
        b"-1",
        b"*2\r\n",
        b"*1\r\n",
        b"$1\r\na\r\n",
        b"$3\r\n",
        b":1\r\n",
        b"+OK\r\n",
        b"_\r\n",
        b"#t\r\n",
        b"#",
        b",1.5\r\n",
        b",",
        b"(12\r\n",
        b"(",
        b"!1\r\nE\r\n",
        b"!",
        b"=5\r\ntxt:a\r\n",
        b"=",
        b"%1\r\n",
        b"%",
        b"~1\r\n",
        b"~0\r\n",
        b">2\r\n",
        b"|1\r\n",
        b"|0\r\n",
        b"?",
        b"99999999999999999999",
        b"2147483647",
        b"536870913",
        b"a",
        b" ",
        b"\0",
        b"\xff",
    ];
    let tokens = vec(select(tokens), 0..40).prop_map(|tokens| tokens.concat());
    prop_oneof![3 => tokens, 1 => vec(any::<u8>(), 0..60)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn noise_is_read_the_same_in_pieces(noise in noise(), pieces in pieces()) {
        let limits = Limits::default();
        prop_assert_eq!(replies(&noise, &pieces, limits), replies(&noise, &[], limits));
        prop_assert_eq!(commands(&noise, &pieces, limits), commands(&noise, &[], limits));
    }

    #[test]
    fn tight_limits_are_the_same_in_pieces(noise in noise(), pieces in pieces()) {
        let limits = Limits::default().max_line(3).max_bulk(4).max_args(2).max_elements(3).max_depth(2).max_frame(18);
        // Which of two limits is met first may differ; what passes may not.
        let failed = |end: &End| matches!(end, End::Failed(..));
        let (whole, end) = replies(&noise, &[], limits);
        let (pieced, other) = replies(&noise, &pieces, limits);
        prop_assert_eq!((whole, failed(&end)), (pieced, failed(&other)));
        let (whole, end) = commands(&noise, &[], limits);
        let (pieced, other) = commands(&noise, &pieces, limits);
        prop_assert_eq!((whole, failed(&end)), (pieced, failed(&other)));
    }

    #[test]
    fn a_damaged_command_never_panics(args in command(), at in any::<prop::sample::Index>(), byte in any::<u8>(), pieces in pieces()) {
        let mut wire = Vec::new();
        encode::command(&mut wire, &args);
        let at = at.index(wire.len());
        wire[at] = byte;
        prop_assert_eq!(commands(&wire, &pieces, Limits::default()), commands(&wire, &[], Limits::default()));
    }

    /// Other bytes than before are the caller's mistake: what comes out is unspecified, but nothing panics.
    #[test]
    fn a_caller_who_changes_the_bytes_gets_no_panic(inputs in vec(noise(), 1..6)) {
        let (mut replies, mut commands) = (ReplyDecoder::new(), CommandDecoder::new());
        for input in &inputs {
            if let Ok(Some((_, reply))) = replies.decode(input) {
                let _ = (reply.to_owned(), reply.is_error(), reply.without_attributes().to_owned());
            }
            if let Ok(Some((_, command))) = commands.decode(input) {
                let _ = command.iter().count();
            }
        }
    }
}

#[test]
fn going_on_after_an_error_gives_no_panic() {
    let mut decoder = CommandDecoder::new();
    assert!(decoder.decode(b"\"").unwrap().is_none());
    // Words were found before the quote that does not end.
    assert!(decoder.decode(b"some words \"\n").is_err());
    if let Ok(Some((_, command))) = decoder.decode(b"*2\r\n") {
        let _ = command.iter().count();
    }
}

#[test]
fn a_claimed_length_costs_nothing_until_it_is_there() {
    let mut decoder = CommandDecoder::new();
    assert!(decoder.decode(b"*2147483647\r\n$536870912\r\nx").unwrap().is_none());
    assert_eq!(decoder.missing(26), 536_870_912 + 1);
    let mut decoder = ReplyDecoder::new();
    assert!(decoder.decode(b"*4294967295\r\n*4294967295\r\n:1\r\n").unwrap().is_none());
    for kind in ['~', '>', '%', '|'] {
        let mut decoder = ReplyDecoder::new();
        let claim = format!("{kind}2147483647\r\n{kind}2147483647\r\n:1\r\n");
        assert!(decoder.decode(claim.as_bytes()).unwrap().is_none());
    }
    let mut decoder = ReplyDecoder::new();
    assert!(decoder.decode(b"=536870912\r\ntxt:").unwrap().is_none());
    assert_eq!(decoder.missing(16), 536_870_912 + 2 - 4);
}

/// A length may be the greatest of 64 bits, and there are two replies to each pair.
#[test]
fn lengths_beyond_all_limits_are_refused() {
    let limits = Limits::default().max_elements(usize::MAX);
    for kind in ['*', '~', '>', '%', '|'] {
        let claim = format!("{kind}{}\r\n", i64::MAX);
        let error = ReplyDecoder::new().decode(claim.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::TooManyElements, "{claim:?}");
        let mut decoder = ReplyDecoder::with_limits(limits);
        assert!(decoder.decode(format!("{claim}:1\r\n").as_bytes()).unwrap().is_none());
    }
}

#[test]
fn nesting_stops_at_the_limit() {
    let limits = Limits::default().max_depth(usize::MAX);
    for header in ["*1\r\n", "~1\r\n", ">1\r\n", "%1\r\n:1\r\n", "|0\r\n", "|1\r\n+a\r\n+b\r\n"] {
        let nested = header.repeat(10_000);
        let error = ReplyDecoder::with_limits(limits).decode(nested.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, 512 * header.len()), "{header:?}");
        let deepest = header.repeat(512) + ":1\r\n";
        let mut decoder = ReplyDecoder::with_limits(limits);
        let (_, reply) = decoder.decode(deepest.as_bytes()).unwrap().unwrap();
        let owned = reply.to_owned();
        assert!(owned == owned.clone());
        assert_eq!(reply.as_integer(), header.starts_with('|').then_some(1));
        assert_eq!(owned.as_integer(), reply.as_integer());
    }
}
