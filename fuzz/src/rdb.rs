//! What must hold of `rdts-rdb` for any input, and inputs to begin with. The tests of that crate run the seeds through the same functions.

use std::path::Path;

use rdts_rdb::dump::{self, Payload, ValueEvents};
use rdts_rdb::encode::{EncodeOptions, Loss, Writer};
use rdts_rdb::{
    Entry, Error, Event, Limits, Parser, ParserOptions, Progress, Reader, Value, ValueMode, ValueType, Version,
};

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 6] = [
    ("rdb_parse", parse),
    ("rdb_incremental", incremental),
    ("rdb_roundtrip", roundtrip),
    ("rdb_dump", dump),
    ("rdb_blob", blob),
    ("rdb_lzf", lzf),
];

/// Any bytes, taken in any way, give events and an end or an error. The first byte chooses options.
pub fn parse(input: &[u8]) {
    let [bits, data @ ..] = input else { return };
    log(data, 0, options(*bits));
}

/// However the input is cut, it gives the same events and the same error at the same offset. The first byte chooses options, the second the cut.
pub fn incremental(input: &[u8]) {
    let [bits, cut, data @ ..] = input else { return };
    let whole = log(data, 0, options(*bits));
    let pieces = log(data, usize::from(cut % 64) + 1, options(*bits));
    assert_eq!(whole, pieces);
}

/// What can be read can be written, and what is written reads the same. The first byte chooses the version, and whether to compress.
pub fn roundtrip(input: &[u8]) {
    let [number, data @ ..] = input else { return };
    let version = Version::from_number([9, 12, 15, 80][usize::from(number % 4)]);
    let options = EncodeOptions::new(version).loss(Loss::Refuse).compress(number & 4 != 0);
    let entries = Reader::with_options(data, self::options(0)).entries();
    let entries: Vec<Entry> = entries.map_while(Result::ok).collect();
    let mut writer = Writer::with_options(Vec::new(), options).expect("a vector can be written to");
    let mut written = Vec::new();
    for entry in entries {
        if writer.entry(&entry).is_ok() {
            written.push(entry);
        }
    }
    let file = writer.finish().expect("a vector can be written to");
    let mut again = Reader::new(&file[..]).entries();
    for entry in written {
        let reread = again.next().expect("it was written").expect("it is good");
        assert_eq!((entry.db, &entry.key, entry.expire_at_ms), (reread.db, &reread.key, reread.expire_at_ms));
        // Streams gain what their new form has; the contents are compared by the tests.
        if !matches!(entry.value, Value::Stream(_)) {
            assert_eq!(format!("{:?}", entry.value), format!("{:?}", reread.value));
        }
    }
    assert!(again.next().is_none());
}

/// DUMP payloads: what is taken apart can be put together again, and validation finds everything that decoding finds.
pub fn dump(data: &[u8]) {
    let Ok(payload) = Payload::parse_unverified(data) else { return };
    let value = payload.value();
    let valid = payload.events(ParserOptions::new()).validate();
    assert!(valid.is_err() || value.is_ok());
    if let Ok(value) = value {
        let mut again = Vec::new();
        dump::append(&mut again, payload.value_type, payload.value, payload.version);
        let reread = Value::from_dump(&again).expect("the checksum is right now");
        assert_eq!(format!("{value:?}"), format!("{reread:?}"));
    }
}

/// Each type's value on its own. The first byte chooses the type; an odd second one puts the head of a string in front, so that the fuzzer need
/// not find that of a packed blob.
pub fn blob(input: &[u8]) {
    let [kind, as_blob, data @ ..] = input else { return };
    let value_type = ValueType::ALL[usize::from(*kind) % ValueType::ALL.len()];
    let mut raw = Vec::new();
    if as_blob & 1 == 1 {
        raw.extend(len32(data.len()));
    }
    raw.extend_from_slice(data);
    let mut events = ValueEvents::new(value_type, &raw);
    let broken = loop {
        match events.next_event() {
            Ok(Some(event)) => drop(format!("{event:?}")),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    if broken {
        assert!(ValueEvents::new(value_type, &raw).validate().is_err());
    }
}

/// Our decompression against the `lzf` crate's: the same bytes wherever both succeed, whole and in pieces. The first two bytes are the length.
pub fn lzf(input: &[u8]) {
    let [low, high, packed @ ..] = input else { return };
    let full = usize::from(u16::from_le_bytes([*low, *high]));
    let mut file = b"REDIS0003\x00\x01k\xC3".to_vec();
    file.extend(len32(packed.len()));
    file.extend(len32(full));
    file.extend_from_slice(packed);
    file.push(0xFF);
    let pieces = expanded(&file, 1024);
    let whole = expanded(&file, 1 << 17);
    assert_eq!(pieces, whole);
    if let Some(whole) = whole {
        assert_eq!(whole.len(), full);
        // The other one panics on some broken input and accepts output that is too short; only good input is comparable.
        assert_eq!(::lzf::decompress(packed, full).ok().as_deref(), Some(&whole[..]));
    }
}

/// The string in a file of one key, read in pieces of at most `chunk`.
fn expanded(file: &[u8], chunk: usize) -> Option<Vec<u8>> {
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

/// A length of 32 bits as files have it.
fn len32(len: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(len).expect("inputs are small").to_be_bytes();
    [0x80, a, b, c, d]
}

/// Small limits, so that a target's own memory stays small.
fn options(bits: u8) -> ParserOptions {
    let mut limits = Limits::new().max_key(1 << 16).max_blob(1 << 18).max_element(1 << 18).max_value(1 << 22);
    limits = limits.chunk(1024).max_templates(64, 1 << 12).max_unique_keys(100);
    if bits & 0x20 != 0 {
        limits = limits.max_total(200);
    }
    let mode = match bits & 3 {
        0 => ValueMode::Decode,
        1 => ValueMode::Raw,
        2 => ValueMode::RawOrDecode { limit: 1 << (bits >> 4) },
        _ => ValueMode::Skip,
    };
    let options = ParserOptions::new().limits(limits).value_mode(mode);
    options.checksum(bits & 4 != 0).validate(bits & 8 != 0).unique_keys(bits & 16 != 0)
}

/// Feeds a parser, `cut` bytes more each time it asks (0: all at once), and writes down what it says in a form that does not depend on the cut.
fn log(data: &[u8], cut: usize, options: ParserOptions) -> (Vec<String>, Option<Error>) {
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

/// An input to begin with: for which target, its name, and its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// Seeds made of the RDB files in `data` and the folders in it, of up to `longest` bytes.
pub fn seeds(data: &Path, longest: usize) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(data).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            seeds.append(&mut self::seeds(&path, longest));
        } else if path.extension().is_some_and(|extension| extension == "rdb" || extension == "aof") {
            let file = std::fs::read(&path).expect("the file can be read");
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if file.len() <= longest {
                of_file(&name, &file, &mut seeds);
            }
            of_values(&name, &file, longest, &mut seeds);
        }
    }
    seeds
}

fn of_file(name: &str, file: &[u8], seeds: &mut Vec<Seed>) {
    let prefixes: [(&'static str, &[&[u8]]); 3] = [
        // Decoded, raw, raw or decoded, skipped; with and without validation, unique keys and a total.
        ("rdb_parse", &[&[0], &[0x0E], &[9], &[3], &[0x1D], &[0xBE], &[0x24]]),
        ("rdb_incremental", &[&[0, 3], &[0x0E, 7], &[9, 1], &[0xDE, 10], &[3, 50], &[0x21, 5]]),
        ("rdb_roundtrip", &[&[0], &[3], &[6]]),
    ];
    for (target, prefixes) in prefixes {
        for prefix in prefixes {
            let name = format!("{name}-{prefix:02x?}").replace(['[', ']', ' ', ','], "");
            seeds.push((target, name, [prefix, file].concat()));
        }
    }
}

/// Seeds made of the values of a file: one of each type, which is the first.
fn of_values(name: &str, file: &[u8], longest: usize, seeds: &mut Vec<Seed>) {
    let options = ParserOptions::new().value_mode(ValueMode::RawOrDecode { limit: longest }).validate(false);
    let mut reader = Reader::with_options(file, options);
    let (mut value_type, mut version) = (ValueType::String, 0);
    let mut seen = Vec::new();
    while let Ok(Some(event)) = reader.next_event() {
        match event {
            Event::Header(header) => version = header.number,
            Event::Key(header) => value_type = header.value_type,
            Event::Raw(raw) => {
                let packed = compressed(raw);
                let what = (value_type, packed.is_some());
                if seen.contains(&what) {
                    continue;
                }
                seen.push(what);
                let name = format!("{name}-{}-{}", value_type.byte(), u8::from(packed.is_some()));
                if let Some((full, packed)) = packed {
                    seeds.push(("rdb_lzf", name.clone(), [&full.to_le_bytes(), packed].concat()));
                }
                let mut payload = Vec::new();
                dump::append(&mut payload, value_type, raw, version);
                seeds.push(("rdb_dump", name.clone(), payload));
                let kind = ValueType::ALL.iter().position(|t| *t == value_type).expect("it lists all");
                let kind = u8::try_from(kind).expect("there are fewer than 256");
                seeds.push(("rdb_blob", name.clone(), [&[kind, 0], raw].concat()));
                if let Some((len, blob)) = length(raw)
                    && len == blob.len()
                {
                    seeds.push(("rdb_blob", format!("{name}-blob"), [&[kind, 1], blob].concat()));
                }
            }
            _ => {}
        }
    }
}

/// A length of up to 14 bits and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [len @ 0..0x40, rest @ ..] => Some((usize::from(*len), rest)),
        [high @ 0x40..0x80, low, rest @ ..] => Some((usize::from(high & 0x3F) << 8 | usize::from(*low), rest)),
        _ => None,
    }
}

/// The length and the compressed bytes of a compressed string.
fn compressed(raw: &[u8]) -> Option<(u16, &[u8])> {
    let (packed, rest) = length(raw.strip_prefix(b"\xC3")?)?;
    let (full, rest) = length(rest)?;
    Some((u16::try_from(full).ok()?, rest.get(..packed)?))
}
