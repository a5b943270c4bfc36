//! A target that is slow, and sinks that are left.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use super::bench::{Bench, Checked, Watched, failed, no_error, within};
use super::{FailureKind, Harness};
use crate::record::Batch;
use crate::sink::Sink;

/// A write that takes longer than this is waiting for a target that is frozen.
const STALLED: Duration = Duration::from_millis(500);

pub(super) async fn accepted_is_not_applied<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.freezes, "a target that can be frozen")?;
    let mut sink = warm(bench).await?;
    let key = bench.key("key");
    bench.freeze().await?;
    let batch = bench.writes(&[&[b"SET".as_slice(), &key, b"value"]]);
    let written = hold(&mut sink, batch, bench).await?;
    if !written.thawed {
        let applied = sink.look()?.batches;
        if applied != 1 {
            return failed(FailureKind::Watermark, "nothing applied by a target that is frozen", applied.to_string());
        }
        bench.thaw().await?;
    }
    sink.flush().await?;
    sink.close().await?;
    bench.expect(0, &key, Some(b"value")).await
}

pub(super) async fn what_is_accepted_is_bounded<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    bench.needs(bench.abilities.freezes, "a target that can be frozen")?;
    let mut sink = warm(bench).await?;
    let value = vec![b'v'; 64 << 10];
    let (key, limit) = (bench.key("key"), bench.abilities.in_flight);
    bench.freeze().await?;
    let mut accepted = 0;
    loop {
        let batch = bench.writes(&[&[b"SET".as_slice(), &key, &value]]);
        accepted += batch.bytes().len();
        if hold(&mut sink, batch, bench).await?.thawed {
            break;
        }
        let applied = sink.look()?.batches;
        if applied != 1 {
            return failed(FailureKind::Watermark, "nothing applied by a target that is frozen", applied.to_string());
        }
        if accepted > limit {
            bench.thaw().await?;
            return failed(
                FailureKind::Unbounded,
                format!("at most {limit} bytes to be accepted while nothing is applied"),
                format!("{accepted} bytes and more"),
            );
        }
    }
    sink.flush().await?;
    sink.close().await?;
    bench.expect(0, &key, Some(&value)).await
}

pub(super) async fn a_flush_can_be_given_up<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let mut sink = bench.sink().await?;
    let key = bench.key("key");
    for round in 0..5_u8 {
        let freeze = round == 2 && bench.abilities.freezes;
        if freeze {
            sink.flush().await?;
            bench.freeze().await?;
        }
        let batch = bench.writes(&[&[b"APPEND".as_slice(), &key, &[b'0' + round]]]);
        if !freeze {
            sink.write(batch).await?;
        } else if hold(&mut sink, batch, bench).await?.thawed {
            continue;
        }
        let ended = {
            let mut flush = std::pin::pin!(sink.sink.flush());
            if freeze {
                tokio::time::timeout(Duration::from_millis(100), flush).await.ok()
            } else {
                // Given up at the first place where it waits.
                match poll_fn(|cx| Poll::Ready(flush.as_mut().poll(cx))).await {
                    Poll::Ready(flushed) => Some(flushed),
                    Poll::Pending => None,
                }
            }
        };
        if let Some(flushed) = ended {
            no_error("a flush", flushed)?;
        }
        sink.look()?;
        if freeze {
            bench.thaw().await?;
        }
    }
    sink.flush().await?;
    sink.close().await?;
    bench.expect(0, &key, Some(b"01234")).await
}

pub(super) async fn dropping_a_sink_does_not_hang<H: Harness>(bench: &mut Bench<'_, H>) -> Checked {
    let patience = bench.abilities.patience;
    let key = bench.key("key");
    for freeze in [false, true] {
        let mut sink = warm(bench).await?;
        let freeze = freeze && bench.abilities.freezes;
        if freeze {
            bench.freeze().await?;
        }
        let mut thawed = false;
        for _ in 0..10 {
            let batch = bench.writes(&[&[b"SET".as_slice(), &key, b"value"]]);
            thawed = thawed || hold(&mut sink, batch, bench).await?.thawed;
        }
        // On a thread that may block, so that a drop that does is noticed.
        let dropped = tokio::task::spawn_blocking(move || drop(sink));
        let joined = within(patience, "a drop that ends", dropped).await;
        if freeze && !thawed {
            bench.thaw().await?;
        }
        if joined?.is_err() {
            return failed(FailureKind::Error, "a drop without a panic", "a panic");
        }
    }
    // The target is none the worse for it.
    let mut sink = bench.sink().await?;
    let batch = bench.writes(&[&[b"SET".as_slice(), &key, b"after"]]);
    sink.write(batch).await?;
    sink.close().await?;
    bench.expect(0, &key, Some(b"after")).await
}

/// A sink that has applied one batch.
async fn warm<H: Harness>(bench: &mut Bench<'_, H>) -> Checked<Watched<H::Sink>> {
    let mut sink = bench.sink().await?;
    let key = bench.key("warm");
    let batch = bench.writes(&[&[b"SET".as_slice(), &key, b"up"]]);
    sink.write(batch).await?;
    sink.flush().await?;
    Ok(sink)
}

struct Held {
    /// The write waited for the target, which had to be thawed.
    thawed: bool,
}

/// Writes to a target that may be frozen; when the write waits for it, has it go on.
async fn hold<H: Harness>(sink: &mut Watched<H::Sink>, batch: Batch, bench: &mut Bench<'_, H>) -> Checked<Held> {
    let patience = bench.abilities.patience;
    sink.give(&batch);
    let mut write = std::pin::pin!(sink.sink.write(batch));
    let (written, thawed) = match tokio::time::timeout(STALLED, &mut write).await {
        Ok(written) => (written, false),
        Err(_) => {
            bench.thaw().await?;
            (within(patience, "a write that goes on with its target", write).await?, true)
        }
    };
    no_error("a batch that is taken", written)?;
    Ok(Held { thawed })
}
