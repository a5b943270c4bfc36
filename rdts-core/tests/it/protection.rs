//! What real servers say of their limits.

use std::time::Duration;

use rdts_core::endpoint::{Credentials, NodeAddress, Secret};
use rdts_core::net::{Connection, Deadlines};
use rdts_core::protection::{About, OutputBuffer, SourceFacts};
use rdts_testkit::Server;

async fn ask(server: &Server) -> SourceFacts {
    let address = NodeAddress::new("127.0.0.1", server.port());
    let mut connection = Connection::open(&address, Deadlines::default()).await.unwrap();
    SourceFacts::ask(&mut connection).await.unwrap()
}

fn about(facts: &SourceFacts) -> Vec<About> {
    facts.before_copy().iter().map(|concern| concern.about).collect()
}

#[tokio::test]
async fn every_limit_is_read_from_old_and_new_servers() {
    for name in ["redis-2.8", "redis-5.0", "redis-8.10", "valkey-9.1"] {
        let server = Server::start(name);
        server.cmd(&["CONFIG", "SET", "repl-timeout", "7"]);
        server.cmd(&["CONFIG", "SET", "repl-backlog-size", "32768"]);
        server.cmd(&["CONFIG", "SET", "client-output-buffer-limit", "slave 1000000 500000 3"]);
        let facts = ask(&server).await;
        let limit = OutputBuffer { hard: 1_000_000, soft: 500_000, soft_time: Duration::from_secs(3) };
        assert_eq!(facts.output_buffer, Some(limit), "{name}");
        assert_eq!((facts.backlog, facts.repl_timeout), (Some(32768), Some(Duration::from_secs(7))), "{name}");
        assert!(facts.used_memory > 100_000 && !facts.saving, "{name}: {facts:?}");
        assert_eq!(about(&facts), [About::Timeout], "{name}");
        server.cmd(&["CONFIG", "SET", "repl-timeout", "60"]);
        assert_eq!(about(&ask(&server).await), [], "{name}");
    }
}

#[tokio::test]
async fn what_clients_write_is_compared_with_the_limits() {
    let server = Server::start("redis-8.2");
    server.cmd(&["CONFIG", "SET", "repl-backlog-size", "32768"]);
    server.cmd(&["CONFIG", "SET", "client-output-buffer-limit", "slave 100000 0 0"]);
    let value = "x".repeat(100_000);
    // The server takes its own samples of the rate, ten a second.
    server.wait_until("a rate", Duration::from_secs(30), |server| {
        server.cmd(&["SET", "k", &value]);
        server.info("stats")["instantaneous_input_kbps"].parse::<f64>().unwrap() > 1000.0
    });
    assert_eq!(about(&ask(&server).await), [About::OutputBuffer, About::Backlog]);
}

#[tokio::test]
async fn a_replica_that_does_not_read_is_found() {
    let server = Server::start("redis-6.2");
    let address = NodeAddress::new("127.0.0.1", server.port());
    let replica = rdts_core::replica::ReplicaLink::open(
        &address,
        rdts_core::replica::LinkConfig::default().read_ahead(1),
        rdts_core::replica::Resume::FullCopy,
    )
    .await
    .unwrap();
    server.cmd(&["CONFIG", "SET", "client-output-buffer-limit", "slave 20000000 0 0"]);
    let value = "x".repeat(1_000_000);
    let mut writes = 0;
    while ask(&server).await.while_copying().is_empty() {
        writes += 1;
        assert!(writes < 100, "nothing seen after {writes} MB");
        server.cmd(&["SET", "k", &value]);
    }
    let facts = ask(&server).await;
    assert!(facts.replicas.iter().any(|replica| replica.waiting > 10_000_000), "{facts:?}");
    assert_eq!(facts.while_copying()[0].about, About::OutputBuffer);
    drop(replica);
}

#[tokio::test]
async fn a_user_who_may_ask_little_gets_what_there_is() {
    let server = Server::start("redis-7.0");
    server.cmd(&["ACL", "SETUSER", "few", "on", ">pw", "+info", "+ping", "+auth", "+hello"]);
    let mut address = NodeAddress::new("127.0.0.1", server.port());
    address.credentials = Some(Credentials { user: Some("few".to_owned()), password: Secret::new("pw") });
    let mut connection = Connection::open(&address, Deadlines::default()).await.unwrap();
    let facts = SourceFacts::ask(&mut connection).await.unwrap();
    assert!(facts.output_buffer.is_none() && facts.backlog.is_none() && facts.replicas.is_empty());
    assert!(facts.used_memory > 0);
}
