//! The files that are written.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::input::is_standard;

/// A file that appears under its name once it is whole, or standard output. Dropped before [`finish`](Self::finish), it leaves nothing.
pub(crate) struct Output {
    name: String,
    /// Where it is written and where it will be; `None` for standard output.
    place: Option<(PathBuf, PathBuf)>,
    out: BufWriter<Box<dyn Write>>,
}

impl Output {
    /// Creates `path`; `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            let out: Box<dyn Write> = Box::new(io::stdout().lock());
            return Ok(Self {
                name: "standard output".into(),
                place: None,
                out: BufWriter::with_capacity(BUFFER, out),
            });
        }
        let name = path.display().to_string();
        let Some(file_name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(Failure::usage(format!("{name}: is not a file's name")));
        };
        let mut partial = file_name.to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(partial);
        let file = File::create(&partial).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        let out: Box<dyn Write> = Box::new(file);
        Ok(Self { name, place: Some((partial, path.to_owned())), out: BufWriter::with_capacity(BUFFER, out) })
    }

    /// Writes with `write`.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        write(&mut self.out).map_err(|error| Failure::writing(&self.name, &error))
    }

    /// The whole of it is there: it gets its name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let renamed = self.out.flush().and_then(|()| match &self.place {
            Some((partial, path)) => fs::rename(partial, path),
            None => Ok(()),
        });
        renamed.map_err(|error| Failure::writing(&self.name, &error))?;
        self.place = None;
        Ok(())
    }
}

const BUFFER: usize = 1 << 17;

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((partial, _)) = &self.place {
            // It may be gone, and there is nobody left to tell.
            let _ = fs::remove_file(partial);
        }
    }
}
