use std::io::{Read, Write};
use std::net::TcpStream;

use rdts_testkit::{Cluster, Deployment, Proxy, Server, compare};
use redis::Value;

fn write_and_read(proxy: &Proxy) {
    let mut connection = proxy.connection();
    for number in 0..100 {
        redis::cmd("SET").arg(format!("key:{number}")).arg(number).exec(&mut connection).unwrap();
    }
    let read: u64 = redis::cmd("GET").arg("key:77").query(&mut connection).unwrap();
    assert_eq!(read, 77);
    let keys: Vec<String> = (0..100).map(|number| format!("key:{number}")).collect();
    let read: Vec<u64> = redis::cmd("MGET").arg(&keys).query(&mut connection).unwrap();
    assert_eq!(read, (0..100).collect::<Vec<_>>());
}

fn keys(server: &Server) -> i64 {
    match server.cmd(&["DBSIZE"]) {
        Value::Int(count) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_spread_keys_over_their_servers() {
    for start in [Proxy::twemproxy, Proxy::envoy] {
        let servers = [Server::start("redis-7.0"), Server::start("redis-3.2"), Server::start("valkey-9.1")];
        let proxy = start(&[&servers[0], &servers[1], &servers[2]]);
        write_and_read(&proxy);
        let counts = servers.each_ref().map(keys);
        assert!(counts.iter().all(|count| *count > 10) && counts.iter().sum::<i64>() == 100, "{proxy:?}: {counts:?}");
        assert_eq!(proxy.url(), format!("redis-proxy://{}", proxy.addr()));
    }
}

#[test]
fn each_refuses_in_its_own_way() {
    let server = Server::start("redis-7.0");
    let refusals = [Proxy::twemproxy, Proxy::envoy].map(|start| {
        let refused = start(&[&server]).try_cmd(&["WAIT", "0", "0"]).unwrap_err();
        (refused.is_connection_dropped(), refused.to_string())
    });
    assert!(refusals[0].0, "{refusals:?}");
    assert!(!refusals[1].0 && refusals[1].1.contains("unknown command"), "{refusals:?}");
}

#[test]
fn passwords_go_through() {
    let server = Server::builder("redis-7.0").arg("requirepass", "se\"cret").start();
    for start in [Proxy::twemproxy, Proxy::envoy] {
        let proxy = start(&[&server]);
        write_and_read(&proxy);
        let mut bare = TcpStream::connect(proxy.addr()).unwrap();
        bare.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n").unwrap();
        let mut refusal = [0; 6];
        bare.read_exact(&mut refusal).unwrap();
        assert!([*b"-NOAUT", *b"-ERR o"].contains(&refusal), "{}", refusal.escape_ascii());
        assert!(proxy.url().starts_with("redis-proxy://:se%22cret@"));
    }
}

#[test]
fn envoy_makes_a_cluster_look_like_one_server() {
    let cluster = Cluster::start("redis-7.0", 3);
    let proxy = Proxy::envoy_before_cluster(&cluster);
    write_and_read(&proxy);
    let all: Vec<&Server> = cluster.nodes().iter().collect();
    assert!(all.iter().all(|server| keys(server) > 10));
    assert_eq!(compare(&cluster, Deployment::Servers(all)), []);
    cluster.migrate_slots(0..=999, 0, 2);
    write_and_read(&proxy);
}
