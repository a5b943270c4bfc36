//! `to-resp`: piped into a real server it does what a native load of the file does.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use rdts_testkit::{Server, assert_same};

use super::{Folder, ends, filled, run_with, saved, strings};

/// Sends all that to the server, as `redis-cli --pipe` does. No reply may be an error.
fn feed(server: &Server, commands: &[u8]) {
    const END: &str = "that was all";
    let mut socket = TcpStream::connect(server.addr()).unwrap();
    let mut replies = BufReader::new(socket.try_clone().unwrap());
    let commands = commands.to_vec();
    let sender = std::thread::spawn(move || {
        socket.write_all(&commands).unwrap();
        write!(socket, "*2\r\n$4\r\nECHO\r\n${}\r\n{END}\r\n", END.len()).unwrap();
        socket
    });
    let mut line = Vec::new();
    loop {
        line.clear();
        assert!(replies.read_until(b'\n', &mut line).unwrap() > 0, "the server has hung up");
        assert!(!line.starts_with(b"-"), "{}", line.escape_ascii());
        if line.starts_with(END.as_bytes()) {
            break;
        }
    }
    sender.join().unwrap();
}

#[test]
fn a_server_that_is_fed_holds_the_same() {
    for (from, to, target) in [
        ("redis-7.0", "redis-7.0", None),
        ("redis-8.2", "redis-8.2", None),
        ("valkey-9.1", "valkey-9.1", None),
        ("redis-6.2", "valkey-9.1", None),
        ("redis-8.2", "valkey-9.1", Some("valkey-9.1")),
        ("valkey-9.1", "redis-8.2", Some("8.2")),
        ("redis-5.0", "redis-2.8", None),
        ("redis-5.0", "redis-4.0", Some("redis-4.0")),
    ] {
        // What has streams cannot go into servers before 5.0; `plain` has none.
        let plain = to == "redis-2.8" || to == "redis-4.0";
        let native = if plain { plain_server(from) } else { filled(from, 240) };
        let file = saved(&native);
        let mut args = vec!["to-resp", &file];
        if to == "redis-2.8" {
            args.extend(["--target", "2.8"]);
        } else if let Some(target) = target {
            args.extend(["--target", target]);
        }
        let commands = ends(&args, 0).stdout;
        let fed = Server::start(to);
        feed(&fed, &commands);
        assert_same(&native, &fed);
        // Once more, over what is there.
        feed(&fed, &commands);
        assert_same(&native, &fed);
        let piped = run_with(&[&["to-resp", "-"], &args[2..]].concat(), &std::fs::read(&file).unwrap());
        assert_eq!(piped.code, Some(0), "{}", piped.stderr);
        if fed.version().has_redis(7, 0) && native.version().has_redis(7, 0) {
            assert_eq!(native.cmd(&["FUNCTION", "LIST"]), fed.cmd(&["FUNCTION", "LIST"]));
        }
    }
}

/// A server without streams.
fn plain_server(name: &str) -> Server {
    let server = Server::start(name);
    rdts_testkit::fill(&server, &rdts_testkit::FillOptions::strings(500));
    let mut connection = server.connection();
    for db in ["0", "3"] {
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        for i in 0..300 {
            redis::cmd("RPUSH").arg("l").arg(i).exec(&mut connection).unwrap();
            redis::cmd("ZADD").arg("z").arg(f64::from(i) / 7.0).arg(i).exec(&mut connection).unwrap();
            redis::cmd("HSET").arg("h").arg(i).arg("v").exec(&mut connection).unwrap();
        }
        redis::cmd("SADD").arg("s").arg(&["a", "b"]).exec(&mut connection).unwrap();
        redis::cmd("PEXPIREAT").arg("l").arg(4_000_000_000_000_u64).exec(&mut connection).unwrap();
    }
    server
}

#[test]
fn what_the_target_cannot_hold_is_refused_or_counted() {
    let server = filled("redis-7.0", 90);
    let file = saved(&server);
    let refused = ends(&["to-resp", &file, "--target", "4.0"], 4);
    assert!(refused.stderr.contains("stream"), "{}", refused.stderr);
    let empty = concat!(env!("CARGO_MANIFEST_DIR"), "/../rdts-rdb/tests/data/corrupt/lp_empty.rdb");
    let ended = ends(&["to-resp", empty], 0);
    assert_eq!(ended.stdout, b"");
    assert!(ended.stderr.contains("1 keys without elements"), "{}", ended.stderr);
    // Functions are left out, and that is told.
    let ended = ends(&["to-resp", &file, "--target", "6.2", "--db", "9"], 0);
    assert!(ended.stderr.contains("1 function libraries"), "{}", ended.stderr);
}

#[test]
fn one_database_into_another() {
    let folder = Folder::new();
    let file = folder.file("a.rdb", &strings(9, &[("k", "v")]));
    let commands = ends(&["to-resp", &file, "--db", "0", "--into-db", "4"], 0).text();
    assert!(commands.starts_with("*2\r\n$6\r\nSELECT\r\n$1\r\n4\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"), "{commands}");
    let none = ends(&["to-resp", &file, "--db", "1"], 0);
    assert_eq!(none.stdout, b"");
}

/// A value that does not go as one command.
#[test]
fn a_big_value() {
    let native = Server::start("redis-7.0");
    let mut pipeline = redis::pipe();
    for i in 0..60 {
        let member = vec![b'a' + i % 26; 200_000];
        pipeline.cmd("RPUSH").arg("big").arg(&member[..]).ignore();
    }
    pipeline.exec(&mut native.connection()).unwrap();
    let fed = Server::start("redis-7.0");
    feed(&fed, &ends(&["to-resp", &saved(&native)], 0).stdout);
    assert_same(&native, &fed);
}
