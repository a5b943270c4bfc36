//! The contract of `verify`, and migrations proven by it.

use rdts_testkit::{
    ChildProgram, Cluster, Codis, FillOptions, Finished, Load, LoadOptions, Server, Signal, fill, free_port,
};
use serde_json::Value;

use crate::support::{LONG, ends, migrate, wait_until_live};

fn verify(from: &str, to: &str, more: &[&str]) -> Finished {
    let quick: &[&str] = if more.contains(&"--interval") { &[] } else { &["--interval", "200"] };
    let args = [&["--from", from, "--to", to], quick, more].concat();
    ChildProgram::example("verify", &args).wait(LONG)
}

/// The lines on standard output, the last of which is the summary.
fn json(finished: &Finished) -> Vec<Value> {
    let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["event"], "summary", "{}", finished.stdout);
    lines
}

#[track_caller]
fn is_equal(from: &str, to: &str, more: &[&str]) {
    let finished = verify(from, to, more);
    assert_eq!(finished.code, Some(0), "{from} {to}: {}{}", finished.stdout, finished.stderr);
}

#[test]
fn exit_statuses_and_lines() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    fill(&source, &FillOptions::mixed(300));
    ends(migrate(&["--from", &source.url(), "--to", &target.url(), "--mode", "full"]), 0);
    let (from, to) = (source.url(), target.url());
    for mode in ["count", "outline", "full", "sample"] {
        let equal = verify(&from, &to, &["--mode", mode, "--json"]);
        assert_eq!(equal.code, Some(0), "{mode}: {}", equal.stdout);
        let summary = json(&equal).pop().unwrap();
        assert_eq!((&summary["equal"], &summary["status"]), (&true.into(), &0.into()), "{summary}");
    }
    source.cmd(&["SET", "only here", "x"]);
    target.cmd(&[b"SET".as_slice(), b"only \xff there", b"x"]);
    let different = verify(&from, &to, &["--rounds", "1"]);
    assert_eq!(different.code, Some(5), "{}", different.stderr);
    assert!(different.stdout.contains("missing db 0 \"only here\""), "{}", different.stdout);
    assert!(different.stdout.trim_end().ends_with("different: 1 missing, 1 extra"), "{}", different.stdout);
    let lines = json(&verify(&from, &to, &["--json"]));
    let differences: Vec<_> = lines.iter().filter(|line| line["event"] == "difference").collect();
    let kinds: Vec<_> = differences.iter().map(|line| (&line["kind"], &line["key"])).collect();
    assert_eq!(kinds.len(), 2, "{lines:?}");
    assert!(kinds.contains(&(&"missing".into(), &"only here".into())), "{lines:?}");
    assert!(kinds.contains(&(&"extra".into(), &"only \\xff there".into())), "{lines:?}");
    let repaired = verify(&from, &to, &["--repair", "--json"]);
    assert_eq!(repaired.code, Some(0), "{}", repaired.stdout);
    assert_eq!(json(&repaired).pop().unwrap()["repaired"], 2);
    is_equal(&from, &to, &[]);
}

#[test]
fn what_cannot_be_compared() {
    let server = Server::start("redis-7.0");
    let nobody = format!("127.0.0.1:{}", free_port());
    let nobody_url = format!("redis://{nobody}");
    for (args, status, words) in [
        (vec!["--from", &server.url(), "--to", &nobody_url], 3, nobody.as_str()),
        (vec!["--from", &nobody_url, "--to", &server.url()], 3, &nobody),
        (vec!["--from", &server.url(), "--to", "nonsense://x"], 2, "--to"),
        (vec!["--from", &server.url(), "--to", "redis-proxy://127.0.0.1:1"], 2, "proxy"),
        (vec!["--from", &server.url()], 2, "--to"),
        (vec!["--from", "a", "--to", "b", "--rounds", "0"], 2, "--rounds"),
        (vec!["--from", "a", "--to", "b", "--mode", "some"], 2, "--mode"),
    ] {
        let finished = ChildProgram::example("verify", &args).wait(LONG);
        assert_eq!(finished.code, Some(status), "{args:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{args:?}: {}", finished.stderr);
    }
}

/// A live migration is in the middle of its work: nothing that is merely on its way is reported.
#[test]
fn nothing_is_reported_of_a_live_migration_under_20_000_writes_a_second() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("valkey-9.1"));
    let mut data = FillOptions::mixed(500);
    data.strings = 20_000;
    fill(&source, &data);
    let mut options = LoadOptions::default();
    (options.rate, options.dbs) = (20_000, vec![0]);
    let load = Load::start(&source, options);
    load.wait_for(1_000, LONG);
    let program = migrate(&["--from", &source.url(), "--to", &target.url()]);
    wait_until_live(&program);
    let before = load.commands();
    is_equal(&source.url(), &target.url(), &["--interval", "1000", "--patience", "120"]);
    assert!(load.commands() > before, "nothing was written meanwhile");
    load.stop();
    program.signal(Signal::Int);
    ends(program, 0);
    is_equal(&source.url(), &target.url(), &[]);
}

#[test]
fn migrations_into_and_out_of_a_cluster_and_over_versions() {
    let server = Server::start("redis-5.0");
    fill(&server, &FillOptions::mixed(500).in_one_database());
    let cluster = Cluster::start("redis-7.0", 3);
    let last = Server::start("valkey-9.1");
    for (from, to) in [(server.url(), cluster.url()), (cluster.url(), last.url())] {
        ends(migrate(&["--from", &from, "--to", &to, "--mode", "full"]), 0);
        is_equal(&from, &to, &[]);
        is_equal(&from, &to, &["--mode", "outline"]);
    }
    is_equal(&server.url(), &last.url(), &[]);
}

#[test]
fn a_migration_into_a_codis() {
    let server = Server::start("redis-3.2");
    fill(&server, &FillOptions::mixed(300).in_one_database());
    let codis = Codis::start("redis-3.2", 2);
    let url = format!("codis://127.0.0.1:{}", codis.dashboard());
    ends(migrate(&["--from", &server.url(), "--to", &url, "--mode", "full"]), 0);
    is_equal(&server.url(), &url, &[]);
    is_equal(&url, &server.url(), &[]);
}
