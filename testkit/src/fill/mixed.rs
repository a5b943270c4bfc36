//! Keys of all types in all encodings.

use super::{FAR_FUTURE, FillOptions, Writer};
use crate::rng::Rng;
use crate::version::Version;

/// Collections go to the server in pieces of at most this.
const PIECE: usize = 500;
/// Numbers of elements: the usual small ones, and both sides of the limits 128 and 512 where a packed collection ends
/// (by default, in one version or another). Their mean makes that of all keys about 43.
const SIZES: [u64; 24] = [1, 1, 2, 3, 3, 4, 5, 5, 6, 8, 8, 10, 12, 15, 20, 25, 32, 50, 100, 127, 128, 129, 150, 300];
/// Now and then, one of these instead.
const LARGE: [u64; 6] = [512, 513, 1000, 2000, 5000, 400];

type Make = fn(&mut Writer, &[u8], u64, &mut Rng);

/// Writes `options.mixed` keys, of which each database has its share of all types; gives the number of elements.
pub(super) fn write(writer: &mut Writer, version: Version, options: &FillOptions, mut rng: Rng) -> u64 {
    let mut kinds: Vec<(&str, Make)> = vec![
        ("string", string),
        ("list", list),
        ("set", set),
        ("intset", intset),
        ("zset", zset),
        ("hash", hash),
        ("bits", bits),
        ("hll", hll),
    ];
    if version.has_redis(5, 0) {
        kinds.push(("stream", stream));
    }
    if version.has_redis(7, 4) || version.has_valkey(9, 0) {
        kinds.push(("fleeting", expiring_hash));
    }
    let mut elements = 0;
    for (share, db) in options.dbs.iter().enumerate() {
        writer.add(&["SELECT", &db.to_string()]);
        for number in (share as u64..options.mixed).step_by(options.dbs.len()) {
            let (name, make) = kinds[usize::try_from(number).unwrap_or(0) / options.dbs.len() % kinds.len()];
            let mut key = format!("mixed:{name}:{number}").into_bytes();
            if rng.one_in(10) {
                key.extend(rng.bytes(20));
            }
            let size = if rng.one_in(85) { *rng.pick(&LARGE) } else { *rng.pick(&SIZES) };
            make(writer, &key, size, &mut rng);
            elements += if matches!(name, "string" | "bits" | "hll") { 1 } else { size };
            if rng.one_in(5) {
                let time = FAR_FUTURE + rng.below(1_000_000_000);
                writer.add(&[b"PEXPIREAT".as_slice(), &key, time.to_string().as_bytes()]);
            }
        }
    }
    writer.add(&["SELECT", "0"]);
    elements
}

/// Sends a collection in pieces.
fn pieces(writer: &mut Writer, command: &[u8], key: &[u8], items: &[Vec<u8>]) {
    for piece in items.chunks(PIECE) {
        writer.add_with(&[command, key], piece);
    }
}

/// `size` different members, short ones or (above 64 bytes, where packed collections end) long ones among them.
fn members(size: u64, rng: &mut Rng) -> Vec<Vec<u8>> {
    let kind = rng.below(4);
    (0..size)
        .map(|n| match kind {
            0 => format!("{}", n * 77_777).into_bytes(),
            1 => [n.to_be_bytes().to_vec(), rng.bytes(6)].concat(),
            2 if n == 0 => [b"long".to_vec(), rng.bytes(61)].concat(),
            _ => format!("member-{n}").into_bytes(),
        })
        .collect()
}

fn string(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    let length = usize::try_from(size).unwrap_or(0);
    let value = match rng.below(6) {
        0 => rng.integer().into_bytes(),
        1 => Vec::new(),
        2 => rng.repetitive(length * 20),
        3 => rng.bytes(length * 20),
        // Both sides of 44 and 64 bytes.
        _ => {
            let length = rng.length(40, 66);
            rng.bytes(length)
        }
    };
    writer.add(&[b"SET".as_slice(), key, &value]);
}

fn list(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    let long = rng.one_in(4);
    let items: Vec<Vec<u8>> = (0..size)
        .map(|n| match rng.below(4) {
            0 => rng.integer().into_bytes(),
            // Many of these are more than one node of a quicklist can hold.
            1 if long => rng.repetitive(300),
            2 if n == 0 && rng.one_in(20) => rng.bytes(9000),
            _ => format!("item-{n}").into_bytes(),
        })
        .collect();
    pieces(writer, b"RPUSH", key, &items);
}

fn set(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    pieces(writer, b"SADD", key, &members(size, rng));
}

/// Integers of 2, 4 and 8 bytes.
fn intset(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    let step = *rng.pick(&[1, 100_000, 10_000_000_000]);
    let items: Vec<Vec<u8>> = (0..size).map(|n| format!("-{}", n * step + 1).into_bytes()).collect();
    pieces(writer, b"SADD", key, &items);
}

fn zset(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    let pairs: Vec<Vec<u8>> = members(size, rng)
        .into_iter()
        .flat_map(|member| {
            let score = match rng.below(12) {
                0 => "inf".to_owned(),
                1 => "-inf".to_owned(),
                2 => "0.1".to_owned(),
                3 => format!("-{}.75", rng.below(1_000_000)),
                4 => format!("{}e200", rng.below(1000)),
                5 => "9007199254740993".to_owned(),
                _ => rng.below(1000).to_string(),
            };
            [score.into_bytes(), member]
        })
        .collect();
    pieces(writer, b"ZADD", key, &pairs);
}

fn pairs(size: u64, rng: &mut Rng) -> Vec<Vec<u8>> {
    let fields = members(size, rng);
    fields.into_iter().flat_map(|field| [field, rng.integer().into_bytes()]).collect()
}

fn hash(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    pieces(writer, b"HMSET", key, &pairs(size, rng));
}

/// A hash with some fields that expire, one by one.
fn expiring_hash(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    let pairs = pairs(size, rng);
    pieces(writer, b"HMSET", key, &pairs);
    for field in pairs.iter().step_by(2).take(usize::try_from(size / 2).unwrap_or(0).min(20)) {
        let time = (FAR_FUTURE + rng.below(1_000_000_000)).to_string();
        writer.add(&[b"HPEXPIREAT".as_slice(), key, time.as_bytes(), b"FIELDS", b"1", field]);
    }
}

fn bits(writer: &mut Writer, key: &[u8], size: u64, _: &mut Rng) {
    writer.add(&[b"SETBIT".as_slice(), key, (size * 100).to_string().as_bytes(), b"1"]);
}

fn hll(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    pieces(writer, b"PFADD", key, &members(size, rng));
}

/// Entries with and without the same fields as the one before, holes, groups, consumers and pending entries.
fn stream(writer: &mut Writer, key: &[u8], size: u64, rng: &mut Rng) {
    for n in 1..=size {
        let id = format!("{}-{n}", 1_600_000_000_000 + n / 4);
        let value = rng.integer();
        match rng.below(3) {
            0 => writer.add(&[b"XADD".as_slice(), key, id.as_bytes(), b"other", value.as_bytes()]),
            _ => writer.add(&[b"XADD".as_slice(), key, id.as_bytes(), b"field", value.as_bytes(), b"n", b"1"]),
        }
        if rng.one_in(10) {
            writer.add(&[b"XDEL".as_slice(), key, id.as_bytes()]);
        }
    }
    if rng.one_in(3) {
        writer.add(&[b"XGROUP".as_slice(), b"CREATE", key, b"readers", b"0"]);
        for (consumer, count) in [(b"a".as_slice(), b"3".as_slice()), (b"b", b"1")] {
            let read =
                [b"XREADGROUP".as_slice(), b"GROUP", b"readers", consumer, b"COUNT", count, b"STREAMS", key, b">"];
            writer.add(&read);
        }
        writer.add(&[b"XGROUP".as_slice(), b"CREATE", key, b"idle", b"$"]);
    }
}
