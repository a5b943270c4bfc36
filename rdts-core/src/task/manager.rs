//! Many tasks in one process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::changes::{Change, Changes};
use super::event::Event;
use super::machine::Task;
use super::migrator::Migrator;
use super::spec::{Spec, TaskId};
use super::state::State;
use super::steering::Steering;
use super::store::TaskStore;
use crate::error::{Error, Result};
use crate::metrics;
use crate::progress::{Progress, Updates};

mod work;

/// Runs tasks: keeps them in a store, has a [`Migrator`] do what they say, and leads them through their [states](super#states).
///
/// A change of a task is in the store before anybody sees it. When the manager is dropped, everything that runs is given up, as by a crash;
/// [`close`](Self::close) lets it come to an orderly end. Either way a new manager with the same store takes the tasks up where they
/// were: what was being validated is validated again, what was being migrated is migrated on.
///
/// Its functions have to be called inside a tokio runtime.
pub struct TaskManager<M> {
    shared: Arc<Shared<M>>,
    workers: Mutex<JoinSet<()>>,
}

struct Shared<M> {
    migrator: M,
    inner: Mutex<Inner>,
    changed: broadcast::Sender<Change>,
}

struct Inner {
    store: Box<dyn TaskStore>,
    tasks: BTreeMap<TaskId, Entry>,
    /// What stops is to be gone on with by the next manager.
    closing: bool,
}

struct Entry {
    task: Task,
    /// Of the run that is under way, or was the last.
    steering: Steering,
    progress: watch::Receiver<Progress>,
    /// Whether somebody gave the run up.
    cancelled: bool,
}

impl Entry {
    fn new(task: Task) -> Self {
        // Nothing will be sent, and what is there can be read all the same.
        let (_, progress) = watch::channel(Progress::default());
        Self { task, steering: Steering::default(), progress, cancelled: false }
    }
}

/// So many changes may wait for somebody who looks at them.
const CHANGES: usize = 1024;

impl<M: Migrator> TaskManager<M> {
    /// Takes up the tasks of `store` where they were.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn open(migrator: M, mut store: impl TaskStore) -> Result<Self> {
        let tasks = store.load()?;
        let entries = tasks.into_iter().map(|task| (task.id.clone(), Entry::new(task))).collect();
        let inner = Inner { store: Box::new(store), tasks: entries, closing: false };
        let shared = Shared { migrator, inner: Mutex::new(inner), changed: broadcast::Sender::new(CHANGES) };
        let manager = Self { shared: Arc::new(shared), workers: Mutex::default() };
        for task in manager.tasks() {
            tracing::info!(task = %task.id, state = %task.state, "taken up");
            metrics::record_state(task.id.as_str(), Some(task.state));
            manager.work_on(task);
        }
        Ok(manager)
    }

    /// A new task, which is being validated when this returns.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) if there is one of that name; what the store says.
    pub fn create(&self, id: TaskId, spec: Spec) -> Result<Task> {
        let task = {
            let mut inner = self.shared.lock();
            if inner.tasks.contains_key(&id) {
                return Err(Error::config("there is a task of that name").at(&id));
            }
            let task = Task::new(id.clone(), spec);
            inner.store.save(&task)?;
            inner.tasks.insert(id, Entry::new(task.clone()));
            task
        };
        self.shared.tell(&task);
        self.work_on(task.clone());
        Ok(task)
    }

    /// Changes what a task that was not started is to do; it is validated again.
    ///
    /// # Errors
    /// As those of every change of a task: [`Config`](crate::ErrorKind::Config) if there is no such task, [`Refused`](crate::ErrorKind::Refused) if its
    /// state does not allow for it, what the store says.
    pub fn modify(&self, id: &TaskId, spec: Spec) -> Result<Task> {
        self.begin(id, Event::Modify(spec))
    }

    /// Has a task prepared for its migration.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn start(&self, id: &TaskId) -> Result<Task> {
        self.begin(id, Event::Start)
    }

    /// Has a task that was started migrated.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn migrate(&self, id: &TaskId) -> Result<Task> {
        self.begin(id, Event::Migrate(now()))
    }

    /// The same once more, after a failure or a time-out. The time limit counts anew.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn remigrate(&self, id: &TaskId) -> Result<Task> {
        self.begin(id, Event::Remigrate(now()))
    }

    /// Deletes a task with all that it has left, outside the data itself. Refused while it is being migrated, and while clients use its
    /// proxy.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn delete(&self, id: &TaskId) -> Result<Task> {
        let task = self.get(id)?;
        // Otherwise this is another attempt, after one that failed.
        if task.state == State::Deleting && task.failure.is_none() {
            return Ok(task);
        }
        self.begin(id, Event::Delete)
    }

    /// Pauses a migration; see [`Control::pause`](crate::control::Control::pause) for what that means for its source.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn pause(&self, id: &TaskId) -> Result<Task> {
        self.steer(id, Event::Pause, |steering| steering.set_paused(true))
    }

    /// Lets a paused migration go on.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn resume(&self, id: &TaskId) -> Result<Task> {
        self.steer(id, Event::Resume, |steering| steering.set_paused(false))
    }

    /// Lets a migration come to its end: with everything that the source has at this moment. To be called when nobody writes to the
    /// source any more.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn finish(&self, id: &TaskId) -> Result<Task> {
        self.steer(id, Event::Finish, Steering::finish)
    }

    /// Gives a migration up. When it has come to a stop, the task is [`MigrateFailed`](State::MigrateFailed), and can be migrated again or
    /// deleted.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn cancel(&self, id: &TaskId) -> Result<Task> {
        let mut inner = self.shared.lock();
        let entry = inner.entry(id)?;
        entry.task.clone().apply(Event::Cancel)?;
        entry.cancelled = true;
        stop_at_once(&entry.steering);
        Ok(entry.task.clone())
    }

    /// So many clients are connected to the task's proxy, says whoever runs it.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn clients_via_proxy(&self, id: &TaskId, clients: u32) -> Result<Task> {
        self.shared.change(id, Event::Clients(clients))
    }

    /// The clients of the task's proxy have been led to the target, says whoever runs it.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn redirected(&self, id: &TaskId) -> Result<Task> {
        self.shared.change(id, Event::Redirected)
    }

    /// All tasks, by their names.
    pub fn tasks(&self) -> Vec<Task> {
        self.shared.lock().tasks.values().map(|entry| entry.task.clone()).collect()
    }

    /// A task.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) if there is no such task.
    pub fn get(&self, id: &TaskId) -> Result<Task> {
        Ok(self.shared.lock().entry(id)?.task.clone())
    }

    /// How far the migration of a task is, or was at its end in this process.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn progress(&self, id: &TaskId) -> Result<Progress> {
        Ok(*self.shared.lock().entry(id)?.progress.borrow())
    }

    /// How far the present run of its migration is, again and again, until it ends.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn updates(&self, id: &TaskId) -> Result<Updates> {
        Ok(Updates::new(self.shared.lock().entry(id)?.progress.clone()))
    }

    /// What becomes of the tasks from now on.
    pub fn changes(&self) -> Changes {
        Changes::new(self.shared.changed.subscribe())
    }

    /// Waits until `wanted` is true of a task. Cancel safe.
    ///
    /// # Errors
    /// As [`get`](Self::get), also when the task is removed meanwhile.
    pub async fn wait(&self, id: &TaskId, mut wanted: impl FnMut(&Task) -> bool) -> Result<Task> {
        let mut changes = self.shared.changed.subscribe();
        loop {
            let task = self.get(id)?;
            if wanted(&task) {
                return Ok(task);
            }
            // One that was missed does not matter: what counts is the task as it is.
            let _ = changes.recv().await;
        }
    }

    /// Stops what runs, in such a way that it goes on with the next manager, and waits for that.
    pub async fn close(self) {
        {
            let mut inner = self.shared.lock();
            inner.closing = true;
            inner.tasks.values().for_each(|entry| entry.steering.stop());
        }
        let mut workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        if tokio::time::timeout(CLOSING, async { while workers.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("not everything stopped in time; it is given up");
        }
    }

    /// A change after which somebody has something to do.
    fn begin(&self, id: &TaskId, event: Event) -> Result<Task> {
        let task = self.shared.change(id, event)?;
        self.work_on(task.clone());
        Ok(task)
    }

    fn steer(&self, id: &TaskId, event: Event, how: impl FnOnce(&Steering)) -> Result<Task> {
        let task = self.shared.change(id, event)?;
        how(&self.shared.lock().entry(id)?.steering);
        Ok(task)
    }

    /// Has done what the state of a task asks for.
    fn work_on(&self, task: Task) {
        if !task.state.is_active() {
            return;
        }
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        while workers.try_join_next().is_some() {}
        workers.spawn(work::work(self.shared.clone(), task));
    }
}

/// How long a manager that is closed waits for what runs.
const CLOSING: Duration = Duration::from_secs(60);

fn stop_at_once(steering: &Steering) {
    steering.stop();
    steering.stop();
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Inner {
    fn entry(&mut self, id: &TaskId) -> Result<&mut Entry> {
        self.tasks.get_mut(id).ok_or_else(|| Error::config("there is no task of that name").at(id))
    }
}

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets something happen to a task that somebody asked for: if it cannot be kept, it does not happen.
    fn change(&self, id: &TaskId, event: Event) -> Result<Task> {
        let mut inner = self.lock();
        let Inner { store, tasks, .. } = &mut *inner;
        let entry = tasks.get_mut(id).ok_or_else(|| Error::config("there is no task of that name").at(id))?;
        let mut task = entry.task.clone();
        task.apply(event)?;
        store.save(&task)?;
        if task.state == State::Migrating && entry.task.state != State::Migrating {
            (entry.steering, entry.cancelled) = (Steering::default(), false);
        }
        entry.task = task.clone();
        drop(inner);
        self.tell(&task);
        Ok(task)
    }

    /// Something has happened to a task. That it cannot be kept does not undo it: after a restart it will be found out again.
    fn happened(&self, id: &TaskId, event: Event) {
        let mut inner = self.lock();
        let Inner { store, tasks, .. } = &mut *inner;
        let Some(entry) = tasks.get_mut(id) else { return };
        if let Err(refused) = entry.task.apply(event) {
            return tracing::debug!(task = %id, %refused, "too late");
        }
        let task = entry.task.clone();
        if let Err(error) = store.save(&task) {
            tracing::error!(task = %id, %error, "the state of a task cannot be kept");
        }
        drop(inner);
        self.tell(&task);
    }

    /// A task is gone.
    fn removed(&self, id: &TaskId) -> Result<()> {
        let mut inner = self.lock();
        inner.store.remove(id)?;
        inner.tasks.remove(id);
        drop(inner);
        tracing::info!(task = %id, "deleted");
        metrics::record_state(id.as_str(), None);
        let _ = self.changed.send(Change::Removed(id.clone()));
        Ok(())
    }

    /// Tells those who look at changes; that there is nobody is no error.
    fn tell(&self, task: &Task) {
        match &task.failure {
            Some(failure) => tracing::warn!(task = %task.id, state = %task.state, %failure, "task"),
            None => tracing::info!(task = %task.id, state = %task.state, "task"),
        }
        metrics::record_state(task.id.as_str(), Some(task.state));
        let _ = self.changed.send(Change::Task(Box::new(task.clone())));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

impl<M> fmt::Debug for TaskManager<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.shared.lock();
        let tasks: Vec<_> = inner.tasks.values().map(|entry| (entry.task.id.as_str(), entry.task.state)).collect();
        f.debug_struct("TaskManager").field("tasks", &tasks).finish_non_exhaustive()
    }
}
