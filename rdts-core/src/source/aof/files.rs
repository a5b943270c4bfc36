//! Which files an AOF consists of.

use std::path::{Path, PathBuf};

use rdts_resp::CommandDecoder;
use tokio::io::AsyncReadExt;

use super::unreadable;
use crate::error::{Error, ErrorKind, Result};

/// So many bytes tell what a file is.
pub(super) const MAGIC: usize = 9;
/// A manifest has a line for each file; servers keep few.
const MAX_MANIFEST: u64 = 16 << 20;
/// Where a server keeps its files unless `appenddirname` says otherwise.
const FOLDER: &str = "appendonlydir";

/// Whether a file that begins so is an RDB.
pub(in crate::source) fn is_rdb(head: &[u8]) -> bool {
    head.starts_with(b"REDIS") || head.starts_with(b"VALKEY")
}

/// Whether a file that begins so consists of commands.
pub(in crate::source) fn is_aof(head: &[u8]) -> bool {
    matches!(head.first(), Some(b'*' | b'#'))
}

/// The files that `path` stands for, in the order in which they are to be read.
pub(super) async fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let metadata = tokio::fs::metadata(path).await.map_err(|error| unreadable(error).at(path.display()))?;
    let manifest = if metadata.is_dir() {
        match manifest_in(path).await? {
            Some(manifest) => manifest,
            None => manifest_in(&path.join(FOLDER)).await?.ok_or_else(|| {
                let text = format!("is a folder without a manifest (*.manifest), itself or in {FOLDER}: name the AOF or RDB file itself");
                Error::new(ErrorKind::Snapshot, text).at(path.display())
            })?,
        }
    } else if is_manifest(path).await? {
        path.to_owned()
    } else {
        return Ok(vec![path.to_owned()]);
    };
    let text = read(&manifest).await?;
    let names = parse(&text).map_err(|error| error.at(manifest.display()))?;
    let folder = manifest.parent().unwrap_or(Path::new("."));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The one manifest in a folder.
async fn manifest_in(folder: &Path) -> Result<Option<PathBuf>> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error).at(folder.display())),
    };
    let mut found: Option<PathBuf> = None;
    while let Some(entry) = entries.next_entry().await.map_err(|error| unreadable(error).at(folder.display()))? {
        let path = entry.path();
        // A server writes a new one beside it, under a name of this form.
        let temporary = entry.file_name().to_string_lossy().starts_with("temp-");
        if path.extension().is_none_or(|end| end != "manifest") || temporary {
            continue;
        }
        if let Some(other) = found {
            let text = format!("has more than one manifest, {} and {}: name one", other.display(), path.display());
            return Err(Error::new(ErrorKind::Snapshot, text).at(folder.display()));
        }
        found = Some(path);
    }
    Ok(found)
}

async fn is_manifest(path: &Path) -> Result<bool> {
    if path.extension().is_some_and(|end| end == "manifest") {
        return Ok(true);
    }
    let mut head = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(|error| unreadable(error).at(path.display()))?;
    file.take(5).read_to_end(&mut head).await.map_err(|error| unreadable(error).at(path.display()))?;
    Ok(head == b"file ")
}

async fn read(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(|error| unreadable(error).at(path.display()))?;
    file.take(MAX_MANIFEST).read_to_end(&mut text).await.map_err(|error| unreadable(error).at(path.display()))?;
    Ok(text)
}

/// The names of base and increments. As a server reads a manifest: one line for each file, `file NAME seq N type b|h|i`, at most one base,
/// numbers of increments that ascend.
fn parse(text: &[u8]) -> Result<Vec<String>> {
    let (mut base, mut increments, mut latest, mut lines) = (None, Vec::new(), 0, 0);
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let wrong = |what: &str| Error::new(ErrorKind::Snapshot, format!("line {} of the manifest {what}", index + 1));
        if !line.ends_with(b"\n") {
            return Err(wrong("is cut"));
        }
        if line.first() == Some(&b'#') {
            continue;
        }
        lines += 1;
        // Words and quotes as in an inline command.
        let mut decoder = CommandDecoder::new();
        let words = match decoder.decode(line) {
            Ok(Some((used, words))) if used == line.len() => words,
            Ok(_) => return Err(wrong("is no list of words")),
            Err(error) => return Err(wrong("is no list of words").with_source(error)),
        };
        let value = |name: &[u8]| {
            let at = (0..words.len())
                .step_by(2)
                .find(|at| words.arg(*at).is_some_and(|word| word.eq_ignore_ascii_case(name)));
            at.and_then(|at| words.arg(at + 1)).and_then(|value| std::str::from_utf8(value).ok())
        };
        let number = value(b"seq").and_then(|number| number.parse::<u64>().ok());
        let (Some(name), Some(number), Some(kind)) = (value(b"file"), number, value(b"type")) else {
            return Err(wrong("lacks file, seq or type"));
        };
        if name.is_empty() || Path::new(name).file_name().is_none_or(|base| base != name) {
            return Err(wrong("names a path and not just a file"));
        }
        match kind {
            "b" if base.is_some() => return Err(wrong("names a second base")),
            "b" => base = Some(name.to_owned()),
            "i" if number <= latest => return Err(wrong("has a number that is not above the one before it")),
            "i" => {
                latest = number;
                increments.push(name.to_owned());
            }
            "h" => {}
            _ => return Err(wrong("has a type other than b, h and i")),
        }
    }
    if lines == 0 {
        return Err(Error::new(ErrorKind::Snapshot, "the manifest lists no file"));
    }
    Ok(base.into_iter().chain(increments).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_lists_base_and_increments_in_order() {
        let text = b"# comment\nfile appendonly.aof.2.base.rdb seq 2 type b\nfile old.aof seq 1 type h\n\
                     file \"with blank.aof\" seq 3 type i\nFILE a.4 SEQ 4 TYPE i startoffset 7\n";
        assert_eq!(parse(text).unwrap(), ["appendonly.aof.2.base.rdb", "with blank.aof", "a.4"]);
    }

    #[test]
    fn what_a_server_refuses_is_refused_with_its_line() {
        for (text, words) in [
            ("", "no file"),
            ("# nothing\n", "no file"),
            ("file a seq 1 type b", "line 1 of the manifest is cut"),
            ("file a seq 1 type b\nfile b seq 2 type b\n", "line 2 of the manifest names a second base"),
            ("file a seq 2 type i\nfile b seq 2 type i\n", "line 2"),
            ("file ../a seq 1 type b\n", "path"),
            ("file a/b seq 1 type b\n", "path"),
            ("file \"\" seq 1 type b\n", "path"),
            ("file a type b\n", "lacks"),
            ("file a seq x type b\n", "lacks"),
            ("file a seq 1 type z\n", "other than"),
            ("\n", "lacks"),
            ("file \"a seq 1 type b\n", "words"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Snapshot, "{text}");
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }
}
