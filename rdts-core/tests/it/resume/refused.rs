//! Where a run goes on, and where it cannot.

use rdts_core::error::Retry;
use rdts_core::primary::Protocol;
use rdts_core::record::ReplicationId;

use super::*;

const SMALL: &[u8] = b"REDIS0009\xfe\x00\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0";

fn small() -> Bytes {
    Bytes::from_static(SMALL)
}

async fn resume(primary: &Primary, durable: Durable) -> Result<ReplicaSource> {
    ReplicaSource::resume(address(primary), TARGET, options(), durable).await
}

/// Reads to the end of the stream, and gives the last position.
async fn position_at(source: &mut ReplicaSource, offset: u64) -> Position {
    loop {
        let position = *next(source).await.unwrap().expect("a stream").position();
        if position.is_stream() && position.offset() >= offset {
            return position;
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_without_a_spool_as_long_as_the_backlog_reaches() {
    let primary = primary(&small(), PrimaryConfig::default().backlog(1000)).await;
    let mut source = resume(&primary, Durable::default()).await.unwrap();
    primary.append(&[b"SELECT", b"3"]);
    let position = position_at(&mut source, primary.append(&[b"INCR", b"a"])).await;
    drop(source);
    let end = primary.append(&[b"INCR", b"b"]);
    let mut source = resume(&primary, Durable::default().resumed(Some(position))).await.unwrap();
    assert_eq!(read_to(&mut source, end).await.unwrap(), ["3 INCR b"]);
    assert_eq!(primary.syncs(), (1, 1));
    drop(source);
    primary.wait_for(<[_]>::is_empty).await;
    primary.append(&[b"SET", b"big", &[b'x'; 2000]]);
    primary.set_snapshot(small(), primary.offset()).unwrap();
    let error = resume(&primary, Durable::default().resumed(Some(position))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::HistoryLost, Retry::Restart), "{error}");
}

#[tokio::test]
async fn with_a_spool_the_backlog_needs_to_reach_back_to_its_end_alone() {
    let primary = primary(&small(), PrimaryConfig::default().backlog(1000)).await;
    let directory = tempfile::tempdir().unwrap();
    let mut source = resume(&primary, durable(directory.path(), None)).await.unwrap();
    let position = position_at(&mut source, primary.append(&[b"INCR", b"a"])).await;
    // More than the backlog, which is read but not applied.
    primary.append(&[b"SET", b"big", &[b'x'; 5000]]);
    let read = primary.append(&[b"INCR", b"b"]);
    position_at(&mut source, read).await;
    drop(source);
    primary.wait_for(<[_]>::is_empty).await;
    let end = primary.append(&[b"INCR", b"c"]);
    // A target that holds nothing gets everything, since nothing is known to be applied.
    let mut source = resume(&primary, durable(directory.path(), None)).await.unwrap();
    assert_eq!(read_to(&mut source, end).await.unwrap().len(), 5);
    assert_eq!(primary.syncs().0, 1, "no second full sync");
    drop(source);
    let mut source = resume(&primary, durable(directory.path(), Some(position))).await.unwrap();
    let seen = read_to(&mut source, end).await.unwrap();
    assert_eq!((seen.len(), seen[2].as_str()), (3, "0 INCR c"), "{seen:?}");
    drop(source);
    // Another history: nothing of it is read.
    let other = super::primary(&small(), PrimaryConfig::default()).await;
    other.change_replid("b".repeat(40).parse().unwrap());
    let error = resume(&other, durable(directory.path(), Some(position))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryLost, "{error}");
    // A target that holds nothing is another matter: it is copied again.
    let mut source = resume(&other, durable(directory.path(), None)).await.unwrap();
    assert_eq!(read_to(&mut source, 0).await.unwrap(), ["0 SET k v NX"]);
}

#[tokio::test]
async fn a_snapshot_that_was_not_whole_is_lost() {
    let primary = primary(&rdb_of(300_000), PrimaryConfig::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let inside = Position::snapshot(REPLID.parse().unwrap(), 1000, 20);
    for durable in [Durable::default().resumed(Some(inside)), durable(directory.path(), Some(inside))] {
        let error = resume(&primary, durable).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HistoryLost, "{error}");
        assert!(error.to_string().contains("has to be copied again"), "{error}");
    }
    // A snapshot-only run that is resumed from the spool needs the node no more.
    let only = options().snapshot_only(true);
    let mut source =
        ReplicaSource::resume(address(&primary), TARGET, only.clone(), durable(directory.path(), None)).await.unwrap();
    let first = next(&mut source).await.unwrap().unwrap();
    let position = *first.position();
    let mut seen = texts(&first);
    while let Some(batch) = next(&mut source).await.unwrap() {
        assert!(!batch.position().is_stream());
        seen.extend(texts(&batch));
    }
    drop(source);
    let place = address(&primary);
    primary.shutdown().await;
    let durable = durable(directory.path(), Some(position));
    let mut source = ReplicaSource::resume(place, TARGET, only, durable).await.unwrap();
    let mut again = texts(&first);
    while let Some(batch) = next(&mut source).await.unwrap() {
        again.extend(texts(&batch));
    }
    assert_eq!(again, seen);
}

/// Strings of 1000 bytes, so many bytes in all.
fn rdb_of(bytes: usize) -> Bytes {
    let mut rdb = b"REDIS0009\xfe\x00".to_vec();
    for n in 0..bytes / 1000 {
        rdb.extend_from_slice(&[0, 4]);
        rdb.extend_from_slice(format!("{n:04}").as_bytes());
        rdb.extend_from_slice(&[0x43, 0xe8]);
        rdb.extend_from_slice(&[b'v'; 1000]);
    }
    rdb.extend_from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    rdb.into()
}

#[tokio::test]
async fn a_source_that_only_knows_sync_is_read_through_a_spool_and_cannot_be_gone_on_with() {
    let primary = primary(&small(), PrimaryConfig::default().protocol(Protocol::SyncOnly)).await;
    let directory = tempfile::tempdir().unwrap();
    let mut source = resume(&primary, durable(directory.path(), None)).await.unwrap();
    assert!(!source.has_offsets());
    primary.append(&[b"INCR", b"a"]);
    let position = position_at(&mut source, 1).await;
    drop(source);
    let error = resume(&primary, durable(directory.path(), Some(position))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryLost, "{error}");
    assert!(error.to_string().contains("SYNC"), "{error}");
}

#[tokio::test]
async fn a_link_that_breaks_goes_on_at_the_byte_and_under_another_name() {
    let primary = primary(&small(), PrimaryConfig::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let mut source = resume(&primary, durable(directory.path(), None)).await.unwrap();
    let before = position_at(&mut source, primary.append(&[b"INCR", b"a"])).await;
    primary.append(&[b"MULTI"]);
    let open = primary.append(&[b"INCR", b"b"]);
    primary.wait_for(|replicas| replicas.first().is_some_and(|replica| replica.sent >= open)).await;
    let other: ReplicationId = "b".repeat(40).parse().unwrap();
    primary.change_replid(other);
    primary.disconnect_replicas();
    let end = primary.append(&[b"EXEC"]);
    assert_eq!(read_to(&mut source, end).await.unwrap(), ["0 MULTI", "0 INCR b", "0 EXEC"]);
    let end = primary.append(&[b"INCR", b"c"]);
    let position = position_at(&mut source, end).await;
    assert_eq!((position.replid(), primary.syncs().0), (other, 1));
    drop(source);
    // The spool knows both names.
    let end = primary.append(&[b"INCR", b"d"]);
    for (position, count) in [(before, 5), (position, 1)] {
        let mut source = resume(&primary, durable(directory.path(), Some(position))).await.unwrap();
        let seen = read_to(&mut source, end).await.unwrap();
        assert_eq!(seen.len(), count, "{seen:?}");
        assert_eq!(position_at(&mut source, primary.append(&[b"PING"])).await.replid(), other);
        drop(source);
    }
}

#[tokio::test]
async fn a_spool_whose_directory_vanishes_is_an_error_after_all_that_was_written() {
    let primary = primary(&small(), PrimaryConfig::default()).await;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("spool");
    let mut source = resume(&primary, durable(&directory, None)).await.unwrap();
    position_at(&mut source, primary.append(&[b"INCR", b"a"])).await;
    std::fs::remove_dir_all(&directory).unwrap();
    let error = loop {
        primary.append(&[b"SET", b"k", &[b'x'; 60_000]]);
        match next(&mut source).await {
            Ok(batch) => drop(batch),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Spool, Retry::Resume), "{error}");
    assert!(error.to_string().contains("spool"), "{error}");
}
