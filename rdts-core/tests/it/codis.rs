//! The client of a Codis dashboard, and groups as sources, against a stand-in with real Redis 3.2 servers.

use std::time::Duration;

use rdts_core::codis::{CodisWatch, Dashboard, WatchOptions};
use rdts_core::endpoint::{Credentials, NodeAddress, Secret};
use rdts_core::net::Deadlines;
use rdts_core::source::{ReplicaOptions, ReplicaSource};
use rdts_core::translate::Target;
use rdts_core::{ErrorKind, Source};
use rdts_testkit::Codis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(20);

fn dashboard(port: u16) -> Dashboard {
    let mut address = NodeAddress::new("127.0.0.1", port);
    address.credentials = Some(Credentials { user: None, password: Secret::new("auth") });
    Dashboard::new(address, Deadlines::default().reply(Duration::from_secs(5)))
}

fn quick() -> WatchOptions {
    WatchOptions::default().interval(Duration::from_millis(5)).patience(Duration::ZERO)
}

#[tokio::test]
async fn a_deployment_is_read_and_the_servers_get_their_password() {
    let codis = Codis::start("redis-3.2", 2);
    let topology = dashboard(codis.dashboard()).topology().await.unwrap();
    let ports: Vec<u16> = topology.groups().iter().map(|group| group.primary().unwrap().port).collect();
    assert_eq!(ports, codis.groups().iter().map(|server| server.port()).collect::<Vec<_>>());
    assert_eq!(topology.groups()[1].servers[0].credentials.as_ref().unwrap().password.expose(), "auth");
    for key in ["foo", "", "a{}b", "}{foo}", "{{foo}}", "user:1"] {
        let expected = u32::try_from(codis.group_of(key.as_bytes())).unwrap();
        assert_eq!(topology.owner_of(key.as_bytes()), expected, "{key}");
    }
}

#[tokio::test]
async fn a_dashboard_that_answers_nonsense_is_told_of_with_its_address() {
    let codis = Codis::start("redis-3.2", 1);
    let cause = r#"{"Cause":"topom is closed","Stack":["a.go:1"]}"#;
    for (name, status, body, words) in [
        ("an error of Codis", 800, cause, "status 800: 'topom is closed'"),
        ("an error of Codis that is no JSON", 800, "oops", "status 800: 'oops'"),
        ("another server's 404", 404, "<html>", "status 404: '<html>'"),
        ("no JSON", 200, "<html>hello</html>", "is no JSON"),
        ("nothing", 200, "", "is no JSON"),
        ("other JSON", 200, r#"{"version":"3.2"}"#, "no list at /group/models"),
        ("deep JSON", 200, &"[".repeat(100_000), "is no JSON"),
    ] {
        codis.answer(Some((status, body)));
        let error = dashboard(codis.dashboard()).topology().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Topology, "{name}: {error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(&codis.dashboard().to_string()), "{name}: {text}");
        assert!(error.solution().is_some() && text.len() < 1000, "{name}: {text}");
    }
    codis.answer(None);
    codis.assign(77, 0);
    let error = CodisWatch::start(dashboard(codis.dashboard()), quick()).await.unwrap_err();
    assert!(error.to_string().contains("slot 77") && error.kind() == ErrorKind::Topology, "{error}");
    // A server of Redis, and nobody at all.
    let error = dashboard(codis.groups()[0].port()).topology().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Topology, "{error}");
    let nobody = rdts_testkit::free_port();
    assert_eq!(dashboard(nobody).topology().await.unwrap_err().kind(), ErrorKind::Connect);
}

#[tokio::test]
async fn an_endless_answer_and_none_are_errors() {
    for endless in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1024]).await;
            if endless {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while socket.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
            } else {
                std::future::pending::<()>().await;
            }
        });
        let deadlines = Deadlines::default().reply(Duration::from_millis(if endless { 20_000 } else { 50 }));
        let error = Dashboard::new(NodeAddress::new("127.0.0.1", port), deadlines).topology().await.unwrap_err();
        let expected = if endless { ErrorKind::Topology } else { ErrorKind::Timeout };
        assert_eq!(error.kind(), expected, "{error}");
    }
}

#[tokio::test]
async fn slots_that_move_keep_a_copy_from_starting_and_stop_one_that_runs() {
    let codis = Codis::start("redis-3.2", 2);
    codis.moves(900, Some(("pending", 1)));
    let error = CodisWatch::start(dashboard(codis.dashboard()), quick()).await.unwrap_err();
    assert!(error.to_string().contains("slot 900, from group 2 to group 1 (pending)"), "{error}");
    codis.moves(900, None);
    // What happens, and what is said of it.
    for (name, words) in [
        ("a move", "slot 5, from group 1 to group 2 (migrating)"),
        ("a move that is over", "slot 6 went from group 1 to group 2"),
        ("no answer", "zk is gone"),
    ] {
        let watch = CodisWatch::start(dashboard(codis.dashboard()), quick()).await.unwrap();
        watch.verify().await.unwrap();
        let primary = watch.topology().group(1).unwrap().primary().unwrap();
        let address = NodeAddress::new(primary.host.clone(), primary.port);
        let source = ReplicaSource::open(&address, Target::redis(7, 0, 0), ReplicaOptions::default()).await.unwrap();
        let mut shard = watch.shard(1, source).unwrap();
        match name {
            "a move" => codis.moves(5, Some(("migrating", 2))),
            "a move that is over" => codis.assign(6, 2),
            _ => codis.answer(Some((800, r#"{"Cause":"zk is gone"}"#))),
        }
        let stopped = tokio::time::timeout(LONG, async {
            loop {
                if let Err(error) = shard.next().await {
                    return error;
                }
            }
        });
        let error = stopped.await.unwrap();
        assert!(error.to_string().contains(words), "{name}: {error}");
        watch.check().unwrap_err();
        watch.verify().await.unwrap_err();
        codis.moves(5, None);
        codis.assign(6, 1);
        codis.answer(None);
    }
}

/// Reads a shard until the key `end` comes, and gives the keys of all commands before it.
async fn keys_until_end(shard: &mut impl Source) -> rdts_core::Result<Vec<String>> {
    let mut keys = Vec::new();
    loop {
        let batch = shard.next().await?.unwrap();
        for command in batch.commands() {
            let name = String::from_utf8_lossy(command.name()).into_owned();
            match command.key() {
                Some(key) if key.ends_with(b"}end") => return Ok(keys),
                Some(key) => keys.push(format!("{name} {}", String::from_utf8_lossy(key))),
                None => {}
            }
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_group_is_left_out_and_an_arriving_key_stops() {
    let codis = Codis::start("redis-3.2", 2);
    let groups = codis.groups();
    // Slots 289 and 909: of the first and of the second group.
    let (here, elsewhere) = ("foo", [0xff, 0]);
    groups[0].cmd(&["SET", here, "1"]);
    groups[0].cmd(&[b"SET".as_slice(), &elsewhere, b"left over"]);
    groups[0].cmd(&[b"RPUSH".as_slice(), &[b"{".as_slice(), &elsewhere, b"}l"].concat(), b"left over"]);
    let watch = CodisWatch::start(dashboard(codis.dashboard()), WatchOptions::default()).await.unwrap();
    let address = NodeAddress::new("127.0.0.1", groups[0].port());
    let open = async || {
        let source = ReplicaSource::open(&address, Target::redis(7, 0, 0), ReplicaOptions::default()).await.unwrap();
        watch.shard(1, source).unwrap()
    };
    let mut shard = open().await;
    groups[0].cmd(&["SADD", "{foo}s", "1"]);
    groups[0].cmd(&[b"DEL".as_slice(), &elsewhere]);
    groups[0].cmd(&["SUNIONSTORE", "{foo}t", "{foo}s", "foo{foo}"]);
    groups[0].cmd(&["SET", "{foo}end", "1"]);
    let keys = tokio::time::timeout(LONG, keys_until_end(&mut shard)).await.unwrap().unwrap();
    let stream: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(stream, ["SET foo", "SADD {foo}s", "SUNIONSTORE {foo}t"]);
    assert_eq!((shard.intake().keys_elsewhere, shard.intake().elsewhere), (2, 1));
    // Keys of both groups in one command: what it did depends on what does not belong here.
    for (command, kind, words) in [
        (vec![b"SUNIONSTORE".as_slice(), b"{foo}t", b"{foo}s", &elsewhere], ErrorKind::Topology, "another group"),
        (vec![b"FLUSHALL".as_slice()], ErrorKind::Unsupported, "in group 1 alone"),
    ] {
        groups[0].cmd(&["DEL", "{foo}end"]);
        let mut shard = open().await;
        groups[0].cmd(&command);
        groups[0].cmd(&["SET", "{foo}end", "1"]);
        let error = tokio::time::timeout(LONG, keys_until_end(&mut shard)).await.unwrap().unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(words), "{error}");
    }
    // What a server does when it gets a key from another group, as far as one that is no Codis server can do it.
    groups[0].cmd(&["SET", "foo", "1"]);
    groups[0].cmd(&["DEL", "{foo}end"]);
    let mut shard = open().await;
    let payload = groups[0].cmd(&["DUMP", "foo"]);
    let redis::Value::BulkString(payload) = payload else { panic!("{payload:?}") };
    groups[0].cmd(&[b"RESTORE".as_slice(), &elsewhere, b"0", &payload]);
    groups[0].cmd(&["SET", "{foo}end", "1"]);
    let error = tokio::time::timeout(LONG, keys_until_end(&mut shard)).await.unwrap().unwrap_err();
    assert!(error.kind() == ErrorKind::Topology && error.to_string().contains("slot 909"), "{error}");
}
