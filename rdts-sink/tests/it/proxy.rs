//! The sink for proxies: twemproxy and Envoy as they are, and stand-ins for those of Codis.

use std::time::Duration;

use rdts_core::conformance::{self, Abilities, Harness, Outcome};
use rdts_core::endpoint::{NodeAddress, ProxyKind};
use rdts_core::pipeline::Finished;
use rdts_core::record::{Batch, BatchBuilder, Expect, Kind, Mark, ReplicationId};
use rdts_core::source::{ReplicaOptions, ReplicaSource};
use rdts_core::translate::{OnConflict, Target, TranslateOptions};
use rdts_core::{ErrorKind, Pipeline, Position, Sink};
use rdts_sink::{OnImpossible, ProxyOptions, ProxySink};
use rdts_testkit::{Codis, FillOptions, Load, LoadOptions, Proxy, Server, assert_same, fill};

pub(crate) fn address(port: u16) -> NodeAddress {
    NodeAddress::new("127.0.0.1", port)
}

/// A batch of commands, each with its mark and words.
fn batch(commands: &[(Mark, &[&[u8]])]) -> Batch {
    let mut builder = BatchBuilder::new(256);
    for (mark, words) in commands {
        let start = builder.arena().len();
        rdts_resp::encode::command(builder.arena(), *words);
        let key = words.get(1).map(|key| {
            let raw = &builder.arena()[start..];
            let at = start
                + raw.windows(key.len() + 2).position(|part| part.starts_with(key) && part.ends_with(b"\r\n")).unwrap();
            at..at + key.len()
        });
        builder.commit(*mark, key, 1);
    }
    builder.take(Position::stream(ReplicationId::NONE, 1, 0))
}

fn words(text: &str) -> Vec<&[u8]> {
    text.split(' ').map(str::as_bytes).collect()
}

/// Writes the commands as one batch, and waits.
pub(crate) async fn write(sink: &mut impl Sink, db: u32, commands: &[&str]) -> rdts_core::Result<()> {
    let words: Vec<_> = commands.iter().map(|text| words(text)).collect();
    let marked: Vec<_> = words
        .iter()
        .map(|words| {
            let kind = match words[0] {
                b"MULTI" => Kind::Multi,
                b"EXEC" => Kind::Exec,
                b"EVAL" | b"EVALSHA" => Kind::Script,
                _ => Kind::Write,
            };
            (Mark::new(db, kind), words.as_slice())
        })
        .collect();
    sink.write(batch(&marked)).await?;
    sink.flush().await
}

/// A load on few keys, so that each sees many commands.
fn few_keys(dbs: &[u32]) -> LoadOptions {
    let mut options = LoadOptions::default();
    options.keys = 20;
    options.dbs = dbs.to_vec();
    options
}

/// Copies `source` and a load on it through `sink`.
async fn migrate(source: &Server, sink: ProxySink, translate: TranslateOptions, load: Option<Load>) -> Finished {
    let target = sink.capabilities().target;
    let options = ReplicaOptions::default().translate(translate).snapshot_only(load.is_none());
    let reader = ReplicaSource::open(&address(source.port()), target, options).await.unwrap();
    let pipeline = Pipeline::new(reader, sink);
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    if let Some(load) = load {
        let offset = tokio::task::block_in_place(|| {
            load.wait_for(1500, Duration::from_secs(60));
            load.stop();
            source.info("replication")["master_repl_offset"].parse().unwrap()
        });
        handle.stop_at(offset);
    }
    run.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_through_twemproxy_and_envoy() {
    for name in ["twemproxy", "Envoy"] {
        let source = Server::start("redis-7.0");
        fill(&source, &FillOptions::strings(2000));
        let servers: Vec<Server> = ["redis-7.0", "redis-7.0", "redis-8.2"].map(Server::start).into();
        let servers: Vec<&Server> = servers.iter().collect();
        let proxy = if name == "Envoy" { Proxy::envoy(&servers) } else { Proxy::twemproxy(&servers) };
        let options = ProxyOptions::default().on_impossible(OnImpossible::Skip);
        let sink = ProxySink::connect(ProxyKind::Plain, &[address(proxy.port())], options).await.unwrap();
        assert_eq!(sink.target(), Target::redis(7, 0, 15), "{name}: the oldest counts");
        let load = Load::start(&source, few_keys(&[0]));
        let finished = migrate(&source, sink, TranslateOptions::default(), Some(load)).await;
        finished.result.unwrap_or_else(|error| panic!("{name}: {error}"));
        let applied = finished.report.applied;
        assert!(applied.counts.keys >= 2000 && applied.counts.commands > 3000, "{name}: {applied:?}");
        assert!(servers.iter().all(|server| server.info("keyspace").contains_key("db0")), "{name}: not spread");
        tokio::task::block_in_place(|| assert_same(&source, servers.as_slice()));
    }
}

/// Writes commands of one and of several keys to a server without scripts, which Redis 3.2 would replicate as they are.
pub(crate) fn write_without_scripts(server: &Server) {
    let mut connection = server.connection();
    for round in 0..120 {
        let mut pipeline = redis::pipe();
        let (n, m) = (round % 7, round % 5);
        pipeline.cmd("SELECT").arg([0, 1, 9][round % 3]);
        for text in [
            format!("INCR counter:{n}"),
            format!("RPUSH list:{n} {round} {m} x"),
            format!("RPOPLPUSH list:{n} list:{m}"),
            format!("SADD set:{n} {round} {m}"),
            format!("SMOVE set:{n} set:{m} {m}"),
            format!("SUNIONSTORE union:{m} set:{n} set:{m}"),
            format!("ZADD zset:{n} {m}.5 a{round}"),
            format!("ZUNIONSTORE zset:{m} 2 zset:{n} set:{m}"),
            format!("HINCRBY hash:{n} field:{m} {round}"),
            "MULTI".to_owned(),
            format!("SETEX expiring:{n} 100000 {round}"),
            format!("APPEND counter:{n} {m}"),
            "EXEC".to_owned(),
            format!("SET counter:{n} {round}"),
            format!("RENAME hash:{n} hash:{m}"),
            format!("BITOP XOR bits:{n} counter:{n} counter:{m}"),
            format!("PFADD hll:{n} {round}"),
            format!("PFMERGE hll:{m} hll:{n}"),
            format!("DEL list:{m} bits:{m}"),
        ] {
            let mut command = redis::Cmd::new();
            text.split(' ').for_each(|word| _ = command.arg(word));
            pipeline.add_command(command).ignore();
        }
        // A key may be missing at first.
        let _ = pipeline.query::<()>(&mut connection);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_through_proxies_of_codis() {
    let codis = Codis::start("redis-3.2", 3);
    let proxies = [address(codis.proxy()), address(codis.proxy())];
    let connect = async || ProxySink::connect(ProxyKind::Codis, &proxies, ProxyOptions::default()).await.unwrap();
    let source = Server::start("redis-3.2");
    fill(&source, &FillOptions::mixed(300));
    let sink = connect().await;
    let options = ReplicaOptions::default();
    let reader = ReplicaSource::open(&address(source.port()), sink.capabilities().target, options).await.unwrap();
    let pipeline = Pipeline::new(reader, sink);
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    tokio::task::block_in_place(|| write_without_scripts(&source));
    handle.stop_at(source.info("replication")["master_repl_offset"].parse().unwrap());
    let finished = run.await.unwrap();
    finished.result.unwrap();
    assert!(finished.report.applied.counts.commands > 2000, "{:?}", finished.report);
    tokio::task::block_in_place(|| assert_same(&source, codis.groups().as_slice()));
    for group in codis.groups() {
        group.cmd(&["FLUSHALL"]);
    }
    // A newer server's encodings.
    let source = Server::start("redis-7.0");
    for number in 0..200 {
        let key = |kind: &str| format!("{kind}:{number}");
        source.cmd(&["HSET", &key("hash"), "field", "value", "number", "5"]);
        source.cmd(&["ZADD", &key("zset"), "1.5", "a", "-inf", "b"]);
        source.cmd(&["RPUSH", &key("list"), "a", "17", &"x".repeat(number)]);
        source.cmd(&["SADD", &key("set"), "1", "2", "three"]);
        source.cmd(&["PEXPIRE", &key("set"), "100000000"]);
    }
    // One that goes in pieces, under a name of its own.
    source.cmd(&["EVAL", "for i = 1, 30000 do redis.call('RPUSH', 'big', i .. string.rep('y', 60)) end", "0"]);
    let finished = migrate(&source, connect().await, TranslateOptions::default(), None).await;
    finished.result.unwrap();
    assert_eq!(finished.report.applied.counts.keys, 801);
    tokio::task::block_in_place(|| assert_same(&source, codis.groups().as_slice()));
    assert_eq!(codis.refused(), [""; 0], "what a proxy refuses was sent");
}

/// Commands of several keys, the same for a single server and through proxies.
pub(crate) const SEVERAL_KEYS: &[&str] = &[
    "MSET a 1 b 2 c 3 d 4",
    "DEL c d nothing",
    "RENAME a e",
    "PEXPIREAT b 4000000000000",
    "RENAME b f",
    "MULTI",
    "RPUSH l1 x y z",
    "SADD s1 1 2 3",
    "SADD s2 3 4",
    "EXEC",
    "RPOPLPUSH l1 l2",
    "RPOPLPUSH l1 l2",
    "SMOVE s1 s3 1",
    "SMOVE s1 s3 17",
    "SUNIONSTORE s4 s1 s2",
    "SDIFFSTORE s5 s4 s2",
    "SINTERSTORE s6 s1 s2 s4",
    "ZADD z1 1 a 2 b",
    "ZUNIONSTORE z2 2 z1 s1 WEIGHTS 2 3",
    "ZINTERSTORE z1 2 z1 z2",
    "SET bits1 abc",
    "SET bits2 de",
    "BITOP OR bits3 bits1 bits2",
    "PFADD h1 a b",
    "PFADD h2 c",
    "PFMERGE h3 h1 h2",
    "PFMERGE h1 h2",
    "SORT s1 STORE sorted",
    "MSETNX n1 1 n2 2",
    "BITFIELD bf SET u8 0 200",
    "GEOADD g 1 2 here",
    "GEORADIUS g 1 2 10 km STORE near",
    "RENAMENX e e2",
    "EVAL return(redis.call('SET',KEYS[1],ARGV[1])) 1 script 5",
];

/// Executes [`SEVERAL_KEYS`].
pub(crate) fn on_one_server(single: &Server) {
    let mut connection = single.connection();
    for command in SEVERAL_KEYS {
        let mut cmd = redis::Cmd::new();
        for word in command.split(' ') {
            cmd.arg(word);
        }
        cmd.exec(&mut connection).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_several_keys_have_the_effect_that_they_have_on_one_server() {
    let single = Server::start("redis-3.2");
    on_one_server(&single);
    let codis = Codis::start("redis-3.2", 3);
    let plain: Vec<Server> = (0..3).map(|_| Server::start("redis-3.2")).collect();
    let plain: Vec<&Server> = plain.iter().collect();
    let (twemproxy, port) = (Proxy::twemproxy(&plain), codis.proxy());
    for (kind, port, servers) in
        [(ProxyKind::Codis, port, codis.groups()), (ProxyKind::Plain, twemproxy.port(), plain.clone())]
    {
        let options = ProxyOptions::default().connections(3);
        let mut sink = ProxySink::connect(kind, &[address(port)], options).await.unwrap();
        write(&mut sink, 0, SEVERAL_KEYS).await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let acked = sink.acked();
        assert_eq!((acked.batches, acked.counts.commands), (1, SEVERAL_KEYS.len() as u64), "{kind:?}");
        sink.close().await.unwrap();
        tokio::task::block_in_place(|| assert_same(&single, servers.as_slice()));
    }
    assert_eq!(codis.refused(), [""; 0]);
}

#[tokio::test]
async fn databases_go_through_codis_alone() {
    let codis = Codis::start("redis-3.2", 2);
    let mut sink =
        ProxySink::connect(ProxyKind::Codis, &[address(codis.proxy())], ProxyOptions::default()).await.unwrap();
    write(&mut sink, 3, &["SET a 3", "RENAME a b", "SET m 1", "MOVE m 5"]).await.unwrap();
    write(&mut sink, 0, &["SET a 0"]).await.unwrap();
    for (db, key, value) in [(3, "b", "3"), (5, "m", "1"), (0, "a", "0")] {
        let group = codis.groups()[codis.group_of(key.as_bytes()) - 1];
        let mut connection = group.connection();
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        let found: String = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
        assert_eq!(found, value, "{key} in {db}");
    }
    let server = Server::start("redis-7.0");
    let proxy = Proxy::twemproxy(&[&server]);
    let mut sink =
        ProxySink::connect(ProxyKind::Plain, &[address(proxy.port())], ProxyOptions::default()).await.unwrap();
    let error = write(&mut sink, 3, &["SET a 3"]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("database 0 only"), "{error}");
}

#[tokio::test]
async fn what_no_proxy_can_do_stops_or_is_left_out_and_counted() {
    let codis = Codis::start("redis-3.2", 2);
    let server = Server::start("redis-7.0");
    let twemproxy = Proxy::twemproxy(&[&server]);
    let impossible = [
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
        "EVALSHA 973c954200248f56161a98635835c2dc3028db70 1 a",
        "EVAL return(1) 0",
        "EVAL return(1) 2 a b",
        "SORT a BY w_* STORE b",
        "FROBNICATE a",
    ];
    for (kind, port) in [(ProxyKind::Codis, codis.proxy()), (ProxyKind::Plain, twemproxy.port())] {
        for command in impossible {
            let connect = async |policy| {
                let options = ProxyOptions::default().on_impossible(policy);
                ProxySink::connect(kind, &[address(port)], options).await.unwrap()
            };
            let mut sink = connect(OnImpossible::Stop).await;
            write(&mut sink, 0, &["SET good 1"]).await.unwrap();
            let error = write(&mut sink, 0, &[command]).await.unwrap_err();
            let (name, text) = (command.split(' ').next().unwrap(), error.to_string());
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{command}: {text}");
            assert!(text.contains(name) && text.contains(&port.to_string()), "{command}: {text}");
            assert_eq!(sink.acked().batches, 1);
            assert!(sink.write(batch(&[])).await.is_err(), "{command}: it goes on after an error");
            let mut sink = connect(OnImpossible::Skip).await;
            write(&mut sink, 0, &["SET good 1", command, "SET good 2"]).await.unwrap();
            assert_eq!((sink.refused(), sink.acked().counts.impossible, sink.acked().counts.commands), (1, 1, 2));
        }
    }
    assert_eq!(codis.refused(), [""; 0]);
}

#[tokio::test]
async fn keys_that_are_there_are_replaced_kept_or_complained_of() {
    let codis = Codis::start("redis-3.2", 2);
    let source = Server::start("redis-3.2");
    source.cmd(&["SADD", "set", "new"]);
    source.cmd(&["SADD", "other", "new"]);
    let group = codis.groups()[codis.group_of(b"set") - 1];
    for (policy, expected, kept) in
        [(OnConflict::Fail, "old", 0), (OnConflict::Skip, "old", 1), (OnConflict::Replace, "new", 0)]
    {
        for group in codis.groups() {
            group.cmd(&["FLUSHALL"]);
        }
        group.cmd(&["SADD", "set", "old"]);
        let sink =
            ProxySink::connect(ProxyKind::Codis, &[address(codis.proxy())], ProxyOptions::default()).await.unwrap();
        let finished = migrate(&source, sink, TranslateOptions::default().on_conflict(policy), None).await;
        match policy {
            OnConflict::Fail => {
                let error = finished.result.unwrap_err();
                assert!(error.kind() == ErrorKind::TargetNotEmpty && error.to_string().contains("\"set\""), "{error}");
            }
            _ => finished.result.unwrap(),
        }
        assert_eq!(finished.report.applied.counts.kept, kept, "{policy:?}");
        let members: Vec<String> = redis::from_redis_value(group.cmd(&["SMEMBERS", "set"])).unwrap();
        assert_eq!(members, [expected], "{policy:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_closes_the_connection_is_told_of_with_what_to_do() {
    let codis = Codis::start("redis-3.2", 2);
    let port = codis.proxy();
    let mut sink = ProxySink::connect(ProxyKind::Codis, &[address(port)], ProxyOptions::default()).await.unwrap();
    write(&mut sink, 0, &["SET a 1"]).await.unwrap();
    codis.close_at("INCR");
    let error = write(&mut sink, 0, &["SET b 1", "INCR c", "SET d 1"]).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{text}");
    assert!(text.contains(&port.to_string()) && text.contains("copy anew"), "{text}");
    assert_eq!(sink.acked().batches, 1);
    // What is wrong from the start.
    let nobody = rdts_testkit::free_port();
    let error = ProxySink::connect(ProxyKind::Plain, &[address(nobody)], ProxyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    let error = ProxySink::connect(ProxyKind::Plain, &[], ProxyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn a_command_of_several_keys_waits_for_a_slot_that_moves() {
    let codis = Codis::start("redis-3.2", 2);
    let deadlines = rdts_core::net::Deadlines::default().ready(Duration::from_millis(250));
    let options = ProxyOptions::default().deadlines(deadlines);
    let mut sink = ProxySink::connect(ProxyKind::Codis, &[address(codis.proxy())], options).await.unwrap();
    codis.moves(289, Some(("migrating", 2)));
    write(&mut sink, 0, &["SET foo 1"]).await.unwrap();
    let error = write(&mut sink, 0, &["RENAME foo bar"]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Topology && error.to_string().contains("slot 289"), "{error}");
    codis.moves(289, None);
    let mut sink = ProxySink::connect(ProxyKind::Codis, &[address(codis.proxy())], options).await.unwrap();
    write(&mut sink, 0, &["RENAME foo bar"]).await.unwrap();
}

#[tokio::test]
async fn more_commands_than_a_window_go_in_order() {
    let codis = Codis::start("redis-3.2", 2);
    let proxies = [address(codis.proxy()), address(codis.proxy())];
    let mut sink = ProxySink::connect(ProxyKind::Codis, &proxies, ProxyOptions::default()).await.unwrap();
    let texts: Vec<String> = (0..6000).map(|number| format!("APPEND key:{} {},", number % 10, number / 10)).collect();
    let expect = Mark::new(0, Kind::Write).expect(Expect::Success);
    for part in texts.chunks(2500) {
        let words: Vec<_> = part.iter().map(|text| words(text)).collect();
        let marked: Vec<_> = words.iter().map(|words| (expect, words.as_slice())).collect();
        sink.write(batch(&marked)).await.unwrap();
    }
    sink.flush().await.unwrap();
    assert_eq!((sink.acked().batches, sink.acked().counts.commands), (3, 6000));
    let whole: String = (0..600).map(|number| format!("{number},")).collect();
    for key in (0..10).map(|number| format!("key:{number}")) {
        let group = codis.groups()[codis.group_of(key.as_bytes()) - 1];
        assert_eq!(group.cmd(&["GET", &key]), redis::Value::BulkString(whole.clone().into_bytes()));
    }
}

/// The string at a key of whichever server has it.
pub(crate) fn read(servers: &[&Server], db: u32, key: &[u8]) -> Option<Vec<u8>> {
    servers.iter().find_map(|server| {
        let mut connection = server.connection();
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        redis::cmd("GET").arg(key).query::<Option<Vec<u8>>>(&mut connection).unwrap()
    })
}

/// Sinks through proxies in front of some servers.
struct Through<'a> {
    kind: ProxyKind,
    ports: Vec<u16>,
    servers: Vec<&'a Server>,
}

impl Harness for Through<'_> {
    type Sink = ProxySink;

    fn abilities(&self) -> Abilities {
        Abilities::default().databases(self.kind == ProxyKind::Codis)
    }

    async fn sink(&mut self) -> rdts_core::Result<ProxySink> {
        for server in &self.servers {
            server.cmd(&["FLUSHALL"]);
        }
        let proxies: Vec<NodeAddress> = self.ports.iter().map(|port| address(*port)).collect();
        ProxySink::connect(self.kind, &proxies, ProxyOptions::default().window(256 << 10)).await
    }

    async fn read(&mut self, db: u32, key: &[u8]) -> rdts_core::Result<Option<Vec<u8>>> {
        Ok(read(&self.servers, db, key))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_keeps_to_the_contract() {
    let servers: Vec<Server> = ["redis-7.0", "redis-3.2"].map(Server::start).into();
    let servers: Vec<&Server> = servers.iter().collect();
    let (twemproxy, envoy) = (Proxy::twemproxy(&servers), Proxy::envoy(&servers));
    let codis = Codis::start("redis-3.2", 2);
    for (name, kind, ports, servers) in [
        ("Codis", ProxyKind::Codis, vec![codis.proxy(), codis.proxy()], codis.groups()),
        ("twemproxy", ProxyKind::Plain, vec![twemproxy.port()], servers.clone()),
        ("Envoy", ProxyKind::Plain, vec![envoy.port()], servers.clone()),
    ] {
        let report = conformance::run(&mut Through { kind, ports, servers }).await;
        let failed: Vec<_> = report
            .outcomes()
            .iter()
            .filter_map(|(check, outcome)| match outcome {
                Outcome::Failed(failure) => Some((*check, failure.to_string())),
                _ => None,
            })
            .collect();
        match (name, failed.as_slice()) {
            // It tries a key of 40,000 bytes, which twemproxy cannot read; that is told before it is sent.
            ("twemproxy", [("any_bytes_are_kept", text)]) => assert!(text.contains("16300 bytes"), "{text}"),
            (_, failed) => assert!(failed.is_empty(), "{name}: {report}"),
        }
    }
}
