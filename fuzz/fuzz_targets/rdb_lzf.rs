//! Our decompression against the `lzf` crate's: the same bytes wherever both succeed, whole and in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdts_rdb::{Event, ParserOptions, Limits, Parser, Progress};

/// A string of `full` bytes as an RDB file with this compressed form.
fn file(packed: &[u8], full: usize) -> Vec<u8> {
    let mut file = b"REDIS0003\x00\x01k\xC3\x80".to_vec();
    file.extend((packed.len() as u32).to_be_bytes());
    file.push(0x80);
    file.extend((full as u32).to_be_bytes());
    file.extend_from_slice(packed);
    file.push(0xFF);
    file
}

fn ours(file: &[u8], chunk: usize) -> Option<Vec<u8>> {
    let mut parser = Parser::with_options(ParserOptions::new().limits(Limits::new().chunk(chunk)));
    let mut rest = file;
    let mut out = Vec::new();
    loop {
        match parser.parse(rest, true) {
            Ok(Progress::Parsed { consumed, event }) => {
                if let Event::String(piece) = event {
                    out.extend_from_slice(piece.data);
                }
                rest = &rest[consumed..];
            }
            Ok(_) => return Some(out),
            Err(_) => return None,
        }
    }
}

fuzz_target!(|input: (u16, &[u8])| {
    let (full, packed) = input;
    let full = usize::from(full);
    let file = file(packed, full);
    let pieces = ours(&file, 1024);
    let whole = ours(&file, 1 << 17);
    assert_eq!(pieces, whole);
    if let Some(whole) = whole {
        assert_eq!(whole.len(), full);
        // The other one panics on some broken input and accepts output that is too short; only good input is comparable.
        assert_eq!(lzf::decompress(packed, full).ok().as_deref(), Some(&whole[..]));
    }
});
