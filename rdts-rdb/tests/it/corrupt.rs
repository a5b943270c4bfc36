//! What is broken is refused with a kind and a place, in no time, whatever it claims.

use std::time::Instant;

use rdts_rdb::dump::Payload;
use rdts_rdb::{ErrorKind, Reader, ValueMode};

use crate::feed::{Cut, log, options};
use crate::files;

#[test]
fn broken_files_are_refused() {
    for file in files::corrupt() {
        let expect = file.json["expect"].as_str().unwrap();
        let class = file.json["class"].as_str().unwrap();
        let timed = |mode| {
            let started = Instant::now();
            let log = log(&file.bytes, Cut::Whole, options().value_mode(mode));
            assert!(started.elapsed().as_secs() < 1, "{} takes too long", file.name);
            log
        };
        let decoded = timed(ValueMode::Decode);
        let raw = timed(ValueMode::Raw);
        let limited = timed(ValueMode::RawOrDecode { limit: 1 << 20 });
        for log in [&decoded, &raw, &limited] {
            assert!(log.held <= file.bytes.len());
            if let Some(error) = &log.error {
                assert!(error.offset() <= file.bytes.len() as u64, "{}: {error}", file.name);
            }
        }
        match expect {
            "error" => {
                // A duplicate is only looked for when a value is handed on as it is.
                if class != "duplicate" {
                    assert!(decoded.error.is_some(), "{}", file.name);
                }
                assert!(raw.error.is_some(), "{}", file.name);
                assert!(limited.error.is_some(), "{}", file.name);
            }
            "error-or-report" | "error-or-skip" | "error-or-accept" => {}
            _ => assert!(expect.starts_with("no panic"), "{expect}"),
        }
        let Some(error) = decoded.error else { continue };
        let kind = error.kind();
        let fits = match class {
            "truncated" => matches!(kind, ErrorKind::Truncated),
            "checksum" => matches!(kind, ErrorKind::BadChecksum { .. }),
            "bad-length" => matches!(kind, ErrorKind::BadLength(_)),
            "bad-encoding" => matches!(kind, ErrorKind::BadStringEncoding(_)),
            "bad-lzf" => matches!(kind, ErrorKind::BadLzf(_)),
            "bad-listpack" => matches!(kind, ErrorKind::BadListpack(_)),
            "bad-ziplist" => matches!(kind, ErrorKind::BadZiplist(_)),
            "bad-zipmap" => matches!(kind, ErrorKind::BadZipmap(_)),
            "bad-intset" => matches!(kind, ErrorKind::BadIntset(_)),
            "bad-stream" => matches!(kind, ErrorKind::BadStream(_) | ErrorKind::BadListpack(_)),
            "bad-header" => matches!(kind, ErrorKind::BadMagic),
            "unknown-type" => matches!(kind, ErrorKind::UnknownOpcode(8)),
            "unsupported" => matches!(kind, ErrorKind::Unsupported(_)),
            "bomb" => {
                matches!(kind, ErrorKind::Truncated | ErrorKind::LimitExceeded { .. } | ErrorKind::BadStringEncoding(_))
            }
            _ => true,
        };
        assert!(fits, "{} ({class}): {error}", file.name);
    }
}

#[test]
fn a_cut_file_says_where_it_was_cut() {
    for file in files::good() {
        if file.bytes.len() > 700 || file.json["expect"] == "unsupported" {
            continue;
        }
        let end = usize::try_from(log(&file.bytes, Cut::Whole, options()).offset).unwrap();
        for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::RawOrDecode { limit: 1 << 20 }, ValueMode::Skip] {
            for len in 0..end {
                let log = log(&file.bytes[..len], Cut::Whole, options().value_mode(mode));
                let error = log.error.unwrap();
                assert_eq!(
                    (error.kind(), error.offset()),
                    (&ErrorKind::Truncated, len as u64),
                    "{} {mode:?}",
                    file.name
                );
            }
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    files::in_parallel(&files::good(), |file| {
        if file.bytes.len() > 3000 {
            return;
        }
        let step = if file.bytes.len() > 300 { 31 } else { 1 };
        for bit in (0..file.bytes.len() * 8).step_by(step) {
            let mut bytes = file.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            for mode in [ValueMode::Decode, ValueMode::RawOrDecode { limit: 1 << 20 }, ValueMode::Skip] {
                log(&bytes, Cut::Whole, options().value_mode(mode).checksum(false));
            }
        }
    });
}

#[test]
fn payloads_of_the_redis_test_suite_never_panic() {
    let Some(folder) = files::public() else { return };
    let folder = folder.join("corrupt-dump");
    let mut refused = 0;
    let mut seen = 0;
    for file in files::with_companions(&folder, |path| path.with_extension("json")) {
        seen += 1;
        let payload = match Payload::parse_unverified(&file.bytes) {
            Ok(payload) => payload,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        let _ = payload.value();
        match payload.events(options()).validate() {
            Err(_) => refused += 1,
            Ok(()) => {
                let verdict = &file.json["server_verdict"];
                println!("{} accepted: {} {verdict}", file.name, file.json["title"]);
            }
        }
    }
    println!("{refused} of {seen} refused");
    assert!(seen > 40 && refused * 10 > seen * 8);
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    let error = Reader::new(&b"REDIS0009\xD2"[..]).entries().next().unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("unknown opcode or value type 0xD2 (210) at offset 9: "), "{text}");
    assert!(text.contains("vendor"), "{text}");
    let error = Reader::new(&b"*2\r\n$6\r\nSELECT"[..]).next_event().unwrap_err();
    assert!(error.to_string().contains("append-only"), "{error}");
    for (header, kind) in [
        (&b"REDIS0099"[..], "unsupported-version"),
        (b"VALKEY081", "unsupported-version"),
        (b"VALKEY011", "unsupported-version"),
    ] {
        let error = Reader::new(header).next_event().unwrap_err();
        assert_eq!(error.as_rdb().unwrap().kind().name(), kind);
    }
}

/// Found by fuzzing: the machine notices at another byte what is wrong when the string comes in pieces, but reports the same.
#[test]
fn a_broken_compressed_string_is_reported_at_its_start_however_it_is_cut() {
    let mut file = b"REDIS0011\xFE\x00\x00\x01k\xC3\x21\x4C\x00".to_vec();
    let string = file.len() as u64 - 4;
    file.resize(file.len() + 32, 0);
    // The last byte is the first of a token of three.
    file.extend(b"\xE0\x0A\x00\xFF");
    let limits = rdts_rdb::Limits::new().chunk(1024);
    for mode in [ValueMode::Decode, ValueMode::Raw] {
        let options = options().limits(limits).value_mode(mode);
        let whole = log(&file, Cut::Whole, options);
        let error = whole.error.as_ref().unwrap();
        assert_eq!((error.kind(), error.offset()), (&ErrorKind::BadLzf("it ends inside of a token"), string));
        for cut in 1..60 {
            let pieces = log(&file, Cut::Every(cut), options);
            assert_eq!((&pieces.lines, &pieces.error), (&whole.lines, &whole.error), "{mode:?} {cut}");
        }
    }
}
