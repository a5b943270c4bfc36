//! The spool by itself: what goes in comes out, whatever is cut off, damaged or full.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

mod snapshot;

const DELIMITER: [u8; 40] = [b'#'; 40];

fn replid(c: &str) -> ReplicationId {
    c.repeat(40).parse().unwrap()
}

fn options() -> SpoolOptions {
    SpoolOptions::default().segment(1000).limit(1 << 20).read_ahead(500).keep(0)
}

fn bytes(len: usize, seed: u64) -> Bytes {
    (0..len as u64)
        .map(|n| (n.wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8 | 1)
        .collect::<Vec<_>>()
        .into()
}

async fn begin(directory: &Path, options: SpoolOptions, contents: Contents) -> (Writer, Consumer) {
    Found::open(directory, options).await.unwrap().begin(contents).await.unwrap()
}

async fn take(consumer: &mut Consumer) -> Piece {
    loop {
        if let Some(piece) = consumer.try_next().unwrap() {
            return piece;
        }
        consumer.wait().await.unwrap();
    }
}

/// What there is up to `end`, whose pieces follow each other; names that come in between.
async fn read_to(consumer: &mut Consumer, mut at: At, end: At) -> (Vec<u8>, Vec<History>) {
    let (mut data, mut names) = (Vec::new(), Vec::new());
    while at != end {
        match take(consumer).await {
            Piece::Data { at: start, bytes: piece, .. } => {
                // The stream begins where the snapshot ends.
                assert!(start == at || matches!((at, start), (At::Snapshot(_), At::Stream(_))), "{start} after {at}");
                at = start.plus(piece.len() as u64);
                data.extend_from_slice(&piece);
            }
            Piece::Renamed(history) => {
                if history.rewound.is_some() {
                    let surplus = at.number() - history.from;
                    data.truncate(data.len() - usize::try_from(surplus).unwrap());
                    at = At::Stream(history.from);
                }
                names.push(history);
            }
        }
    }
    (data, names)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "spool")).collect();
    files.sort();
    files
}

/// What is read again from the directory, from `from` on.
async fn reopened(directory: &Path, from: At) -> Vec<u8> {
    let found = Found::open(directory, options()).await.unwrap();
    let Some(end) = found.end().filter(|end| *end >= from) else { return Vec::new() };
    let (mut writer, mut consumer) = found.go_on(from).await.unwrap();
    // What comes next shows that everything before was read.
    writer.append(Bytes::from_static(b"!"), 5).unwrap();
    let (mut data, _) = read_to(&mut consumer, from, end.plus(1)).await;
    assert_eq!(data.pop(), Some(b'!'));
    data
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Read(usize),
    Reopen,
    Rename(Option<u64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1usize..700).prop_map(Step::Append),
        4 => (1usize..4).prop_map(Step::Read),
        1 => Just(Step::Reopen),
        1 => proptest::option::of(0u64..30).prop_map(Step::Rename),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Bytes of a stream at their offsets, of a history that may go back.
struct Model {
    data: Vec<u8>,
    /// When each of them came.
    times: Vec<u64>,
    /// What was read so far.
    read: Vec<u8>,
    seed: u64,
}

impl Model {
    fn end(&self) -> u64 {
        100 + self.data.len() as u64
    }

    fn took(&mut self, piece: Piece) {
        match piece {
            Piece::Data { at, bytes: piece, arrived } => {
                assert_eq!(at, At::Stream(100 + self.read.len() as u64));
                assert_eq!(arrived, self.times[self.read.len()], "{at} came then");
                self.read.extend_from_slice(&piece);
            }
            Piece::Renamed(history) if history.rewound.is_some() => {
                self.read.truncate(usize::try_from(history.from - 100).unwrap());
            }
            Piece::Renamed(_) => {}
        }
    }
}

async fn run(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let mut model = Model { data: Vec::new(), times: Vec::new(), read: Vec::new(), seed: 0 };
    let (mut writer, mut consumer) = begin(directory.path(), options(), Contents::stream(replid("a"), 100)).await;
    for step in steps {
        model.seed += 1;
        match step {
            Step::Append(len) => {
                let piece = bytes(len, model.seed);
                model.data.extend_from_slice(&piece);
                model.times.resize(model.data.len(), model.seed);
                assert!(!writer.append(piece, model.seed).unwrap());
            }
            Step::Read(pieces) => {
                for _ in 0..pieces {
                    if model.read.len() < model.data.len() {
                        let piece = take(&mut consumer).await;
                        model.took(piece);
                    }
                }
                consumer.shared().applied(At::Stream(100 + model.read.len() as u64));
                writer.make_room().unwrap();
            }
            Step::Reopen => {
                // What was read is applied; the rest comes again.
                drop((writer, consumer));
                let found = Found::open(directory.path(), options()).await.unwrap();
                assert_eq!(found.end(), Some(At::Stream(model.end())));
                model.read.truncate(model.data.len());
                let place = At::Stream(100 + model.read.len() as u64);
                (writer, consumer) = found.go_on(place).await.unwrap();
            }
            Step::Rename(back) => {
                // Only what was read goes back, as in life, where that was nothing for the target.
                while model.read.len() < model.data.len() {
                    let piece = take(&mut consumer).await;
                    model.took(piece);
                }
                let name = replid(&char::from(b'b' + u8::try_from(model.seed % 20).unwrap()).to_string());
                let from = model.end() - back.unwrap_or(0).min(model.data.len() as u64);
                writer.rename(History { replid: name, from, rewound: back.map(|_| 3) }).unwrap();
                model.data.truncate(usize::try_from(from - 100).unwrap());
                model.times.truncate(model.data.len());
                consumer.shared().applied(At::Stream(from.saturating_sub(50)));
                while model.read.len() > model.data.len() {
                    let piece = take(&mut consumer).await;
                    model.took(piece);
                }
            }
        }
    }
    while model.read.len() != model.data.len() {
        let piece = take(&mut consumer).await;
        model.took(piece);
    }
    assert!(model.read == model.data, "what comes out is what went in");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_goes_in_comes_out(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn a_spool_of_the_version_before_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let head = format!("rdts-spool 1\nsegment stream 5\nsnapshot none\nhistory {} 5 -\n", replid("a"));
    let crc = |bytes: &[u8]| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    let mut record = b"RDTSH\0\0\0".to_vec();
    record.extend_from_slice(&(head.len() as u32).to_le_bytes());
    record.extend_from_slice(&5u64.to_le_bytes());
    record.extend_from_slice(&[0; 8]);
    record.extend_from_slice(&crc(head.as_bytes()).to_le_bytes());
    record.extend_from_slice(&crc(&record).to_le_bytes());
    record.extend_from_slice(head.as_bytes());
    let path = directory.path().join("00000001-stream-5.spool");
    fs::write(&path, &record).unwrap();
    let error = Found::open(directory.path(), options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("earlier version"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), record);
}

/// Writes a snapshot with a delimiter and a stream, in several segments.
async fn written(directory: &Path) -> (Vec<u8>, usize) {
    let (mut writer, _consumer) =
        begin(directory, options(), Contents::full(replid("a"), 100, Framing::Delimiter(DELIMITER))).await;
    let transfer = [&bytes(1500, 1)[..], &DELIMITER].concat();
    let stream = bytes(2500, 2);
    let all = [&transfer[..], &stream].concat();
    let ended = all.chunks(170).filter(|piece| writer.append(Bytes::copy_from_slice(piece), 5).unwrap()).count();
    assert_eq!(ended, 1, "the end of the snapshot is seen");
    assert_eq!(writer.shared().end(), At::Stream(100 + 2500));
    (all, transfer.len())
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn what_a_crash_has_cut_off_is_missing_and_nothing_else() {
    let original = tempfile::tempdir().unwrap();
    let (all, transfer) = written(original.path()).await;
    let names = files(original.path());
    // The last segment, and the first one alone, cut at every byte.
    for (index, keep_after) in [(names.len() - 1, true), (0, false)] {
        let length = fs::metadata(&names[index]).unwrap().len();
        let mut most = 0;
        for cut in 0..=length {
            let directory = tempfile::tempdir().unwrap();
            copy(original.path(), directory.path());
            let paths = files(directory.path());
            if !keep_after {
                paths[index + 1..].iter().for_each(|path| fs::remove_file(path).unwrap());
            }
            fs::File::options().write(true).open(&paths[index]).unwrap().set_len(cut).unwrap();
            let recovered = recover::recover(directory.path()).unwrap();
            let end = recovered.map(|recovered| recovered.end);
            assert_eq!(end.is_some_and(|end| end >= At::Stream(100)), keep_after, "cut at {cut}: {end:?}");
            // Whatever is left can be read, which takes longer.
            if cut % 50 != 0 && cut != length {
                continue;
            }
            let again = reopened(directory.path(), At::Snapshot(0)).await;
            assert!(all.starts_with(&again), "cut at {cut}");
            assert!(again.len() >= most, "what is there more gives no less");
            most = again.len();
            // It can be gone on with, as if nothing had been.
            if keep_after && cut % 100 == 0 {
                let found = Found::open(directory.path(), options()).await.unwrap();
                let (mut writer, mut consumer) = found.go_on(At::Snapshot(0)).await.unwrap();
                // The byte that was appended to read this.
                let mut all = [&all[..], b" "].concat();
                all[again.len()] = b'!';
                writer.append(Bytes::copy_from_slice(&all[again.len() + 1..]), 5).unwrap();
                let end = At::Stream(100 + (all.len() - transfer) as u64);
                assert!(read_to(&mut consumer, At::Snapshot(0), end).await.0 == all);
            }
        }
        assert!(if keep_after { most == all.len() } else { most > 600 }, "the whole file: {most}");
    }
}

#[tokio::test]
async fn damage_is_found_wherever_it_is() {
    let original = tempfile::tempdir().unwrap();
    let (all, _) = written(original.path()).await;
    for (index, name) in files(original.path()).iter().enumerate() {
        let length = fs::metadata(name).unwrap().len();
        for byte in (0..length).step_by(13) {
            let directory = tempfile::tempdir().unwrap();
            copy(original.path(), directory.path());
            let path = &files(directory.path())[index];
            let mut content = fs::read(path).unwrap();
            content[usize::try_from(byte).unwrap()] ^= 0x10;
            fs::write(path, content).unwrap();
            // Nothing of this was known to be safe on the disk: the spool ends there.
            let again = reopened(directory.path(), At::Snapshot(0)).await;
            assert!(all.starts_with(&again) && again.len() < all.len(), "segment {index}, byte {byte}");
        }
    }
}

#[tokio::test]
async fn damage_of_what_was_safe_is_an_error_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let options = options().sync_period(Duration::ZERO);
    let (mut writer, _consumer) = begin(directory.path(), options, Contents::stream(replid("a"), 0)).await;
    let mut syncer = Syncer::new(&writer);
    for seed in 0..30 {
        writer.append(bytes(200, seed), 5).unwrap();
        // The first round starts the work, the second one waits for it.
        syncer.tick(&mut writer).await.unwrap();
        syncer.settle().await;
        syncer.tick(&mut writer).await.unwrap();
    }
    drop((writer, _consumer, syncer));
    let names = files(directory.path());
    assert!(names.len() > 4);
    // In the last segment, where it is met at once, and in the first, where it is met when it is read.
    for (name, byte) in [(names.last().unwrap(), 150), (&names[0], 300)] {
        let sound = fs::read(name).unwrap();
        let mut content = sound.clone();
        content[byte] ^= 1;
        fs::write(name, content).unwrap();
        let error = match Found::open(directory.path(), options).await {
            Err(error) => error,
            Ok(found) => {
                let (_writer, mut consumer) = found.go_on(At::Stream(0)).await.unwrap();
                let wait = async {
                    loop {
                        consumer.try_next().unwrap();
                        if let Err(error) = consumer.wait().await {
                            return error;
                        }
                    }
                };
                wait.await
            }
        };
        assert_eq!(error.kind(), ErrorKind::SpoolDamaged, "{error}");
        let name_only = name.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(name_only) && error.to_string().contains("at byte"), "{error}");
        assert!(error.solution().is_some());
        fs::write(name, sound).unwrap();
    }
    // One that is missing.
    fs::remove_file(&names[2]).unwrap();
    let error = Found::open(directory.path(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SpoolDamaged, "{error}");
}

#[tokio::test]
async fn memory_is_bounded_and_the_rest_comes_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = SpoolOptions::default().read_ahead(1 << 20);
    let (mut writer, mut consumer) = begin(directory.path(), options, Contents::stream(replid("a"), 0)).await;
    let mut all = Vec::new();
    for seed in 0..100 {
        let piece = bytes(100_000, seed);
        all.extend_from_slice(&piece);
        writer.append(piece, 5).unwrap();
        assert!(consumer.shared().queued() <= 1 << 20);
    }
    let end = At::Stream(all.len() as u64);
    assert!(read_to(&mut consumer, At::Stream(0), end).await.0 == all);
    // And from memory again.
    writer.append(bytes(10, 0), 5).unwrap();
    assert_eq!(consumer.shared().queued(), 10);
    let (again, _) = read_to(&mut consumer, end, end.plus(10)).await;
    assert_eq!(again, bytes(10, 0));
}

#[tokio::test]
async fn a_full_spool_has_room_again_when_something_is_applied() {
    let directory = tempfile::tempdir().unwrap();
    let options = options().limit(5000);
    let (mut writer, mut consumer) = begin(directory.path(), options, Contents::stream(replid("a"), 0)).await;
    let mut written = 0;
    while writer.make_room().unwrap() {
        writer.append(bytes(200, written), 5).unwrap();
        written += 200;
    }
    assert!((3000..6000).contains(&written), "{written}");
    let end = At::Stream(written);
    read_to(&mut consumer, At::Stream(0), end).await;
    assert!(!writer.make_room().unwrap(), "read is not applied");
    consumer.shared().applied(At::Stream(written));
    assert!(writer.make_room().unwrap());
    assert_eq!(files(directory.path()).len(), 1);
    // Whoever waits for more than fits gets it: a transaction, for example.
    while writer.make_room().unwrap() {
        writer.append(bytes(200, written), 5).unwrap();
        written += 200;
    }
    read_to(&mut consumer, end, At::Stream(written)).await;
    let waiting = tokio::time::timeout(Duration::from_millis(50), consumer.wait()).await;
    assert!(waiting.is_err() && writer.make_room().unwrap());
}

#[tokio::test]
async fn a_disk_that_is_full_is_an_error_after_which_it_goes_on() {
    for quota in [0, 20, 44, 60, 700, 1100] {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, mut consumer) = begin(directory.path(), options(), Contents::stream(replid("a"), 0)).await;
        writer.quota = Some(quota);
        let mut all = Vec::new();
        let error = loop {
            let piece = bytes(100, all.len() as u64);
            match writer.append(piece.clone(), 5) {
                Ok(_) => all.extend_from_slice(&piece),
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Spool, crate::error::Retry::Resume), "{error}");
        assert!(error.to_string().contains("full") && error.solution().is_some(), "{error}");
        let end = At::Stream(all.len() as u64);
        let (read, _) = read_to(&mut consumer, At::Stream(0), end).await;
        assert!(read == all, "what was written before is there");
        drop((writer, consumer));
        let found = Found::open(directory.path(), options()).await.unwrap();
        assert_eq!(found.end(), Some(end));
        let (mut writer, mut consumer) = found.go_on(At::Stream(0)).await.unwrap();
        writer.append(bytes(100, 1), 5).unwrap();
        assert_eq!(read_to(&mut consumer, At::Stream(0), end.plus(100)).await.0.len(), all.len() + 100);
    }
}

#[tokio::test]
async fn a_directory_is_for_one_alone() {
    let directory = tempfile::tempdir().unwrap();
    let held = Found::open(directory.path(), options()).await.unwrap();
    let error = Found::open(directory.path(), options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spool, "{error}");
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
    drop(held);
    Found::open(directory.path(), options()).await.unwrap();
    let wrong = Found::open(directory.path(), options().limit(3999)).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Config);
}

#[test]
fn positions_are_found_under_the_names_that_the_history_had() {
    let (a, b, c) = (replid("a"), replid("b"), replid("c"));
    let mut contents = Contents::full(a, 100, Framing::Length(10));
    contents.rename(History { replid: b, from: 200, rewound: None });
    contents.rename(History { replid: c, from: 300, rewound: Some(5) });
    let stream = |replid, offset| contents.find(&Position::stream(replid, offset, 2));
    let at = |offset, replid, db| Some(Located { at: At::Stream(offset), replid, db });
    assert_eq!(stream(a, 99), None);
    assert_eq!(stream(a, 100), at(100, a, 2));
    assert_eq!(stream(a, 199), at(199, a, 2));
    assert_eq!(stream(a, 200), at(200, b, 2));
    // No such bytes were ever read under that name.
    assert_eq!(stream(a, 201), None);
    assert_eq!(stream(b, 150), at(150, a, 2));
    assert_eq!(stream(b, 300), at(300, c, 2));
    // There was a PING that the successor does not have.
    assert_eq!(stream(b, 314), at(300, c, 5));
    assert_eq!(stream(c, 314), at(314, c, 2));
    assert_eq!(stream(replid("d"), 150), None);
    let snapshot = |replid, offset| contents.find(&Position::snapshot(replid, offset, 3)).is_some();
    assert!(snapshot(a, 100) && !snapshot(a, 101) && !snapshot(b, 100));
}
