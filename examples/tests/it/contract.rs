//! What scripts depend on: options, JSON lines, exit statuses.

use rdts_testkit::{ChildProgram, FillOptions, Load, LoadOptions, Server, assert_same, fill};
use redis::Value as Reply;
use serde_json::Value;

use crate::support::{LONG, ends, migrate, summary};

#[test]
fn without_arguments_it_shows_the_whole_job() {
    let finished = ChildProgram::example::<&str>("migrate", &[]).wait(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains("verified: equal"), "{}", finished.stdout);
}

#[test]
fn every_line_on_stdout_is_json_and_the_last_is_the_summary() {
    let finished = ends(migrate(&["--name", "demo"]), 0);
    let events: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "start");
    assert!(events.iter().any(|event| event["event"] == "progress"));
    let summary = summary(&finished);
    for (field, least) in
        [("keys", 100.0), ("commands", 1_000.0), ("bytes", 100_000.0), ("seconds", 1.0), ("offset", 1.0)]
    {
        assert!(summary[field].as_f64().unwrap() >= least, "{field} in {summary}");
    }
    assert_eq!((&summary["skipped"], &summary["failed"]), (&0.into(), &0.into()));
    assert_eq!((&summary["verified"], &summary["task"]), (&true.into(), &"demo".into()));
}

#[test]
fn full_ends_with_the_snapshot() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    fill(&source, &FillOptions::mixed(500));
    let library = "#!lua name=mylib\nredis.register_function('f', function() return 1 end)";
    source.cmd(&["FUNCTION", "LOAD", library]);
    ends(migrate(&["--from", &source.url(), "--to", &target.url(), "--mode", "full"]), 0);
    assert_same(&source, &target);
    assert_eq!(target.cmd(&["FCALL", "f", "0"]), Reply::Int(1));
}

#[test]
fn cached_scripts_of_the_snapshot_are_loaded() {
    let (source, target) = (Server::start("redis-5.0"), Server::start("redis-7.0"));
    let sha = source.cmd(&["SCRIPT", "LOAD", "return 'cached'"]);
    let Reply::BulkString(sha) = sha else { panic!("{sha:?}") };
    ends(migrate(&["--from", &source.url(), "--to", &target.url(), "--mode", "full"]), 0);
    assert_eq!(target.cmd(&[b"EVALSHA".as_slice(), &sha, b"0"]), Reply::BulkString(b"cached".to_vec()));
}

#[test]
fn until_caught_up_ends_by_itself_while_writes_go_on() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    fill(&source, &FillOptions::mixed(500));
    let load = Load::start(&source, LoadOptions::default());
    load.wait_for(1_000, LONG);
    // In a database that the load does not touch.
    select(&source, 5, &["SET", "written before", "yes"]);
    let finished = ends(migrate(&["--from", &source.url(), "--to", &target.url(), "--until", "caught-up"]), 0);
    load.stop();
    assert_eq!(select(&target, 5, &["GET", "written before"]), Reply::BulkString(b"yes".to_vec()));
    assert_eq!(summary(&finished)["phase"], "live");
}

#[test]
fn an_rdb_file_is_a_source() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-8.2"));
    fill(&source, &FillOptions::mixed(500));
    source.cmd(&["SAVE"]);
    let file = source.dir().join("dump.rdb");
    let finished = ends(migrate(&["--from", file.to_str().unwrap(), "--to", &target.url()]), 0);
    assert_same(&source, &target);
    assert_eq!(summary(&finished)["phase"], "snapshot");
}

#[test]
fn one_database_into_another() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    fill(&source, &FillOptions::mixed(200));
    source.cmd(&["SWAPDB", "0", "5"]);
    target.cmd(&["SET", "in db 0", "of no concern"]);
    let args =
        ["--from", &format!("{}/5", source.url()), "--to", &format!("{}/7", target.url()), "--until", "caught-up"];
    ends(migrate(&args), 0);
    assert_eq!(target.info("keyspace").keys().map(String::as_str).collect::<Vec<_>>(), ["db0", "db7"]);
    target.cmd(&["SWAPDB", "7", "5"]);
    target.cmd(&["FLUSHDB"]);
    for db in (0..16).filter(|db| *db != 5) {
        select(&source, db, &["FLUSHDB"]);
    }
    assert_same(&source, &target);
}

/// Asks in database `db`.
fn select(server: &Server, db: u32, args: &[&str]) -> Reply {
    let mut connection = server.connection();
    redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
    redis::cmd(args[0]).arg(&args[1..]).query(&mut connection).unwrap()
}

#[test]
fn what_is_not_supported_yet_is_refused_with_status_2() {
    let node = "redis://127.0.0.1:1";
    for args in [
        vec!["--from", "a.rdb", "--to", node, "--state", "/nowhere"],
        vec!["--from", node, "--to", "memory:", "--state", "/nowhere"],
        vec!["--from", node, "--to", node, "--map-db", "0=1"],
    ] {
        let finished = ends(migrate(&args), 2);
        let refused = ["not supported yet", "cannot be resumed yet"].iter().any(|text| finished.stderr.contains(text));
        assert!(refused, "{args:?}: {}", finished.stderr);
        assert_eq!(summary(&finished)["status"], 2);
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_with_status_2() {
    for args in [
        vec!["--from", "redis://127.0.0.1:1"],
        vec!["--from", "redis://", "--to", "memory:"],
        vec!["--from", "ftp://127.0.0.1:1", "--to", "memory:"],
        vec!["--from", "memory:", "--to", "memory:"],
        vec!["--from", "a.rdb", "--to", "memory:", "--mode", "sideways"],
        vec!["--from", "redis://127.0.0.1:1", "--to", "memory:", "--mode", "full", "--until", "caught-up"],
        vec!["--frob"],
    ] {
        ends(migrate(&args), 2);
    }
}

#[test]
fn a_sink_of_ones_own_prints_changes_with_their_offsets() {
    let source = Server::start("redis-7.0");
    source.cmd(&["SET", "user:1", "ann"]);
    source.cmd(&["SET", "other:1", "x"]);
    let program = ChildProgram::example("custom_sink", &[&source.url()]);
    program.wait_for_stdout(LONG, |line| line.ends_with("SET user:1 (db 0)"));
    source.cmd(&["SELECT", "0"]);
    source.cmd(&["HSET", "user:2", "name", "bob"]);
    source.cmd(&["DEL", "other:1"]);
    let line = program.wait_for_stdout(LONG, |line| line.ends_with("HSET user:2 (db 0)"));
    let offset: u64 = line.split(' ').next().unwrap().parse().unwrap();
    let now: u64 = source.info("replication")["master_repl_offset"].parse().unwrap();
    assert!((1..=now).contains(&offset), "{offset} of {now}");
    assert!(!program.stdout().contains("other:1"), "{}", program.stdout());
}

#[test]
fn the_readme_shows_that_sink_as_it_is() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("../README.md")).unwrap();
    let program = std::fs::read_to_string(folder.join("custom_sink/main.rs")).unwrap();
    let code = &program[program.find("use rdts_core").unwrap()..];
    assert!(readme.contains(code.trim_end()), "the README does not show examples/custom_sink/main.rs as it is");
}
