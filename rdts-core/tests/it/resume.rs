//! Runs that end at any moment and go on: what is passed on is what an undisturbed run passes on.

mod bounded;
mod files;
mod random;
mod refused;
mod servers;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rdts_core::endpoint::NodeAddress;
use rdts_core::primary::{Primary, PrimaryConfig, SnapshotFraming};
use rdts_core::record::Batch;
use rdts_core::source::{Durable, Reconnect, ReplicaOptions, ReplicaSource};
use rdts_core::spool::SpoolOptions;
use rdts_core::translate::{Target, TranslateOptions};
use rdts_core::{ErrorKind, Position, Result, Source};
use rdts_testkit::Server;

const REPLID: &str = "4c1b873d2c85f0b3c32321aee14c7ef5363543d4";
/// It reads none of the encodings of the sources here, so that values go in pieces; and it takes absolute expiries, so that all runs
/// give the same.
const TARGET: Target = Target::redis(6, 2, 0);
const LONG: Duration = Duration::from_secs(60);

fn options() -> ReplicaOptions {
    let reconnect = Reconnect::default().within(LONG).pause(Duration::from_millis(5));
    ReplicaOptions::default().reconnect(reconnect).translate(TranslateOptions::default().convert_up_to(1))
}

fn small_segments() -> SpoolOptions {
    SpoolOptions::default().segment(100_000).limit(1 << 30).read_ahead(100_000).keep(0)
}

fn durable(directory: &Path, resumed: Option<Position>) -> Durable {
    Durable::default().spool(directory, small_segments()).resumed(resumed)
}

fn address(primary: &Primary) -> NodeAddress {
    NodeAddress::new("127.0.0.1", primary.local_addr().port())
}

async fn next(source: &mut ReplicaSource) -> Result<Option<Batch>> {
    tokio::time::timeout(LONG, source.next()).await.expect("a batch in time")
}

fn texts(batch: &Batch) -> Vec<String> {
    let text = |command: rdts_core::record::Command<'_>| {
        let words: Vec<_> = command.args().map(|arg| arg.escape_ascii().to_string()).collect();
        format!("{} {}", command.db(), words.join(" "))
    };
    batch.commands().map(text).collect()
}

/// The commands up to `offset` of the stream, strings that are built piece by piece in one piece.
async fn read_to(source: &mut ReplicaSource, offset: u64) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    loop {
        let batch = next(source).await?.expect("a stream");
        seen.extend(texts(&batch));
        if batch.position().is_stream() && batch.position().offset() >= offset {
            return Ok(seen);
        }
    }
}

/// The pieces of long strings are cut where they happen to arrive: puts them together.
fn whole(commands: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for command in commands {
        let piece = command.split_once(" APPEND ").and_then(|(db, rest)| Some((db, rest.split_once(' ')?)));
        let head = piece.map(|(db, (key, _))| format!("{db} APPEND {key} "));
        match (joined.last_mut(), piece, head) {
            (Some(last), Some((_, (_, data))), Some(head)) if last.starts_with(&head) => last.push_str(data),
            _ => joined.push(command),
        }
    }
    joined
}

/// The RDB of a real server, with values of all sizes.
fn rdb() -> Bytes {
    let server = Server::start("redis-7.0");
    rdts_testkit::fill(&server, &rdts_testkit::FillOptions::mixed(300));
    // No command puts these in place piece by piece.
    for db in 0..16 {
        let script = "for _, key in ipairs(redis.call('KEYS', 'mixed:stream:*')) do redis.call('DEL', key) end";
        server.cmd(&["EVAL", &format!("redis.call('SELECT', {db}) {script}"), "0"]);
    }
    let noise = |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16).to_string();
    let long: String = (0..400_000).map(noise).collect();
    // One that is compressed, and one that is not.
    server.cmd(&["CONFIG", "SET", "rdbcompression", "no"]);
    server.cmd(&["SET", "long", &long]);
    server.cmd(&["SET", "plain", &"abcdefgh".repeat(300_000)]);
    let fields: Vec<String> = (0..30_000).flat_map(|n| [format!("f{n}"), noise(n)]).collect();
    server.cmd(&[&["HSET".to_owned(), "hash".to_owned()], &fields[..]].concat());
    let members: Vec<String> = (0..20_000).map(noise).collect();
    server.cmd(&[&["RPUSH".to_owned(), "list".to_owned()], &members[..]].concat());
    server.cmd(&["CONFIG", "SET", "rdbcompression", "yes"]);
    server.cmd(&["SAVE"]);
    std::fs::read(server.dir().join("dump.rdb")).unwrap().into()
}

/// Serves the snapshot, with all of the stream in its backlog.
async fn primary(rdb: &Bytes, config: PrimaryConfig) -> Primary {
    let config = config.replid(REPLID.parse().unwrap()).offset(1000);
    let primary = Primary::bind("127.0.0.1:0", config).await.unwrap();
    primary.set_snapshot(rdb.clone(), primary.offset()).unwrap();
    primary
}
