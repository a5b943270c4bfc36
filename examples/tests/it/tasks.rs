//! Tasks on real servers: each state by what really leads there.

use std::time::Duration;

use rdts_core::progress::{Phase, Progress, ReadyWhen};
use rdts_core::task::{FileStore, Spec, State, StepStatus, Task, TaskId, TaskManager};
use rdts_examples::migration::Deployments;
use rdts_testkit::{FaultProxy, FillOptions, Load, LoadOptions, Server, assert_same, fill, wait_until};
use redis::Value;
use tempfile::TempDir;

use crate::support::LONG;

type Manager = TaskManager<Deployments>;

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

/// A manager in `dir` that calls a migration ready sooner than people would.
fn open(dir: &TempDir) -> Manager {
    let ready_when = ReadyWhen::default().during(Duration::from_secs(1));
    let migrator = Deployments::new(dir.path().join("state")).ready_when(ready_when);
    TaskManager::open(migrator, FileStore::open(dir.path().join("tasks")).unwrap()).unwrap()
}

async fn until(manager: &Manager, name: &str, wanted: impl FnMut(&Task) -> bool) -> Task {
    match tokio::time::timeout(LONG, manager.wait(&id(name), wanted)).await {
        Ok(task) => task.unwrap(),
        Err(_) => panic!("{:?}, {:?}", manager.get(&id(name)), manager.progress(&id(name))),
    }
}

async fn comes_to(manager: &Manager, name: &str, state: State) -> Task {
    until(manager, name, |task| {
        assert!(task.state == state || task.state.is_active() || !task.state.is_failure(), "{task:?}");
        task.state == state
    })
    .await
}

/// Creates, starts and migrates.
async fn migrate(manager: &Manager, name: &str, spec: Spec) {
    manager.create(id(name), spec).unwrap();
    comes_to(manager, name, State::Validated).await;
    manager.start(&id(name)).unwrap();
    comes_to(manager, name, State::WaitMigrate).await;
    manager.migrate(&id(name)).unwrap();
}

/// Waits until the target is up to date and stays so.
async fn is_ready(manager: &Manager, name: &str) {
    until(manager, name, |task| {
        assert_eq!(task.state, State::Migrating, "{task:?}");
        task.steps.migrate_and_check == StepStatus::Success
    })
    .await;
}

async fn is_live(manager: &Manager, name: &str) {
    let mut updates = manager.updates(&id(name)).unwrap();
    let live = async { while updates.latest().phase != Phase::Stream && updates.next().await.is_some() {} };
    tokio::time::timeout(LONG, live).await.unwrap();
}

async fn has_no_lag(manager: &Manager, name: &str) -> Progress {
    let mut updates = manager.updates(&id(name)).unwrap();
    let caught_up = async {
        loop {
            let now = updates.latest();
            if (now.lag_bytes, now.lag) == (Some(0), Some(Duration::ZERO)) {
                return now;
            }
            updates.next().await.unwrap();
        }
    };
    tokio::time::timeout(LONG, caught_up).await.unwrap()
}

async fn finish(manager: &Manager, name: &str) {
    manager.finish(&id(name)).unwrap();
    let task = comes_to(manager, name, State::Migrated).await;
    assert_eq!(task.steps.migrate_finish, StepStatus::Success);
}

async fn delete(manager: &Manager, name: &str) {
    manager.delete(&id(name)).unwrap();
    let gone = async {
        while manager.get(&id(name)).is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
}

fn own_keys(server: &Server) -> Value {
    server.cmd(&["KEYS", "rdts:*"])
}

/// What a failed task says.
fn reason(task: &Task) -> String {
    let failure = task.failure.as_ref().unwrap();
    format!("{}: {}; {}", failure.kind, failure.reason, failure.remedy.as_deref().unwrap_or("no remedy"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_not_finished_as_long_as_its_sides_differ() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    for key in ["user:1", "order:1"] {
        source.cmd(&["SET", key, "value"]);
    }
    let manager = open(&dir);
    let spec = Spec::new(source.url(), target.url()).option("verify", "yes").option("only-key", "user:*");
    migrate(&manager, "a", spec).await;
    is_ready(&manager, "a").await;
    target.cmd(&["SET", "user:2", "of somebody else"]);
    manager.finish(&id("a")).unwrap();
    let task = comes_to(&manager, "a", State::MigrateFailed).await;
    assert!(reason(&task).contains("user:2"), "{}", reason(&task));
    assert_eq!(target.cmd(&["EXISTS", "order:1"]), Value::Int(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tasks_at_once_from_creation_to_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let manager = open(&dir);
    let servers: Vec<(Server, Server)> =
        (0..3).map(|_| (Server::start("redis-7.0"), Server::start("valkey-8.1"))).collect();
    let names = ["a", "b", "c"];
    for (name, (source, target)) in names.into_iter().zip(&servers) {
        fill(source, &FillOptions::mixed(500));
        migrate(&manager, name, Spec::new(source.url(), target.url()).option("verify", "yes")).await;
    }
    let load = Load::start(&servers[0].0, LoadOptions::default());
    load.wait_for(1_000, LONG);
    for name in names {
        is_live(&manager, name).await;
    }
    load.stop();
    for (name, (source, target)) in names.into_iter().zip(&servers) {
        is_ready(&manager, name).await;
        // Nobody writes any more.
        let progress = has_no_lag(&manager, name).await;
        assert_eq!((progress.percent, progress.phase), (Some(100.0), Phase::Stream), "{progress:?}");
        assert!(progress.source.keys.unwrap() >= 400 && progress.target.keys >= 400, "{progress:?}");
        manager.clients_via_proxy(&id(name), 1).unwrap();
        assert!(manager.finish(&id(name)).unwrap_err().to_string().contains("led to the target"));
        manager.redirected(&id(name)).unwrap();
        finish(&manager, name).await;
        assert_same(source, target);
        assert!(manager.delete(&id(name)).unwrap_err().to_string().contains("clients"));
        manager.clients_via_proxy(&id(name), 0).unwrap();
        delete(&manager, name).await;
        assert_eq!(own_keys(target), Value::Array(vec![]));
    }
    assert_eq!(std::fs::read_dir(dir.path().join("state")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_invalid_until_it_is_modified() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    target.cmd(&["SET", "in the way", "1"]);
    source.cmd(&["CONFIG", "SET", "requirepass", "right"]);
    let with = |password: &str| format!("redis://:{password}@{}", source.addr());
    manager.create(id("t"), Spec::new(with("wrong"), target.url())).unwrap();
    let steps = [
        ("Auth", Spec::new(with("right"), target.url())),
        ("TargetNotEmpty", Spec::new(with("right"), target.url()).option("on-conflict", "perhaps")),
        ("Config", Spec::new(with("right"), "redis://127.0.0.1:1")),
        ("Connect", Spec::new(with("right"), with("right"))),
        ("SameServer", Spec::new(with("right"), target.url()).option("on-conflict", "replace")),
    ];
    for (kind, next) in steps {
        let task = comes_to(&manager, "t", State::Invalid).await;
        assert!(reason(&task).starts_with(kind), "{}", reason(&task));
        assert!(manager.start(&id("t")).is_err());
        manager.modify(&id("t"), next).unwrap();
    }
    comes_to(&manager, "t", State::Validated).await;
    assert_eq!(manager.get(&id("t")).unwrap().failure, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_written_to_says_nothing_about_the_task() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    std::fs::write(dir.path().join("state"), "a file").unwrap();
    manager.create(id("t"), Spec::new(source.url(), target.url())).unwrap();
    let task = comes_to(&manager, "t", State::CreateFailed).await;
    assert!(reason(&task).starts_with("Io"), "{}", reason(&task));
    std::fs::remove_file(dir.path().join("state")).unwrap();
    manager.modify(&id("t"), task.spec).unwrap();
    comes_to(&manager, "t", State::Validated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_a_start_that_failed_and_one_that_is_back_can_be_started() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    manager.create(id("t"), Spec::new(source.url(), target.url()).option("ready-timeout", "1")).unwrap();
    comes_to(&manager, "t", State::Validated).await;
    source.kill();
    manager.start(&id("t")).unwrap();
    let task = comes_to(&manager, "t", State::StartFailed).await;
    assert!(reason(&task).starts_with("Connect"), "{}", reason(&task));
    source.restart();
    manager.start(&id("t")).unwrap();
    comes_to(&manager, "t", State::WaitMigrate).await;
}

#[test]
fn a_source_that_is_lost_is_an_error_and_goes_on_when_it_is_back() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    // It has a runtime of its own.
    let (between, runtime) = (FaultProxy::before(&source), tokio::runtime::Runtime::new().unwrap());
    fill(&source, &FillOptions::mixed(500));
    let manager = runtime.block_on(async {
        let manager = open(&dir);
        migrate(&manager, "t", Spec::new(between.url(), target.url()).option("ready-timeout", "1")).await;
        is_live(&manager, "t").await;
        manager
    });
    between.refuse(true);
    between.cut();
    let task = runtime.block_on(comes_to(&manager, "t", State::Error));
    assert!(task.failure.as_ref().unwrap().passing, "{}", reason(&task));
    assert_eq!(task.steps.migrate_and_check, StepStatus::Fail);
    assert_eq!(manager.progress(&id("t")).unwrap().phase, Phase::Ended);
    Load::run(&source, LoadOptions::default(), 500);
    between.refuse(false);
    runtime.block_on(async {
        manager.remigrate(&id("t")).unwrap();
        finish(&manager, "t").await;
    });
    assert_same(&source, &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_killed_is_an_error_as_well() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    migrate(&manager, "t", Spec::new(source.url(), target.url()).option("ready-timeout", "1")).await;
    is_live(&manager, "t").await;
    source.kill();
    let task = comes_to(&manager, "t", State::Error).await;
    assert!(!task.failure.unwrap().remedy.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_memory_is_a_migration_that_failed_and_goes_on_once_it_has_some() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    migrate(&manager, "t", Spec::new(source.url(), target.url())).await;
    is_live(&manager, "t").await;
    target.cmd(&["CONFIG", "SET", "maxmemory", "1"]);
    source.cmd(&["SET", "k", "v"]);
    let task = comes_to(&manager, "t", State::MigrateFailed).await;
    assert!(reason(&task).contains("OOM") && task.failure.as_ref().unwrap().remedy.is_some(), "{}", reason(&task));
    target.cmd(&["CONFIG", "SET", "maxmemory", "0"]);
    source.cmd(&["INCR", "n"]);
    manager.remigrate(&id("t")).unwrap();
    finish(&manager, "t").await;
    assert_same(&source, &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_ends_a_migration_and_deletion_leaves_nothing_but_data() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    source.cmd(&["SET", "k", "v"]);
    let spec = Spec::new(source.url(), target.url()).time_limit(Duration::from_secs(5));
    migrate(&manager, "t", spec).await;
    assert!(manager.delete(&id("t")).unwrap_err().to_string().contains("migrating"));
    let task = comes_to(&manager, "t", State::MigrateTimeout).await;
    assert!(reason(&task).contains("5 s"), "{}", reason(&task));
    // What has to be removed from a target takes the target.
    target.kill();
    manager.delete(&id("t")).unwrap();
    let failed = until(&manager, "t", |task| task.failure.is_some() && task.state == State::Deleting).await;
    assert!(reason(&failed).starts_with("Connect"), "{}", reason(&failed));
    target.restart();
    delete(&manager, "t").await;
    assert_eq!(own_keys(&target), Value::Array(vec![]));
    assert!(!dir.path().join("state/t").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_what_is_written_back_also_over_a_restart_of_the_manager() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    migrate(&manager, "t", Spec::new(source.url(), target.url())).await;
    is_ready(&manager, "t").await;
    let is_paused = async |manager: &Manager| {
        let mut updates = manager.updates(&id("t")).unwrap();
        let paused = async { while !updates.latest().paused && updates.next().await.is_some() {} };
        tokio::time::timeout(LONG, paused).await.unwrap();
    };
    manager.pause(&id("t")).unwrap();
    is_paused(&manager).await;
    source.cmd(&["SET", "k", "v"]);
    let mut updates = manager.updates(&id("t")).unwrap();
    // It is seen that something is missing, and for how long.
    let behind = async {
        loop {
            let now = updates.next().await.unwrap();
            if now.lag_bytes.is_some_and(|bytes| bytes > 0) && now.lag.is_some_and(|lag| lag > Duration::from_secs(1)) {
                assert!(!now.ready, "{now:?}");
                return;
            }
        }
    };
    tokio::time::timeout(LONG, behind).await.unwrap();
    assert_eq!(target.cmd(&["GET", "k"]), Value::Nil);
    manager.close().await;
    let manager = open(&dir);
    assert!(manager.get(&id("t")).unwrap().paused);
    is_paused(&manager).await;
    assert_eq!(target.cmd(&["GET", "k"]), Value::Nil);
    manager.resume(&id("t")).unwrap();
    wait_until("the write", LONG, || target.cmd(&["GET", "k"]) != Value::Nil);
    finish(&manager, "t").await;
    assert_same(&source, &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_at_rest_makes_no_lag_and_gets_no_writes() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    let manager = open(&dir);
    source.cmd(&["CONFIG", "SET", "repl-ping-replica-period", "1"]);
    source.cmd(&["SET", "k", "v"]);
    source.cmd(&["CONFIG", "RESETSTAT"]);
    migrate(&manager, "t", Spec::new(source.url(), target.url())).await;
    is_ready(&manager, "t").await;
    let offset = || source.info("replication")["master_repl_offset"].parse::<u64>().unwrap();
    let before = offset();
    wait_until("pings in the stream", LONG, || offset() > before + 3 * 14);
    has_no_lag(&manager, "t").await;
    let stats = source.info("commandstats");
    let writes: Vec<&String> = stats
        .keys()
        .filter(|name| ["set", "publish", "del", "incr", "expire"].iter().any(|w| name.ends_with(&format!("_{w}"))))
        .collect();
    assert_eq!(writes, Vec::<&String>::new());
    finish(&manager, "t").await;
}
