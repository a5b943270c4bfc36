//! Files that are damaged, missing, or no files at all.

use std::path::{Path, PathBuf};

use rdts_rdb::{ReadError, Reader};

use super::{Folder, ends, run_with, strings};

fn corrupt() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rdts-rdb/tests/data/corrupt");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rdb"));
    files.sort();
    assert!(files.len() > 70, "{} files", files.len());
    files
}

/// What the parser says of the whole file.
fn verdict(file: &Path) -> Result<(), rdts_rdb::Error> {
    let mut reader = Reader::new(std::fs::File::open(file).unwrap());
    loop {
        match reader.next_event() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(ReadError::Rdb(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn damaged_files_are_named_with_kind_and_offset() {
    let mut bad = 0;
    for file in corrupt() {
        let folder = Folder::new();
        let name = file.to_str().unwrap();
        let verdict = verdict(&file);
        bad += usize::from(verdict.is_err());
        // These read every value.
        for args in [&["stats", name][..], &["stats", "--json", name], &["to-json", name]] {
            let ended = run_with(args, b"");
            match &verdict {
                Ok(()) => assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr),
                Err(error) => {
                    assert_eq!(ended.code, Some(4), "{args:?}: {error}, but: {}", ended.stderr);
                    let (kind, offset) = (error.kind().name(), format!("offset {}", error.offset()));
                    assert!(ended.stderr.contains(kind) && ended.stderr.contains(&offset), "{error}: {}", ended.stderr);
                }
            }
        }
        // These may see more (they validate) or less (they copy); what they begin and cannot finish must not stay.
        let (out, parts) = (folder.path("out.rdb"), folder.path("parts"));
        for args in [
            &["filter", name, "-o", &out][..],
            &["merge", name, "-o", &out],
            &["split", name, "--parts", "2", "-o", &parts],
            &["diff", name, name],
            &["to-resp", name],
        ] {
            let ended = run_with(args, b"");
            match ended.code {
                Some(0) => {}
                Some(4) => assert!(ended.stderr.contains("rdb_tool: "), "{args:?}: {}", ended.stderr),
                code => panic!("{args:?} ended with {code:?}: {}", ended.stderr),
            }
            let names = folder.names();
            assert!(!names.iter().any(|name| name.contains("partial")), "{args:?} left {names:?}");
            if args[0] == "filter" {
                assert_eq!(names.contains(&"out.rdb".to_owned()), ended.code == Some(0), "{args:?}");
            }
        }
    }
    assert!(bad > 60, "{bad} damaged files");
}

#[test]
fn an_offset_for_every_command() {
    let folder = Folder::new();
    let mut bytes = strings(9, &[("a", "1"), ("b", "a value that is cut")]);
    bytes.truncate(bytes.len() - 15);
    let file = folder.file("cut.rdb", &bytes);
    let (out, parts) = (folder.path("out"), folder.path("parts"));
    for args in [
        &["stats", &file][..],
        &["filter", &file, "-o", &out],
        &["split", &file, "-o", &parts, "--parts", "1"],
        &["merge", &file, "-o", &out],
        &["diff", &file, &file],
        &["to-json", &file],
        &["to-resp", &file],
    ] {
        let ended = ends(args, 4);
        let offset = format!("offset {}", bytes.len());
        assert!(ended.stderr.contains("truncated") && ended.stderr.contains(&offset), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn what_was_good_before_the_damage_is_printed() {
    let folder = Folder::new();
    let mut bytes = strings(9, &[("first", "1"), ("second", "a value that is cut")]);
    bytes.truncate(bytes.len() - 15);
    let file = folder.file("cut.rdb", &bytes);
    let json = ends(&["to-json", &file], 4).text();
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["key"], "first");
}

#[test]
fn usage() {
    let folder = Folder::new();
    let file = folder.file("good.rdb", &strings(9, &[("a", "1")]));
    let (nowhere, out, dir) = (folder.path("nowhere.rdb"), folder.path("out.rdb"), folder.path(""));
    let beyond = folder.path("nowhere/out.rdb");
    for args in [
        &[][..],
        &["stats"],
        &["stats", &nowhere],
        &["stats", &dir],
        &["stats", &file, "--separator", ""],
        &["stats", &file, "--svg", &beyond],
        &["filter", &file],
        &["filter", &nowhere, "-o", &out],
        &["filter", &file, "-o", &beyond],
        &["filter", &file, "-o", &out, "--type", "strings"],
        &["filter", &file, "-o", &out, "--rdb-version", "16"],
        &["filter", &file, "-o", &out, "--rdb-version", "79"],
        &["filter", &file, "-o", &out, "--expiring", "--persistent"],
        &["split", &file, "-o", &out],
        &["split", &file, "-o", &out, "--slots", "0-16384"],
        &["split", &file, "-o", &out, "--slots", "5-4"],
        &["split", &file, "-o", &out, "--slots", "0-5,5-6"],
        &["split", &file, "-o", &out, "--parts", "0"],
        &["merge", "-o", &out],
        &["merge", "-", "-", "-o", &out],
        &["diff", &file],
        &["diff", "-", "-"],
        &["diff", &file, &nowhere],
        &["to-json", &nowhere],
        &["to-resp", &nowhere],
        &["to-resp", &dir],
        &["to-resp", &file, "--target", "2.6"],
        &["to-resp", &file, "--target", "keydb-6"],
        &["to-resp", &file, "--into-db", "1"],
    ] {
        let ended = ends(args, 2);
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
    assert_eq!(folder.names(), ["good.rdb"], "nothing is left");
    ends(&["--help"], 0);
    ends(&["--version"], 0);
}

#[test]
fn something_else_behind_the_file_is_mentioned() {
    let folder = Folder::new();
    let mut bytes = strings(9, &[("a", "1")]);
    bytes.extend(b"*1\r\n$4\r\nPING\r\n");
    let file = folder.file("aof", &bytes);
    let ended = ends(&["stats", &file, "--json"], 0);
    assert!(ended.stderr.contains("follow the end"), "{}", ended.stderr);
    assert_eq!(ended.json()["total"]["keys"], 1);
}
