//! Snapshots that are longer than the spool may be, and those that are gone on with where their beginning was removed.

use crc_fast::{CrcAlgorithm, checksum};
use rdts_rdb::{Checksum, Event, Parser, ParserOptions, Progress};

use super::*;

const SNAPSHOT: u64 = 100;

/// Strings of these sizes, in an RDB with a checksum.
fn rdb(sizes: &[usize]) -> Vec<u8> {
    let mut file = b"REDIS0009\xFE\x00".to_vec();
    for (index, size) in sizes.iter().enumerate() {
        let key = format!("key:{index}");
        file.extend_from_slice(&[0, key.len() as u8]);
        file.extend_from_slice(key.as_bytes());
        file.extend_from_slice(&[0x40 | (size >> 8) as u8, *size as u8]);
        file.extend((0..*size).map(|at| b'a' + ((at * 7 + index) % 26) as u8));
    }
    file.push(0xFF);
    let sum = checksum(CrcAlgorithm::Crc64Redis, &file);
    file.extend_from_slice(&sum.to_le_bytes());
    file
}

/// The next piece, unless the one who writes has to do something first.
async fn next(consumer: &mut Consumer) -> Option<Piece> {
    loop {
        if let Some(piece) = consumer.try_next().unwrap() {
            return Some(piece);
        }
        let waiting = {
            let state = consumer.shared().state();
            !state.has_queue() && state.behind.is_none()
        };
        if waiting {
            // Says that there is nothing left to read.
            assert!(tokio::time::timeout(Duration::ZERO, consumer.wait()).await.is_err());
            return None;
        }
        consumer.wait().await.unwrap();
    }
}

/// Whoever reads: a parser, and the keys that it has met, each with where its value ended.
struct Reading {
    parser: Parser,
    buffer: Vec<u8>,
    keys: Vec<(u64, Vec<u8>)>,
    next_point: u64,
    over: bool,
}

impl Reading {
    fn begin(beginning: &Beginning, every: u64) -> Self {
        let parser = match &beginning.point {
            Some(point) => Parser::resume(ParserOptions::new(), point),
            None => Parser::new(),
        };
        let next_point = parser.offset() + every;
        Self { parser, buffer: Vec::new(), keys: Vec::new(), next_point, over: false }
    }

    fn took(&mut self, piece: Piece, shared: &Shared) {
        let Piece::Data { at, bytes, .. } = piece else { panic!("no other name") };
        let At::Snapshot(at) = at else { return };
        assert_eq!(at, self.parser.offset() + self.buffer.len() as u64);
        self.buffer.extend_from_slice(&bytes);
        let (mut used, mut key) = (0, None);
        loop {
            if self.parser.offset() >= self.next_point
                && let Some(point) = self.parser.resume_point(&self.buffer[used..])
            {
                self.next_point = point.offset() + shared.points_every();
                shared.add_point(point);
            }
            match self.parser.parse(&self.buffer[used..], false).unwrap() {
                Progress::Parsed { consumed, event } => {
                    used += consumed;
                    match event {
                        Event::Key(header) => self.keys.push((0, header.key.to_vec())),
                        Event::ValueEnd => key = Some(()),
                        Event::End { checksum } => {
                            assert!(matches!(checksum, Checksum::Verified(_)), "{checksum:?}");
                            self.over = true;
                        }
                        _ => {}
                    }
                }
                Progress::NeedMoreData(_) | Progress::Done => break,
            }
            if key.take().is_some() {
                self.keys.last_mut().unwrap().0 = self.parser.offset();
            }
        }
        self.buffer.drain(..used);
    }

    /// Behind the last key that is whole.
    fn whole(&self) -> u64 {
        self.keys.iter().map(|(end, _)| *end).max().unwrap_or(0)
    }
}

fn position(applied: u64) -> Position {
    Position::snapshot(replid("a"), SNAPSHOT, applied)
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Read(usize),
    /// So much in 8 of what was read.
    Apply(u64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1usize..900).prop_map(Step::Write),
        4 => (1usize..5).prop_map(Step::Read),
        3 => (0u64..9).prop_map(Step::Apply),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 20..150)
}

/// Keys are given out once, however often it is gone on, and no more than the limit is on the disk but for one value.
async fn run(sizes: Vec<usize>, steps: Vec<Step>, keep: u64) {
    let directory = tempfile::tempdir().unwrap();
    let options = options().limit(5000).keep(keep);
    let file = rdb(&sizes);
    let longest = sizes.iter().max().copied().unwrap_or(0) as u64;
    let contents = Contents::full(replid("a"), SNAPSHOT, Framing::Length(file.len() as u64));
    let (mut writer, mut consumer) = begin(directory.path(), options, contents).await;
    let mut reading = Reading::begin(&Beginning::default(), consumer.shared().points_every());
    let (mut written, mut applied) = (0, 0);
    let mut done: Vec<Vec<u8>> = Vec::new();
    let last = steps.len();
    for (number, step) in steps.into_iter().chain((0..10_000).map(|_| Step::Read(1))).enumerate() {
        match step {
            Step::Write(len) => {
                if writer.make_room().unwrap() && written < file.len() {
                    let len = len.min(file.len() - written);
                    writer.append(Bytes::copy_from_slice(&file[written..written + len]), 5).unwrap();
                    written += len;
                }
                // What is not applied is there, and little more; heads are long beside such small segments.
                let needed = written as u64 - applied + keep.min(options.limit / 4) + longest + 2500;
                let disk = consumer.shared().state().disk();
                assert!(disk <= options.limit.max(needed * 3 / 2) + 1100, "{disk} bytes, {needed} needed");
            }
            Step::Read(pieces) => {
                for _ in 0..pieces {
                    if let Some(piece) = next(&mut consumer).await {
                        reading.took(piece, consumer.shared());
                    }
                }
                if number >= last {
                    // To the end: all that is read is applied, and what is missing is written.
                    applied = reading.whole().max(applied);
                    consumer.shared().applied(At::Snapshot(applied));
                    if writer.make_room().unwrap() && written < file.len() {
                        let len = 700.min(file.len() - written);
                        writer.append(Bytes::copy_from_slice(&file[written..written + len]), 5).unwrap();
                        written += len;
                    }
                    if reading.over {
                        break;
                    }
                }
            }
            Step::Apply(part) => {
                // A batch ends behind a key.
                let most = reading.whole() * part / 8;
                let ends = reading.keys.iter().map(|(end, _)| *end).filter(|end| *end <= most);
                applied = ends.max().unwrap_or(0).max(applied);
                consumer.shared().applied(At::Snapshot(applied));
            }
            Step::Reopen => {
                drop((writer, consumer));
                let found = Found::open(directory.path(), options).await.unwrap();
                let beginning = found.snapshot_from(&position(applied), applied);
                assert_eq!(beginning.is_some(), written == file.len(), "{written} of {}", file.len());
                let Some(beginning) = beginning else {
                    // No server sends the rest of a snapshot.
                    return;
                };
                let At::Snapshot(from) = beginning.at() else { panic!("in the snapshot") };
                assert!(from <= applied && found.snapshot_from(&position(0), 0).is_some() == found.has_snapshot());
                done.extend(
                    reading.keys.iter().filter(|(end, _)| (1..=applied).contains(end)).map(|(_, key)| key.clone()),
                );
                (writer, consumer) = found.go_on(beginning.at()).await.unwrap();
                reading = Reading::begin(&beginning, consumer.shared().points_every());
                // What is applied is not given out again.
                while reading.whole() < applied && !reading.over {
                    let piece = take(&mut consumer).await;
                    reading.took(piece, consumer.shared());
                }
                reading.keys.retain(|(end, _)| *end == 0 || *end > applied);
            }
        }
    }
    assert!(reading.over, "the end of the snapshot was read, and its checksum is right");
    done.extend(reading.keys.into_iter().map(|(_, key)| key));
    let all: Vec<Vec<u8>> = (0..sizes.len()).map(|index| format!("key:{index}").into_bytes()).collect();
    assert!(done == all, "each key once: {} of {}", done.len(), all.len());
}

#[tokio::test]
async fn a_point_that_is_damaged_is_an_error_and_one_of_another_snapshot_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot.point");
    let file = rdb(&[10; 5]);
    let mut parser = Parser::new();
    let mut at = 0;
    let point = loop {
        match parser.parse(&file[at..], true).unwrap() {
            Progress::Parsed { consumed, event } => {
                let between = matches!(event, Event::ValueEnd);
                at += consumed;
                if between {
                    break parser.resume_point(&file[at..]).unwrap();
                }
            }
            other => panic!("{other:?}"),
        }
    };
    let snapshot = Contents::full(replid("a"), SNAPSHOT, Framing::Length(1)).first();
    assert_eq!(point::read(directory.path(), &snapshot).unwrap(), None);
    point::write(directory.path(), &snapshot, &point).unwrap();
    assert_eq!(point::read(directory.path(), &snapshot).unwrap(), Some(point));
    let other = Contents::full(replid("a"), SNAPSHOT + 1, Framing::Length(1)).first();
    assert_eq!(point::read(directory.path(), &other).unwrap(), None);
    let mut bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = point::read(directory.path(), &snapshot).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SpoolDamaged, "{error}");
        bytes[at] ^= 1;
    }
    // Another copy begins.
    begin(directory.path(), options(), Contents::full(replid("a"), SNAPSHOT, Framing::Length(5))).await;
    assert!(!path.exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn snapshots_of_any_size_are_gone_on_with(
        sizes in proptest::collection::vec(prop_oneof![8 => 1usize..300, 1 => 300usize..4000], 1..120),
        steps in steps(),
        keep in prop_oneof![Just(0u64), Just(700), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(sizes, steps, keep));
    }
}
