//! Crashes at random moments.

use std::fs;

use super::*;

/// A small generator of numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// Writes of all kinds, which the primary adds to its stream.
fn write(primary: &Primary, random: &mut Random, count: usize) {
    for n in 0..count {
        let text = n.to_string();
        match random.below(8) {
            0 => drop(primary.append(&[b"SELECT", random.below(4).to_string().as_bytes()])),
            1 => drop(primary.append(&[b"PING"])),
            2 => drop(primary.append(&[b"SET", b"k", &vec![b'x'; random.below(20_000)]])),
            3 => {
                primary.append(&[b"MULTI"]);
                primary.append(&[b"INCR", text.as_bytes()]);
                primary.append(&[b"SELECT", random.below(4).to_string().as_bytes()]);
                primary.append(&[b"LPUSH", b"l", text.as_bytes()]);
                primary.append(&[b"EXEC"]);
            }
            _ => drop(primary.append(&[b"INCR", text.as_bytes()])),
        }
    }
}

/// Cuts the end of the last file off, as a crash may.
fn tear(directory: &Path, random: &mut Random) {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let last = files.filter(|path| path.extension().is_some_and(|extension| extension == "spool")).max();
    if let Some(path) = last {
        let length = fs::metadata(&path).unwrap().len();
        let cut = length - length.min(random.below(3000) as u64);
        fs::File::options().write(true).open(path).unwrap().set_len(cut).unwrap();
    }
}

async fn crash_and_resume(rdb: &Bytes, seed: u64, framing: SnapshotFraming) {
    let mut random = Random(seed);
    // However often it crashes in the snapshot, the primary has all that follows it.
    let config = PrimaryConfig::default().framing(framing).write_chunk(1 + random.below(100_000)).backlog(1 << 30);
    let primary = primary(rdb, config).await;
    // Everything that will be written, so that both runs read the same: what is written later is appended to both.
    write(&primary, &mut random, 200);
    let directory = tempfile::tempdir().unwrap();
    let mut applied: Vec<String> = Vec::new();
    let mut resumed: Option<Position> = None;
    let mut crashes = (0, 0, 0);
    loop {
        let durable = durable(directory.path(), resumed);
        let mut source = match ReplicaSource::resume(address(&primary), TARGET, options(), durable).await {
            Ok(source) => source,
            Err(error) => {
                let in_snapshot = resumed.is_some_and(|position| !position.is_stream());
                assert!(error.kind() == ErrorKind::HistoryLost && in_snapshot, "seed {seed}, {resumed:?}: {error}");
                assert!(error.to_string().contains("not whole in the spool"), "{error}");
                crashes.2 += 1;
                (applied, resumed) = (Vec::new(), None);
                continue;
            }
        };
        let end = primary.offset();
        let (mut given, mut batches) = (Vec::new(), random.below(40));
        while batches > 0 {
            let batch = next(&mut source).await.unwrap().expect("a stream");
            let position = *batch.position();
            given.push((texts(&batch), position));
            if random.below(3) == 0 {
                source.acknowledge(&position).await.unwrap();
            }
            if position.is_stream() && position.offset() >= end {
                break;
            }
            batches -= 1;
        }
        // The target has got some of these.
        let count = if given.is_empty() { 0 } else { random.below(given.len() + 1) };
        for (commands, position) in given.drain(..count) {
            applied.extend(commands);
            resumed = Some(position);
        }
        drop(source);
        if random.below(2) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            tear(directory.path(), &mut random);
        }
        match resumed {
            Some(Position::Stream { .. }) => crashes.1 += 1,
            _ => crashes.0 += 1,
        }
        if crashes.1 > 4 {
            break;
        }
        write(&primary, &mut random, 50);
    }
    let end = primary.append(&[b"SET", b"last", b"1"]);
    let mut source =
        ReplicaSource::resume(address(&primary), TARGET, options(), durable(directory.path(), resumed)).await.unwrap();
    applied.extend(read_to(&mut source, end).await.unwrap());
    let mut undisturbed = ReplicaSource::open(address(&primary), TARGET, options()).await.unwrap();
    let expected = whole(read_to(&mut undisturbed, end).await.unwrap());
    let applied = whole(applied);
    let differs = applied.iter().zip(&expected).position(|(a, b)| a != b);
    let show = |text: &String| text.chars().take(200).collect::<String>();
    if let Some(at) = differs {
        panic!("seed {seed}, {crashes:?}, command {at}: {} instead of {}", show(&applied[at]), show(&expected[at]));
    }
    assert_eq!(applied.len(), expected.len(), "seed {seed}, {crashes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_crash_pass_on_what_one_does_that_does_not() {
    let rdb = rdb();
    for seed in 0..8 {
        let framing = if seed % 2 == 0 { SnapshotFraming::Length } else { SnapshotFraming::Eof };
        tokio::time::timeout(LONG, crash_and_resume(&rdb, seed, framing))
            .await
            .unwrap_or_else(|_| panic!("seed {seed}"));
    }
}
