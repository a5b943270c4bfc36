//! A file that gets its name at the end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rdts_core::error::{Error, ErrorKind, Result};

use super::{FileOptions, failed};

/// Written under its name with `.partial` behind it.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    /// What remains of a run that failed.
    remains: Remains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remains {
    /// Nothing.
    Removed,
    /// What was written, under its temporary name.
    Kept,
}

/// `path` with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Output {
    pub(super) fn create(path: &Path, options: FileOptions, remains: Remains) -> Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(Error::new(ErrorKind::Io, "is a folder")),
            Ok(_) if !options.overwrite => {
                let text = "there is a file of this name already; it is replaced only if that is asked for";
                return Err(Error::new(ErrorKind::TargetNotEmpty, text));
            }
            _ => {}
        }
        let temporary = beside(path, ".partial");
        let file = File::create(&temporary).map_err(failed)?;
        Ok(Self { path: path.to_owned(), temporary, file, remains })
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(failed)
    }

    /// Gives the file its name, once all of it is on the disk.
    pub(super) fn finish(mut self) -> Result<()> {
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.temporary, &self.path).map_err(failed)?;
        self.remains = Remains::Kept;
        // The name, too, is to survive a loss of power; where a folder cannot be synchronised that is the system's affair.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(folder) = File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.remains == Remains::Removed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
