//! The manager with a migrator that does as it is told.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::ErrorKind;
use crate::task::{Ended, Failure, MemoryStore, Run, StepStatus, Validation};

/// Does what the URL of the source says.
#[derive(Default)]
struct Scripted {
    runs: AtomicU32,
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "as told")
}

impl Migrator for Scripted {
    async fn validate(&self, task: &Task) -> Result<Validation> {
        match task.spec.from.as_str() {
            "invalid" => Ok(Validation::Refused(Failure::new(ErrorKind::Auth, "wrong password"))),
            "unknown" => Err(error(ErrorKind::Io)),
            "validate for ever" => std::future::pending().await,
            _ => Ok(Validation::Passed(vec!["mind the step".to_owned()])),
        }
    }

    async fn prepare(&self, task: &Task) -> Result<()> {
        match task.spec.from.as_str() {
            "no start" => Err(error(ErrorKind::Connect)),
            "start for ever" => std::future::pending().await,
            _ => Ok(()),
        }
    }

    async fn run(&self, task: &Task, run: Run) -> Result<Ended> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        match task.spec.from.as_str() {
            "lost" if number == 0 => return Err(error(ErrorKind::Disconnected)),
            "rejected" => return Err(error(ErrorKind::Rejected)),
            "panic" => panic!("as told"),
            "deaf" => std::future::pending().await,
            "short" => return Ok(Ended::Complete),
            _ => {}
        }
        let steering = run.steering();
        run.report(Progress { ready: !steering.is_paused(), paused: steering.is_paused(), ..Progress::default() });
        tokio::select! {
            () = steering.stop_asked(1) => Ok(Ended::Stopped),
            () = steering.finish_asked() => Ok(Ended::Complete),
            () = steering.pause_asked(true), if !steering.is_paused() => {
                run.report(Progress { paused: true, ..Progress::default() });
                tokio::select! {
                    () = steering.stop_asked(1) => Ok(Ended::Stopped),
                    () = steering.pause_asked(false) => {
                        steering.finish_asked().await;
                        Ok(Ended::Complete)
                    }
                }
            }
        }
    }

    async fn release(&self, task: &Task) -> Result<()> {
        match task.spec.to.as_str() {
            "no release" => Err(error(ErrorKind::Connect)),
            "release for ever" => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn open(store: &MemoryStore) -> TaskManager<Scripted> {
    TaskManager::open(Scripted::default(), store.clone()).unwrap()
}

impl TaskManager<Scripted> {
    async fn comes_to(&self, name: &str, state: State) -> Task {
        self.wait(&id(name), |task| task.state == state).await.unwrap()
    }

    /// Creates, starts and migrates.
    async fn migrating(&self, name: &str, spec: Spec) {
        self.create(id(name), spec).unwrap();
        self.comes_to(name, State::Validated).await;
        self.start(&id(name)).unwrap();
        self.comes_to(name, State::WaitMigrate).await;
        self.migrate(&id(name)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn many_tasks_come_where_their_causes_lead_them() {
    let manager = open(&MemoryStore::default());
    for (from, expected) in [("fine", State::Validated), ("invalid", State::Invalid), ("unknown", State::CreateFailed)]
    {
        let name = from.replace(' ', "-");
        manager.create(id(&name), Spec::new(from, "b")).unwrap();
        assert_eq!(manager.comes_to(&name, expected).await.failure.is_some(), expected.is_failure());
    }
    manager.create(id("s"), Spec::new("no start", "b")).unwrap();
    manager.comes_to("s", State::Validated).await;
    manager.start(&id("s")).unwrap();
    let task = manager.comes_to("s", State::StartFailed).await;
    assert!(task.failure.unwrap().remedy.unwrap().contains("host and port"));
    for (from, expected) in [
        ("short", State::Migrated),
        ("lost", State::Error),
        ("rejected", State::MigrateFailed),
        ("panic", State::MigrateFailed),
    ] {
        let manager = open(&MemoryStore::default());
        manager.migrating("t", Spec::new(from, "b")).await;
        manager.comes_to("t", expected).await;
        if expected == State::Error {
            manager.remigrate(&id("t")).unwrap();
            manager.finish(&id("t")).unwrap();
            manager.comes_to("t", State::Migrated).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_a_migration_whether_it_listens_or_not() {
    for from in ["fine", "deaf"] {
        let manager = open(&MemoryStore::default());
        let start = tokio::time::Instant::now();
        manager.migrating("t", Spec::new(from, "b").time_limit(Duration::from_secs(100))).await;
        let task = manager.comes_to("t", State::MigrateTimeout).await;
        assert!(task.failure.unwrap().reason.contains("100 s"));
        // The limit, and at most the grace.
        assert!((99..=111).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_migration_is_paused_finished_cancelled_and_deleted() {
    let manager = open(&MemoryStore::default());
    let mut changes = manager.changes();
    manager.migrating("t", Spec::new("fine", "b")).await;
    let ready = |task: &Task| task.steps.migrate_and_check == StepStatus::Success;
    manager.wait(&id("t"), ready).await.unwrap();
    assert_eq!(manager.delete(&id("t")).unwrap_err().kind(), ErrorKind::Refused);
    let mut updates = manager.updates(&id("t")).unwrap();
    manager.pause(&id("t")).unwrap();
    while !updates.next().await.unwrap().paused {}
    assert_eq!(manager.finish(&id("t")).unwrap_err().kind(), ErrorKind::Refused);
    manager.resume(&id("t")).unwrap();
    manager.finish(&id("t")).unwrap();
    manager.comes_to("t", State::Migrated).await;
    manager.clients_via_proxy(&id("t"), 2).unwrap();
    assert_eq!(manager.delete(&id("t")).unwrap_err().kind(), ErrorKind::Refused);
    manager.clients_via_proxy(&id("t"), 0).unwrap();
    manager.delete(&id("t")).unwrap();
    while changes.next().await.unwrap() != Change::Removed(id("t")) {}
    assert_eq!(manager.get(&id("t")).unwrap_err().kind(), ErrorKind::Config);

    manager.migrating("u", Spec::new("fine", "no release")).await;
    manager.cancel(&id("u")).unwrap();
    manager.comes_to("u", State::MigrateFailed).await;
    assert_eq!(manager.create(id("u"), Spec::new("a", "b")).unwrap_err().kind(), ErrorKind::Config);
    manager.delete(&id("u")).unwrap();
    manager.wait(&id("u"), |task| task.state == State::Deleting && task.failure.is_some()).await.unwrap();
    manager.delete(&id("u")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_manager_takes_tasks_up_where_they_were() {
    let store = MemoryStore::default();
    let manager = open(&store);
    for (name, from) in
        [("v", "validate for ever"), ("s", "start for ever"), ("w", "fine"), ("m", "fine"), ("p", "fine")]
    {
        manager.create(id(name), Spec::new(from, if name == "w" { "release for ever" } else { "b" })).unwrap();
    }
    for name in ["s", "w", "m", "p"] {
        manager.comes_to(name, State::Validated).await;
        manager.start(&id(name)).unwrap();
    }
    for name in ["m", "p"] {
        manager.comes_to(name, State::WaitMigrate).await;
        manager.migrate(&id(name)).unwrap();
    }
    manager.comes_to("w", State::WaitMigrate).await;
    manager.delete(&id("w")).unwrap();
    manager.pause(&id("p")).unwrap();
    let states = |manager: &TaskManager<Scripted>| -> Vec<(String, State, bool)> {
        manager.tasks().iter().map(|task| (task.id.to_string(), task.state, task.paused)).collect()
    };
    let before = states(&manager);
    drop(manager);

    let manager = open(&store);
    assert_eq!(states(&manager), before);
    manager.resume(&id("p")).unwrap();
    for name in ["m", "p"] {
        manager.finish(&id(name)).unwrap();
    }
    // Once more before they have got anywhere.
    manager.close().await;
    let manager = open(&store);
    for name in ["m", "p"] {
        manager.comes_to(name, State::Migrated).await;
    }
    assert_eq!(manager.get(&id("w")).unwrap().state, State::Deleting);
}

/// Keeps nothing once its disk is full.
struct Full(bool);

impl TaskStore for Full {
    fn load(&mut self) -> Result<Vec<Task>> {
        Ok(Vec::new())
    }
    fn save(&mut self, _: &Task) -> Result<()> {
        if std::mem::replace(&mut self.0, true) { Err(error(ErrorKind::Io)) } else { Ok(()) }
    }
    fn remove(&mut self, _: &TaskId) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_does_not_happen_but_for_what_has_happened() {
    let manager = TaskManager::open(Scripted::default(), Full(false)).unwrap();
    manager.create(id("t"), Spec::new("fine", "b")).unwrap();
    manager.comes_to("t", State::Validated).await;
    assert_eq!(manager.start(&id("t")).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(manager.get(&id("t")).unwrap().state, State::Validated);
    assert_eq!(manager.create(id("u"), Spec::new("fine", "b")).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(manager.tasks().len(), 1);
}
