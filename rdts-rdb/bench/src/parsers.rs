//! Each parser, reading a file from its beginning to its end.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use rdts_rdb::{Event, ParserOptions, Reader, ValueMode};

/// What can be measured.
pub const NAMES: &[&str] = &[
    "raw",
    "raw-validated",
    "raw-whole",
    "raw-whole-validated",
    "skip",
    "decode",
    "decode-no-checksum",
    "entries",
    #[cfg(feature = "peers")]
    "peer-rdb",
    #[cfg(feature = "peers")]
    "peer-librdb",
];

/// Runs one parser and prints CPU seconds, wall seconds and peak memory in MiB.
pub fn run(parser: &str, path: &Path) {
    let started = Instant::now();
    let file = File::open(path).expect("the file is there");
    match parser {
        "entries" => {
            for entry in Reader::new(file).entries() {
                black_box(entry.expect("the file is good"));
            }
        }
        #[cfg(feature = "peers")]
        "peer-rdb" => crate::peers::rdb(path),
        #[cfg(feature = "peers")]
        "peer-librdb" => crate::peers::librdb(path),
        mode => events(file, options(mode)),
    }
    println!("RESULT {} {} {}", cpu_seconds(), started.elapsed().as_secs_f64(), peak_mib());
}

/// How our parser is set up for what a name stands for.
pub fn options(mode: &str) -> ParserOptions {
    let options = ParserOptions::new();
    let whole = ValueMode::RawOrDecode { limit: 4 << 20 };
    match mode {
        "raw" => options.value_mode(ValueMode::Raw).validate(false),
        "raw-validated" => options.value_mode(ValueMode::Raw),
        "raw-whole" => options.value_mode(whole).validate(false),
        "raw-whole-validated" => options.value_mode(whole),
        "skip" => options.value_mode(ValueMode::Skip),
        "decode" => options,
        "decode-no-checksum" => options.checksum(false),
        other => panic!("no parser {other}"),
    }
}

/// Reads all events and looks at something of each, so that none is optimised away.
pub fn events(source: impl Read, options: ParserOptions) {
    let mut reader = Reader::with_options(source, options);
    let mut sum = 0u64;
    while let Some(event) = reader.next_event().expect("the file is good") {
        sum = sum.wrapping_add(match event {
            Event::Key(header) => header.key.len() as u64,
            Event::String(piece) => piece.data.len() as u64,
            Event::HashField { field, value, .. } => (field.len() + value.len()) as u64,
            Event::ZSetMember { member, score } => member.len() as u64 + score.to_bits(),
            Event::SetMember(item) | Event::ListItem(item) => item.len() as u64,
            Event::RawChunk { data, .. } | Event::Raw(data) => data.len() as u64,
            _ => 0,
        });
    }
    black_box(sum);
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    // Nanoseconds on the CPU where the kernel tells them, else clock ticks.
    match schedstat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()) {
        Some(ns) => ns / 1e9,
        None => fields[11..13].iter().filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0,
    }
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
