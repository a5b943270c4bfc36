//! Clusters, lists of servers, Codis; what cannot be compared.

use std::sync::Arc;

use rdts_core::filter::Rules;
use rdts_core::verify::{DifferenceKind, Mode, Verifier};
use rdts_core::{Endpoint, ErrorKind};
use rdts_testkit::{Cluster, FillOptions, Server, fill};

use super::{MODES, found, quick, verify};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_a_server() {
    let cluster = Cluster::start("redis-7.0", 3);
    let server = Server::start("redis-7.0");
    let data = FillOptions::strings(3_000);
    fill(&cluster, &data);
    fill(&server, &data);
    cluster.cmd(&["RPUSH", "list", "a", "b"]);
    server.cmd(&["RPUSH", "list", "a", "b"]);
    for (from, to) in [(cluster.url(), server.url()), (server.url(), cluster.url())] {
        for mode in MODES.into_iter().chain([Mode::Count]) {
            let report = verify(&from, &to, quick().mode(mode)).await;
            assert!(report.equal, "{from} {to} {mode:?}: {report}");
        }
    }
    cluster.cmd(&["LSET", "list", "0", "A"]);
    cluster.cmd(&["SET", "extra", "x"]);
    cluster.cmd(&["DEL", "string:5"]);
    let expected = [
        (DifferenceKind::Extra, 0, "extra".to_owned()),
        (DifferenceKind::Value, 0, "list".to_owned()),
        (DifferenceKind::Missing, 0, "string:5".to_owned()),
    ];
    let report = verify(&server.url(), &cluster.url(), quick()).await;
    assert_eq!(found(&report), expected, "{report}");
    let repaired = verify(&server.url(), &cluster.url(), quick().repair(true).big(0)).await;
    assert!(repaired.equal && repaired.repaired == 3, "{repaired}");
    assert!(verify(&server.url(), &cluster.url(), quick()).await.equal);
    // What a cluster cannot have at all.
    let mut connection = server.connection();
    redis::pipe().cmd("SELECT").arg(3).cmd("SET").arg("in db 3").arg(1).exec(&mut connection).unwrap();
    let report = verify(&server.url(), &cluster.url(), quick()).await;
    assert_eq!(found(&report), [(DifferenceKind::Missing, 3, "in db 3".to_owned())], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_servers_and_a_server() {
    let (one, two, whole) = (Server::start("redis-6.2"), Server::start("redis-7.0"), Server::start("redis-7.0"));
    for number in 0..500 {
        let part = if number % 2 == 0 { &one } else { &two };
        for server in [part, &whole] {
            server.cmd(&["SADD", &format!("set:{number}"), "a", "b"]);
        }
    }
    let list = format!("redis://{},{}", one.addr(), two.addr());
    for (from, to) in [(&list, &whole.url()), (&whole.url(), &list)] {
        let report = verify(from, to, quick()).await;
        assert!(report.equal && report.compared == 500 && report.looked_for == 500, "{report}");
    }
    two.cmd(&["SREM", "set:1", "a"]);
    whole.cmd(&["SET", "extra", "x"]);
    let report = verify(&list, &whole.url(), quick().repair(true)).await;
    assert!(!report.equal, "which server has the key nobody knows: {report}");
    assert_eq!(report.repaired, 1, "what is extra is deleted: {report}");
    assert!(report.keys.iter().any(|key| key.problem.is_some()), "{report}");
}

#[cfg(feature = "codis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_codis_and_a_server() {
    let codis = rdts_testkit::Codis::start("redis-3.2", 2);
    let server = Server::start("redis-3.2");
    for number in 0..500 {
        let key = format!("{{{number}}}:list");
        let group = codis.groups()[codis.group_of(key.as_bytes()) - 1];
        for server in [group, &server] {
            server.cmd(&["RPUSH", &key, "a", "b"]);
        }
    }
    let url = format!("codis://127.0.0.1:{}", codis.dashboard());
    for (from, to) in [(&url, &server.url()), (&server.url(), &url)] {
        let report = verify(from, to, quick()).await;
        assert!(report.equal && report.compared == 500 && report.looked_for == 500, "{report}");
    }
    let group = codis.groups()[codis.group_of(b"{7}:list") - 1];
    group.cmd(&["LSET", "{7}:list", "0", "A"]);
    let repaired = verify(&server.url(), &url, quick().repair(true)).await;
    assert!(repaired.equal && repaired.repaired == 1, "{repaired}");
    assert!(verify(&url, &server.url(), quick()).await.equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_and_rules() {
    let (source, target) = super::twins("redis-7.0", "redis-7.0", &FillOptions::mixed(300));
    target.cmd(&["SWAPDB", "3", "5"]);
    let one = verify(&format!("{}/3", source.url()), &format!("{}/5", target.url()), quick()).await;
    assert!(one.equal && one.compared > 50 && one.looked_for == one.compared, "{one}");
    let rules = Rules::builder().only_db(0).only_db(3).map_db(3, 5).build().unwrap();
    let by_rules = verify(&source.url(), &target.url(), quick().rules(Some(Arc::new(rules)))).await;
    assert!(by_rules.equal && by_rules.compared > one.compared && by_rules.notes.is_empty(), "{by_rules}");
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused_and_named() {
    let server = Server::start("redis-7.0");
    let locked = Server::builder("redis-7.0").arg("requirepass", "secret").start();
    let nobody = format!("redis://127.0.0.1:{}", rdts_testkit::free_port());
    let without = format!("redis://127.0.0.1:{}", locked.port());
    for (to, kind, word) in [
        (nobody.as_str(), ErrorKind::Connect, &nobody["redis://".len()..]),
        (&without, ErrorKind::Auth, &without["redis://".len()..]),
        ("dump.rdb", ErrorKind::Unsupported, "dump.rdb"),
        ("redis-proxy://127.0.0.1:1", ErrorKind::Unsupported, "127.0.0.1:1"),
        (&format!("{}/3", server.url()), ErrorKind::Unsupported, "/3"),
        (&format!("redis-cluster://{}", server.addr()), ErrorKind::Topology, &server.addr()),
    ] {
        let endpoint: Endpoint = to.parse().unwrap();
        let error = Verifier::open(&server.url().parse().unwrap(), &endpoint, quick()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{to}: {error}");
        assert!(error.to_string().contains(word), "{to}: {error}");
    }
}
