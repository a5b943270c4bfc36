//! Replies that stop a sink, and those that must not.

use super::bench::{Bench, Checked, Lines, Watched, failed, text};
use super::{FailureKind, Harness};
use crate::error::{ErrorKind, Result};
use crate::record::{Expect, Kind, Mark};
use crate::sink::Sink;

pub(super) async fn an_error_stops_the_sink<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.rejections, "rejections")?;
    let mut sink = bench.sink().await?;
    let [before, after] = ["before", "after"].map(|name| bench.key(name));
    let batch = bench.writes(&[&[b"SET".as_slice(), &before, b"value"]]);
    sink.write(batch).await?;
    let batch = bench.writes(&[&[b"LPUSH".as_slice(), &before, b"not a list"]]);
    let written = sink.try_write(batch).await?;
    stopped(&mut sink, written, 1, ErrorKind::Rejected, "a list command for a string").await?;
    // What comes now is not taken, and does not change what is there.
    let batch = bench.writes(&[&[b"SET".as_slice(), &after, b"value"]]);
    if sink.try_write(batch).await?.is_ok() {
        return failed(FailureKind::Error, "a write after an error to be refused", "no error");
    }
    if sink.try_flush().await?.is_ok() {
        return failed(FailureKind::Error, "a flush after an error to fail again", "no error");
    }
    match sink.look()?.batches {
        1 => {}
        other => return failed(FailureKind::Watermark, "still 1 batch after an error", other.to_string()),
    }
    if sink.try_close().await?.is_ok() {
        return failed(FailureKind::Error, "a close after an error to fail as a flush does", "no error");
    }
    bench.expect(0, &before, Some(b"value")).await?;
    bench.expect(0, &after, None).await
}

pub(super) async fn an_error_spoils_its_whole_batch<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.rejections, "rejections")?;
    let mut sink = bench.sink().await?;
    let keys = ["a", "b", "c"].map(|name| bench.key(name));
    for _ in 0..3 {
        let batch = bench.writes(&[&[b"APPEND".as_slice(), &keys[0], b"x"]]);
        sink.write(batch).await?;
    }
    let commands: [&[&[u8]]; 4] = [
        &[b"APPEND", &keys[0], b"y"],
        &[b"SET", &keys[1], b"value"],
        &[b"LPUSH", &keys[1], b"not a list"],
        &[b"APPEND", &keys[0], b"z"],
    ];
    let batch = bench.writes(&commands);
    let written = sink.try_write(batch).await?;
    stopped(&mut sink, written, 3, ErrorKind::Rejected, "a list command for a string").await?;
    drop(sink);
    // How much of the batch is applied is not said, but it is in order.
    match bench.read(0, &keys[0]).await? {
        Some(value) if [b"xxx".as_slice(), b"xxxy", b"xxxyz"].contains(&value.as_slice()) => Ok(()),
        found => {
            failed(FailureKind::State, "the three batches before, and a beginning of the bad one", format!("{found:?}"))
        }
    }
}

pub(super) async fn a_key_that_must_be_new_is_a_conflict<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.conflicts, "conflicts")?;
    let mut sink = bench.sink().await?;
    let [new, old] = ["new", "old"].map(|name| bench.key(name));
    let batch = bench.writes(&[&[b"SET".as_slice(), &old, b"mine"]]);
    sink.write(batch).await?;
    let create = |key: &[u8]| {
        let mut lines = Lines::default();
        let mark = Mark::new(0, Kind::Snapshot).expect(Expect::Created).keys(1);
        lines.add(mark, &[b"SET".as_slice(), key, b"theirs", b"NX"]);
        lines
    };
    let batch = bench.batch(create(&new));
    sink.write(batch).await?;
    sink.flush().await?;
    let batch = bench.batch(create(&old));
    let written = sink.try_write(batch).await?;
    stopped(&mut sink, written, 2, ErrorKind::TargetNotEmpty, "a key that must be new and is there").await?;
    drop(sink);
    bench.expect(0, &new, Some(b"theirs")).await?;
    bench.expect(0, &old, Some(b"mine")).await
}

pub(super) async fn a_key_that_was_there_is_kept<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.conflicts, "conflicts")?;
    let mut sink = bench.sink().await?;
    let [new, old] = ["new", "old"].map(|name| bench.key(name));
    let batch = bench.writes(&[&[b"SET".as_slice(), &old, b"mine"]]);
    sink.write(batch).await?;
    let mut lines = Lines::default();
    for key in [&new, &old] {
        let mark = Mark::new(0, Kind::Snapshot).expect(Expect::CreatedOrKept).keys(1);
        lines.add(mark, &[b"SET".as_slice(), key, b"theirs", b"NX"]);
    }
    let batch = bench.batch(lines);
    sink.write(batch).await?;
    sink.flush().await?;
    let counts = sink.look()?.counts;
    if (counts.keys, counts.kept) != (1, 1) {
        return failed(FailureKind::Counts, "1 key in place and 1 kept", format!("{counts:?}"));
    }
    sink.close().await?;
    bench.expect(0, &new, Some(b"theirs")).await?;
    bench.expect(0, &old, Some(b"mine")).await
}

pub(super) async fn a_key_that_expired_on_its_way_is_no_failure<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.renames && bench.abilities.rejections, "renames and rejections")?;
    let [gone, key, other] = ["{tag}gone", "{tag}key", "{tag}other"].map(|name| bench.key(name));
    let rename = |may_expire: bool| {
        let mut lines = Lines::default();
        let mark = Mark::new(0, Kind::Snapshot).may_expire(may_expire).keys(1);
        lines.add(mark, &[b"RENAME".as_slice(), &gone, &key]);
        lines.add(Mark::new(0, Kind::Snapshot), &[b"SET".as_slice(), &other, b"value"]);
        lines
    };
    let mut sink = bench.sink().await?;
    let batch = bench.snapshot(rename(true));
    sink.write(batch).await?;
    sink.flush().await?;
    // Where nothing may have expired, it is one.
    let batch = bench.snapshot(rename(false));
    let written = sink.try_write(batch).await?;
    stopped(&mut sink, written, 1, ErrorKind::Rejected, "a rename of a key that is not there").await?;
    drop(sink);
    bench.expect(0, &other, Some(b"value")).await
}

pub(super) async fn an_error_of_a_script_is_counted<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.scripts, "scripts")?;
    let mut sink = bench.sink().await?;
    let key = bench.key("key");
    let batch = bench.writes(&[&[b"SET".as_slice(), &key, b"value"]]);
    sink.write(batch).await?;
    let mut lines = Lines::default();
    // The source saw the same: it wrote, and then it failed.
    lines.script(b"redis.call('APPEND', KEYS[1], '!') return redis.call('LPUSH', KEYS[1], 'x')", &key);
    lines.script(b"return redis.call('APPEND', KEYS[1], '?')", &key);
    let batch = bench.batch(lines);
    sink.write(batch).await?;
    sink.flush().await?;
    let errors = sink.look()?.counts.script_errors;
    if errors != 1 {
        return failed(FailureKind::Counts, "1 script that ended in an error", errors.to_string());
    }
    sink.close().await?;
    bench.expect(0, &key, Some(b"value!?")).await
}

/// Requires that the last write, or the flush that follows, fails with this kind, and that the watermark stays at `batches`.
async fn stopped<S: Sink>(
    sink: &mut Watched<S>,
    written: Result<()>,
    batches: u64,
    kind: ErrorKind,
    what: &str,
) -> Checked {
    let outcome = match written {
        Ok(()) => sink.try_flush().await?,
        refused => refused,
    };
    match outcome {
        Err(error) if error.kind() == kind => {}
        Err(error) => return failed(FailureKind::Error, format!("{what} to be {kind:?}"), text(&error)),
        Ok(()) => return failed(FailureKind::Error, format!("{what} to be {kind:?}"), "no error"),
    }
    match sink.look()?.batches {
        found if found == batches => Ok(()),
        found => failed(FailureKind::Watermark, format!("{batches} batches before the error"), found.to_string()),
    }
}
