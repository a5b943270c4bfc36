//! What a sink says of how far it is.

use super::bench::{Bench, Checked, Lines, failed};
use super::{FailureKind, Harness};
use crate::record::{Kind, Mark};
use crate::sink::Watermark;

pub(super) async fn a_fresh_sink_has_applied_nothing<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let found = sink.look()?;
    if found != Watermark::default() {
        return failed(FailureKind::Watermark, "nothing in the watermark of a fresh sink", format!("{found:?}"));
    }
    sink.flush().await?;
    sink.flush().await?;
    sink.close().await
}

pub(super) async fn a_flush_covers_everything<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let keys: Vec<Vec<u8>> = (0..20).map(|n| bench.key(format!("{n}"))).collect();
    // From the snapshot into the stream, as a run goes.
    for (number, key) in keys.iter().enumerate() {
        let mut lines = Lines::default();
        let in_snapshot = number < 10;
        let kind = if in_snapshot { Kind::Snapshot } else { Kind::Write };
        lines.add(Mark::new(0, kind).keys(u32::from(in_snapshot)), &[b"SET", key.as_slice(), key]);
        let batch = if in_snapshot { bench.snapshot(lines) } else { bench.batch(lines) };
        sink.write(batch).await?;
        if number % 7 == 0 {
            sink.flush().await?;
        }
    }
    sink.flush().await?;
    // Again, with nothing new.
    sink.flush().await?;
    if bench.abilities.visible_after_flush {
        for key in &keys {
            bench.expect(0, key, Some(key)).await?;
        }
    }
    sink.close().await?;
    for key in &keys {
        bench.expect(0, key, Some(key)).await?;
    }
    Ok(())
}

pub(super) async fn the_watermark_never_goes_back<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let key = bench.key("key");
    for number in 0..500 {
        let value = "v".repeat(number % 97);
        let batch = bench.writes(&[&[b"SET".as_slice(), &key, value.as_bytes()]]);
        // The sink is looked at after each call.
        sink.write(batch).await?;
        if number % 50 == 0 {
            tokio::task::yield_now().await;
            sink.look()?;
        }
    }
    sink.flush().await?;
    sink.close().await
}

pub(super) async fn empty_batches_move_the_position<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let key = bench.key("key");
    let empty = bench.batch(Lines::default());
    sink.write(empty).await?;
    sink.flush().await?;
    for _ in 0..3 {
        let batch = bench.writes(&[&[b"APPEND".as_slice(), &key, b"x"]]);
        sink.write(batch).await?;
        for _ in 0..2 {
            let empty = bench.batch(Lines::default());
            sink.write(empty).await?;
        }
    }
    sink.flush().await?;
    sink.close().await?;
    bench.expect(0, &key, Some(b"xxx")).await
}

pub(super) async fn counts_add_up<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    for size in [1, 2, 3, 0, 50, 7] {
        let mut lines = Lines::default();
        for number in 0..size {
            let key = bench.key(format!("{size}:{number}"));
            lines.add(Mark::new(0, Kind::Snapshot).keys(1), &[b"SET", key.as_slice(), b"value"]);
            // Completes no key.
            lines.add(Mark::new(0, Kind::Snapshot), &[b"APPEND", key.as_slice(), b"!"]);
        }
        let batch = bench.snapshot(lines);
        sink.write(batch).await?;
    }
    sink.flush().await?;
    let counts = sink.look()?.counts;
    if (counts.keys, counts.kept, counts.script_errors, counts.impossible) != (63, 0, 0, 0) {
        return failed(FailureKind::Counts, "63 keys, and nothing kept, failed or left out", format!("{counts:?}"));
    }
    sink.close().await
}
