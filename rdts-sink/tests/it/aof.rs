//! AOF files that real servers wrote, against what the same servers make of them.

use std::path::Path;
use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::source::{AofOptions, AofSource, CutTail, FileKind, detect};
use rdts_core::{Pipeline, Sink};
use rdts_resp::CommandDecoder;
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::{FillOptions, Load, LoadOptions, Server, assert_same, fill};

const LONG: Duration = Duration::from_secs(30);

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn load(server: &Server, seed: u64, commands: u64) {
    let mut options = LoadOptions::default();
    (options.rate, options.seed, options.keys) = (0, seed, 20);
    Load::run(server, options, commands);
}

fn rewrite(server: &Server) {
    server.cmd(&["BGREWRITEAOF"]);
    server.wait_until("the AOF to be rewritten", LONG, |server| {
        let info = server.info("persistence");
        info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
    });
    assert_eq!(server.info("persistence")["aof_last_bgrewrite_status"], "ok");
}

/// Divides the increment of a multi-part AOF in three, at commands that select a database.
fn divide(folder: &Path) {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let ends = |end: &str| files.iter().find(|path| path.to_string_lossy().ends_with(end)).unwrap();
    let (manifest, increment) = (ends(".manifest"), ends(".incr.aof"));
    let content = std::fs::read(increment).unwrap();
    let (mut at, mut places, mut decoder) = (0, Vec::new(), CommandDecoder::new());
    let mut open = false;
    while at < content.len() {
        if content[at] == b'#' {
            at += content[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
            continue;
        }
        let (length, command) = decoder.decode(&content[at..]).unwrap().unwrap();
        open = (open || command.name_is(b"MULTI")) && !command.name_is(b"EXEC");
        if command.name_is(b"SELECT") && !open {
            places.push(at);
        }
        at += length;
    }
    assert!(places.len() > 10, "the load changes its database: {}", places.len());
    let (first, second) = (places[places.len() / 3], places[places.len() / 2]);
    let text = std::fs::read_to_string(manifest).unwrap();
    let line = text.lines().find(|line| line.contains(" type i")).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let number: u32 = words[3].parse().unwrap();
    let mut text = text.clone();
    for (index, range) in [(0, 0..first), (1, first..second), (2, second..content.len())] {
        let name = format!("{}{}", words[1], if index == 0 { String::new() } else { format!(".{index}") });
        std::fs::write(folder.join(&name), &content[range]).unwrap();
        if index > 0 {
            text.push_str(&format!("file {name} seq {} type i\n", number + index));
        }
    }
    std::fs::write(manifest, text).unwrap();
}

/// Loads the files at `path` into an empty server of the same version, and compares it with what the server made of them.
async fn same(native: &Server, path: &Path) {
    assert_eq!(detect(path).await.unwrap(), FileKind::Aof);
    let ours = Server::start(native.name());
    let address = NodeAddress::new("127.0.0.1", ours.port());
    let sink = NodeSink::connect(&address, NodeOptions::default()).await.unwrap();
    // Short, so that what has expired is gone, or as good as gone, when the two are compared.
    let options = AofOptions::default().cut_tail(CutTail::Accept).expiry_grace(Duration::from_secs(2));
    let source = AofSource::open(path, sink.capabilities().target, options).await.unwrap();
    let length = source.snapshot_len();
    let finished = Pipeline::new(source, sink).run().await;
    finished.result.unwrap();
    let Some(rdts_core::Position::Snapshot { rdb_bytes, .. }) = finished.report.applied.position else { panic!() };
    assert_eq!(Some(rdb_bytes), length);
    tokio::task::block_in_place(|| assert_same(native, &ours));
    assert!(native.info("keyspace").len() > 2);
}

async fn written_by(name: &str, preamble: bool, cut: usize) {
    let mut server = Server::builder(name).arg("appendonly", "yes").arg("appendfsync", "no");
    if server.version().has_redis(4, 0) {
        server = server.arg("aof-use-rdb-preamble", if preamble { "yes" } else { "no" });
    }
    let multi_part = server.version().has_redis(7, 0);
    if multi_part {
        server = server.arg("aof-timestamp-enabled", "yes");
    }
    let server = server.start();
    fill(&server, &FillOptions::mixed(60));
    load(&server, 1, 800);
    rewrite(&server);
    load(&server, 2, 800);
    server.stop();
    let file = if multi_part { server.dir().join("appendonlydir") } else { server.dir().join("appendonly.aof") };
    if multi_part {
        divide(&file);
    }
    if cut > 0 {
        let files = if multi_part {
            std::fs::read_dir(&file).unwrap().map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![file.clone()]
        };
        let last = files.into_iter().filter(|path| path.extension().is_none_or(|end| end != "manifest")).max().unwrap();
        let length = std::fs::metadata(&last).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(length - cut as u64).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_folder(server.dir(), copy.path());
    server.restart();
    let path = if multi_part { copy.path().to_owned() } else { copy.path().join("appendonly.aof") };
    same(&server, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_of_commands() {
    written_by("redis-2.8", false, 0).await;
    written_by("redis-6.2", false, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_with_an_rdb_in_front() {
    written_by("redis-4.0", true, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_files_of_redis() {
    written_by("redis-7.0", true, 3).await;
    written_by("redis-8.2", false, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_files_of_valkey() {
    written_by("valkey-9.1", true, 0).await;
}

/// What a session store does all day: the time of a key is set anew each time it is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_given_more_time_survives_the_time_that_it_had() {
    let mut file = Vec::new();
    let mut write = |words: &str| rdts_resp::encode::command(&mut file, words.split(' ').collect::<Vec<_>>());
    for (key, last) in
        [("extended", "PEXPIREAT extended 4000000000000"), ("kept", "PERSIST kept"), ("set", "SET set 1")]
    {
        write(&format!("SET {key} 1"));
        write(&format!("PEXPIREAT {key} 1500000000000"));
        write(&format!("INCR {key}"));
        write(last);
    }
    write("SET gone 1 PXAT 1500000000000");
    let native = Server::builder("redis-7.0").arg("appendonly", "yes").start();
    native.stop();
    let folder = native.dir().join("appendonlydir");
    std::fs::write(folder.join("appendonly.aof.1.incr.aof"), &file).unwrap();
    native.restart();
    let ours = Server::start("redis-7.0");
    let address = NodeAddress::new("127.0.0.1", ours.port());
    let sink = NodeSink::connect(&address, NodeOptions::default()).await.unwrap();
    let options = AofOptions::default().expiry_grace(Duration::from_millis(500));
    let source = AofSource::open(folder.join("appendonly.aof.1.incr.aof"), sink.capabilities().target, options).await;
    Pipeline::new(source.unwrap(), sink).run().await.result.unwrap();
    for server in [&native, &ours] {
        server.wait_until("what has expired to be gone", LONG, |server| {
            server.cmd(&["EXISTS", "gone"]) == redis::Value::Int(0)
        });
        assert_eq!(server.cmd(&["EXISTS", "extended", "kept", "set"]), redis::Value::Int(3), "{}", server.name());
    }
    assert_same(&native, &ours);
}
