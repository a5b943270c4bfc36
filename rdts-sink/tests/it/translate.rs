//! What a snapshot becomes must not depend on how it is translated.

use std::path::{Path, PathBuf};

use rdts_core::filter::Rules;
use rdts_core::record::Batch;
use rdts_core::sink::{Capabilities, Watermark};
use rdts_core::source::RdbSource;
use rdts_core::translate::{OnConflict, Target, TranslateOptions};
use rdts_core::{ErrorKind, Pipeline, Result, Sink};
use rdts_sink::MemorySink;
use rdts_sink::memory::MemoryStore;

/// The memory, under the name of another server.
struct As(Target, MemorySink);

impl Sink for As {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.0)
    }
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.1.write(batch).await
    }
    fn acked(&self) -> Watermark {
        self.1.acked()
    }
    async fn flush(&mut self) -> Result<()> {
        self.1.flush().await
    }
    async fn close(self) -> Result<()> {
        self.1.close().await
    }
}

/// The contents of the file, translated for `target`.
async fn load(file: &Path, target: Target, policy: OnConflict) -> Result<MemoryStore> {
    load_with(file, target, TranslateOptions::default().on_conflict(policy)).await
}

async fn load_with(file: &Path, target: Target, options: TranslateOptions) -> Result<MemoryStore> {
    let sink = As(target, MemorySink::new());
    let store = sink.1.store();
    let source = RdbSource::open(file, target, options).await?;
    Pipeline::new(source, sink).run().await.result?;
    let loaded = std::mem::take(&mut *store.lock().unwrap());
    Ok(loaded)
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rdts-rdb/tests/data/generated");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "rdb"));
    assert!(files.len() > 50, "{}", files.len());
    files
}

#[tokio::test]
async fn whole_payloads_converted_ones_and_single_elements_give_the_same() {
    let mut compared = 0;
    for file in files() {
        let whole = match load(&file, Target::redis(8, 10, 0), OnConflict::Replace).await {
            Ok(whole) => whole,
            Err(error) => {
                // Values of release candidates that no released server reads.
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{}: {error}", file.display());
                continue;
            }
        };
        for (target, policy, convert) in [
            (Target::redis(2, 8, 0), OnConflict::Fail, 0),
            (Target::redis(2, 8, 0), OnConflict::Fail, 1 << 20),
            (Target::redis(3, 2, 0), OnConflict::Replace, 0),
            (Target::redis(3, 2, 0), OnConflict::Replace, 1 << 20),
            (Target::redis(4, 0, 0), OnConflict::Fail, 0),
            // Not an older one: without ABSTTL and PXAT a TTL is a millisecond late where existing keys must not be touched.
            (Target::redis(7, 0, 0), OnConflict::Skip, 0),
            (Target::valkey(9, 1, 0), OnConflict::Replace, 0),
        ] {
            let options = TranslateOptions::default().on_conflict(policy).convert_up_to(convert);
            match load_with(&file, target, options).await {
                Ok(pieces) => {
                    let differences = whole.differences(&pieces, 5);
                    assert!(
                        differences.is_empty(),
                        "{}, {target}, {policy:?}, {convert}: {differences:?}",
                        file.display()
                    );
                    compared += 1;
                }
                // Streams, modules and expiry of fields: older servers cannot have them, and that is said.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{}, {target}: {error}", file.display()),
            }
        }
    }
    assert!(compared > 200, "only {compared} could be compared");
}

#[tokio::test]
async fn strings_of_any_length_arrive_whole() {
    let lengths = [0, 1, 65_535, 65_536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20];
    let content = |length: usize| (0..=250u8).cycle().take(length).collect::<Vec<u8>>();
    let mut rdb = b"REDIS0003".to_vec();
    for length in lengths {
        let key = length.to_string();
        rdb.extend_from_slice(&[0, u8::try_from(key.len()).unwrap()]);
        rdb.extend_from_slice(key.as_bytes());
        rdb.push(0x80);
        rdb.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        rdb.extend_from_slice(&content(length));
    }
    rdb.push(0xff);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("strings.rdb");
    std::fs::write(&file, rdb).unwrap();
    let store = load(&file, Target::redis(7, 0, 0), OnConflict::Fail).await.unwrap();
    assert_eq!(store.len(), lengths.len());
    for length in lengths {
        let entry = store.get(0, length.to_string().as_bytes()).unwrap();
        assert_eq!(entry.value, rdts_sink::memory::Value::String(content(length)), "{length}");
    }
}

#[tokio::test]
async fn values_of_other_databases_are_passed_over_whatever_their_size() {
    let long = vec![b'x'; 3 << 20];
    let mut rdb = b"REDIS0003\xfe\x00".to_vec();
    // A list of two long elements, a string, and one without elements.
    rdb.extend_from_slice(b"\x01\x01l\x02");
    for _ in 0..2 {
        rdb.push(0x80);
        rdb.extend_from_slice(&u32::try_from(long.len()).unwrap().to_be_bytes());
        rdb.extend_from_slice(&long);
    }
    rdb.extend_from_slice(b"\x00\x01s\x01v\x01\x01e\x00\xfe\x07\x00\x01k\x01v\x01\x01e\x00\xff");
    let options = TranslateOptions::default().rules(Rules::one_db(7, 2));
    let sink = MemorySink::new();
    let store = sink.store();
    let target = sink.capabilities().target;
    let reader = std::io::Cursor::new(rdb);
    let source = RdbSource::read_from("test", reader, target, options).await.unwrap();
    let finished = Pipeline::new(source, sink).run().await;
    finished.result.unwrap();
    let store = store.lock().unwrap();
    let keys: Vec<_> =
        store.databases().flat_map(|db| store.entries(db).map(move |(key, _)| (db, key.to_vec()))).collect();
    assert_eq!(keys, [(2, b"k".to_vec())]);
    let intake = finished.report.ledger.intake;
    assert_eq!((intake.empty, intake.keys_of_other_dbs, intake.skipped()), (1, 3, 4));
    assert!(finished.report.ledger.is_balanced());
}
