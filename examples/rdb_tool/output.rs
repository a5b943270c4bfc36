//! The files that are written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::input::is_standard;

/// A file that appears under its name once it is whole, or standard output. Dropped before [`commit`](Self::commit), it
/// leaves nothing.
///
/// It has no buffer.
pub(crate) struct Output {
    pub(crate) name: String,
    /// Where it is written and where it will be; `None` for standard output.
    place: Option<(PathBuf, PathBuf)>,
    out: Box<dyn Write>,
}

impl Output {
    /// Creates `path`; `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            return Ok(Self { name: "standard output".into(), place: None, out: Box::new(io::stdout().lock()) });
        }
        let name = path.display().to_string();
        let Some(file_name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(Failure::usage(format!("{name}: is not a file's name")));
        };
        let mut partial = file_name.to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(partial);
        let file = File::create(&partial).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        Ok(Self { name, place: Some((partial, path.to_owned())), out: Box::new(file) })
    }

    /// The whole of it is there: it gets its name.
    pub(crate) fn commit(mut self) -> Result<(), Failure> {
        let renamed = self.out.flush().and_then(|()| match &self.place {
            Some((partial, path)) => fs::rename(partial, path),
            None => Ok(()),
        });
        renamed.map_err(|error| Failure::writing(&self.name, &error))?;
        self.place = None;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((partial, _)) = &self.place {
            // It may be gone, and there is nobody left to tell.
            let _ = fs::remove_file(partial);
        }
    }
}

/// An output with a buffer, for text.
pub(crate) struct Text {
    name: String,
    out: io::BufWriter<Output>,
}

impl Text {
    /// Creates `path`; `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let output = Output::create(path)?;
        Ok(Self { name: output.name.clone(), out: io::BufWriter::with_capacity(1 << 16, output) })
    }

    /// Writes with `write`.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        write(&mut self.out).map_err(|error| Failure::writing(&self.name, &error))
    }

    /// The whole of it is there.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        let output = self.out.into_inner().map_err(|error| Failure::writing(&self.name, error.error()))?;
        output.commit()
    }
}
