//! Files as targets: loaded by real servers, and read back.

mod conformance;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use rdts_core::endpoint::NodeAddress;
use rdts_core::record::{BatchBuilder, Kind, Mark, ReplicationId};
use rdts_core::source::{AofOptions, AofSource, RdbSource, ReplicaOptions, ReplicaSource};
use rdts_core::translate::{Target, TranslateOptions};
use rdts_core::{ErrorKind, Pipeline, Position, Sink};
use rdts_rdb::{Event, Reader};
use rdts_sink::file::{self, FileFormat, FileOptions, JsonEntries};
use rdts_sink::{FileSink, MemorySink};
use rdts_testkit::{FillOptions, Load, LoadOptions, Server, assert_same, fill, server_folder};

fn address(server: &Server) -> NodeAddress {
    NodeAddress::new("127.0.0.1", server.port())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Values of every kind that are too long to be taken whole, one of them longer than what waits in memory.
fn fill_big(server: &Server) {
    let script = "for i=1,ARGV[2] do local x=string.rep(redis.sha1hex(KEYS[1]..i),25)..i
        if ARGV[1]=='HSET' then redis.call('HSET',KEYS[1],i,x) elseif ARGV[1]=='ZADD' then redis.call('ZADD',KEYS[1],i/7,x)
        else redis.call(ARGV[1],KEYS[1],x) end end";
    for (command, key, count) in [
        ("RPUSH", "big:list", "18000"),
        ("SADD", "big:set", "9000"),
        ("ZADD", "big:zset", "9000"),
        ("HSET", "big:hash", "9000"),
        ("APPEND", "big:string", "3000"),
    ] {
        server.cmd(&["EVAL", script, "1", key, command, count]);
    }
    for key in ["big:set", "big:string"] {
        server.cmd(&["PEXPIREAT", key, "4000000000123"]);
    }
}

/// The snapshot of one server as a file for another version, which then loads it.
async fn through_rdb(from: &str, target: Target, to: &str) {
    let source = Server::builder(from).arg("rdbcompression", "no").start();
    fill(&source, &FillOptions::mixed(if to == "redis-2.8" { 40 } else { 60 }));
    if from != to || from == "redis-8.2" {
        fill_big(&source);
    }
    if source.version().has_redis(7, 4) {
        source.cmd(&["HPEXPIREAT", "big:hash", "4000000000001", "FIELDS", "2", "7", "7000"]);
    }
    let has_functions = from == "redis-7.0" || from == "valkey-9.1";
    if has_functions {
        source.cmd(&["FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.rdb");
    let sink = file::open(&path, FileOptions::default().target(target)).await.unwrap();
    let options = ReplicaOptions::default().snapshot_only(true);
    let replica = ReplicaSource::open(&address(&source), sink.capabilities().target, options).await.unwrap();
    assert_eq!(names(folder.path()), ["out.rdb.partial"]);
    let finished = Pipeline::new(replica, sink).run().await;
    finished.result.unwrap();
    assert_eq!(names(folder.path()), ["out.rdb"], "nothing else remains");
    let loaded = Server::builder(to).rdb(&path).start();
    tokio::task::block_in_place(|| assert_same(&source, &loaded));
    if has_functions {
        assert_eq!(source.cmd(&["FUNCTION", "LIST"]), loaded.cmd(&["FUNCTION", "LIST"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rdb_is_loaded_by_the_server_that_it_was_written_for() {
    through_rdb("redis-7.0", Target::redis(7, 0, 0), "redis-7.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rdb_for_the_oldest_server() {
    through_rdb("redis-3.2", Target::redis(2, 8, 0), "redis-2.8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rdb_of_valkey() {
    through_rdb("valkey-9.1", Target::valkey(9, 1, 0), "valkey-9.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rdb_with_fields_that_expire() {
    through_rdb("redis-8.2", Target::redis(8, 2, 0), "redis-8.2").await;
}

/// A full copy and the writes that follow it, into a file.
async fn record(server: &Server, path: &Path, commands: u64) {
    fill(server, &FillOptions::mixed(60));
    let sink = file::open(path, FileOptions::default().target(Target::redis(7, 0, 0))).await.unwrap();
    let target = sink.capabilities().target;
    let source = ReplicaSource::open(&address(server), target, ReplicaOptions::default()).await.unwrap();
    let pipeline = Pipeline::new(source, sink);
    let handle = pipeline.handle();
    let running = tokio::spawn(pipeline.run());
    let mut options = LoadOptions::default();
    (options.rate, options.keys) = (0, 20);
    tokio::task::block_in_place(|| Load::run(server, options, commands));
    handle.stop_at(server.info("replication")["master_repl_offset"].parse().unwrap());
    let finished = running.await.unwrap();
    finished.result.unwrap();
    assert!(finished.report.applied.counts.commands > commands / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn resp_is_taken_by_redis_cli_and_as_an_aof() {
    let source = Server::start("redis-7.0");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.resp");
    record(&source, &path, 1500).await;
    assert_eq!(names(folder.path()), ["out.resp"]);
    let piped = Server::start("redis-7.0");
    let output = Process::new(server_folder().join("redis-7.0/redis-cli"))
        .args(["-p", &piped.port().to_string(), "--pipe"])
        .stdin(File::open(&path).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    tokio::task::block_in_place(|| assert_same(&source, &piped));
    // The same file is an AOF: to a server, and to us.
    let loaded = Server::builder("redis-7.0").arg("appendonly", "yes").start();
    loaded.stop();
    std::fs::copy(&path, loaded.dir().join("appendonlydir/appendonly.aof.1.incr.aof")).unwrap();
    loaded.restart();
    tokio::task::block_in_place(|| assert_same(&source, &loaded));
    let sink = MemorySink::new();
    let store = sink.store();
    let aof = AofSource::open(&path, sink.capabilities().target, AofOptions::default()).await.unwrap();
    Pipeline::new(aof, sink).run().await.result.unwrap();
    assert!(store.lock().unwrap().len() > 100);
}

fn parsed(line: &str) -> serde_json::Map<String, serde_json::Value> {
    let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    value.as_object().unwrap().clone()
}

fn bytes(text: &serde_json::Value) -> Vec<u8> {
    text.as_str().unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_every_command_to_the_byte() {
    let source = Server::start("redis-7.0");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.ndjson");
    record(&source, &path, 800).await;
    // Keys and commands put into another store give the same as the source has.
    let text = std::fs::read_to_string(&path).unwrap();
    let (mut keys, mut writes, mut last) = (0, Vec::new(), 0);
    for line in text.lines().map(parsed) {
        let offset = line["offset"].as_u64().unwrap();
        if let Some(command) = line.get("command") {
            let words: Vec<Vec<u8>> = command.as_array().unwrap().iter().map(bytes).collect();
            assert!(line["key"].is_null() || words.contains(&bytes(&line["key"])));
            assert!(offset >= last || writes.is_empty());
            last = offset;
            writes.push((line["db"].as_u64().unwrap(), words));
        } else {
            assert!(writes.is_empty(), "keys come before the writes that follow");
            keys += 1;
        }
    }
    assert!(keys >= 60 && writes.len() > 400, "{keys} {}", writes.len());
    let replayed = Server::start("redis-7.0");
    fill(&replayed, &FillOptions::mixed(60));
    let mut connection = replayed.connection();
    for (db, words) in writes {
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.exec(&mut connection).unwrap();
    }
    tokio::task::block_in_place(|| assert_same(&source, &replayed));
}

/// What an RDB reader makes of a file itself, by database and key.
fn expected(path: &Path) -> BTreeMap<(u64, String), serde_json::Map<String, serde_json::Value>> {
    let mut reader = Reader::new(File::open(path).unwrap());
    let mut json = JsonEntries::new(Vec::new());
    let mut db = 0;
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::SelectDb(number) => db = number,
            Event::Key(header) => json.key(db, &header, None).unwrap(),
            Event::ValueEnd => json.end().unwrap(),
            event if json.is_open() => json.event(&event).unwrap(),
            _ => {}
        }
    }
    by_key(&String::from_utf8(json.into_inner()).unwrap())
}

fn by_key(text: &str) -> BTreeMap<(u64, String), serde_json::Map<String, serde_json::Value>> {
    let lines = text.lines().map(parsed).filter(|line| !line.contains_key("command")).map(|mut line| {
        line.remove("encoding");
        line.remove("offset");
        ((line["db"].as_u64().unwrap(), line["key"].as_str().unwrap().to_owned()), line)
    });
    let lines: Vec<_> = lines.filter(|(_, line)| line["value"] != serde_json::json!([])).collect();
    lines.into_iter().collect()
}

#[tokio::test]
async fn json_of_a_snapshot_is_what_a_reader_of_the_rdb_prints() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rdts-rdb/tests/data/generated");
    let folder = tempfile::tempdir().unwrap();
    let (mut compared, mut number) = (0, 0);
    for entry in std::fs::read_dir(data).unwrap() {
        let file = entry.unwrap().path();
        // The long ones hold more of the same.
        let short = std::fs::metadata(&file).unwrap().len() < 100_000;
        if file.extension().is_none_or(|end| end != "rdb") || !short {
            continue;
        }
        number += 1;
        let path = folder.path().join(format!("{number}.jsonl"));
        let sink = file::open(&path, FileOptions::default()).await.unwrap();
        let target = sink.capabilities().target;
        let source = RdbSource::open(&file, target, TranslateOptions::default()).await.unwrap();
        let finished = Pipeline::new(source, sink).run().await;
        if let Err(error) = finished.result {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{}: {error}", file.display());
            assert!(!path.exists());
            continue;
        }
        let mut expected = expected(&file);
        let found = by_key(&std::fs::read_to_string(&path).unwrap());
        // Expired for ever: no server could hold such a key.
        expected.retain(|_, line| line["expire_at_ms"].as_i64().is_none_or(|time| time > 0));
        assert_eq!(found, expected, "{}", file.display());
        compared += found.len();
    }
    assert!(compared > 1000, "{compared}");
}

fn batch(kind: Kind, text: &str) -> rdts_core::Batch {
    let mut builder = BatchBuilder::new(64);
    rdts_resp::encode::command(builder.arena(), text.split(' ').collect::<Vec<_>>());
    builder.commit(Mark::new(0, kind), None, 1);
    builder.take(Position::snapshot(ReplicationId::NONE, 0, 1))
}

#[tokio::test]
async fn what_is_not_whole_does_not_look_whole() {
    let folder = tempfile::tempdir().unwrap();
    for (name, remains) in [("a.rdb", &[][..]), ("a.resp", &["a.resp.partial"]), ("a.json", &["a.json.partial"])] {
        let path = folder.path().join(name);
        let mut sink = file::open(&path, FileOptions::default()).await.unwrap();
        sink.write(batch(Kind::Snapshot, "SET k v")).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!((sink.acked().batches, sink.acked().counts.commands), (1, 1));
        drop(sink);
        assert_eq!(names(folder.path()), remains);
        remains.iter().for_each(|name| std::fs::remove_file(folder.path().join(name)).unwrap());
    }
    // A source that breaks in the middle.
    for name in ["b.rdb", "b.resp"] {
        let path = folder.path().join(name);
        let sink = file::open(&path, FileOptions::default()).await.unwrap();
        let rdb: &[u8] = b"REDIS0003\xfe\x00\x00\x01k\x01v\x00\x01";
        let target = sink.capabilities().target;
        let source = RdbSource::read_from("test", rdb, target, TranslateOptions::default()).await.unwrap();
        assert_eq!(Pipeline::new(source, sink).run().await.result.unwrap_err().kind(), ErrorKind::Snapshot);
        assert!(!path.exists());
    }
    // In the middle of a value that comes in pieces.
    let path = folder.path().join("c.rdb");
    let mut sink = file::open(&path, FileOptions::default()).await.unwrap();
    sink.write(batch(Kind::Snapshot, "UNLINK t")).await.unwrap();
    sink.write(batch(Kind::Snapshot, "RPUSH t 1")).await.unwrap();
    assert_eq!(sink.close().await.unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(!path.exists());
}

#[tokio::test]
async fn an_rdb_takes_no_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rdb");
    let mut sink = file::open(&path, FileOptions::default()).await.unwrap();
    for (kind, text) in [(Kind::Write, "INCR k"), (Kind::Snapshot, "INCR k")] {
        let error = sink.write(batch(kind, text)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("a.rdb") && error.to_string().contains("INCR"), "{error}");
        assert_eq!(sink.write(batch(Kind::Snapshot, "SET k v")).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!((sink.flush().await.is_err(), sink.acked().batches), (true, 0));
        assert!(sink.close().await.is_err());
        sink = file::open(&path, FileOptions::default()).await.unwrap();
    }
    drop(sink);
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_that_is_there_is_only_replaced_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.resp");
    std::fs::write(&path, "old").unwrap();
    let error = file::open(&path, FileOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TargetNotEmpty);
    let mut sink = file::open(&path, FileOptions::default().overwrite(true)).await.unwrap();
    sink.write(batch(Kind::Write, "DEL k")).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    sink.close().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n");
    let error = file::open(folder.path().join("no/folder.rdb"), FileOptions::default()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("folder.rdb"), "{error}");
    let error = FileSink::create(folder.path(), FileFormat::Rdb, FileOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn the_extension_tells_the_format() {
    for (name, format) in [
        ("a.rdb", FileFormat::Rdb),
        ("a.RDB", FileFormat::Rdb),
        ("a.resp", FileFormat::Resp),
        ("a.aof", FileFormat::Resp),
        ("a.json", FileFormat::JsonLines),
        ("a.jsonl", FileFormat::JsonLines),
        ("x/a.b.ndjson", FileFormat::JsonLines),
    ] {
        assert_eq!(FileFormat::of(name).unwrap(), format);
        assert_eq!(format.takes_writes(), format != FileFormat::Rdb);
    }
    for name in ["a", "a.txt", "rdb", ".rdb"] {
        let error = FileFormat::of(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            [".rdb", ".resp", ".aof", ".json", ".jsonl", ".ndjson"].iter().all(|end| error.to_string().contains(end))
        );
    }
}
