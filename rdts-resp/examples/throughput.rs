//! What the codec costs: nanoseconds for each reply, command and encoding, on one thread.
//!
//! `cargo run --release -p rdts-resp --example throughput`

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rdts_resp::{CommandDecoder, DecodeError, ReplyDecoder, encode};

fn main() -> Result<(), DecodeError> {
    println!("replies");
    replies("+OK", b"+OK\r\n")?;
    replies(":1", b":1\r\n")?;
    replies(":123456", b":123456\r\n")?;
    replies("$16", b"$16\r\n0123456789abcdef\r\n")?;
    replies("-ERR of 40 bytes", b"-ERR operation against a wrong kind, sir\r\n")?;
    replies("*3 of $3", b"*3\r\n$3\r\none\r\n$3\r\ntwo\r\n$3\r\nsix\r\n")?;
    elements("*8 of $3, gone through", &format!("*8\r\n{}", "$3\r\none\r\n".repeat(8)))?;
    println!("replies of RESP3");
    replies("_", b"_\r\n")?;
    replies("#t", b"#t\r\n")?;
    replies(",3.25", b",3.25\r\n")?;
    replies("=20", b"=20\r\ntxt:0123456789abcdef\r\n")?;
    replies("~3 of $3", b"~3\r\n$3\r\none\r\n$3\r\ntwo\r\n$3\r\nsix\r\n")?;
    replies("%2 of $3 and :1", b"%2\r\n$3\r\none\r\n:1\r\n$3\r\ntwo\r\n:2\r\n")?;
    println!("commands");
    commands("SET, 16 and 16 bytes", &["SET", "key:000000000001", "value-0123456789"])?;
    commands("SET, 16 and 100 bytes", &["SET", "key:000000000001", &"x".repeat(100)])?;
    commands("INCR", &["INCR", "key:000000000001"])?;
    commands("HSET of 4 fields", &["HSET", "key", "f1", "v1", "f2", "v2", "f3", "v3", "f4", "v4"])?;
    million()?;
    println!("encoding");
    encoding::<Vec<u8>>("Vec<u8>", Vec::clear);
    encoding::<BytesMut>("BytesMut", BytesMut::clear);
    Ok(())
}

/// Runs `pass` for a while and prints the best time of one of the `count` things that it does.
fn measure(what: &str, count: usize, mut pass: impl FnMut() -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let mut best = Duration::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        pass()?;
        best = best.min(start.elapsed());
    }
    println!("  {what:<28} {:6.2} ns", best.as_secs_f64() * 1e9 / count as f64);
    Ok(())
}

const COUNT: usize = 10_000;

fn replies(what: &str, frame: &[u8]) -> Result<(), DecodeError> {
    let stream = frame.repeat(COUNT);
    let mut decoder = ReplyDecoder::new();
    measure(what, COUNT, || {
        let mut rest = black_box(&stream[..]);
        let mut errors = 0;
        while let Some((consumed, reply)) = decoder.decode(rest)? {
            errors += usize::from(reply.is_error());
            rest = &rest[consumed..];
        }
        assert!(rest.is_empty());
        black_box(errors);
        Ok(())
    })
}

/// One element of a reply that has eight, read once more after decoding.
fn elements(what: &str, frame: &str) -> Result<(), DecodeError> {
    let mut decoder = ReplyDecoder::new();
    let (_, reply) = decoder.decode(frame.as_bytes())?.expect("a whole frame");
    let array = reply.as_array().expect("an array");
    measure(what, COUNT * array.len(), || {
        for _ in 0..COUNT {
            assert!(black_box(array).iter().all(|element| element.as_bytes().is_some()));
        }
        Ok(())
    })
}

fn commands(what: &str, args: &[&str]) -> Result<(), DecodeError> {
    let mut frame = Vec::new();
    encode::command(&mut frame, args);
    let stream = frame.repeat(COUNT);
    let mut decoder = CommandDecoder::new();
    measure(what, COUNT, || {
        let mut rest = black_box(&stream[..]);
        while let Some((consumed, command)) = decoder.decode(rest)? {
            black_box((command.name_is(b"SELECT"), command.arg(1)));
            rest = &rest[consumed..];
        }
        assert!(rest.is_empty());
        Ok(())
    })
}

/// One command of a million arguments that arrives in pieces of 64 KiB.
fn million() -> Result<(), DecodeError> {
    let mut frame = Vec::new();
    encode::command(&mut frame, (0..1_000_000).map(|n| format!("{n:08}")).collect::<Vec<_>>());
    let mut decoder = CommandDecoder::new();
    for (what, piece) in [("an argument of 1 M, whole", frame.len()), ("an argument of 1 M, 64 KiB", 64 << 10)] {
        let start = Instant::now();
        let mut end = 0;
        let len = loop {
            end = frame.len().min(end + piece);
            if let Some((_, command)) = decoder.decode(&frame[..end])? {
                break command.len();
            }
        };
        println!("  {what:<28} {:6.2} ns", start.elapsed().as_secs_f64() * 1e9 / len as f64);
    }
    Ok(())
}

fn encoding<B: bytes::BufMut + Default + AsRef<[u8]>>(what: &str, clear: fn(&mut B)) {
    let mut buf = B::default();
    let measured = measure(&format!("SET, 16 and 16, into {what}"), COUNT, || {
        clear(&mut buf);
        for _ in 0..COUNT {
            encode::command(&mut buf, black_box(["SET", "key:000000000001", "value-0123456789"]));
        }
        black_box(buf.as_ref());
        Ok(())
    });
    measured.expect("encoding does not fail");
    let measured = measure(&format!("integer, into {what}"), COUNT, || {
        clear(&mut buf);
        for n in 0..COUNT as i64 {
            encode::integer(&mut buf, black_box(n));
        }
        black_box(buf.as_ref());
        Ok(())
    });
    measured.expect("encoding does not fail");
}
