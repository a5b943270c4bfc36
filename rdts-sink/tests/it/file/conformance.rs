//! The suite that checks any sink, against those that write files.

use std::path::PathBuf;

use rdts_core::conformance::{self, Abilities, Harness, Outcome};
use rdts_core::source::{AofOptions, AofSource, CutTail, RdbSource};
use rdts_core::translate::TranslateOptions;
use rdts_core::{Pipeline, Result, Sink};
use rdts_sink::file::{self, FileOptions};
use rdts_sink::memory::{MemoryStore, Value};
use rdts_sink::{FileSink, MemorySink};

use super::{bytes, parsed};

/// Files of one kind, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
    extension: &'static str,
    number: u32,
    /// What was read last: which file, how long it was, and its contents.
    loaded: Option<(PathBuf, u64, MemoryStore)>,
}

impl Files {
    fn new(extension: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), extension, number: 0, loaded: None }
    }

    /// The file, whether it is closed or not.
    fn path(&self) -> PathBuf {
        let path = self.folder.path().join(format!("{}.{}", self.number, self.extension));
        let partial = path.with_extension(format!("{}.partial", self.extension));
        if path.exists() || !partial.exists() { path } else { partial }
    }

    /// What somebody makes of the file who reads it.
    async fn load(&self) -> MemoryStore {
        let sink = MemorySink::new();
        let (store, target) = (sink.store(), sink.capabilities().target);
        let path = self.path();
        if !path.exists() {
            return MemoryStore::new();
        }
        match self.extension {
            "rdb" => {
                let source = RdbSource::open(path, target, TranslateOptions::default()).await.unwrap();
                Pipeline::new(source, sink).run().await.result.unwrap();
            }
            "resp" => {
                let options = AofOptions::default().cut_tail(CutTail::Accept);
                let source = AofSource::open(path, target, options).await.unwrap();
                Pipeline::new(source, sink).run().await.result.unwrap();
            }
            _ => {
                let mut store = MemoryStore::new();
                for line in std::fs::read_to_string(path).unwrap().lines().map(parsed) {
                    let db = u32::try_from(line["db"].as_u64().unwrap()).unwrap();
                    let words: Vec<Vec<u8>> = match line.get("command") {
                        Some(command) => command.as_array().unwrap().iter().map(bytes).collect(),
                        None => vec![b"SET".to_vec(), bytes(&line["key"]), bytes(&line["value"])],
                    };
                    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                    if !matches!(words[0], b"MULTI" | b"EXEC") {
                        store.apply(db, &words, 0).unwrap();
                    }
                }
                return store;
            }
        }
        std::mem::take(&mut *store.lock().unwrap())
    }
}

impl Harness for Files {
    type Sink = FileSink;

    fn abilities(&self) -> Abilities {
        // A file executes nothing: it cannot tell what a server would say to a command.
        Abilities::default()
            .conflicts(false)
            .rejections(false)
            .scripts(false)
            .visible_after_flush(self.extension != "rdb")
    }

    async fn sink(&mut self) -> Result<FileSink> {
        self.number += 1;
        file::open(self.path(), FileOptions::default()).await
    }

    async fn read(&mut self, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let path = self.path();
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if self.loaded.as_ref().is_none_or(|(loaded, len, _)| (loaded, *len) != (&path, length)) {
            self.loaded = Some((path, length, self.load().await));
        }
        let (_, _, store) = self.loaded.as_ref().unwrap();
        Ok(store.get(db, key).map(|entry| match &entry.value {
            Value::String(string) => string.clone(),
            other => panic!("{other:?}"),
        }))
    }
}

#[tokio::test]
async fn resp_and_json_keep_to_the_contract_of_sinks() {
    for extension in ["resp", "jsonl"] {
        let report = conformance::run(&mut Files::new(extension)).await;
        assert!(report.passed(), "{extension}:\n{report}");
        let passed = report.outcomes().iter().filter(|(_, outcome)| *outcome == Outcome::Passed).count();
        assert!(passed >= 15, "{extension}:\n{report}");
    }
}

/// An RDB takes a snapshot and nothing else: these are the checks that need no more.
#[tokio::test]
async fn an_rdb_keeps_to_the_contract_as_far_as_it_takes_commands() {
    let mut files = Files::new("rdb");
    for check in ["a_fresh_sink_has_applied_nothing", "a_value_in_pieces_is_renamed_into_place"] {
        assert_eq!(conformance::check(&mut files, check).await, Some(Outcome::Passed), "{check}");
    }
}
