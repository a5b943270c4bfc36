//! A pipeline that is paused and slowed down while it runs.

use std::time::Duration;

use rdts_core::control::RateLimit;
use rdts_core::record::{Batch, BatchBuilder, Kind, Mark, Position, ReplicationId};
use rdts_core::sink::Watermark;
use rdts_core::{Pipeline, Result, Source};
use tokio::sync::watch;

use crate::collector::Collector;

/// Never ends: a command of ten bytes at a time.
struct Endless(u64);

impl Source for Endless {
    async fn next(&mut self) -> Result<Option<Batch>> {
        tokio::task::yield_now().await;
        self.0 += 10;
        let mut builder = BatchBuilder::new(16);
        builder.arena().extend_from_slice(b"*1\r\n$1\r\nx\r\n");
        builder.commit(Mark::new(0, Kind::Write), None, self.0);
        Ok(Some(builder.take(Position::stream(ReplicationId::NONE, self.0, 0))))
    }

    async fn acknowledge(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }
}

fn endless() -> (Pipeline<Endless, Collector>, watch::Receiver<Watermark>) {
    let sink = Collector::new();
    let seen = sink.watch();
    (Pipeline::new(Endless(0), sink), seen)
}

#[tokio::test(start_paused = true)]
async fn a_pause_takes_nothing_more_and_a_stop_ends_it() {
    let (pipeline, mut seen) = endless();
    let handle = pipeline.handle();
    let running = tokio::spawn(pipeline.run());
    seen.wait_for(|seen| seen.batches > 10).await.unwrap();
    handle.control().pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let there = seen.borrow().batches;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(seen.borrow().batches, there);
    // What was taken is applied, and said to be.
    assert_eq!(handle.report().applied.batches, there);
    handle.control().resume();
    seen.wait_for(|seen| seen.batches > there + 10).await.unwrap();
    handle.control().pause();
    handle.stop();
    running.await.unwrap().result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_for_commands_and_bytes_and_can_be_changed() {
    let (pipeline, mut seen) = endless();
    let handle = pipeline.handle();
    handle.control().set_limit(RateLimit::NONE.commands(50));
    let running = tokio::spawn(pipeline.run());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let count = seen.borrow().batches;
    assert!((495..=505).contains(&count), "{count}");
    handle.control().set_limit(RateLimit::NONE.commands(50).bytes(110));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let more = seen.borrow().batches - count;
    assert!((95..=105).contains(&more), "{more}");
    handle.control().set_limit(RateLimit::NONE);
    seen.wait_for(|seen| seen.batches > 5000).await.unwrap();
    handle.stop();
    running.await.unwrap().result.unwrap();
}
