//! The whole job without any server: a small primary in this process, migrated live into memory and verified.
//!
//! The primary speaks the real replication protocol on a loopback port: it serves the RDB file beside this one to whoever
//! becomes its replica, and goes on writing. What is migrated from it is compared, key by key, with a second keyspace that
//! was given the same file and the same writes directly.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdts_core::endpoint::NodeAddress;
use rdts_core::fleet::{Fleet, Handle, Shard, ShardSource};
use rdts_core::primary::{Primary, PrimaryConfig};
use rdts_core::source::{RdbSource, ReplicaOptions, ReplicaSource};
use rdts_core::translate::TranslateOptions;
use rdts_core::{Error, ErrorKind, Pipeline, Result, Sink};
use rdts_examples::exit;
use rdts_examples::migration::{Observer, Started, Stopped, watch};
use rdts_sink::MemorySink;
use rdts_sink::memory::MemoryStore;

use crate::output::Output;

/// A snapshot of a Redis 7.0 with every type of value.
const SNAPSHOT: &[u8] = include_bytes!("demo.rdb");
/// How long the primary goes on writing once its snapshot has been copied.
const WRITING: Duration = Duration::from_secs(3);
/// How many commands it writes at a time, every [`PAUSE`].
const BURST: u64 = 250;
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn run(output: &mut Output) -> std::result::Result<(), Stopped> {
    let truth = load_directly().await.map_err(Stopped::before)?;
    let primary = Primary::bind("127.0.0.1:0", PrimaryConfig::default()).await.map_err(|error| {
        Stopped::before(Error::new(ErrorKind::Io, "no loopback port to listen on").with_source(error))
    })?;
    primary.set_snapshot(Bytes::from_static(SNAPSHOT), 0).map_err(Stopped::before)?;
    let address = NodeAddress::new("127.0.0.1", primary.local_addr().port());
    output.say(
        "demonstration: a primary inside this process → memory (for your own servers: --from URL --to URL, see --help)",
    );

    let sink = MemorySink::new();
    let store = sink.store();
    let source = ReplicaSource::open(&address, sink.capabilities().target, ReplicaOptions::default())
        .await
        .map_err(Stopped::before)?;
    let total = source.snapshot_len();
    let fleet = Fleet::new(vec![Shard::new(ShardSource::replica("demonstration", source), sink)]);
    let handle = fleet.handle();
    output.started(&Started::new(format!("redis://{address}"), "memory:".to_owned(), total, &handle));
    let writing = tokio::spawn(write(primary, truth, handle.clone()));
    let finished = watch(output, &handle, fleet.run()).await;
    output.done(finished.report);
    finished.result.map_err(Stopped::during)?;
    let written =
        writing.await.map_err(|error| Error::new(ErrorKind::Interrupted, "the writer failed").with_source(error));
    let (truth, _primary) = written.and_then(|written| written).map_err(Stopped::during)?;
    let differences = truth.differences(&store.lock().unwrap_or_else(PoisonError::into_inner), 10);
    output.verified(differences.is_empty());
    if differences.is_empty() {
        return Ok(());
    }
    for difference in &differences {
        output.say(&format!("different: {difference:?}"));
    }
    let error = Error::new(ErrorKind::Rejected, "source and target differ");
    Err(Stopped { status: exit::DIFFERENT, error })
}

/// The keyspace of the bundled file, without any replication.
async fn load_directly() -> Result<MemoryStore> {
    let sink = MemorySink::new();
    let store = sink.store();
    let target = sink.capabilities().target;
    let source = RdbSource::read_from("demo.rdb", SNAPSHOT, target, TranslateOptions::default()).await?;
    Pipeline::new(source, sink).run().await.result?;
    let loaded = std::mem::take(&mut *store.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(loaded)
}

/// Writes for a while into the primary and into `truth`, and lets the migration end at the last write. The primary is given
/// back, since it has to serve until the last of it has been read.
async fn write(primary: Primary, mut truth: MemoryStore, handle: Handle) -> Result<(MemoryStore, Primary)> {
    let mut clock = tokio::time::interval(PAUSE);
    let mut offset = primary.append(&[b"SELECT", b"0"]);
    let until = Instant::now() + WRITING;
    let mut number = 0;
    while Instant::now() < until {
        clock.tick().await;
        for _ in 0..BURST {
            let command = command(number);
            let args: Vec<&[u8]> = command.iter().map(String::as_bytes).collect();
            let applied = truth.apply(0, &args, 0);
            applied.map_err(|error| Error::new(ErrorKind::Rejected, error.to_string()).at("demonstration"))?;
            offset = primary.append(&args);
            number += 1;
        }
    }
    handle.stop_at(vec![offset])?;
    Ok((truth, primary))
}

/// A write of every kind in turn; most of them would go wrong if one were lost, doubled or out of order.
fn command(number: u64) -> Vec<String> {
    let key = number / 8 % 97;
    let words = match number % 8 {
        0 => format!("INCR demo:counter:{key}"),
        1 => format!("APPEND demo:log:{key} {number};"),
        2 => format!("LPUSH demo:queue:{key} job-{number}"),
        3 if number.is_multiple_of(3) => format!("RPOP demo:queue:{key}"),
        3 => format!("SET demo:session:{key} {number} PXAT {}", 4_102_444_800_000 + number),
        4 => format!("ZINCRBY demo:ranking {} player-{key}", number % 10),
        5 => format!("HSET demo:user:{key} visits {number} last {}", number * 7),
        6 => format!("SADD demo:seen:{} {key}", number % 11),
        _ => format!("XADD demo:events {}-0 n {number}", number + 1),
    };
    words.split(' ').map(str::to_owned).collect()
}
