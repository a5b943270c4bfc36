//! What the fuzz targets share.

use rdts_rdb::{Error, Event, Limits, Parser, ParserOptions, Progress, ValueMode};

/// Small limits, so that a target's own memory stays small.
pub fn options(bits: u8) -> ParserOptions {
    let limits = Limits::new().max_key(1 << 16).max_blob(1 << 18).max_element(1 << 18).chunk(1024).max_templates(64, 1 << 12);
    let mode = match bits & 3 {
        0 => ValueMode::Decode,
        1 => ValueMode::Raw,
        2 => ValueMode::RawOrDecode { limit: 1 << (bits >> 4) },
        _ => ValueMode::Skip,
    };
    ParserOptions::new().limits(limits).checksum(bits & 4 != 0).validate(bits & 8 != 0).value_mode(mode)
}

/// Feeds a parser, `cut` bytes more each time it asks (0: all at once), and writes down what it says in a form that does not depend on the cut.
pub fn log(data: &[u8], cut: usize, options: ParserOptions) -> (Vec<String>, Option<Error>) {
    let mut parser = Parser::with_options(options);
    let mut lines = Vec::new();
    let mut pieces: Vec<u8> = Vec::new();
    let (mut start, mut end) = (0, 0);
    loop {
        let eof = end == data.len();
        match parser.parse(&data[start..end], eof) {
            Ok(Progress::Parsed { consumed, event }) => {
                assert!(consumed <= end - start);
                start += consumed;
                match event {
                    Event::Consumed => {}
                    Event::String(piece) => {
                        pieces.extend_from_slice(piece.data);
                        if piece.is_last() {
                            lines.push(format!("string {:?}", std::mem::take(&mut pieces)));
                        }
                    }
                    Event::RawChunk { data, last } => {
                        pieces.extend_from_slice(data);
                        if last {
                            lines.push(format!("raw {:?}", std::mem::take(&mut pieces)));
                        }
                    }
                    event => lines.push(format!("{event:?}")),
                }
            }
            Ok(Progress::NeedMoreData(hint)) => {
                assert!(hint > 0 && !eof);
                end = if cut == 0 { data.len() } else { (end + cut).min(data.len()) };
            }
            Ok(Progress::Done) => return (lines, None),
            Err(error) => {
                assert!(error.offset() <= data.len() as u64);
                return (lines, Some(error));
            }
        }
    }
}
