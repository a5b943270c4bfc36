//! What is in the target afterwards.

use super::bench::{Bench, Checked, Lines, Watched, failed, text};
use super::{FailureKind, Harness};
use crate::error::ErrorKind;
use crate::record::{Batch, Kind, Mark};
use crate::sink::Sink;
use crate::translate::temporary;

pub(super) async fn commands_of_a_key_keep_their_order<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let keys: Vec<Vec<u8>> = (0..13).map(|n| bench.key(format!("{n}"))).collect();
    let mut expected = vec![Vec::new(); keys.len()];
    let mut next = 0;
    for size in (0..200).map(|n| n % 17) {
        let mut lines = Lines::default();
        for _ in 0..size {
            let place = next * 7 % keys.len();
            let piece = format!("{next},");
            lines.add(Mark::new(0, Kind::Write), &[b"APPEND", keys[place].as_slice(), piece.as_bytes()]);
            expected[place].extend_from_slice(piece.as_bytes());
            next += 1;
        }
        let batch = bench.batch(lines);
        sink.write(batch).await?;
    }
    sink.close().await?;
    for (key, value) in keys.iter().zip(&expected) {
        bench.expect(0, key, Some(value)).await?;
    }
    Ok(())
}

pub(super) async fn databases_are_kept_apart<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let key = bench.key("key");
    let dbs = [0, 3, 3, 1, 0, 9, 3];
    let append = |lines: &mut Lines, db: u32| {
        lines.add(Mark::new(db, Kind::Write), &[b"APPEND", key.as_slice(), db.to_string().as_bytes()]);
    };
    if !bench.abilities.databases {
        let mut lines = Lines::default();
        append(&mut lines, 3);
        let batch = bench.batch(lines);
        refused(&mut sink, batch, "a command for database 3").await?;
        drop(sink);
        return bench.expect(0, &key, None).await;
    }
    // Within a batch and from batch to batch.
    let mut lines = Lines::default();
    dbs.iter().for_each(|db| append(&mut lines, *db));
    let batch = bench.batch(lines);
    sink.write(batch).await?;
    for db in dbs {
        let mut lines = Lines::default();
        append(&mut lines, db);
        let batch = bench.batch(lines);
        sink.write(batch).await?;
    }
    sink.close().await?;
    for (db, value) in [(0, "0000"), (1, "11"), (3, "333333"), (9, "99")] {
        bench.expect(db, &key, Some(value.as_bytes())).await?;
    }
    bench.expect(2, &key, None).await
}

pub(super) async fn transactions_are_applied<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    sink.count_loosely();
    // The first two are in one slot of a cluster, the third is not.
    let keys = [bench.key("{tag}a"), bench.key("{tag}b"), bench.key("elsewhere")];
    for round in 0..3 {
        let mut lines = Lines::default();
        lines.add(Mark::new(0, Kind::Multi), &["MULTI"]);
        for key in if round == 2 { &keys[..] } else { &keys[..2] } {
            lines.add(Mark::new(0, Kind::Write), &[b"APPEND", key.as_slice(), round.to_string().as_bytes()]);
        }
        lines.add(Mark::new(0, Kind::Exec), &["EXEC"]);
        let batch = bench.batch(lines);
        if !bench.abilities.transactions {
            refused(&mut sink, batch, "a transaction").await?;
            drop(sink);
            return bench.expect(0, &keys[0], None).await;
        }
        sink.write(batch).await?;
    }
    sink.flush().await?;
    let commands = sink.look()?.counts.commands;
    if !(7..=13).contains(&commands) {
        return failed(FailureKind::Counts, "7 commands, or 13 with MULTI and EXEC", commands.to_string());
    }
    sink.close().await?;
    for (key, value) in keys.iter().zip(["012", "012", "2"]) {
        bench.expect(0, key, Some(value.as_bytes())).await?;
    }
    Ok(())
}

pub(super) async fn a_command_may_have_many_keys<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.many_keys, "commands with many keys")?;
    let mut sink = bench.sink().await?;
    let keys: Vec<Vec<u8>> = (0..60).map(|n| bench.key(format!("{n}"))).collect();
    let mut mset: Vec<&[u8]> = vec![b"MSET"];
    mset.extend(keys.iter().flat_map(|key| [key.as_slice(), key]));
    let mut del: Vec<&[u8]> = vec![b"DEL"];
    del.extend(keys.iter().step_by(2).map(Vec::as_slice));
    let last: &[&[u8]] = &[b"APPEND", &keys[0], b"anew"];
    let batch = bench.writes(&[&mset, &del, last]);
    sink.write(batch).await?;
    sink.flush().await?;
    sink.close().await?;
    bench.expect(0, &keys[0], Some(b"anew")).await?;
    for (number, key) in keys.iter().enumerate().skip(1) {
        bench.expect(0, key, (number % 2 == 1).then_some(key.as_slice())).await?;
    }
    Ok(())
}

pub(super) async fn a_big_batch_goes_through<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let value = |number: usize| format!("{number}:").repeat(1 << 10);
    let keys: Vec<Vec<u8>> = (0..2000).map(|n| bench.key(format!("{n}"))).collect();
    let mut lines = Lines::default();
    for (number, key) in keys.iter().enumerate() {
        lines.add(Mark::new(0, Kind::Write), &[b"SET", key.as_slice(), value(number).as_bytes()]);
    }
    let batch = bench.batch(lines);
    sink.write(batch).await?;
    // And a single command that is longer than most buffers.
    let (long, huge) = (bench.key("long"), vec![b'x'; 3 << 20]);
    let batch = bench.writes(&[&[b"SET".as_slice(), &long, &huge]]);
    sink.write(batch).await?;
    sink.flush().await?;
    sink.close().await?;
    bench.expect(0, &long, Some(&huge)).await?;
    for number in (0..keys.len()).step_by(37) {
        bench.expect(0, &keys[number], Some(value(number).as_bytes())).await?;
    }
    Ok(())
}

pub(super) async fn any_bytes_are_kept<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let all: Vec<u8> = (0..=255).collect();
    let names: [&[u8]; 9] =
        [b"", b"\0", b"\r\n", b"{}", b"{", b"a b\"c'", b"\xff\xfe", b"$3\r\nfoo\r\n", &b"long".repeat(5000)];
    let mut keys: Vec<Vec<u8>> = names.iter().map(|name| bench.key(name)).collect();
    keys.push(bench.key(&all));
    let values: Vec<&[u8]> = names.iter().copied().chain([all.as_slice()]).collect();
    for (key, value) in keys.iter().zip(&values) {
        let batch = bench.writes(&[&[b"SET".as_slice(), key, value]]);
        sink.write(batch).await?;
    }
    sink.close().await?;
    for (key, value) in keys.iter().zip(&values) {
        bench.expect(0, key, Some(value)).await?;
    }
    Ok(())
}

pub(super) async fn a_value_in_pieces_is_renamed_into_place<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.renames, "renames")?;
    let mut sink = bench.sink().await?;
    let piece = vec![b'p'; 100_000];
    let keys = [bench.key("first"), bench.key("{second}"), bench.key("with}brace")];
    for (number, key) in keys.iter().enumerate() {
        let partial = temporary(key);
        let mut lines = Lines::default();
        lines.add(Mark::new(0, Kind::Snapshot), &[b"DEL", partial.as_slice()]);
        let batch = bench.snapshot(lines);
        sink.write(batch).await?;
        for _ in 0..5 {
            let mut lines = Lines::default();
            lines.add(Mark::new(0, Kind::Snapshot), &[b"APPEND", partial.as_slice(), &piece]);
            let batch = bench.snapshot(lines);
            sink.write(batch).await?;
        }
        sink.flush().await?;
        let keys = sink.look()?.counts.keys;
        if keys != number as u64 {
            return failed(FailureKind::Counts, format!("{number} whole keys as yet"), keys.to_string());
        }
        let mut lines = Lines::default();
        lines.add(Mark::new(0, Kind::Snapshot).keys(1), &[b"RENAME", partial.as_slice(), key]);
        let batch = bench.snapshot(lines);
        sink.write(batch).await?;
    }
    sink.flush().await?;
    sink.close().await?;
    for key in &keys {
        bench.expect(0, key, Some(&piece.repeat(5))).await?;
        bench.expect(0, &temporary(key), None).await?;
    }
    Ok(())
}

pub(super) async fn closing_applies_what_is_left<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let keys: Vec<Vec<u8>> = (0..300).map(|n| bench.key(format!("{n}"))).collect();
    for key in &keys {
        let batch = bench.writes(&[&[b"SET".as_slice(), key, b"value"]]);
        sink.write(batch).await?;
    }
    sink.close().await?;
    for key in &keys {
        bench.expect(0, key, Some(b"value")).await?;
    }
    // And one that was given nothing.
    bench.sink().await?.close().await
}

/// Requires that a batch is refused as something that the target does not have.
async fn refused<S: Sink>(sink: &mut Watched<S>, batch: Batch, what: &str) -> Checked {
    let outcome = match sink.try_write(batch).await? {
        Ok(()) => sink.try_flush().await?,
        refused => refused,
    };
    match outcome {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Rejected | ErrorKind::Config) => {}
        Err(error) => {
            let expected = format!("{what} to be refused as Unsupported, Rejected or Config");
            return failed(FailureKind::Error, expected, text(&error));
        }
        Ok(()) => return failed(FailureKind::Error, format!("{what} to be refused"), "no error"),
    }
    match sink.look()?.batches {
        0 => Ok(()),
        applied => {
            failed(FailureKind::Watermark, format!("{what} to be left out of the watermark"), applied.to_string())
        }
    }
}
