//! What goes wrong, and how it is told.

use std::time::Duration;

use rdts_testkit::{FillOptions, Server, Signal, fill, free_port};
use redis::Value as Reply;

use crate::support::{LONG, ends, migrate, summary, wait_until_live};

/// `migrate` ends with `status`; what it says contains all of `words`, and its summary says the same.
fn refused(args: &[&str], status: i32, words: &[&str]) {
    let finished = ends(migrate(args), status);
    for word in words {
        assert!(finished.stderr.contains(word), "'{word}' is missing in: {}", finished.stderr);
    }
    let summary = summary(&finished);
    assert_eq!(summary["status"], status, "{summary}");
    assert!(finished.stderr.contains(summary["error"].as_str().unwrap()), "{summary}");
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

#[test]
fn a_wrong_password_on_either_side() {
    for server in ["redis-5.0", "redis-7.0"] {
        let locked = Server::builder(server).arg("requirepass", "right").start();
        let open = Server::start("redis-7.0");
        let address = locked.addr();
        for url in
            [format!("redis://:wrong@{address}"), format!("redis://{address}"), format!("redis://me:wrong@{address}")]
        {
            refused(&["--from", &url, "--to", &open.url()], 3, &[&address]);
            refused(&["--from", &open.url(), "--to", &url], 3, &[&address]);
        }
    }
}

#[test]
fn nobody_there() {
    let open = Server::start("redis-7.0");
    let closed = format!("127.0.0.1:{}", free_port());
    refused(&["--from", &format!("redis://{closed}"), "--to", &open.url()], 3, &[&closed, "cannot connect"]);
    refused(&["--from", &open.url(), "--to", &format!("redis://{closed}")], 3, &[&closed, "cannot connect"]);
    refused(&["--from", "redis://no-such-host.invalid:7", "--to", &open.url()], 3, &["no-such-host.invalid:7"]);
}

#[test]
fn a_server_into_itself() {
    let server = Server::start("redis-7.0");
    let other_name = format!("redis://localhost:{}", server.port());
    let args = ["--from", &server.url(), "--to", &other_name, "--on-conflict", "replace"];
    refused(&args, 3, &["same server"]);
    server.cmd(&["SET", "a", "1"]);
    let between = [&format!("{}/0", server.url()), &format!("{}/1", server.url())];
    ends(migrate(&["--from", between[0], "--to", between[1], "--until", "caught-up"]), 0);
    assert_eq!(server.info("keyspace").len(), 2);
}

#[test]
fn a_server_that_is_no_redis() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]);
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    refused(&["--from", "x.rdb", "--to", &format!("redis://{address}")], 3, &[&address, "Redis"]);
    web.join().unwrap();
}

#[test]
fn a_source_that_is_loading_is_waited_for_but_not_for_ever() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = rdts_core::primary::PrimaryConfig::default();
    let primary = runtime.block_on(rdts_core::primary::Primary::bind("127.0.0.1:0", config)).unwrap();
    primary.set_loading(true);
    let url = format!("redis://{}", primary.local_addr());
    refused(
        &["--from", &url, "--to", "memory:", "--ready-timeout", "1"],
        3,
        &["LOADING", &primary.local_addr().to_string()],
    );
}

#[test]
fn files_that_are_neither_rdb_nor_aof() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text"), "port 6379\n").unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    refused(&["--from", &path("text"), "--to", "memory:"], 3, &[&path("text"), "neither an RDB"]);
    refused(&["--from", &path("empty"), "--to", "memory:"], 3, &[&path("empty"), "neither an RDB"]);
    refused(&["--from", &path("absent"), "--to", "memory:"], 3, &[&path("absent")]);
    refused(&["--from", &path("folder"), "--to", "memory:"], 3, &[&path("folder"), "manifest"]);
}

#[test]
fn damaged_files() {
    let source = Server::start("redis-7.0");
    fill(&source, &FillOptions::mixed(300));
    source.cmd(&["SAVE"]);
    let good = std::fs::read(source.dir().join("dump.rdb")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.rdb").to_str().unwrap().to_owned();
    let target = Server::start("redis-7.0");
    for cut in [9, 100, good.len() / 2, good.len() - 9, good.len() - 1] {
        target.cmd(&["FLUSHALL"]);
        std::fs::write(&path, &good[..cut]).unwrap();
        refused(&["--from", &path, "--to", &target.url()], 4, &[&path, "offset"]);
    }
    let mut wrong_sum = good.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    std::fs::write(&path, wrong_sum).unwrap();
    target.cmd(&["FLUSHALL"]);
    refused(&["--from", &path, "--to", &target.url()], 4, &[&path, "checksum"]);
}

#[test]
fn a_target_out_of_memory_stops_the_run() {
    let source = Server::start("redis-7.0");
    fill(&source, &FillOptions::strings(100_000));
    let target = Server::builder("redis-7.0").arg("maxmemory", "6mb").arg("maxmemory-policy", "noeviction").start();
    refused(&["--from", &source.url(), "--to", &target.url()], 4, &["OOM", &target.addr(), "key"]);
    let Reply::Int(keys) = target.cmd(&["DBSIZE"]) else { panic!("DBSIZE is a number") };
    assert!((1..100_000).contains(&keys), "{keys}");
    // Whoever still wrote would be seen as a client.
    target.wait_until("the connection to be gone", Duration::from_secs(10), |target| {
        target.info("clients")["connected_clients"] == "1"
    });
}

#[test]
fn a_source_that_dies() {
    let source = Server::start("redis-7.0");
    let target = Server::start("redis-7.0");
    let program = migrate(&["--from", &source.url(), "--to", &target.url(), "--ready-timeout", "1"]);
    wait_until_live(&program);
    source.kill();
    let finished = ends(program, 4);
    assert!(finished.stderr.contains(&source.addr()), "{}", finished.stderr);
}

#[test]
fn a_target_that_dies() {
    let source = Server::start("redis-7.0");
    let target = Server::start("redis-7.0");
    let program = migrate(&["--from", &source.url(), "--to", &target.url()]);
    wait_until_live(&program);
    target.kill();
    let finished = ends(program, 4);
    assert!(finished.stderr.contains(&target.addr()), "{}", finished.stderr);
}

#[test]
fn stopped_in_the_middle_of_the_snapshot() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().flatten().for_each(half_a_snapshot));
    let program = migrate(&["--from", &url, "--to", "memory:"]);
    program.wait_for_stdout(LONG, |line| line.contains("\"keys\":1,"));
    program.signal(Signal::Int);
    let finished = ends(program, 4);
    assert!(finished.stderr.contains("before the snapshot was copied whole"), "{}", finished.stderr);
}

/// A primary that sends one key of its snapshot and then nothing, until it is left; before that it tells its version.
fn half_a_snapshot(mut socket: std::net::TcpStream) {
    use std::io::{BufRead, BufReader, Write};
    let lines = BufReader::new(socket.try_clone().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let reply: &[u8] = match line.as_str() {
            "PING" => b"+PONG\r\n",
            "INFO" => b"$21\r\nredis_version:7.0.0\r\n\r\n",
            "listening-port" | "version" => b"+OK\r\n",
            "psync2" => b"+OK\r\n",
            "PSYNC" => b"+FULLRESYNC 4c1b873d2c85f0b3c32321aee14c7ef5363543d4 0\r\n$1000\r\nREDIS0011\xfe\x00\x00\x01k\x01v\x00",
            _ => continue,
        };
        socket.write_all(reply).unwrap();
    }
}
