//! The files of a spool, and the directory that they are in.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::format::FilePlace;
use super::{At, damaged, failed};
use crate::error::{Error, ErrorKind, Result};

/// A file with records, up to a length that whoever reads may rely on.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(super) number: u32,
    pub(super) start: At,
    pub(super) len: u32,
    pub(super) path: PathBuf,
}

impl Segment {
    pub(super) fn new(directory: &Path, number: u32, start: At) -> Self {
        let name = match start {
            At::Snapshot(at) => format!("{number:08}-snapshot-{at}.spool"),
            At::Stream(at) => format!("{number:08}-stream-{at}.spool"),
        };
        Self { number, start, len: 0, path: directory.join(name) }
    }

    /// The segment that a file's name says.
    fn of(path: PathBuf) -> Option<Self> {
        let (number, start) = path.file_name()?.to_str()?.strip_suffix(".spool")?.split_once('-')?;
        let start = start.replace('-', " ").parse().ok()?;
        Some(Self { number: number.parse().ok()?, start, len: 0, path })
    }

    /// Those in a directory, by their numbers, which have no gap.
    pub(super) fn list(directory: &Path) -> Result<Vec<Self>> {
        let cannot = |error| failed("the directory of the spool cannot be read", directory, error);
        let mut segments = Vec::new();
        for entry in fs::read_dir(directory).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let Some(mut segment) = Self::of(entry.path()) else { continue };
            let len = entry.metadata().map_err(cannot)?.len();
            segment.len = u32::try_from(len).map_err(|_| damaged(&segment.path, u64::from(u32::MAX), "more data"))?;
            segments.push(segment);
        }
        segments.sort_by_key(|segment| segment.number);
        for pair in segments.windows(2) {
            if pair[0].number + 1 != pair[1].number {
                return Err(damaged(&pair[1].path, 0, "the segment before this one is missing"));
            }
        }
        Ok(segments)
    }
}

/// The segment in which `at` is, from its beginning. One may begin earlier than the one before ends, which is void from there on.
pub(super) fn locate(segments: &VecDeque<Segment>, at: At) -> Option<FilePlace> {
    let segment = segments.iter().rfind(|segment| segment.start <= at)?;
    Some(FilePlace { segment: segment.number, byte: 0 })
}

/// The directory of a spool, which is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    _lock: File,
}

/// A run that ends gives the directory up a moment after it has said so.
const PATIENCE: Duration = Duration::from_secs(2);

impl Directory {
    /// Makes it if need be, and locks it. Blocks.
    pub(super) fn lock(path: &Path) -> Result<Self> {
        let cannot = |error| failed("the directory of the spool cannot be used", path, error);
        fs::create_dir_all(path).map_err(cannot)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(cannot)?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), _lock: lock }),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let text = "this directory is in use: another process keeps its spool there";
                    return Err(Error::new(ErrorKind::Spool, text).at(path.display()));
                }
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
            }
        }
    }
}
