//! Replies of RESP3: round trips, any chunking, the `redis` crate.

use std::collections::HashSet;

use proptest::prelude::*;
use rdts_resp::{DecodeErrorKind, Limits, Reply, ReplyDecoder, ReplyRef, encode};

use crate::support::{End, from_redis, pieces, replies, reply3};

fn encoded(replies: &[Reply]) -> Vec<u8> {
    let mut wire = Vec::new();
    for reply in replies {
        encode::reply3(&mut wire, reply);
    }
    wire
}

/// Decodes one reply that is all of `wire`.
fn read(wire: &[u8]) -> ReplyRef<'_> {
    let mut decoder = ReplyDecoder::new();
    let (consumed, reply) = decoder.decode(wire).unwrap().unwrap();
    assert_eq!(consumed, wire.len());
    reply
}

/// Replaces what the `redis` crate cannot tell apart.
fn as_the_redis_crate_sees_it(reply: &Reply) -> Reply {
    let all = |replies: &[Reply]| replies.iter().map(as_the_redis_crate_sees_it).collect();
    let pairs = |pairs: &[(Reply, Reply)]| {
        pairs.iter().map(|(k, v)| (as_the_redis_crate_sees_it(k), as_the_redis_crate_sees_it(v))).collect()
    };
    match reply {
        Reply::BulkError(text) => Reply::Error(text.clone()),
        Reply::Array(elements) => Reply::Array(all(elements)),
        Reply::Set(elements) => Reply::Set(all(elements)),
        Reply::Push(elements) => Reply::Push(all(elements)),
        Reply::Map(map) => Reply::Map(pairs(map)),
        Reply::Attributed { attributes, reply } => {
            Reply::Attributed { attributes: pairs(attributes), reply: Box::new(as_the_redis_crate_sees_it(reply)) }
        }
        other => other.clone(),
    }
}

/// Whether all that can be asked of a borrowed reply is the same of its owned copy, and so on inside it.
fn agree(borrowed: ReplyRef<'_>, owned: &Reply) {
    assert_eq!(format!("{borrowed:?}"), format!("{owned:?}"));
    assert_eq!(borrowed.as_bytes(), owned.as_bytes());
    assert_eq!(borrowed.as_str(), owned.as_str());
    assert_eq!(borrowed.as_integer(), owned.as_integer());
    assert_eq!(borrowed.as_bool(), owned.as_bool());
    assert_eq!(borrowed.as_f64().map(Reply::Double), owned.as_f64().map(Reply::Double));
    assert_eq!(borrowed.as_big_number(), owned.as_big_number());
    assert_eq!(borrowed.as_error(), owned.as_error());
    assert_eq!(borrowed.error_code(), owned.error_code());
    let is = |reply: &ReplyRef<'_>| [reply.is_error(), reply.is_ok(), reply.is_null(), reply.is_push()];
    assert_eq!(is(&borrowed), [owned.is_error(), owned.is_ok(), owned.is_null(), owned.is_push()]);
    assert_eq!(&borrowed.without_attributes().to_owned(), owned.without_attributes());
    for (ours, theirs) in [(borrowed.as_array(), owned.as_array()), (borrowed.as_push(), owned.as_push())] {
        assert_eq!(ours.map(|elements| elements.len()), theirs.map(<[Reply]>::len));
        let elements = ours.into_iter().flatten().zip(theirs.into_iter().flatten());
        elements.for_each(|(ours, theirs)| agree(ours, theirs));
    }
    assert_eq!(borrowed.as_map().map(|map| map.len()), owned.as_map().map(Iterator::count));
    let pairs = borrowed.as_map().into_iter().flatten().zip(owned.as_map().into_iter().flatten());
    for ((key, value), (owned_key, owned_value)) in pairs {
        agree(key, owned_key);
        agree(value, owned_value);
        if let Some(key) = key.as_bytes() {
            assert_eq!(borrowed.as_map().and_then(|map| map.get(key)).map(|v| v.to_owned()).as_ref(), owned.get(key));
        }
    }
    assert_eq!(borrowed.attributes().map(|map| map.len()), owned.attributes().map(<[_]>::len));
    for ((key, value), (owned_key, owned_value)) in
        borrowed.attributes().into_iter().flatten().zip(owned.attributes().into_iter().flatten())
    {
        agree(key, owned_key);
        agree(value, owned_value);
    }
}

proptest! {
    #[test]
    fn in_pieces_as_a_whole_and_as_encoded(sent in proptest::collection::vec(reply3(), 0..6), pieces in pieces()) {
        let wire = encoded(&sent);
        let (whole, end) = replies(&wire, &[], Limits::default());
        prop_assert_eq!(&whole, &sent);
        prop_assert_eq!(&end, &End::Clean);
        prop_assert_eq!(replies(&wire, &pieces, Limits::default()), (whole, end));
    }

    #[test]
    fn the_redis_crate_reads_the_same(sent in reply3()) {
        let theirs = redis::parse_redis_value(&encoded(std::slice::from_ref(&sent))).unwrap();
        prop_assert_eq!(from_redis(theirs), as_the_redis_crate_sees_it(&sent));
    }

    #[test]
    fn borrowed_and_owned_replies_agree(sent in reply3()) {
        agree(read(&encoded(std::slice::from_ref(&sent))), &sent);
    }

    #[test]
    fn a_prefix_asks_for_no_more_than_there_is(sent in reply3(), cut in any::<prop::sample::Index>()) {
        let wire = encoded(&[sent]);
        let cut = cut.index(wire.len());
        let mut decoder = ReplyDecoder::new();
        prop_assert!(decoder.decode(&wire[..cut]).unwrap().is_none());
        prop_assert!(cut + decoder.missing(cut) <= wire.len());
    }

    /// What is written for a peer of RESP2 is of RESP2 alone, and says the same as far as that goes.
    #[test]
    fn a_peer_of_resp2_is_not_told_of_resp3(sent in reply3()) {
        let mut wire = Vec::new();
        encode::reply(&mut wire, &sent);
        let received = read(&wire).to_owned();
        let mut again = Vec::new();
        encode::reply3(&mut again, &received);
        let only_null_differs = |wire: &[u8]| String::from_utf8_lossy(wire).replace("_\r\n", "$-1\r\n");
        prop_assert_eq!(only_null_differs(&again), only_null_differs(&wire));
        prop_assert_eq!(received.is_error(), sent.is_error());
        prop_assert_eq!(received.as_bool(), sent.as_bool());
    }

    #[test]
    fn a_double_comes_back_to_the_last_bit(value in any::<u64>().prop_map(f64::from_bits)) {
        let mut wire = Vec::new();
        encode::double(&mut wire, value);
        let read = read(&wire).as_f64().unwrap();
        prop_assert!(read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()), "{:?}", wire);
    }
}

#[test]
fn every_kind_is_written_as_it_is_specified() {
    let text = |text: &'static str| Reply::Bulk(text.into());
    let cases = [
        (Reply::Null, "_\r\n"),
        (Reply::Boolean(true), "#t\r\n"),
        (Reply::Boolean(false), "#f\r\n"),
        (Reply::Double(1.25), ",1.25\r\n"),
        (Reply::Double(10.0), ",10\r\n"),
        (Reply::Double(-0.0), ",-0\r\n"),
        (Reply::Double(1e300), ",1e300\r\n"),
        (Reply::Double(f64::MIN), ",-1.7976931348623157e308\r\n"),
        (Reply::Double(f64::INFINITY), ",inf\r\n"),
        (Reply::Double(f64::NEG_INFINITY), ",-inf\r\n"),
        (Reply::Double(-f64::NAN), ",nan\r\n"),
        (Reply::BigNumber("-12345678901234567890".into()), "(-12345678901234567890\r\n"),
        (Reply::BulkError("SYNTAX a\r\nb".into()), "!11\r\nSYNTAX a\r\nb\r\n"),
        (Reply::Verbatim { format: *b"x:y", text: "a\nb".into() }, "=7\r\nx:y:a\nb\r\n"),
        (
            Reply::Map(vec![(text("a"), Reply::Integer(1)), (Reply::Null, text(""))]),
            "%2\r\n$1\r\na\r\n:1\r\n_\r\n$0\r\n\r\n",
        ),
        (Reply::Map(vec![]), "%0\r\n"),
        (Reply::Set(vec![text("a"), Reply::Boolean(true)]), "~2\r\n$1\r\na\r\n#t\r\n"),
        (Reply::Set(vec![]), "~0\r\n"),
        (Reply::Push(vec![text("kind"), Reply::Integer(1)]), ">2\r\n$4\r\nkind\r\n:1\r\n"),
        (Reply::Push(vec![]), ">0\r\n"),
        (
            Reply::Attributed { attributes: vec![(text("ttl"), Reply::Integer(1))], reply: Box::new(text("a")) },
            "|1\r\n$3\r\nttl\r\n:1\r\n$1\r\na\r\n",
        ),
        (Reply::Attributed { attributes: vec![], reply: Box::new(Reply::Map(vec![])) }, "|0\r\n%0\r\n"),
    ];
    for (reply, wire) in &cases {
        assert_eq!(String::from_utf8_lossy(&encoded(std::slice::from_ref(reply))), *wire);
        agree(read(wire.as_bytes()), reply);
    }
    // Each is the same as itself alone, and has a hash of its own.
    let hashed: HashSet<&Reply> = cases.iter().map(|(reply, _)| reply).collect();
    assert_eq!(hashed.len(), cases.len());
}

#[test]
fn numbers_are_read_as_servers_and_libraries_write_them() {
    let double = |text: &str| read(format!(",{text}\r\n").as_bytes()).as_f64().unwrap();
    for (text, value) in
        [("10", 10.0), ("+1.5", 1.5), ("1e+20", 1e20), ("-5E-324", -5e-324), (".5", 0.5), ("-inf", f64::NEG_INFINITY)]
    {
        assert_eq!(double(text).to_bits(), value.to_bits(), "{text}");
    }
    assert!(double("nan").is_nan() && double("-nan").is_nan());
    for digits in ["0", "+1", "-007"] {
        let wire = format!("({digits}\r\n");
        assert_eq!(read(wire.as_bytes()).as_big_number(), Some(digits.as_bytes()));
    }
}

#[test]
fn what_resp2_says_in_its_place_is_taken_too() {
    assert_eq!(read(b":1\r\n").as_bool(), Some(true));
    assert_eq!(read(b":0\r\n").as_bool(), Some(false));
    assert_eq!(read(b":2\r\n").as_bool(), None);
    assert_eq!(read(b"$4\r\n-2.5\r\n").as_f64(), Some(-2.5));
    assert_eq!(read(b"$1\r\na\r\n").as_f64(), None);
    assert_eq!(read(b"*2\r\n+a\r\n:1\r\n").as_map().unwrap().get("a").unwrap().as_integer(), Some(1));
    assert!(read(b"*1\r\n+a\r\n").as_map().is_none());
    assert!(read(b"~2\r\n+a\r\n:1\r\n").as_map().is_none());
    assert_eq!(read(b"~2\r\n+a\r\n:1\r\n").as_array().unwrap().len(), 2);
    assert!(read(b">2\r\n+a\r\n:1\r\n").as_array().is_none());
}

#[test]
fn attributes_are_seen_and_not_in_the_way() {
    let wire = b"*2\r\n|1\r\n+ttl\r\n:3600\r\n|1\r\n+from\r\n+b\r\n-WRONGTYPE a\r\n|0\r\n$1\r\nv\r\n";
    let elements: Vec<_> = read(wire).as_array().unwrap().iter().collect();
    let error = elements[0];
    assert!(error.is_error() && error.error_code() == Some("WRONGTYPE"));
    assert_eq!(error.attributes().unwrap().get("ttl").unwrap().as_integer(), Some(3600));
    let ReplyRef::Attributed(attributed) = error else { panic!("{error:?}") };
    assert_eq!(attributed.reply().attributes().unwrap().get("from").unwrap().as_str(), Some("b"));
    assert!(matches!(error.without_attributes(), ReplyRef::Error(b"WRONGTYPE a")));
    assert!(elements[1].attributes().unwrap().is_empty());
    assert_eq!(elements[1].as_str(), Some("v"));
    let shown = r#"Attributed { attributes: {Simple("ttl"): Integer(3600)}, reply: "#;
    assert!(format!("{error:?}").starts_with(shown), "{error:?}");
    assert_eq!(read(b":1\r\n").attributes().map(|map| map.len()), None);
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits::default().max_line(4).max_bulk(5).max_elements(4).max_depth(2).max_frame(24);
    let cases: [(&str, Option<DecodeErrorKind>); 17] = [
        (",1234\r\n", None),
        (",12345\r\n", Some(DecodeErrorKind::LineTooLong)),
        ("(12345678", Some(DecodeErrorKind::LineTooLong)),
        ("!5\r\nabcde\r\n", None),
        ("!6\r\n", Some(DecodeErrorKind::BulkTooLong)),
        ("=5\r\ntxt:e\r\n", None),
        ("=6\r\n", Some(DecodeErrorKind::BulkTooLong)),
        ("~4\r\n_\r\n_\r\n_\r\n_\r\n", None),
        ("~5\r\n", Some(DecodeErrorKind::TooManyElements)),
        (">5\r\n", Some(DecodeErrorKind::TooManyElements)),
        ("%2\r\n_\r\n_\r\n_\r\n_\r\n", None),
        ("%3\r\n", Some(DecodeErrorKind::TooManyElements)),
        ("|2\r\n_\r\n_\r\n_\r\n_\r\n_\r\n", None),
        ("|3\r\n", Some(DecodeErrorKind::TooManyElements)),
        ("|0\r\n~1\r\n_\r\n", None),
        ("|0\r\n~1\r\n>1\r\n", Some(DecodeErrorKind::TooDeep)),
        ("~3\r\n!4\r\nabcd\r\n_\r\n_\r\n_\r\n_\r\n", None),
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
    let (_, end) = replies(b"~2\r\n=4\r\ntxt:\r\n=5\r\ntxt:e\r\n", &[1; 64], limits);
    assert_eq!(end, End::Failed(DecodeErrorKind::FrameTooLong, 14));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("_x\r\n", DecodeErrorKind::InvalidNull, 0),
        ("*1\r\n#x\r\n", DecodeErrorKind::InvalidBoolean, 4),
        ("#true\r\n", DecodeErrorKind::InvalidBoolean, 0),
        (",\r\n", DecodeErrorKind::InvalidDouble, 0),
        (",1,5\r\n", DecodeErrorKind::InvalidDouble, 0),
        (", 1\r\n", DecodeErrorKind::InvalidDouble, 0),
        ("(\r\n", DecodeErrorKind::InvalidBigNumber, 0),
        ("(-\r\n", DecodeErrorKind::InvalidBigNumber, 0),
        ("(1.5\r\n", DecodeErrorKind::InvalidBigNumber, 0),
        ("=3\r\ntxt\r\n", DecodeErrorKind::InvalidVerbatim, 0),
        ("=5\r\ntext:\r\n", DecodeErrorKind::InvalidVerbatim, 0),
        ("=4\r\ntxt:a\r\n", DecodeErrorKind::MissingTerminator, 8),
        ("!2\r\nabc\r\n", DecodeErrorKind::MissingTerminator, 6),
        ("!-1\r\n", DecodeErrorKind::InvalidLength, 0),
        ("=x\r\n", DecodeErrorKind::InvalidLength, 0),
        ("%-1\r\n", DecodeErrorKind::InvalidLength, 0),
        ("~-1\r\n", DecodeErrorKind::InvalidLength, 0),
        (">x\r\n", DecodeErrorKind::InvalidLength, 0),
        ("|-1\r\n", DecodeErrorKind::InvalidLength, 0),
        ("*1\r\n$?\r\n;4\r\n", DecodeErrorKind::Streamed, 4),
        ("*?\r\n:1\r\n.\r\n", DecodeErrorKind::Streamed, 0),
        ("%?\r\n", DecodeErrorKind::Streamed, 0),
        ("~?\r\n", DecodeErrorKind::Streamed, 0),
        (">?\r\n", DecodeErrorKind::Streamed, 0),
        ("|?\r\n", DecodeErrorKind::Streamed, 0),
        ("=?\r\n", DecodeErrorKind::Streamed, 0),
        ("!?\r\n", DecodeErrorKind::Streamed, 0),
        (";4\r\n", DecodeErrorKind::UnknownType, 0),
        (".\r\n", DecodeErrorKind::UnknownType, 0),
    ];
    for (wire, kind, offset) in cases {
        for pieces in [&[][..], &[1; 64][..]] {
            let (_, end) = replies(wire.as_bytes(), pieces, Limits::default());
            assert_eq!(end, End::Failed(kind, offset), "{wire:?}");
        }
    }
    let error = ReplyDecoder::new().decode(b"$?\r\n").unwrap_err();
    assert!(error.to_string().contains("streamed strings and aggregates"), "{error}");
}

/// Reading from the start of the frame at every byte would take minutes here.
#[test]
fn a_long_map_byte_by_byte_is_not_read_again_and_again() {
    let pair =
        (Reply::Verbatim { format: *b"txt", text: "ab".into() }, Reply::Set(vec![Reply::Double(1.5), Reply::Null]));
    let sent = Reply::Map(vec![pair; 20_000]);
    let wire = encoded(std::slice::from_ref(&sent));
    let mut decoder = ReplyDecoder::new();
    for end in 0..wire.len() {
        assert!(decoder.decode(&wire[..end]).unwrap().is_none());
    }
    assert!(decoder.decode(&wire).unwrap().unwrap().1.to_owned() == sent);
}
