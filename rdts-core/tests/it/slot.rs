//! Slots, beside what servers answer.

use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rdts_core::slot::{SLOTS, slot, tag};
use rdts_testkit::Server;
use redis::Value;

#[test]
fn slots_are_those_of_cluster_nodes() {
    // Many braces: where they stand is what matters.
    let key = vec(select(b"{}{}ab\x00\xff:".to_vec()), 0..12);
    for name in ["redis-3.2", "redis-7.0", "redis-8.10", "valkey-9.1"] {
        let server = Server::builder(name).arg("cluster-enabled", "yes").start();
        let mut runner = TestRunner::deterministic();
        let random = (0..2000).map(|_| key.new_tree(&mut runner).unwrap().current());
        let tags = (0..SLOTS).step_by(31).map(|slot| format!("x{{{}}}y", tag(slot)).into_bytes());
        let keys: Vec<_> = random.chain(tags).collect();
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.cmd("CLUSTER").arg("KEYSLOT").arg(key);
        }
        let answers: Vec<Value> = pipeline.query(&mut server.connection()).unwrap();
        assert_eq!(answers.len(), keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            assert_eq!(answer, Value::Int(i64::from(slot(key))), "{name}: {}", key.escape_ascii());
        }
    }
}
