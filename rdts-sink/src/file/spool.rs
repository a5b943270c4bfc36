//! A value that waits until its length is known.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::PathBuf;

/// So much of a value is kept in memory; what is longer goes to a file.
const IN_MEMORY: usize = 16 << 20;

/// Bytes that are written once and read once.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl Spool {
    /// `path` is where the file goes, if one is needed.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, memory: Vec::new(), file: None, length: 0 }
    }

    /// Where bytes are to be appended; [`settle`](Self::settle) is to be called after that.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// Moves what is too much for the memory to the file.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.memory.len() < IN_MEMORY {
            return Ok(());
        }
        self.spill()
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let options =
                    fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path)?;
                self.file.insert(options)
            }
        };
        file.write_all(&self.memory)?;
        self.length += self.memory.len() as u64;
        self.memory.clear();
        self.memory.shrink_to(IN_MEMORY / 16);
        Ok(())
    }

    /// How many bytes were written.
    pub(super) fn len(&self) -> u64 {
        self.length + self.memory.len() as u64
    }

    /// Reads all of it, from the start.
    pub(super) fn read(&mut self) -> io::Result<Box<dyn Read + '_>> {
        if self.file.is_some() {
            self.spill()?;
        }
        match &mut self.file {
            None => Ok(Box::new(&self.memory[..])),
            Some(file) => {
                file.rewind()?;
                Ok(Box::new(BufReader::with_capacity(256 << 10, file)))
            }
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whether_it_fits_in_memory_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        for pieces in [0, 1, 3, 40] {
            let mut spool = Spool::new(path.clone());
            let mut expected = Vec::new();
            for number in 0..pieces {
                let piece = vec![number; 1 << 20];
                spool.buffer().extend_from_slice(&piece);
                spool.settle().unwrap();
                expected.extend(piece);
            }
            assert_eq!(spool.len(), expected.len() as u64);
            assert_eq!(path.exists(), pieces >= 16);
            let mut found = Vec::new();
            spool.read().unwrap().read_to_end(&mut found).unwrap();
            assert!(found == expected, "{pieces}");
            drop(spool);
            assert!(!path.exists());
        }
    }
}
