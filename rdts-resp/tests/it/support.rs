//! Feeding decoders in pieces.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use rdts_resp::{CommandDecoder, DecodeErrorKind, Limits, Reply, ReplyDecoder};

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

/// Any reply. Lines are without control characters, as `encode` would replace some, and the `redis` crate wants text.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let line = "[ -~é]{0,20}";
    let leaf = prop_oneof![
        Just(Reply::Simple(Bytes::from_static(b"OK"))),
        line.prop_map(|text| Reply::Simple(text.into())),
        ("[A-Z]{1,9}", line).prop_map(|(code, text)| Reply::Error(format!("{code} {text}").into())),
        prop_oneof![any::<i64>(), -3_i64..200].prop_map(Reply::Integer),
        bytes().prop_map(|bytes| Reply::Bulk(bytes.into())),
        Just(Reply::Null),
    ];
    leaf.prop_recursive(5, 60, 12, |inner| vec(inner, 0..12).prop_map(Reply::Array))
}

pub(crate) fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(bytes(), 1..14)
}
