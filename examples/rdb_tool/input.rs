//! The files that are read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rdts_rdb::{Event, ParserOptions, Reader, ValueMode, Version};

use crate::failure::Failure;

/// An RDB file, or standard input.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) reader: Reader<Box<dyn Read>>,
}

impl Input {
    /// Opens `path`; `-` is standard input.
    pub(crate) fn open(path: &Path, options: ParserOptions) -> Result<Self, Failure> {
        let (name, source) = open(path)?;
        Ok(Self { name, reader: Reader::with_options(source, options) })
    }

    /// Reads the file's first bytes, which have its version.
    pub(crate) fn head(&mut self) -> Result<Version, Failure> {
        loop {
            match self.next()? {
                Some(Event::Header(version)) => return Ok(version),
                Some(_) => {}
                None => return Err(Failure::Input(format!("{}: has no header", self.name))),
            }
        }
    }

    /// The next event; `None` behind the last.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Event<'_>>, Failure> {
        self.reader.next_event().map_err(|error| Failure::reading(&self.name, &error))
    }

    /// Where in the file the next event starts.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// How the value of the key that was just delivered is to come.
    pub(crate) fn set_value_mode(&mut self, mode: ValueMode) {
        self.reader.set_value_mode(mode);
    }

    /// After the last event: says so if something follows the RDB, such as the commands of an append-only file, since
    /// nobody looks at it.
    pub(crate) fn finish(self) {
        let (mut source, unread) = self.reader.into_parts();
        let more = !unread.is_empty() || source.read(&mut [0]).is_ok_and(|count| count > 0);
        if more {
            eprintln!("rdb_tool: {}: note: bytes follow the end of the RDB; they are not looked at", self.name);
        }
    }
}

/// Whether `path` means standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A file or standard input, and what messages call it.
pub(crate) fn open(path: &Path) -> Result<(String, Box<dyn Read>), Failure> {
    if is_standard(path) {
        return Ok(("standard input".into(), Box::new(io::stdin().lock())));
    }
    let name = path.display().to_string();
    let cannot = |error: &dyn std::fmt::Display| Failure::usage(format!("{name}: {error}"));
    let file = File::open(path).map_err(|error| cannot(&error))?;
    if file.metadata().map_err(|error| cannot(&error))?.is_dir() {
        return Err(cannot(&"is a directory, not an RDB file"));
    }
    Ok((name, Box::new(file)))
}
