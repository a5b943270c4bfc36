//! Snapshots that are longer than the spool may be.

use std::fs;

use super::*;

const LIMIT: u64 = 1 << 20;

fn bounded(directory: &Path, resumed: Option<Position>) -> Durable {
    let spool = SpoolOptions::default().segment(LIMIT / 4).limit(LIMIT).read_ahead(100_000).keep(0);
    Durable::default().spool(directory, spool).resumed(resumed)
}

/// Strings of 1000 bytes, and a list that is longer than the spool; with a checksum.
fn long_rdb() -> Bytes {
    let mut rdb = b"REDIS0009\xfe\x03".to_vec();
    let string = |rdb: &mut Vec<u8>, bytes: &[u8]| {
        rdb.extend_from_slice(&[
            0x40 | u8::try_from(bytes.len() >> 8).unwrap(),
            u8::try_from(bytes.len() & 255).unwrap(),
        ]);
        rdb.extend_from_slice(bytes);
    };
    let value = |n: usize| n.to_string().into_bytes().repeat(1000 / n.to_string().len());
    for n in 1000..9000 {
        if n == 5000 {
            rdb.push(1);
            string(&mut rdb, b"list");
            rdb.push(0x80);
            rdb.extend_from_slice(&2000u32.to_be_bytes());
            (2000..4000).for_each(|n| string(&mut rdb, &value(n)));
        }
        rdb.push(0);
        string(&mut rdb, format!("key:{n}").as_bytes());
        string(&mut rdb, &value(n));
    }
    rdb.push(0xff);
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Redis, &rdb);
    rdb.extend_from_slice(&checksum.to_le_bytes());
    rdb.into()
}

fn segments(directory: &Path) -> Vec<(String, u64)> {
    // One that is removed meanwhile counts for nothing.
    let named = fs::read_dir(directory).unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len()))
    });
    let mut segments: Vec<_> = named.filter(|(name, _)| name.ends_with(".spool")).collect();
    segments.sort();
    segments
}

/// Takes batches, each applied at once, until `enough` of the snapshot.
async fn apply_to(
    source: &mut ReplicaSource,
    enough: impl Fn(&Position) -> bool,
    directory: &Path,
) -> (Vec<String>, Position, u64) {
    let (mut seen, mut most) = (Vec::new(), 0);
    loop {
        let batch = next(source).await.unwrap().expect("more");
        let position = *batch.position();
        seen.extend(texts(&batch));
        source.acknowledge(&position).await.unwrap();
        most = most.max(segments(directory).iter().map(|(_, len)| len).sum::<u64>());
        if enough(&position) {
            return (seen, position, most);
        }
    }
}

fn past(bytes: usize) -> impl Fn(&Position) -> bool {
    move |position| match position {
        Position::Snapshot { rdb_bytes, .. } => *rdb_bytes >= bytes as u64,
        _ => true,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_longer_than_the_spool_is_gone_on_with() {
    let rdb = long_rdb();
    for framing in [SnapshotFraming::Length, SnapshotFraming::Eof] {
        let primary = primary(&rdb, PrimaryConfig::default().framing(framing).backlog(1 << 30)).await;
        let end = primary.append(&[b"SET", b"last", b"1"]);
        let mut source = ReplicaSource::open(address(&primary), TARGET, options()).await.unwrap();
        let expected = read_to(&mut source, end).await.unwrap();
        drop(source);
        let directory = tempfile::tempdir().unwrap();

        // Not all of it has been received: no server sends the rest.
        let open = async |resumed| {
            ReplicaSource::resume(address(&primary), TARGET, options(), bounded(directory.path(), resumed)).await
        };
        let mut source = open(None).await.unwrap();
        let (_, position, _) = apply_to(&mut source, past(rdb.len() / 2), directory.path()).await;
        drop(source);
        let error = open(Some(position)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HistoryLost, "{error}");

        // The second half of the last segments is there: it is gone on with, again and again.
        let mut source = open(None).await.unwrap();
        let (mut seen, mut position, most) = apply_to(&mut source, past(rdb.len() - 400_000), directory.path()).await;
        // One list is longer than the limit by a million bytes.
        assert!(most < 2 * (2_000_000 + LIMIT), "{most} bytes on the disk");
        primary.wait_for(|replicas| replicas.first().is_some_and(|replica| replica.sent >= end)).await;
        for left in [300_000, 200_000, 100_000] {
            // The spool takes what the primary sent as long as there is room.
            wait_for_stream(directory.path()).await;
            drop(source);
            let first = segments(directory.path())[0].0.clone();
            assert!(first.contains("-snapshot-") && !first.contains("-snapshot-0."), "{first}");
            source = open(Some(position)).await.unwrap();
            let (more, at, _) = apply_to(&mut source, past(rdb.len() - left), directory.path()).await;
            seen.extend(more);
            position = at;
        }
        drop(source);
        // A target that has less than what is kept cannot be gone on with, and a lost point is an error.
        let behind = Position::snapshot(REPLID.parse().unwrap(), 1000, 5000);
        assert_eq!(open(Some(behind)).await.unwrap_err().kind(), ErrorKind::HistoryLost);
        source = open(Some(position)).await.unwrap();
        seen.extend(read_to(&mut source, end).await.unwrap());
        assert_eq!(primary.syncs().0, 3, "a full copy for each run that began anew");
        let (seen, expected) = (whole(seen), whole(expected));
        let differs = seen.iter().zip(&expected).position(|(a, b)| a != b);
        assert!(differs.is_none() && seen.len() == expected.len(), "command {differs:?} of {}", expected.len());
    }
}

/// Until the stream has begun in the spool.
async fn wait_for_stream(directory: &Path) {
    let begun = async {
        while !segments(directory).iter().any(|(name, _)| name.contains("-stream-")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let begun = tokio::time::timeout(LONG, begun).await;
    begun.unwrap_or_else(|_| panic!("the snapshot is not received: {:?}", segments(directory)));
}
