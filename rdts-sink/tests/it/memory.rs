//! `MemoryStore` against real servers: the same commands give the same replies and the same data.

mod contents;
mod generator;
mod replica;

use std::time::{SystemTime, UNIX_EPOCH};

use contents::Reader;
use generator::{Command, Generator};
use rdts_sink::memory::{CommandError, MemoryStore, Reply};
use rdts_testkit::{Load, LoadOptions, Server, wait_until};
use redis::{ConnectionLike, Value};
use replica::Replica;

pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn shown(command: &Command) -> String {
    command.iter().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

/// Sends `count` random commands to the server and to a store, and compares every reply, and all data after every batch.
fn same_as_server(name: &str, seed: u64, count: usize) {
    const BATCH: usize = 250;
    let server = Server::start(name);
    let mut connection = server.connection();
    let mut reader = Reader::new(&server);
    let mut generator = Generator::new(seed, server.version());
    let mut store = MemoryStore::new();
    let mut kinds = std::collections::BTreeMap::<String, (u32, u32)>::new();
    let mut log: Vec<String> = Vec::new();
    for _ in 0..count / BATCH {
        let commands: Vec<Command> = (0..BATCH).map(|_| generator.next()).collect();
        let mut pipeline = redis::Pipeline::new();
        for command in &commands {
            let mut cmd = redis::Cmd::new();
            for arg in command {
                cmd.arg(arg.as_slice());
            }
            pipeline.add_command(cmd);
        }
        let replies = connection.req_packed_commands(&pipeline.get_packed_pipeline(), 0, BATCH);
        let replies = replies.unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
        let now = now_ms();
        for (command, expected) in commands.iter().zip(replies) {
            let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let actual = store.apply(0, &args, now);
            if server.version().has_redis(7, 2) && actual.is_ok() && (args[0] == b"XCLAIM" || args[0] == b"XAUTOCLAIM")
            {
                // The server creates the consumer even if it gets nothing, and says so in its stream.
                let created = store.apply(0, &[b"XGROUP", b"CREATECONSUMER", args[1], args[2], args[3]], now);
                created.unwrap();
            }
            let entry = kinds.entry(String::from_utf8(command[0].clone()).unwrap()).or_default();
            if actual.is_ok() {
                entry.0 += 1;
            } else {
                entry.1 += 1;
            }
            log.push(format!(
                "{}  ->  {}",
                shown(command),
                format!("{actual:?}").chars().take(300).collect::<String>()
            ));
            let same = same_reply(&command[0], &expected, &actual);
            let about = || about(&log, &command[1].escape_ascii().to_string());
            assert!(same, "{name}, seed {seed}\n{}\nserver: {expected:?}\n store: {actual:?}", about());
        }
        let dumps: Vec<Value> = redis::cmd("KEYS")
            .arg("*")
            .query::<Vec<Vec<u8>>>(&mut connection)
            .unwrap()
            .into_iter()
            .map(|key| redis::cmd("DUMP").arg(key).query(&mut connection).unwrap())
            .collect();
        generator.payloads = dumps.into_iter().map(contents::bytes).collect();
        for db in [0, 3] {
            let differences = reader.differences(&store, db);
            if let Some(first) = differences.first() {
                let key = differences.last().unwrap_or(first).split(": ").nth(1).unwrap();
                panic!("{name}, seed {seed}\n{}\n{}", about(&log, key), differences.join("\n"));
            }
        }
    }
    println!("{name}: {kinds:?}");
}

/// The last commands that name a key.
fn about(log: &[String], key: &str) -> String {
    let mut lines: Vec<_> = log.iter().filter(|line| line.contains(key)).cloned().collect();
    lines.drain(..lines.len().saturating_sub(25));
    lines.join("\n")
}

fn same_reply(name: &[u8], expected: &Value, actual: &Result<Reply, CommandError>) -> bool {
    match (expected, actual) {
        // Where two things are wrong, Redis and Valkey look at them in different orders.
        (Value::ServerError(_), Err(_)) if name.starts_with(b"H") => true,
        (Value::ServerError(expected), Err(actual)) => expected.code() == actual.code(),
        (_, Err(_)) | (Value::ServerError(_), Ok(_)) => false,
        // A set has no order, and XCLAIM's old versions answer nil for deleted entries.
        (expected, Ok(actual)) => same_value(name, expected, actual),
    }
}

fn same_value(name: &[u8], expected: &Value, actual: &Reply) -> bool {
    match (expected, actual) {
        (Value::Okay, Reply::Status("OK")) | (Value::Nil, Reply::Nil) => true,
        (Value::SimpleString(expected), Reply::Status(actual)) => expected == actual,
        // For an entry that is not there the server sometimes says that it is still referenced: -1 or 2.
        (Value::Int(2), Reply::Integer(-1)) if name == b"XDELEX" => true,
        (Value::Int(expected), Reply::Integer(actual)) => expected == actual,
        (Value::BulkString(expected), Reply::Bulk(actual)) => expected == actual,
        (Value::BulkString(expected), Reply::Double(actual)) => contents::number(expected) == *actual,
        (Value::Array(expected), Reply::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(expected, actual)| same_value(name, expected, actual))
        }
        _ => false,
    }
}

/// One seed for each server, and five more in the long form (`RDTS_LONG=1`).
fn seeds(first: u64) -> impl Iterator<Item = u64> {
    let more = if std::env::var_os("RDTS_LONG").is_some() { 5 } else { 0 };
    (0..=more).map(move |n| first + n * 100)
}

#[test]
fn replies_and_data_as_redis_7_0() {
    seeds(1).for_each(|seed| same_as_server("redis-7.0", seed, 20_000));
}

#[test]
fn replies_and_data_as_redis_8_2() {
    seeds(2).for_each(|seed| same_as_server("redis-8.2", seed, 20_000));
}

#[test]
fn replies_and_data_as_valkey_9_1() {
    seeds(3).for_each(|seed| same_as_server("valkey-9.1", seed, 20_000));
}

#[test]
fn replies_and_data_as_redis_5_0() {
    seeds(4).for_each(|seed| same_as_server("redis-5.0", seed, 20_000));
}

/// Lets a server have a load of every kind and applies its replication stream to a store, which then holds the same as a real replica. (What
/// consumers there are, and how much a group has read, primaries do not always tell their replicas.)
fn same_as_replica(name: &str, seed: u64) {
    let server = Server::start(name);
    let mut replica = Replica::attach(&server);
    let real_replica = Server::start(name);
    real_replica.replicate(&server);
    let mut connection = server.connection();
    let mut generator = Generator::new(seed, server.version());
    for _ in 0..40 {
        let mut pipeline = redis::Pipeline::new();
        for _ in 0..250 {
            let mut cmd = redis::Cmd::new();
            for arg in generator.next() {
                cmd.arg(arg);
            }
            pipeline.add_command(cmd);
        }
        connection.req_packed_commands(&pipeline.get_packed_pipeline(), 0, 250).unwrap();
    }
    let mut options = LoadOptions::default();
    (options.seed, options.rate, options.keys) = (seed, 0, 10);
    let report = Load::run(&server, options, 10_000);
    let offset = || server.info("replication")["master_repl_offset"].parse().unwrap();
    replica.catch_up(offset());
    println!("{name}: {report:?} became {:?}", replica.commands);
    assert!(replica.commands.values().sum::<u64>() > 10_000);

    // What is to expire soon is let expire on both sides, whoever deletes it.
    let soon = now_ms() + 60_000;
    let expiries = |store: &MemoryStore| {
        let times = store.databases().flat_map(|db| store.entries(db)).flat_map(|(_, entry)| match &entry.value {
            rdts_sink::memory::Value::Hash(hash) => {
                hash.values().map(|field| field.expires_at).chain([entry.expires_at]).collect()
            }
            _ => vec![entry.expires_at],
        });
        times.flatten().filter(|at| *at < soon).max().unwrap_or(0)
    };
    let last = expiries(&replica.store);
    wait_until("the short expiries to pass", std::time::Duration::from_secs(60), || now_ms() > last);
    // A real replica keeps a hash whose fields have all expired until its primary gets round to removing them.
    let mut differences = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::time::Instant::now() < deadline {
        replica.catch_up(offset());
        replica.store.remove_expired(now_ms());
        real_replica.wait_in_sync(&server);
        let mut reader = Reader::new(&real_replica);
        reader.exact_times = server.version().has_redis(7, 0);
        let databases: std::collections::BTreeSet<u32> = (0..16).chain(replica.store.databases()).collect();
        differences = databases.into_iter().flat_map(|db| reader.differences(&replica.store, db)).collect();
        if differences.is_empty() {
            return;
        }
    }
    panic!("{name}, seed {seed}\n{}", differences.join("\n"));
}

#[test]
fn stream_of_redis_5_0() {
    same_as_replica("redis-5.0", 5);
}

#[test]
fn stream_of_redis_6_2() {
    same_as_replica("redis-6.2", 6);
}

#[test]
fn stream_of_redis_7_0() {
    same_as_replica("redis-7.0", 7);
}

#[test]
fn stream_of_redis_8_2() {
    same_as_replica("redis-8.2", 8);
}

#[test]
fn stream_of_valkey_9_1() {
    same_as_replica("valkey-9.1", 9);
}
