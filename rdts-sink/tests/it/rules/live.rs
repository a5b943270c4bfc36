//! Real servers on both sides.

use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::filter::{Pattern, Rules};
use rdts_core::source::{ReplicaOptions, ReplicaSource};
use rdts_core::translate::TranslateOptions;
use rdts_core::{Pipeline, Sink};
use rdts_rdb::ValueKind;
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::{Server, assert_same};

use super::history::History;

const LONG: Duration = Duration::from_secs(120);

/// A part of a server that is written to, under other names and in another database, against a second server that is brought to the same
/// by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_server_that_is_written_to() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    History::new(&source, 11, true).run(600);
    let rules = Rules::builder()
        .only_db(0)
        .only_db(1)
        .map_db(0, 5)
        .only_keys(Pattern::prefix("a:"))
        .only_keys(Pattern::prefix("b:"))
        .rename_prefix("b:", "other:")
        .without_type(ValueKind::Hash)
        .owns_target(true)
        .build()
        .unwrap();
    let options = ReplicaOptions::default().translate(TranslateOptions::default().rules(rules));
    let to = NodeAddress::new("127.0.0.1", target.port());
    let sink = NodeSink::connect(&to, NodeOptions::default()).await.unwrap();
    let address = NodeAddress::new("127.0.0.1", source.port());
    let replica = ReplicaSource::open(&address, sink.capabilities().target, options).await.unwrap();
    let pipeline = Pipeline::new(replica, sink);
    let handle = pipeline.handle();
    let running = tokio::spawn(pipeline.run());
    let source = tokio::task::spawn_blocking(move || {
        History::new(&source, 12, true).run(1500);
        source
    })
    .await
    .unwrap();
    let offset: u64 = source.info("replication")["master_repl_offset"].parse().unwrap();
    handle.stop_at(offset);
    let finished = tokio::time::timeout(LONG, running).await.unwrap().unwrap();
    finished.result.unwrap();
    let ledger = finished.report.ledger;
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert!(ledger.intake.filtered_commands > 100 && ledger.intake.commands_of_other_dbs > 100, "{ledger:?}");

    // The source itself is made what the target should be.
    tokio::task::block_in_place(|| {
        let mut connection = source.connection();
        let mut call = |words: &[&[u8]]| -> redis::Value {
            let mut command = redis::cmd(std::str::from_utf8(words[0]).unwrap());
            words[1..].iter().for_each(|word| _ = command.arg(*word));
            command.query(&mut connection).unwrap()
        };
        for db in 0..16 {
            call(&[b"SELECT", db.to_string().as_bytes()]);
            if db > 1 {
                call(&[b"FLUSHDB"]);
                continue;
            }
            let keys: Vec<Vec<u8>> = redis::from_redis_value(call(&[b"KEYS", b"*"])).unwrap();
            for key in keys {
                let kind: String = redis::from_redis_value(call(&[b"TYPE", &key])).unwrap();
                if !(key.starts_with(b"a:") || key.starts_with(b"b:")) || kind == "hash" {
                    call(&[b"DEL", &key]);
                } else if let Some(rest) = key.strip_prefix(b"b:") {
                    call(&[b"RENAME", &key, &[b"other:", rest].concat()]);
                }
            }
        }
        call(&[b"SWAPDB", b"0", b"5"]);
        assert_same(&source, &target);
    });
}
