//! Whether servers are there, let us in, and are not the same; what they are.

use std::sync::Arc;

use rdts_core::filter::Rules;
use rdts_core::precheck::{Verdict, run};
use rdts_testkit::{Cluster, Proxy, Sentinel, Server, free_port};

use super::relay::relay;
use super::{LONG, expect, plan, report};

#[tokio::test]
async fn two_servers_that_are_well_pass_everything() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    source.cmd(&["SET", "k", "v"]);
    source.cmd(&["CONFIG", "RESETSTAT"]);
    let report = report(&source.url(), &target.url()).await;
    assert_eq!(report.worst(), Verdict::Pass, "{report}");
    assert_eq!(report.checks.len(), rdts_core::precheck::CHECKS.len());
    assert!(report.with(Verdict::Pass).all(|check| check.seen != "nothing to check"), "{report}");
}

#[tokio::test]
async fn nobody_there_a_wrong_password_and_a_busy_server_are_different_things() {
    let (a, b) = (Server::start("redis-6.2"), Server::start("redis-6.2"));
    let (nobody, good) = (format!("redis://127.0.0.1:{}", free_port()), b.url());
    for (side, from, to) in [("source", &nobody, &good), ("target", &good, &nobody)] {
        let down = report(from, to).await;
        expect(&down, &format!("{side}-reachable"), Verdict::Fail, "cannot connect");
        expect(&down, &format!("{side}-login"), Verdict::Warn, "not all of its nodes");
        let other = if side == "source" { "target-reachable" } else { "source-reachable" };
        expect(&down, other, Verdict::Pass, "1 of 1 nodes");
        // Nothing that was not seen passes.
        let of_side = format!("{side}-");
        for check in
            down.checks.iter().filter(|check| check.name.starts_with(&of_side) && !check.name.ends_with("slots"))
        {
            assert_ne!(check.result, Verdict::Pass, "{check}");
        }
    }
    for server in [&a, &b] {
        server.cmd(&["CONFIG", "SET", "requirepass", "right"]);
    }
    let with = |server: &Server, password: &str| format!("redis://:{password}@{}", server.addr());
    for (side, from, to) in
        [("source", with(&a, "wrong"), with(&b, "right")), ("target", with(&a, "right"), with(&b, "wrong"))]
    {
        expect(&report(&from, &to).await, &format!("{side}-login"), Verdict::Fail, "login refused");
    }
    let both = report(&with(&a, "right"), &with(&b, "right")).await;
    for name in ["source-login", "target-login", "source-reachable", "target-reachable", "source-ready", "target-ready"]
    {
        expect(&both, name, Verdict::Pass, "1 of 1 nodes");
    }
    // A script that does not end: a server answers nothing but BUSY then.
    for (side, busy) in [("source", &a), ("target", &b)] {
        let mut admin = redis::Client::open(with(busy, "right")).unwrap().get_connection().unwrap();
        redis::cmd("CONFIG").arg(&["SET", "lua-time-limit", "1"]).exec(&mut admin).unwrap();
        let url = with(busy, "right");
        let script = std::thread::spawn(move || {
            let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
            redis::cmd("EVAL").arg(&["while true do end", "0"]).exec(&mut connection).unwrap_err();
        });
        rdts_testkit::wait_until("the server to be busy", LONG, || {
            redis::cmd("PING").query::<String>(&mut admin).is_err_and(|error| error.to_string().contains("BUSY"))
        });
        expect(&report(&with(&a, "right"), &with(&b, "right")).await, &format!("{side}-ready"), Verdict::Fail, "BUSY");
        redis::cmd("SCRIPT").arg("KILL").exec(&mut admin).unwrap();
        script.join().unwrap();
        expect(&report(&with(&a, "right"), &with(&b, "right")).await, &format!("{side}-ready"), Verdict::Pass, "");
    }
}

#[tokio::test]
async fn the_same_server_on_both_sides_is_told_unless_rules_keep_them_apart() {
    let (a, b) = (Server::start("redis-5.0"), Server::start("redis-5.0"));
    expect(&report(&a.url(), &a.url()).await, "different-servers", Verdict::Fail, "the same server");
    expect(&report(&a.url(), &b.url()).await, "different-servers", Verdict::Pass, "");
    let apart = plan(&a.url(), &a.url()).rules(Some(Arc::new(Rules::one_db(0, 1))));
    expect(&run(&apart).await, "different-servers", Verdict::Pass, "different databases");
}

#[tokio::test]
async fn versions_are_compared() {
    let (old, new) = (Server::start("redis-6.2"), Server::start("redis-7.0"));
    let valkey = Server::start("valkey-9.1");
    expect(&report(&new.url(), &old.url()).await, "version-order", Verdict::Warn, "which is older");
    let up = report(&old.url(), &new.url()).await;
    expect(&up, "version-order", Verdict::Pass, "Redis 6.2");
    expect(&up, "source-version", Verdict::Pass, "Redis 6.2");
    expect(&report(&valkey.url(), &new.url()).await, "version-order", Verdict::Warn, "families");
    expect(&report(&new.url(), &valkey.url()).await, "version-order", Verdict::Pass, "");
    let mixed = format!("redis://{},{}", old.addr(), new.addr());
    expect(&report(&mixed, &valkey.url()).await, "source-version", Verdict::Warn, "different versions");
    // No server that is too old is at hand.
    let ancient = format!("redis://127.0.0.1:{}", relay(old.port(), "redis_version:6.2", "redis_version:2.6"));
    expect(&report(&ancient, &new.url()).await, "source-version", Verdict::Fail, "too old");
    expect(&report(&new.url(), &ancient).await, "target-version", Verdict::Fail, "too old");
}

#[tokio::test]
async fn clusters_are_looked_at_as_a_whole() {
    let cluster = Cluster::builder("redis-7.0", 2).replicas(1).start();
    let other = Server::start("redis-7.0");
    cluster.cmd(&["SET", "k", "v"]);
    let well = report(&cluster.url(), &other.url()).await;
    expect(&well, "source-slots", Verdict::Pass, "16384");
    // From 7.0 on CLUSTER SLOTS lists no replica that has just come.
    let started = std::time::Instant::now();
    while report(&cluster.url(), &other.url()).await.check("source-reachable").unwrap().seen.starts_with("2 ") {
        assert!(started.elapsed() < LONG, "replicas are never listed");
    }
    expect(&report(&other.url(), &cluster.url()).await, "target-empty", Verdict::Fail, "db0 has 1 keys");
    let open = cluster.open_slot(5, 0, 1);
    expect(&report(&cluster.url(), &other.url()).await, "source-slots", Verdict::Fail, "on their way");
    expect(&report(&other.url(), &cluster.url()).await, "target-slots", Verdict::Fail, "on their way");
    open.finish();
    expect(&report(&cluster.url(), &other.url()).await, "source-slots", Verdict::Pass, "");
    let alone = report(&cluster.server(0).url(), &other.url()).await;
    expect(&alone, "source-slots", Verdict::Warn, "only a part");
    // A replica that is down does not keep a copy from being made.
    let replica = cluster.replicas_of(0)[0];
    cluster.server(replica).kill();
    let limped = report(&cluster.url(), &other.url()).await;
    let reach = limped.check("source-reachable").unwrap();
    assert!(reach.result <= Verdict::Warn, "{reach}");
    let nodes = cluster.server(1);
    nodes.cmd(&["CLUSTER", "DELSLOTS", &format!("{}", rdts_testkit::key_slot(b"k"))]);
    let gap = report(&nodes.url().replace("redis:", "redis-cluster:"), &other.url()).await;
    expect(&gap, "source-slots", Verdict::Fail, "no node of the cluster serves");
}

#[tokio::test]
async fn sentinels_lead_to_the_primary() {
    let sentinel = Sentinel::builder("redis-6.2").sentinels(1).start();
    let target = Server::start("redis-6.2");
    let well = report(&sentinel.url(), &target.url()).await;
    expect(&well, "source-reachable", Verdict::Pass, "2 of 2 nodes");
    expect(&well, "source-replication", Verdict::Pass, "PSYNC");
    let unknown = sentinel.url().replace(sentinel.service(), "nobody");
    expect(&report(&unknown, &target.url()).await, "source-reachable", Verdict::Fail, "nobody");
    expect(&report(&target.url(), &unknown).await, "target-empty", Verdict::Warn, "not known");
}

#[tokio::test]
async fn a_source_that_has_lost_its_own_primary_is_not_ready() {
    let (source, target) = (Server::start("redis-5.0"), Server::start("redis-5.0"));
    source.cmd(&["SLAVEOF", "127.0.0.1", &free_port().to_string()]);
    expect(&report(&source.url(), &target.url()).await, "source-ready", Verdict::Fail, "its link to that is down");
    source.promote();
    expect(&report(&source.url(), &target.url()).await, "source-ready", Verdict::Pass, "");
}

#[tokio::test]
async fn proxies_hide_their_servers() {
    let (source, behind) = (Server::start("redis-6.2"), Server::start("redis-6.2"));
    source.cmd(&["SET", "k", "v"]);
    for proxy in [Proxy::twemproxy(&[&behind]), Proxy::envoy(&[&behind])] {
        let hidden = report(&source.url(), &proxy.url()).await;
        expect(&hidden, "target-reachable", Verdict::Pass, "1 of 1 nodes");
        for name in ["target-empty", "target-memory", "target-permissions", "target-writable", "target-version"] {
            expect(&hidden, name, Verdict::Warn, "a proxy hides");
        }
        assert_eq!(hidden.worst(), Verdict::Warn, "{hidden}");
    }
}

#[cfg(feature = "codis")]
#[tokio::test]
async fn codis_and_its_proxies_are_asked_as_far_as_they_answer() {
    let codis = rdts_testkit::Codis::start("redis-3.2", 2);
    let (source, url) = (Server::start("redis-3.2"), format!("codis://127.0.0.1:{}", codis.dashboard()));
    source.cmd(&["SET", "k", "v"]);
    let well = report(&source.url(), &url).await;
    expect(&well, "target-slots", Verdict::Pass, "every slot");
    expect(&well, "target-empty", Verdict::Pass, "is empty");
    codis.moves(900, Some(("pending", 1)));
    expect(&report(&source.url(), &url).await, "target-slots", Verdict::Fail, "slot 900");
    expect(&report(&url, &source.url()).await, "source-slots", Verdict::Fail, "slot 900");
    codis.moves(900, None);
    expect(&report(&source.url(), &url).await, "target-slots", Verdict::Pass, "");
    let proxy = format!("codis-proxy://127.0.0.1:{}", codis.proxy());
    let hidden = report(&source.url(), &proxy).await;
    expect(&hidden, "target-reachable", Verdict::Pass, "1 of 1 nodes");
    for name in ["target-empty", "target-memory", "target-permissions", "target-writable", "target-version"] {
        expect(&hidden, name, Verdict::Warn, "a proxy hides");
    }
}
