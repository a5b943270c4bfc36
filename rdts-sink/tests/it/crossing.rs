//! Commands over several slots: the same on a cluster by `crossing` as on one server by itself.

mod generator;
mod nodes;

use std::collections::BTreeSet;

use rdts_core::command::keys;
use rdts_resp::Reply;
use rdts_sink::crossing::{Crossing, Nodes, Refusal, execute, transaction};
use rdts_testkit::{Cluster, Deployment, Rng, Server, compare};

use self::generator::{Args, Generator};
use self::nodes::{Single, Spread};

/// How many commands for each server.
const COMMANDS: usize = 800;

#[tokio::test]
async fn a_cluster_of_3_2_ends_as_one_server() {
    the_same_as_one_server("redis-3.2").await;
}

#[tokio::test]
async fn a_cluster_of_5_0_ends_as_one_server() {
    the_same_as_one_server("redis-5.0").await;
}

#[tokio::test]
async fn a_cluster_of_7_0_ends_as_one_server() {
    the_same_as_one_server("redis-7.0").await;
}

#[tokio::test]
async fn a_cluster_of_8_10_ends_as_one_server() {
    the_same_as_one_server("redis-8.10").await;
}

#[tokio::test]
async fn a_cluster_of_valkey_9_1_ends_as_one_server() {
    the_same_as_one_server("valkey-9.1").await;
}

#[tokio::test]
async fn groups_of_a_codis_end_as_one_server() {
    let groups = ["redis-3.2"; 3].map(Server::start);
    let spread = Spread::codis(&groups).await;
    the_same(spread, "redis-3.2", (&groups).into()).await;
}

async fn the_same_as_one_server(name: &str) {
    let cluster = Cluster::start(name, 3);
    let spread = Spread::connect(&cluster).await;
    the_same(spread, name, (&cluster).into()).await;
}

async fn the_same(mut spread: Spread, name: &str, deployment: Deployment<'_>) {
    let server = Server::start(name);
    let mut single = Single::connect(&server).await;
    let mut generator = Generator::new(Rng::new(2026), spread.target());
    let mut crossed = 0;
    for args in generator.fill() {
        both(&mut spread, &mut single, &args).await;
    }
    for number in 0..COMMANDS {
        if number % 10 == 9 {
            let commands: Vec<Args> = (0..3).map(|_| generator.command()).collect();
            both_in_transaction(&mut spread, &mut single, &commands).await;
            continue;
        }
        let args = if number % 3 == 0 { generator.refresh() } else { generator.command() };
        crossed += u64::from(crosses(&spread, &args));
        both(&mut spread, &mut single, &args).await;
    }
    // Also that nothing is left behind under a temporary name.
    let differences = compare(&server, deployment);
    assert!(differences.is_empty(), "{differences:?}");
    assert!(crossed > 300, "only {crossed} commands had keys in different slots");
    generator.assert_all_seen();
}

/// Executes a command on both sides; replies, and the keys that it names, are the same.
async fn both(spread: &mut Spread, single: &mut Single, args: &Args) {
    let slices = args.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let shown = show(args);
    let expected = single.execute(&slices).await;
    match execute(spread, 0, &slices).await {
        Ok(Crossing::Done(reply)) => assert_eq!(reply, expected, "{shown}"),
        other => panic!("{shown}: {other:?}, not {expected:?}"),
    }
    same_keys(spread, single, args, &shown).await;
}

async fn both_in_transaction(spread: &mut Spread, single: &mut Single, commands: &[Args]) {
    let commands: Vec<(u32, Vec<&[u8]>)> =
        commands.iter().map(|args| (0, args.iter().map(Vec::as_slice).collect())).collect();
    let shown = commands
        .iter()
        .map(|(_, args)| show(&args.iter().map(|arg| arg.to_vec()).collect::<Args>()))
        .collect::<Vec<_>>()
        .join("; ");
    let slices: Vec<&[&[u8]]> = commands.iter().map(|(_, args)| args.as_slice()).collect();
    let expected = single.transaction(&slices).await;
    match transaction(spread, &commands).await {
        Ok(Crossing::Done(reply)) => assert_eq!(reply, expected, "{shown}"),
        other => panic!("{shown}: {other:?}, not {expected:?}"),
    }
    for (_, args) in &commands {
        same_keys(spread, single, &args.iter().map(|arg| arg.to_vec()).collect::<Args>(), &shown).await;
    }
}

async fn same_keys(spread: &mut Spread, single: &mut Single, args: &Args, shown: &str) {
    let slices = args.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let named: BTreeSet<&[u8]> = keys(&slices).unwrap().map(|key| slices[key.index]).collect();
    for key in named {
        let (ours, theirs) = (spread.state(key).await, single.state(key).await);
        assert_eq!(ours, theirs, "{} after {shown}", key.escape_ascii());
    }
}

fn crosses(nodes: &Spread, args: &Args) -> bool {
    let slices = args.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let mut slots = keys(&slices).unwrap().map(|key| nodes.slot(slices[key.index]));
    let first = slots.next();
    slots.any(|slot| Some(slot) != first)
}

fn show(args: &Args) -> String {
    args.iter().map(|arg| arg[..arg.len().min(40)].escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_has_expired_is_not_there() {
    for name in ["redis-5.0", "redis-7.0"] {
        let cluster = Cluster::start(name, 3);
        let mut spread = Spread::connect(&cluster).await;
        // Nobody removes what has expired before it is asked for.
        spread.everywhere(&[b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0"]).await;
        for key in [&b"gone"[..], b"also"] {
            spread.done(&[b"SADD", key, b"x"]).await;
            spread.done(&[b"PEXPIRE", key, b"1"]).await;
        }
        spread.done(&[b"SADD", b"there", b"y"]).await;
        spread.done(&[b"SADD", b"other", b"z"]).await;
        let started = std::time::Instant::now();
        rdts_testkit::wait_until("2 ms have passed", std::time::Duration::from_secs(5), || {
            started.elapsed().as_millis() > 2
        });
        assert_eq!(spread.done(&[b"RENAME", b"gone", b"new"]).await, Reply::Error("ERR no such key".into()));
        assert_eq!(spread.done(&[b"SUNIONSTORE", b"union", b"there", b"also", b"other"]).await, Reply::Integer(2));
        assert_eq!(spread.done(&[b"SMOVE", b"also", b"there", b"x"]).await, Reply::Integer(0));
        assert_eq!(spread.done(&[b"RENAMENX", b"there", b"gone"]).await, Reply::Integer(1));
    }
}

#[tokio::test]
async fn what_cannot_be_exact_is_refused_and_not_begun() {
    let cluster = Cluster::start("redis-7.0", 3);
    let mut spread = Spread::connect(&cluster).await;
    let refused: [(&[&[u8]], Refusal); 9] = [
        (&[b"EVAL", b"return redis.call('SET', KEYS[1], 1)", b"2", b"a", b"b"], Refusal::Script),
        (&[b"EVAL", b"return redis.call('SET', 'a', 1)", b"0"], Refusal::Undeclared),
        (&[b"SORT", b"a", b"BY", b"w_*", b"STORE", b"b"], Refusal::Patterns),
        (&[b"SORT", b"{t}a", b"BY", b"w_*", b"STORE", b"{t}b"], Refusal::Patterns),
        (&[b"BLPOP", b"a", b"b", b"0"], Refusal::Keys),
        (&[b"JSON.MSET", b"a", b"$", b"1", b"b", b"$", b"2"], Refusal::Keys),
        (&[b"SWAPDB", b"0", b"1"], Refusal::Server),
        (&[b"MIGRATE", b"h", b"1", b"k", b"0", b"1"], Refusal::Server),
        (&[b"FCALL", b"f", b"0"], Refusal::Undeclared),
    ];
    for (args, refusal) in refused {
        assert_eq!(execute(&mut spread, 0, args).await.unwrap(), Crossing::Refused(refusal));
        let begun: Vec<(u32, Vec<&[u8]>)> = vec![(0, vec![b"SET", b"begun", b"1"]), (0, args.to_vec())];
        assert_eq!(transaction(&mut spread, &begun).await.unwrap(), Crossing::Refused(refusal));
    }
    assert_eq!(spread.done(&[b"EXISTS", b"begun"]).await, Reply::Integer(0));
}

#[tokio::test]
async fn flushes_and_scripts_go_everywhere() {
    let cluster = Cluster::start("redis-7.0", 3);
    let mut spread = Spread::connect(&cluster).await;
    let pairs: Vec<String> = (0..30).map(|i| format!("key:{i}")).collect();
    let mset: Vec<&[u8]> =
        [&b"MSET"[..]].into_iter().chain(pairs.iter().flat_map(|key| [key.as_bytes(), b"v"])).collect();
    assert_eq!(spread.done(&mset).await, Reply::Simple("OK".into()));
    let exists: Vec<&[u8]> = [&b"EXISTS"[..]].into_iter().chain(pairs.iter().map(String::as_bytes)).collect();
    assert_eq!(spread.done(&exists).await, Reply::Integer(30));
    let loaded = spread.done(&[b"SCRIPT", b"LOAD", b"return ARGV[1]"]).await;
    for key in &pairs {
        let reply = spread.done(&[b"EVALSHA", loaded.as_bytes().unwrap(), b"1", key.as_bytes(), b"here"]).await;
        assert_eq!(reply, Reply::Bulk("here".into()));
    }
    assert_eq!(spread.done(&[b"FLUSHALL"]).await, Reply::Simple("OK".into()));
    assert_eq!(spread.done(&exists).await, Reply::Integer(0));
}

/// A failure at any step loses nothing, and where the documentation says so the command can be done again from the
/// beginning.
#[tokio::test]
async fn a_failure_in_the_middle_loses_nothing() {
    let cluster = Cluster::start("redis-7.0", 3);
    let mut spread = Spread::connect(&cluster).await;
    let commands: [(&[&[u8]], bool); 7] = [
        (&[b"RENAME", b"set", b"to"], true),
        (&[b"RENAMENX", b"set", b"new"], false),
        (&[b"SMOVE", b"set", b"other", b"b"], true),
        (&[b"LMOVE", b"list", b"queue", b"LEFT", b"RIGHT"], false),
        (&[b"SUNIONSTORE", b"to", b"set", b"other"], true),
        (&[b"PFMERGE", b"hll", b"hll2"], true),
        (&[b"LMPOP", b"2", b"none", b"list", b"LEFT"], false),
    ];
    for (args, again) in commands {
        let mut steps = 0;
        loop {
            spread.done(&[b"FLUSHALL"]).await;
            for setup in [
                &[&b"SADD"[..], b"set", b"a", b"b", b"c"][..],
                &[b"SADD", b"other", b"d"],
                &[b"RPUSH", b"list", b"1", b"2", b"3"],
                &[b"RPUSH", b"queue", b"0"],
                &[b"PFADD", b"hll", b"x"],
                &[b"PFADD", b"hll2", b"y"],
            ] {
                spread.done(setup).await;
            }
            spread.fail_after(steps);
            let failed = execute(&mut spread, 0, args).await;
            spread.fail_after(u64::MAX);
            if failed.is_ok() {
                break;
            }
            steps += 1;
            let found = spread.elements(&[b"set", b"other", b"to", b"new"], &[b"list", b"queue"]).await;
            for element in ["a", "b", "c", "d", "1", "2", "3", "0"] {
                // What is popped for nobody is gone by then; the step is the command itself.
                let popped = args[0] == b"LMPOP" && element == "1";
                assert!(popped || found.contains(element), "{} of step {steps}: {element} is lost", show(&owned(args)));
            }
            if again {
                let reply = spread.done(args).await;
                assert!(!reply.is_error() || args[0] == b"RENAME", "{reply:?}");
                assert_eq!(spread.elements(&[b"set", b"other", b"to", b"new"], &[b"list", b"queue"]).await, found);
            }
        }
        assert!(steps >= 2, "{} has {steps} steps", show(&owned(args)));
    }
}

fn owned(args: &[&[u8]]) -> Args {
    args.iter().map(|arg| arg.to_vec()).collect()
}
