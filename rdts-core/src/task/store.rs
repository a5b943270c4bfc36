//! Where tasks are kept.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::machine::Task;
use super::spec::TaskId;
use crate::error::{Error, ErrorKind, Result};

/// Keeps tasks over restarts. Called at changes of a task's state alone, a few times in its life, and not at the same time.
pub trait TaskStore: Send + 'static {
    /// All tasks that are kept.
    ///
    /// # Errors
    /// If any of them cannot be read, which one.
    fn load(&mut self) -> Result<Vec<Task>>;

    /// Keeps `task`, in place of what was kept under its id. When this returns, it survives a crash.
    ///
    /// # Errors
    /// If it cannot be kept; what was kept before still is.
    fn save(&mut self, task: &Task) -> Result<()>;

    /// Forgets a task, if it is there.
    ///
    /// # Errors
    /// If it is still kept.
    fn remove(&mut self, id: &TaskId) -> Result<()>;
}

/// Keeps tasks in memory, for tests and for those who need no more. A clone is the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<BTreeMap<TaskId, Task>>>);

impl TaskStore for MemoryStore {
    fn load(&mut self) -> Result<Vec<Task>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect())
    }

    fn save(&mut self, task: &Task) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(task.id.clone(), task.clone());
        Ok(())
    }

    fn remove(&mut self, id: &TaskId) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }
}

/// Keeps each task in a file of its own in one directory: `ID.task.json`, and `lock`, which is held as long as the store is there.
///
/// A file is replaced as a whole: written under another name, brought to the disk, renamed, and the directory brought to the disk.
/// Files hold passwords if the URLs of a task do; directory and files are created for their owner alone.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    _lock: File,
}

/// Which version of the format this version writes, and the only one that it reads.
const FORMAT: u32 = 1;
const SUFFIX: &str = ".task.json";
/// What is being written, and was not finished if it is found.
const NEW: &str = ".task.new";
/// A task is a few hundred bytes; whatever is longer than this was not written here.
const MOST: u64 = 1 << 20;

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    /// Of the task as it is serialised: a disk may change a byte that leaves the text readable.
    crc: u64,
    task: &'a Task,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadBack {
    #[serde(rename = "format")]
    _format: u32,
    crc: u64,
    task: Task,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl FileStore {
    /// The store in `dir`, which is created if it is not there.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io); [`Config`](ErrorKind::Config) if another process, or this one, has it open.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir).map_err(|error| failed("cannot be created", &dir, error))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(|error| failed("cannot be created", &path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Config, "another manager keeps its tasks there").at(dir.display()))
            }
            Err(TryLockError::Error(error)) => Err(failed("cannot be locked", &path, error)),
        }
    }

    fn path(&self, id: &TaskId) -> PathBuf {
        self.dir.join(format!("{id}{SUFFIX}"))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

impl TaskStore for FileStore {
    fn load(&mut self) -> Result<Vec<Task>> {
        let mut tasks = Vec::new();
        let unreadable = |error| failed("cannot be read", &self.dir, error);
        for entry in fs::read_dir(&self.dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(NEW) {
                // The one before it is whole.
                fs::remove_file(&path).map_err(|error| failed("cannot be removed", &path, error))?;
            } else if let Some(id) = name.strip_suffix(SUFFIX) {
                tasks.push(read(&path, id)?);
            }
        }
        tasks.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(tasks)
    }

    fn save(&mut self, task: &Task) -> Result<()> {
        let (path, new) = (self.path(&task.id), self.dir.join(format!("{}{NEW}", task.id)));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let write = || {
            let written = Written { format: FORMAT, crc: checksum(task)?, task };
            let mut file = options.open(&new)?;
            file.write_all(serde_json::to_string_pretty(&written)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            self.sync()
        };
        write().map_err(|error| failed("cannot be written", &path, error))
    }

    fn remove(&mut self, id: &TaskId) -> Result<()> {
        let path = self.path(id);
        match fs::remove_file(&path).and_then(|()| self.sync()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("cannot be removed", &path, error)),
            _ => Ok(()),
        }
    }
}

fn read(path: &Path, id: &str) -> Result<Task> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut text));
    read.map_err(|error| failed("cannot be read", path, error))?;
    let damaged = |text: String| Error::new(ErrorKind::StoreDamaged, text).at(path.display());
    if text.len() as u64 > MOST {
        return Err(damaged("is too long to hold a task".to_owned()));
    }
    let nonsense = |error: serde_json::Error| damaged(format!("is no task: {error}"));
    let Format { format } = serde_json::from_slice(&text).map_err(nonsense)?;
    if format != FORMAT {
        return Err(damaged(format!("has format {format}, and this version knows format {FORMAT} alone")));
    }
    let ReadBack { crc, task, .. } = serde_json::from_slice(&text).map_err(nonsense)?;
    if checksum(&task).ok() != Some(crc) {
        return Err(damaged("was changed after it was written: its checksum is another one".to_owned()));
    }
    if task.id.as_str() != id {
        return Err(damaged(format!("holds task {}", task.id)));
    }
    Ok(task)
}

fn checksum(task: &Task) -> io::Result<u64> {
    Ok(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Redis, &serde_json::to_vec(task)?))
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, what).with_source(error).at(path.display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::task::{Event, Failure, Spec};

    fn task(id: &str) -> Task {
        let mut task = Task::new(TaskId::new(id).unwrap(), Spec::new("redis://:pw@a", "redis://b").option("x", "y"));
        task.apply(Event::Refused(Failure::new(ErrorKind::Auth, "no"))).unwrap();
        task
    }

    #[test]
    fn what_was_saved_is_there_in_the_next_life_and_what_was_not_finished_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(dir.path().join("a/b")).unwrap();
        assert_eq!(store.load().unwrap(), []);
        let (one, mut two) = (task("one"), task("two"));
        store.save(&two).unwrap();
        store.save(&one).unwrap();
        two.apply(Event::Delete).unwrap();
        store.save(&two).unwrap();
        assert_eq!(FileStore::open(dir.path().join("a/b")).unwrap_err().kind(), ErrorKind::Config);
        drop(store);
        fs::write(dir.path().join("a/b/one.task.new"), "{\"form").unwrap();
        let mut store = FileStore::open(dir.path().join("a/b")).unwrap();
        assert_eq!(store.load().unwrap(), [one.clone(), two]);
        assert!(!dir.path().join("a/b/one.task.new").exists());
        store.remove(&TaskId::new("two").unwrap()).unwrap();
        store.remove(&TaskId::new("two").unwrap()).unwrap();
        assert_eq!(store.load().unwrap(), [one]);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("store");
        FileStore::open(&at).unwrap().save(&task("t")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
        assert_eq!((mode(&at), mode(&at.join("t.task.json"))), (0, 0));
    }

    #[test]
    fn every_damage_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(dir.path()).unwrap();
        store.save(&task("t")).unwrap();
        let path = dir.path().join("t.task.json");
        let whole = fs::read(&path).unwrap();
        let check = |store: &mut FileStore, bytes: &[u8], what: &str| {
            fs::write(&path, bytes).unwrap();
            let error = store.load().expect_err(what);
            assert_eq!(error.kind(), ErrorKind::StoreDamaged, "{what}: {error}");
            assert!(error.to_string().contains("t.task.json"), "{error}");
        };
        for length in 0..whole.len() {
            check(&mut store, &whole[..length], "cut");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            // White space may become another.
            if !whole[at].is_ascii_whitespace() {
                check(&mut store, &bytes, &String::from_utf8_lossy(&bytes));
            }
        }
        let text = String::from_utf8(whole.clone()).unwrap();
        check(&mut store, text.replace("\"format\": 1", "\"format\": 2").as_bytes(), "another format");
        check(&mut store, &vec![b' '; usize::try_from(MOST).unwrap() + 1], "too long");
        fs::write(&path, &whole).unwrap();
        fs::rename(&path, dir.path().join("u.task.json")).unwrap();
        assert_eq!(store.load().unwrap_err().kind(), ErrorKind::StoreDamaged);
    }
}
