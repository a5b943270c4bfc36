//! `rdb_tool`: what it says of files and what it makes of them, against real servers wherever one can tell.

mod damaged;
mod diff;
mod filter;
mod split_merge;
mod stats;
mod to_resp;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rdts_rdb::{Reader, Value};
use rdts_testkit::{FillOptions, Server, fill};

/// How a run has ended.
struct Ended {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    /// Its output as text.
    fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// The one line of JSON that it has printed.
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }
}

/// The example's executable: cargo puts it beside the folder of the test's own.
fn executable() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/rdb_tool");
    assert!(path.is_file(), "{} is not there: `cargo build --example rdb_tool`", path.display());
    path
}

/// Runs it to its end; it must not panic.
fn run_with(args: &[&str], stdin: &[u8]) -> Ended {
    let mut command = Command::new(executable());
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // It may end before it has read everything.
    let feeder = std::thread::spawn(move || pipe.write_all(&stdin).is_ok());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    Ended { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Runs it; it must end with `status`.
#[track_caller]
fn ends(args: &[&str], status: i32) -> Ended {
    let ended = run_with(args, b"");
    assert_eq!(ended.code, Some(status), "{args:?}: {}", ended.stderr);
    ended
}

/// A folder that goes with the test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of a file in it.
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// A file in it with these bytes.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The names of all that is in it.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A server with keys of all types, and a function library where it knows those.
fn filled(name: &str, keys: u64) -> Server {
    let server = Server::start(name);
    fill(&server, &FillOptions::mixed(keys));
    if server.version().has_redis(7, 0) {
        server.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    }
    server
}

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";

/// The server's data as it saves them.
fn saved(server: &Server) -> String {
    server.cmd(&["SAVE"]);
    server.dir().join("dump.rdb").to_str().unwrap().to_owned()
}

/// Databases and names of a file's keys, sorted.
fn keys(file: &str) -> Vec<(u64, Vec<u8>)> {
    let file = std::fs::File::open(file).unwrap();
    let mut keys: Vec<_> = Reader::new(file).entries().map(Result::unwrap).map(|entry| (entry.db, entry.key)).collect();
    keys.sort();
    keys
}

/// A file of the given version with strings in database 0.
fn strings(version: u16, pairs: &[(&str, &str)]) -> Vec<u8> {
    let version = rdts_rdb::Version::from_number(version);
    let mut writer = rdts_rdb::encode::Writer::new(Vec::new(), version).unwrap();
    for (key, value) in pairs {
        writer.entry(&rdts_rdb::Entry::new(0, *key, Value::String(value.as_bytes().to_vec()))).unwrap();
    }
    writer.finish().unwrap()
}
