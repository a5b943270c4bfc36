//! Feeding decoders in pieces.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use rdts_resp::{CommandDecoder, DecodeErrorKind, Limits, Reply, ReplyDecoder};
use redis::{Value, VerbatimFormat};

/// A command as a decoder showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) raw: Vec<u8>,
    pub(crate) inline: bool,
}

/// How a stream ended: all consumed, in the middle of a frame, or with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    Unfinished,
    Failed(DecodeErrorKind, usize),
}

/// Gives `input` to `decode` piece after piece, as a reader with a buffer does, until it is used up.
fn feed<T>(
    input: &[u8],
    pieces: &[usize],
    mut decode: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, rdts_resp::DecodeError>,
) -> (Vec<T>, End) {
    let (mut seen, mut start, mut end) = (Vec::new(), 0, 0);
    let mut pieces = pieces.iter().copied();
    loop {
        match decode(&input[start..end]) {
            Ok(Some((consumed, item))) => {
                assert!(consumed > 0 && start + consumed <= end);
                start += consumed;
                seen.push(item);
            }
            Err(error) => {
                assert!(error.offset() <= end - start, "{error}");
                return (seen, End::Failed(error.kind(), start + error.offset()));
            }
            Ok(None) if end < input.len() => {
                end = input.len().min(end + pieces.next().unwrap_or(input.len()));
            }
            Ok(None) if start == end => return (seen, End::Clean),
            Ok(None) => return (seen, End::Unfinished),
        }
    }
}

pub(crate) fn commands(input: &[u8], pieces: &[usize], limits: Limits) -> (Vec<Seen>, End) {
    let mut decoder = CommandDecoder::with_limits(limits);
    feed(input, pieces, |src| {
        let decoded = decoder.decode(src)?;
        Ok(decoded.map(|(consumed, command)| {
            assert_eq!(command.raw(), &src[..consumed]);
            assert_eq!(command.iter().len(), command.len());
            let args = command.iter().map(<[u8]>::to_vec).collect();
            (consumed, Seen { args, raw: command.raw().to_vec(), inline: command.is_inline() })
        }))
    })
}

pub(crate) fn replies(input: &[u8], pieces: &[usize], limits: Limits) -> (Vec<Reply>, End) {
    let mut decoder = ReplyDecoder::with_limits(limits);
    feed(input, pieces, |src| Ok(decoder.decode(src)?.map(|(consumed, reply)| (consumed, reply.to_owned()))))
}

/// The pieces in which an input arrives: single bytes, or a few at a time.
pub(crate) fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1; 4096]), vec(1_usize..9, 0..400), vec(1_usize..200, 0..40)]
}

pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..12),
        2 => vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'$'), Just(b'*'), Just(b'1')], 0..12),
        1 => vec(any::<u8>(), 90..1200),
    ]
}

/// What a line of text is in these tests: without control characters, as `encode` would replace some, and text, as the
/// `redis` crate wants it.
const LINE: &str = "[ -~é]{0,20}";

/// Any reply of RESP2 that has no others in it.
fn leaf() -> BoxedStrategy<Reply> {
    prop_oneof![
        Just(Reply::Simple(Bytes::from_static(b"OK"))),
        LINE.prop_map(|text| Reply::Simple(text.into())),
        ("[A-Z]{1,9}", LINE).prop_map(|(code, text)| Reply::Error(format!("{code} {text}").into())),
        prop_oneof![any::<i64>(), -3_i64..200].prop_map(Reply::Integer),
        bytes().prop_map(|bytes| Reply::Bulk(bytes.into())),
        Just(Reply::Null),
    ]
    .boxed()
}

/// Any reply of RESP2.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    leaf().prop_recursive(5, 60, 12, |inner| vec(inner, 0..12).prop_map(Reply::Array))
}

/// Any reply of RESP3 that the `redis` crate can read too: it knows these formats of texts, normalizes big numbers, and
/// wants texts.
pub(crate) fn reply3() -> impl Strategy<Value = Reply> {
    let format = prop_oneof![Just(*b"txt"), Just(*b"mkd")];
    let leaf3 = prop_oneof![
        any::<bool>().prop_map(Reply::Boolean),
        prop_oneof![
            any::<f64>(),
            any::<u64>().prop_map(f64::from_bits),
            (-1000_i32..1000).prop_map(|n| f64::from(n) / 8.0),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(f64::NAN),
        ]
        .prop_map(Reply::Double),
        "-?[1-9][0-9]{0,60}".prop_map(|digits| Reply::BigNumber(digits.to_string().into())),
        ("[A-Z]{1,9}", "[ -~é\r\n]{0,40}").prop_map(|(code, text)| Reply::BulkError(format!("{code} {text}").into())),
        (format, "[ -~é\r\n]{0,40}").prop_map(|(format, text)| Reply::Verbatim { format, text: text.into() }),
    ];
    prop_oneof![leaf(), leaf3].prop_recursive(5, 60, 12, |inner| {
        let pairs = vec((inner.clone(), inner.clone()), 0..6);
        // A push without a kind is no push to the `redis` crate.
        let push = ("[a-z]{1,9}", vec(inner.clone(), 0..6)).prop_map(|(kind, mut elements)| {
            elements.insert(0, Reply::Bulk(kind.into()));
            elements
        });
        prop_oneof![
            vec(inner.clone(), 0..12).prop_map(Reply::Array),
            vec(inner.clone(), 0..12).prop_map(Reply::Set),
            push.prop_map(Reply::Push),
            pairs.clone().prop_map(Reply::Map),
            (pairs, inner).prop_map(|(attributes, reply)| Reply::Attributed { attributes, reply: Box::new(reply) }),
        ]
    })
}

/// Says what the `redis` crate read in our words. It does not tell the two kinds of errors apart.
pub(crate) fn from_redis(value: Value) -> Reply {
    let all = |values: Vec<Value>| values.into_iter().map(from_redis).collect();
    let pairs = |pairs: Vec<(Value, Value)>| pairs.into_iter().map(|(k, v)| (from_redis(k), from_redis(v))).collect();
    match value {
        Value::Nil => Reply::Null,
        Value::Int(value) => Reply::Integer(value),
        Value::BulkString(bytes) => Reply::Bulk(bytes.into()),
        Value::Array(elements) => Reply::Array(all(elements)),
        Value::SimpleString(text) => Reply::Simple(text.into()),
        Value::Okay => Reply::Simple("OK".into()),
        Value::ServerError(error) => {
            let details = error.details().unwrap_or_default();
            Reply::Error(format!("{} {details}", error.code()).into())
        }
        Value::Boolean(value) => Reply::Boolean(value),
        Value::Double(value) => Reply::Double(value),
        Value::BigNumber(digits) => Reply::BigNumber(digits.to_string().into()),
        Value::VerbatimString { format, text } => {
            let format = match format {
                VerbatimFormat::Text => *b"txt",
                VerbatimFormat::Markdown => *b"mkd",
                other => panic!("not a format that was sent: {other:?}"),
            };
            Reply::Verbatim { format, text: text.into() }
        }
        Value::Map(map) => Reply::Map(pairs(map)),
        Value::Set(elements) => Reply::Set(all(elements)),
        Value::Push { kind, data } => {
            let mut elements: Vec<Reply> = all(data);
            elements.insert(0, Reply::Bulk(kind.to_string().into()));
            Reply::Push(elements)
        }
        Value::Attribute { data, attributes } => {
            Reply::Attributed { attributes: pairs(attributes), reply: Box::new(from_redis(*data)) }
        }
        other => panic!("new to these tests: {other:?}"),
    }
}

pub(crate) fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(bytes(), 1..14)
}
