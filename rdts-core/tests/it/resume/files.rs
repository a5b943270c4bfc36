//! An RDB file that is read in several runs.

use rdts_core::source::RdbSource;

use super::*;

async fn all(source: &mut RdbSource) -> Vec<(Vec<String>, Position)> {
    let mut batches = Vec::new();
    while let Some(batch) = source.next().await.unwrap() {
        batches.push((texts(&batch), *batch.position()));
    }
    batches
}

#[tokio::test]
async fn a_file_goes_on_at_every_batch_and_only_if_it_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump.rdb");
    let rdb = tokio::task::spawn_blocking(rdb).await.unwrap();
    std::fs::write(&path, &rdb).unwrap();
    let open = |resumed| RdbSource::resume(&path, TARGET, options().translate, resumed);
    let batches = all(&mut open(None).await.unwrap()).await;
    assert!(batches.len() > 8, "{}", batches.len());
    let expected = whole(batches.iter().flat_map(|(commands, _)| commands.clone()).collect());
    for at in 0..batches.len() {
        let mut seen: Vec<String> = batches[..=at].iter().flat_map(|(commands, _)| commands.clone()).collect();
        let rest = all(&mut open(Some(batches[at].1)).await.unwrap()).await;
        seen.extend(rest.into_iter().flat_map(|(commands, _)| commands));
        assert!(whole(seen) == expected, "resumed at {}", batches[at].1);
    }
    let mut other = rdb.to_vec();
    other[30] ^= 1;
    std::fs::write(&path, other).unwrap();
    let error = open(Some(batches[3].1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryLost, "{error}");
    assert!(error.to_string().contains("dump.rdb"), "{error}");
}
