//! Where the files are.

use std::path::{Path, PathBuf};

pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A data file and, if there is one, its companion.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: serde_json::Value,
}

/// All files of a folder, and of those below it, whose companion is found by `companion`.
pub(crate) fn with_companions(folder: &Path, companion: impl Fn(&Path) -> PathBuf + Copy) -> Vec<File> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(with_companions(&path, companion));
            continue;
        }
        let Some("rdb" | "aof" | "dump") = path.extension().and_then(|e| e.to_str()) else { continue };
        let json =
            std::fs::read(companion(&path)).unwrap_or_else(|e| panic!("no companion of {}: {e}", path.display()));
        files.push(File {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: std::fs::read(&path).unwrap(),
            json: serde_json::from_slice(&json).unwrap(),
        });
    }
    files
}

/// Files that servers made, and those that were put together by hand.
pub(crate) fn good() -> Vec<File> {
    let companion = |path: &Path| path.with_extension("expected.json");
    let mut files = with_companions(&data().join("generated"), companion);
    files.extend(with_companions(&data().join("handcrafted"), companion));
    assert!(files.len() > 90, "the corpus is there");
    files
}

pub(crate) fn corrupt() -> Vec<File> {
    let files = with_companions(&data().join("corrupt"), |path| PathBuf::from(format!("{}.meta.json", path.display())));
    assert!(files.len() > 70, "the corpus is there");
    files
}

/// Files of other projects, which are not part of this one.
pub(crate) fn public() -> Option<PathBuf> {
    let folder = std::env::var_os("RDTS_PUBLIC_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!(
            "NOT RUN: set RDTS_PUBLIC_CORPUS to the folder with other projects' files to run this test over them"
        );
    }
    folder
}

/// Runs `test` for every item, on two threads.
pub(crate) fn in_parallel<T: Sync>(items: &[T], test: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    test(item);
                }
            });
        }
    });
}

/// One file, by its name and folder.
pub(crate) fn one(folder: &str, name: &str) -> Vec<u8> {
    let path = data().join(folder).join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
