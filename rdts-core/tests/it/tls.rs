//! TLS against real servers: what goes through, and what is said of what does not.

use std::time::Duration;

use rdts_core::cluster::{Topology, TopologyOptions};
use rdts_core::endpoint::{Endpoint, NodeAddress};
use rdts_core::error::{ErrorKind, Result, Retry};
use rdts_core::net::{Connection, Deadlines};
use rdts_core::sentinel::Service;
use rdts_testkit::{Certificates, Cluster, Pair, Sentinel, Server};

/// The servers that were built with TLS.
const SERVERS: [&str; 4] = ["redis-7.0", "redis-7.2-stack", "redis-7.4-stack", "redis-8.10"];

fn node(url: &str) -> NodeAddress {
    match url.parse().unwrap() {
        Endpoint::Node { address, .. } => address,
        other => panic!("{other} is no node"),
    }
}

/// One `PING` over a connection of its own.
async fn ping(url: &str) -> Result<()> {
    // A machine that is busy with other tests answers late; a server that does not speak TLS never.
    let deadlines = Deadlines::default().connect(Duration::from_secs(20));
    let reply = Connection::open(&node(url), deadlines).await?.call(["PING"]).await?;
    assert_eq!(reply.as_str(), Some("PONG"));
    Ok(())
}

/// It is refused, for reasons that lie in certificates; the message has the address and all of `words`.
async fn refused(url: &str, words: &[&str]) {
    let error = ping(url).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Tls, Retry::Never), "{url}: {error}");
    let text = error.to_string();
    assert!(text.starts_with(&node(url).to_string()), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is missing in: {text}");
    }
}

fn started(name: &str, certificates: &Certificates, own: Pair) -> Server {
    Server::builder(name).tls_with(certificates, own).start()
}

fn show(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_certificate_on_each_side_is_what_servers_want() {
    let certificates = Certificates::new();
    for name in SERVERS {
        let server = started(name, &certificates, certificates.server());
        let port = server.tls_port();
        let options = certificates.url_options();
        ping(&server.tls_url()).await.unwrap();
        ping(&format!("rediss://localhost:{port}?{options}")).await.unwrap();
        server.cmd(&["CONFIG", "SET", "tls-auth-clients", "no"]);
        ping(&format!("rediss://127.0.0.1:{port}?ca={}", show(&certificates.ca()))).await.unwrap();
        ping(&format!("rediss://127.0.0.1:{port}?verify=off")).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_servers_certificate_is_told() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let options = certificates.url_options();
    for name in ["redis-7.0", "redis-8.10"] {
        let expired = started(name, &certificates, certificates.expired_server());
        refused(&expired.tls_url(), &["expired", "days ago", "tls-cert-file"]).await;
        let elsewhere = started(name, &certificates, certificates.server_elsewhere());
        refused(&elsewhere.tls_url(), &["elsewhere.example", "127.0.0.1", "server-name=NAME"]).await;
        ping(&format!("{}&server-name=elsewhere.example", elsewhere.tls_url())).await.unwrap();
        ping(&format!("{}&verify=off", elsewhere.tls_url())).await.unwrap();
        let good = started(name, &certificates, certificates.server());
        let port = good.tls_port();
        refused(
            &format!("rediss://127.0.0.1:{port}?ca={}", show(&others.ca())),
            &["not issued by", show(&others.ca())],
        )
        .await;
        refused(&format!("rediss://127.0.0.1:{port}"), &["not issued by any CA that this machine trusts", "ca=PATH"])
            .await;
        refused(&format!("rediss://[::ffff:127.0.0.1]:{port}?{options}"), &["server's certificate is for"]).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_clients_certificate_is_told() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    for name in ["redis-7.0", "redis-8.10"] {
        let server = started(name, &certificates, certificates.server());
        let base = format!("rediss://127.0.0.1:{}?ca={}", server.tls_port(), show(&certificates.ca()));
        let with = |pair: &Pair| format!("{base}&cert={}&key={}", show(&pair.certificate), show(&pair.key));
        // What a server says of certificates gets lost now and then, if it is sent something at the same time.
        for _ in 0..5 {
            refused(&base, &["wants a client certificate", "cert=PATH&key=PATH"]).await;
            let stranger = others.client();
            refused(&with(&stranger), &[show(&stranger.certificate), "does not trust", "tls-ca-cert-file"]).await;
            let expired = certificates.expired_client();
            refused(&with(&expired), &[show(&expired.certificate), "expired"]).await;
        }
    }
}

#[tokio::test]
async fn a_port_that_speaks_otherwise_is_told() {
    let certificates = Certificates::new();
    for name in ["redis-7.0", "redis-8.10"] {
        let server = Server::builder(name).arg("requirepass", "hunter2").tls(&certificates).start();
        for _ in 0..3 {
            let clear = format!("redis://:hunter2@127.0.0.1:{}", server.tls_port());
            refused(&clear, &["this port speaks TLS", "rediss://"]).await;
        }
        let options = certificates.url_options();
        let deadlines = Deadlines::default().connect(Duration::from_secs(2));
        let address = node(&format!("rediss://:hunter2@{}?{options}", server.addr()));
        let error = Connection::open(&address, deadlines).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(error.to_string().contains("speaks no TLS"), "{error}");
        assert!(error.to_string().starts_with(&server.addr()), "{error}");
    }
}

#[tokio::test]
async fn files_that_are_not_there_are_named() {
    let certificates = Certificates::new();
    let server = started("redis-7.0", &certificates, certificates.server());
    let url = format!("rediss://127.0.0.1:{}?ca=/no/such/ca.pem", server.tls_port());
    let error = ping(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
}

#[tokio::test]
async fn sentinels_and_clusters_are_found_by_tls() {
    let certificates = Certificates::new();
    for name in ["redis-7.0", "redis-8.10"] {
        let sentinel = Sentinel::builder(name).sentinels(1).tls(&certificates).start();
        let Endpoint::Sentinel { sentinels, service, credentials, .. } = sentinel.tls_url().parse().unwrap() else {
            panic!("that scheme is a Sentinel's")
        };
        let primary = Service::new(sentinels, service).credentials(credentials).primary().await.unwrap();
        assert_eq!(primary.port, sentinel.server(0).tls_port());
        assert!(primary.tls.is_some());

        let cluster = Cluster::builder(name, 3).arg("requirepass", "hunter2").tls(&certificates).start();
        let Endpoint::Cluster { seeds } = cluster.tls_url().parse().unwrap() else { panic!("a cluster") };
        let found = Topology::discover(&seeds[..1], TopologyOptions::default()).await.unwrap();
        let mut ports: Vec<u16> = found.primaries().map(|node| node.address.port).collect();
        let mut wanted: Vec<u16> = cluster.nodes().iter().map(Server::tls_port).collect();
        ports.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(ports, wanted);
        for node in found.nodes() {
            Connection::open(&node.address, Deadlines::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_nodes_of_a_cluster_may_have_passwords_of_their_own() {
    let cluster = Cluster::builder("redis-7.0", 3).start();
    for (number, node) in cluster.nodes().iter().enumerate() {
        node.set_user("app", &format!("pw{number}"), "~* &* +@all");
        // From here on the test kit gets in no more.
        node.cmd(&["ACL", "SETUSER", "default", "off"]);
    }
    let login = |number: usize, password: &str| format!("app:{password}@{}", cluster.server(number).addr());
    let discover = async |url: String| {
        let Endpoint::Cluster { seeds } = url.parse().unwrap() else { panic!("a cluster") };
        Topology::discover(&seeds, TopologyOptions::default()).await.unwrap()
    };
    let all = format!("redis-cluster://{},{},{}", login(0, "pw0"), login(1, "pw1"), login(2, "pw2"));
    for node in discover(all).await.nodes() {
        Connection::open(&node.address, Deadlines::default()).await.unwrap();
    }
    // The password of one node only: the others refuse it, and are named.
    let one = discover(format!("redis-cluster://{}", login(1, "pw1"))).await;
    for node in one.nodes() {
        let opened = Connection::open(&node.address, Deadlines::default()).await;
        if node.address.port == cluster.server(1).port() {
            opened.unwrap();
            continue;
        }
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        assert!(error.to_string().starts_with(&node.address.to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains("pw1"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_repeats_what_it_was_given_does_not_give_the_password_away() {
    for name in ["redis-5.0", "redis-7.0", "redis-8.10", "valkey-9.1"] {
        let server = Server::builder(name).arg("rename-command", "AUTH \"\"").start();
        for login in ["", "app"] {
            let address = node(&format!("redis://{login}:hunter2@{}", server.addr()));
            let error = Connection::open(&address, Deadlines::default()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
            assert!(error.to_string().contains("unknown command"), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
