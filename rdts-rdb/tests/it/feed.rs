//! Feeding a parser, in any pieces, and writing down what it says.

use rdts_rdb::{Error, Event, Parser, ParserOptions, Progress, ValueMode};

/// How the input is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    Whole,
    Every(usize),
    /// Pieces of random sizes up to this, from this seed.
    Random(usize, u64),
}

/// What the parser reported: one line an event, in a form that does not depend on how long strings were cut.
#[derive(Debug, PartialEq)]
pub(crate) struct Log {
    pub(crate) lines: Vec<String>,
    pub(crate) error: Option<Error>,
    /// Where the parser stopped.
    pub(crate) offset: u64,
    /// The most bytes that it wanted to see at once beyond what it consumed.
    pub(crate) held: usize,
}

pub(crate) fn options() -> ParserOptions {
    ParserOptions::new()
}

/// Feeds `input` and gives every event to `each`.
pub(crate) fn feed(
    parser: &mut Parser,
    input: &[u8],
    cut: Cut,
    mut each: impl FnMut(&Event<'_>) -> Option<ValueMode>,
) -> (Option<Error>, usize) {
    let mut start = 0;
    let mut end = 0;
    let mut held = 0;
    let mut seed = match cut {
        Cut::Random(_, seed) => seed * 2 + 1,
        _ => 1,
    };
    let mut more = |end: usize| {
        let n = match cut {
            Cut::Whole => usize::MAX,
            Cut::Every(n) => n,
            Cut::Random(max, _) => {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as usize % max + 1
            }
        };
        end.saturating_add(n).min(input.len())
    };
    loop {
        held = held.max(end - start);
        let eof = end == input.len();
        let mode = match parser.parse(&input[start..end], eof) {
            Ok(Progress::Parsed { consumed, event }) => {
                start += consumed;
                each(&event)
            }
            Ok(Progress::NeedMoreData(hint)) => {
                assert!(hint > 0 && !eof);
                end = more(end);
                None
            }
            Ok(Progress::Done) => return (None, held),
            Err(error) => {
                let again = parser.parse(&input[start..end], eof);
                assert_eq!(again.err(), Some(error.clone()), "an error stays");
                return (Some(error), held);
            }
        };
        if let Some(mode) = mode {
            parser.set_value_mode(mode);
        }
        assert_eq!(parser.offset(), start as u64);
    }
}

/// Writes down the events of `input`.
pub(crate) fn log(input: &[u8], cut: Cut, options: ParserOptions) -> Log {
    let mut parser = Parser::with_options(options);
    let mut lines: Vec<String> = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    let mut raw: Vec<u8> = Vec::new();
    let (error, held) = feed(&mut parser, input, cut, |event| {
        match event {
            Event::Consumed => {}
            Event::String(piece) => {
                if piece.offset == 0 {
                    pending.clear();
                }
                assert_eq!(piece.offset, pending.len() as u64);
                pending.extend_from_slice(piece.data);
                if piece.is_last() {
                    lines.push(format!("String({:?}, {:?})", bytes(&pending), piece.int));
                }
            }
            Event::RawChunk { data, last } => {
                raw.extend_from_slice(data);
                if *last {
                    lines.push(format!("Raw({})", bytes(&raw)));
                    raw.clear();
                }
            }
            Event::Raw(data) => lines.push(format!("Raw({})", bytes(data))),
            other => lines.push(format!("{other:?}")),
        }
        None
    });
    Log { lines, error, offset: parser.offset(), held }
}

fn bytes(data: &[u8]) -> String {
    if data.len() > 100 {
        format!("{} bytes, {}", data.len(), crate::sha256::hex(data))
    } else {
        data.escape_ascii().to_string()
    }
}
