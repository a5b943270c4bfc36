//! What a file is.

use std::path::Path;

use rdts_rdb::{Event, Parser, Progress};
use tokio::io::AsyncReadExt;

use super::aof::{is_aof, is_rdb};
use crate::error::{Error, ErrorKind, Result};

/// Which source reads a file or folder.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// An RDB: [`RdbSource`](super::RdbSource).
    Rdb,
    /// An AOF, of one file or several: [`AofSource`](super::AofSource).
    Aof,
}

/// So much of a file is looked at: an RDB's first fields say whether commands follow it.
const HEAD: u64 = 16 << 10;

/// Says which source reads what is at `path`, by its content: a folder or a manifest is an AOF; so is a file that starts with `*` or `#`,
/// and an RDB that says of itself that commands follow it (`aof-preamble`, Redis 4.0 to 6.2). Any other RDB is one.
///
/// ```
/// use rdts_core::source::{FileKind, detect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> rdts_core::Result<()> {
/// # let path = std::env::temp_dir().join(format!("rdts-doc-{}.aof", std::process::id()));
/// # std::fs::write(&path, "*1\r\n$8\r\nFLUSHALL\r\n").expect("can be written");
/// assert_eq!(detect(&path).await?, FileKind::Aof);
/// # let _ = std::fs::remove_file(&path);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Io`](ErrorKind::Io) if it cannot be read, [`Snapshot`](ErrorKind::Snapshot) if it is neither, or empty.
pub async fn detect(path: impl AsRef<Path>) -> Result<FileKind> {
    let path = path.as_ref();
    let cannot = |error| Error::new(ErrorKind::Io, "cannot be read").with_source(error).at(path.display());
    let metadata = tokio::fs::metadata(path).await.map_err(cannot)?;
    if metadata.is_dir() {
        return Ok(FileKind::Aof);
    }
    let mut head = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(cannot)?;
    file.take(HEAD).read_to_end(&mut head).await.map_err(cannot)?;
    let neither = |text: &str| Err(Error::new(ErrorKind::Snapshot, text).at(path.display()));
    match &head[..] {
        [] => neither("is empty: neither an RDB nor an AOF"),
        head if is_rdb(head) => Ok(if commands_follow(head) { FileKind::Aof } else { FileKind::Rdb }),
        head if is_aof(head) || head.starts_with(b"file ") => Ok(FileKind::Aof),
        _ => neither("is neither an RDB (starts with REDIS or VALKEY) nor an AOF (starts with '*' or '#')"),
    }
}

/// Whether the first fields of an RDB say that it is the beginning of an AOF.
fn commands_follow(mut head: &[u8]) -> bool {
    let mut parser = Parser::new();
    // What is damaged the source itself will tell.
    while let Ok(Progress::Parsed { consumed, event }) = parser.parse(head, false) {
        match event {
            Event::Aux { name: b"aof-preamble", value } => return value == b"1",
            Event::Header(_) | Event::Aux { .. } => {}
            _ => return false,
        }
        head = &head[consumed..];
    }
    false
}
