//! What TLS and logins do to `migrate`: what goes through, and what is refused before anything is written.

use rdts_testkit::{Certificates, ChildProgram, Cluster, FillOptions, Server, assert_same, fill};

use crate::support::{ends, migrate, summary};

/// In every URL; must be in nothing that is said.
const SECRET: &str = "hunter2-s3cret";

/// `migrate` refuses with `status`, says `words`, and `target` is as empty as it was.
fn refused(status: i32, from: &str, to: &str, target: &Server, words: &[&str]) {
    let args = ["--json", "--from", from, "--to", to, "--until", "caught-up"];
    // The most talkative log there is.
    let program = ChildProgram::example_under("migrate", "env", &["RDTS_LOG=trace"], &args);
    let finished = ends(program, status);
    for word in words {
        assert!(finished.stderr.contains(word), "'{word}' is missing in: {}", finished.stderr);
    }
    assert_eq!(summary(&finished)["status"], status);
    for text in [&finished.stderr, &finished.stdout] {
        assert!(!text.contains(SECRET), "a secret is in: {text}");
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    assert_eq!(target.info("keyspace").len(), 0, "something was written");
}

fn with_login(url: &str, user: &str) -> String {
    url.replacen("://", &format!("://{user}:{SECRET}@"), 1)
}

#[test]
fn certificates_that_will_not_do() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let source = Server::start("redis-7.0");
    source.cmd(&["SET", "a", "1"]);
    let show = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let expired = Server::builder("redis-8.10").tls_with(&certificates, certificates.expired_server()).start();
    let elsewhere = Server::builder("redis-7.0").tls_with(&certificates, certificates.server_elsewhere()).start();
    let good = Server::builder("redis-7.0").tls(&certificates).start();
    let base = format!("rediss://127.0.0.1:{}", good.tls_port());
    let address = format!("127.0.0.1:{}", good.tls_port());
    for (url, target, words) in [
        (expired.tls_url(), &expired, ["expired", "renewed"]),
        (elsewhere.tls_url(), &elsewhere, ["elsewhere.example", "server-name=NAME"]),
        (format!("{base}?ca={}", show(&others.ca())), &good, ["not issued by", &address]),
        (base.clone(), &good, ["not issued by any CA that this machine trusts", &address]),
        (format!("{base}?ca={}", show(&certificates.ca())), &good, ["wants a client certificate", &address]),
        (format!("redis://{address}"), &good, ["this port speaks TLS", &address]),
        (format!("{base}?ca=/no/such/file.pem"), &good, ["/no/such/file.pem", "cannot be read"]),
    ] {
        let url = with_login(&url, "app");
        // A file that is not there is a matter of the command line.
        let status = if url.contains("/no/such/file") { 2 } else { 3 };
        refused(status, &source.url(), &url, target, &words);
        let target = Server::start("redis-7.0");
        refused(status, &url, &target.url(), &target, &words);
    }
}

#[test]
fn logins_that_will_not_do() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    source.cmd(&["SET", "a", "1"]);
    for server in [&source, &target] {
        server.set_user("app", "another one", "~* &* +@all");
    }
    refused(3, &with_login(&source.url(), "app"), &target.url(), &target, &[&source.addr(), "WRONGPASS"]);
    refused(3, &source.url(), &with_login(&target.url(), "app"), &target, &[&target.addr(), "WRONGPASS"]);
    // May not do what it takes, neither to replicate nor to scan.
    source.set_user("app", SECRET, "+ping +info");
    refused(3, &with_login(&source.url(), "app"), &target.url(), &target, &[&source.addr(), "NOPERM"]);
}

#[test]
fn a_password_that_is_right_for_one_node_of_a_cluster_only() {
    let cluster = Cluster::start("redis-7.0", 3);
    let server = Server::start("redis-7.0");
    server.cmd(&["SET", "a", "1"]);
    for (number, node) in cluster.nodes().iter().enumerate() {
        node.set_user("app", if number == 1 { SECRET } else { "another one" }, "~* &* +@all");
    }
    let url = format!("redis-cluster://app:{SECRET}@{}", cluster.server(1).addr());
    let others = [cluster.server(0).addr(), cluster.server(2).addr()];
    for (from, to, target) in
        [(&server.url(), &url, cluster.server(1)), (&url, &server.url(), &Server::start("redis-7.0"))]
    {
        let to = if from == &url { &target.url() } else { to };
        let args = ["--from", from.as_str(), "--to", to.as_str(), "--until", "caught-up"];
        let finished = ends(ChildProgram::example_under("migrate", "env", &["RDTS_LOG=trace"], &args), 3);
        assert!(finished.stderr.contains("WRONGPASS"), "{}", finished.stderr);
        assert!(others.iter().any(|other| finished.stderr.contains(other)), "{}", finished.stderr);
        assert!(!finished.stderr.contains(SECRET) && !finished.stdout.contains(SECRET), "{}", finished.stderr);
        assert_eq!(target.info("keyspace").len(), 0, "something was written");
    }
}

#[test]
fn a_cluster_by_tls_and_a_server_whose_ca_this_machine_trusts() {
    let certificates = Certificates::new();
    let source = Cluster::builder("redis-7.0", 2).tls(&certificates).start();
    let target = Server::builder("redis-8.10").tls(&certificates).arg("tls-auth-clients", "no").start();
    fill(&source, &FillOptions::mixed(300));
    let to = format!("rediss://localhost:{}", target.tls_port());
    let trusting = format!("SSL_CERT_FILE={}", certificates.ca().display());
    let args = ["--json", "--from", &source.tls_url(), "--to", &to, "--until", "caught-up"];
    ends(ChildProgram::example_under("migrate", "env", &[trusting.as_str()], &args), 0);
    assert_same(&source, &target);
}

#[test]
fn verification_that_is_off_warns() {
    let certificates = Certificates::new();
    let (others, source) = (Certificates::new(), Server::start("redis-7.0"));
    let target = Server::builder("redis-7.0").tls(&certificates).arg("tls-auth-clients", "no").start();
    source.cmd(&["SET", "a", "1"]);
    let base = format!("rediss://127.0.0.1:{}", target.tls_port());
    let to = format!("{base}?verify=off&ca={}", others.ca().display());
    let finished = ends(migrate(&["--from", &source.url(), "--to", &to, "--until", "caught-up"]), 0);
    assert!(finished.stderr.contains("WARN") && finished.stderr.contains("verify=off"), "{}", finished.stderr);
    assert_same(&source, &target);
}
