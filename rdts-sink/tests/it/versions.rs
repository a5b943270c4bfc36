//! Every rule that puts commands into other words, between the real servers where it matters: up, down and to the other family, the same data by
//! the snapshot and by the stream.

mod cases;

use std::collections::BTreeSet;
use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::source::{ReplicaOptions, ReplicaSource};
use rdts_core::translate::{Family, LossKind, Losses, OnLoss, Target, TranslateOptions};
use rdts_core::{ErrorKind, Pipeline, Sink};
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::{CompareOptions, DifferenceKind, Server, compare_with};

use cases::{Case, cases};

const LONG: Duration = Duration::from_secs(120);

fn target_of(server: &Server) -> Target {
    let info = server.cmd(&["INFO", "server"]);
    let info: String = redis::from_redis_value(info).unwrap();
    Target::from_info(&info).unwrap()
}

fn reaches(target: &Target, redis: Option<(u16, u16)>, valkey: Option<(u16, u16)>) -> bool {
    let (major, minor, _) = target.version();
    let since = if target.family() == Family::Redis { redis } else { valkey };
    since.is_some_and(|since| since <= (major, minor))
}

/// Executes the commands of a case, on keys that begin with `prefix` and its name.
fn execute(server: &Server, case: &Case, prefix: &str) {
    for command in &case.commands {
        let key = |word: &str| word.strip_prefix('@').map(|rest| format!("{prefix}{}:{rest}", case.name));
        let words: Vec<Vec<u8>> = command
            .split(' ')
            .map(|word| match (key(word), word.strip_prefix("DUMP:").and_then(key)) {
                (Some(key), _) => key.into_bytes(),
                (_, Some(key)) => redis::from_redis_value(server.cmd(&["DUMP", &key])).unwrap(),
                _ if word.len() == 1 => word.into(),
                _ => word.replace('~', " ").into_bytes(),
            })
            .collect();
        if let Err(error) = server.try_cmd(&words) {
            panic!("{}: {command}: {error}", case.name);
        }
    }
}

async fn pair(from: &str, to: &str) {
    let (source, server) = (Server::start(from), Server::start(to));
    let (from, to) = (target_of(&source), target_of(&server));
    let all: Vec<Case> = cases().into_iter().filter(|case| reaches(&from, case.redis, case.valkey)).collect();
    let all: Vec<Case> = all.into_iter().filter(|case| reaches(&to, Some(case.target), Some((0, 0)))).collect();
    let lost = |case: &Case| case.kind.is_some_and(|(_, redis, valkey)| !reaches(&to, redis, valkey));
    let losses = all.iter().filter(|case| lost(case)).filter_map(|case| case.kind);
    let losses = losses.fold(Losses::default(), |losses, (kind, ..)| losses.on(kind, OnLoss::Drop));
    tokio::task::block_in_place(|| all.iter().for_each(|case| execute(&source, case, "snapshot:")));
    let sink = NodeSink::connect(&NodeAddress::new("127.0.0.1", server.port()), NodeOptions::default()).await.unwrap();
    let options = ReplicaOptions::default().translate(TranslateOptions::default().losses(losses.clone()));
    let address = NodeAddress::new("127.0.0.1", source.port());
    let reader = ReplicaSource::open(&address, sink.capabilities().target, options).await.unwrap();
    let pipeline = Pipeline::new(reader, sink);
    let handle = pipeline.handle();
    let running = tokio::spawn(pipeline.run());
    tokio::task::block_in_place(|| all.iter().for_each(|case| execute(&source, case, "stream:")));
    handle.stop_at(source.info("replication")["master_repl_offset"].parse().unwrap());
    let finished = tokio::time::timeout(LONG, running).await.unwrap().unwrap();
    if let Err(error) = finished.result {
        panic!("{from} to {to}: {error:?}");
    }
    let mut options = CompareOptions::default();
    options.time_tolerance = Duration::from_secs(60);
    let differences = tokio::task::block_in_place(|| compare_with(&source, &server, &options));
    let case_of = |key: &[u8]| String::from_utf8_lossy(key).split(':').nth(1).map(str::to_owned).unwrap_or_default();
    let dropped: BTreeSet<String> =
        all.iter().filter(|case| lost(case) && !case.stays).map(|case| case.name.clone()).collect();
    let wrong: Vec<String> = differences
        .iter()
        .filter(|difference| !dropped.contains(&case_of(&difference.key)))
        // Deleting one by one what was trimmed leaves a trace in servers since 7.0 (max-deleted-entry-id), as the rules' notes say.
        .filter(|one| case_of(&one.key) != "stream-trims" || one.kind != DifferenceKind::StreamState)
        .map(ToString::to_string)
        .collect();
    assert!(wrong.is_empty(), "{from} to {to}, {} cases:\n{}", all.len(), wrong.join("\n"));
    for name in &dropped {
        let missing: BTreeSet<_> =
            differences.iter().filter(|one| case_of(&one.key) == *name).map(|one| &one.key).collect();
        assert!(!missing.is_empty(), "{from} to {to}: {name} should have been left out");
    }
    let intake = finished.report.ledger.intake;
    assert_eq!(
        intake.lost.keys() + intake.lost.commands() + intake.lost.parts() > 0,
        all.iter().any(lost),
        "{intake:?}"
    );
    assert_eq!(losses.examples().is_empty(), !all.iter().any(lost));
    eprintln!("{from} to {to}: {} cases, {} rewritten", all.len(), intake.rewritten);
}

macro_rules! pairs {
    ($($name:ident: $from:literal => $to:literal,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            pair($from, $to).await;
        })*
    };
}

pairs! {
    from_redis_4_0_to_3_2: "redis-4.0" => "redis-3.2",
    from_redis_5_0_to_4_0: "redis-5.0" => "redis-4.0",
    from_redis_7_0_to_5_0: "redis-7.0" => "redis-5.0",
    from_redis_7_0_to_2_8: "redis-7.0" => "redis-2.8",
    from_redis_8_2_to_6_2: "redis-8.2" => "redis-6.2",
    from_redis_8_10_to_7_0: "redis-8.10" => "redis-7.0",
    from_redis_8_10_to_6_0: "redis-8.10" => "redis-6.0",
    from_redis_8_10_to_7_4: "redis-8.10" => "redis-7.4-stack",
    from_valkey_9_1_to_redis_7_2: "valkey-9.1" => "redis-7.2-stack",
    from_valkey_9_1_to_redis_8_10: "valkey-9.1" => "redis-8.10",
    from_redis_7_2_to_valkey_9_1: "redis-7.2-stack" => "valkey-9.1",
    from_redis_8_10_to_valkey_9_1: "redis-8.10" => "valkey-9.1",
    from_redis_2_8_to_7_0: "redis-2.8" => "redis-7.0",
    from_redis_6_2_to_3_2: "redis-6.2" => "redis-3.2",
}

/// Copies what the commands make to a server, by the snapshot or by the stream.
async fn moved(from: &str, to: &str, before: &[&str], after: &[&str], losses: &Losses) -> (ErrorKind, String) {
    let (source, server) = (Server::start(from), Server::start(to));
    let run = |commands: &[&str]| {
        for command in commands {
            source.cmd(&command.split(' ').collect::<Vec<_>>());
        }
    };
    run(before);
    let sink = NodeSink::connect(&NodeAddress::new("127.0.0.1", server.port()), NodeOptions::default()).await.unwrap();
    let options = ReplicaOptions::default().translate(TranslateOptions::default().losses(losses.clone()));
    let address = NodeAddress::new("127.0.0.1", source.port());
    let reader = ReplicaSource::open(&address, sink.capabilities().target, options).await.unwrap();
    let pipeline = Pipeline::new(reader, sink);
    let handle = pipeline.handle();
    let running = tokio::spawn(pipeline.run());
    run(after);
    handle.stop_at(source.info("replication")["master_repl_offset"].parse().unwrap());
    let finished = tokio::time::timeout(LONG, running).await.unwrap().unwrap();
    let error = finished.result.unwrap_err();
    assert_eq!(server.cmd(&["EXISTS", "behind"]), redis::Value::Int(0));
    (error.kind(), error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_stops_the_run_and_says_what_to_do() {
    let losses = Losses::default();
    for (from, to, commands, names) in [
        ("redis-5.0", "redis-4.0", ["XADD k 1-1 f v", "SET behind 1"], ["\"k\"", "streams"]),
        ("redis-8.10", "redis-7.0", ["HSETEX k EX 1000 FIELDS 1 f v", "SET behind 1"], ["\"k\"", "hash-field-expiry"]),
        ("redis-8.10", "valkey-9.1", ["VADD k VALUES 2 1 2 e", "SET behind 1"], ["\"k\"", "vector-sets"]),
        ("redis-8.10", "redis-8.2", ["ARSET k 0 v", "SET behind 1"], ["\"k\"", "arrays"]),
    ] {
        // The order of a snapshot is any, so what is behind goes by the stream.
        let (kind, text) = moved(from, to, &commands[..1], &commands[1..], &losses).await;
        assert!(kind == ErrorKind::Unsupported && names.iter().all(|name| text.contains(name)), "{from}, {to}: {text}");
        let (kind, text) = moved(from, to, &[], &commands, &losses).await;
        assert!(kind == ErrorKind::Unsupported && names.iter().all(|name| text.contains(name)), "{from}, {to}: {text}");
    }
    let commands = ["SWAPDB 0 1", "SET behind 1"];
    let (kind, text) = moved("redis-7.0", "redis-3.2", &[], &commands, &losses).await;
    assert!(kind == ErrorKind::Unsupported && text.contains("SWAPDB") && text.contains("4.0"), "{text}");
    assert_eq!(losses.policy(LossKind::Streams), OnLoss::Stop);
}
