//! From reports of a fleet and answers of the source to a [`Progress`]. No I/O: time is what the caller says it is.

use tokio::time::Instant;

use super::lag::Lag;
use super::rate::{Rate, time_for};
use super::snapshot::{Phase, Progress, ReadyWhen};
use crate::fleet::Report;
use crate::record::Position;

/// What a node of the source said.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeSample {
    /// How far its stream is; `None` if it counts no offsets.
    pub offset: Option<u64>,
    /// How many keys it has, in all databases.
    pub keys: u64,
}

impl NodeSample {
    /// A node with so many keys whose stream is at `offset`.
    pub fn new(offset: Option<u64>, keys: u64) -> Self {
        Self { offset, keys }
    }
}

/// Makes a [`Progress`] of what a fleet reports and its source's nodes say, one after the other.
#[derive(Debug)]
pub struct Tracker {
    snapshot_len: Option<u64>,
    ready_when: ReadyWhen,
    shards: Vec<Shard>,
    commands: Rate,
    bytes: Rate,
    keys: Rate,
    /// Bytes of snapshots that are applied.
    copied: Rate,
    /// Bytes of the streams that are applied, and that the source has.
    followed: Rate,
    written: Rate,
    /// Since when it might be called ready.
    fit_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Shard {
    lag: Lag,
    keys: Option<u64>,
    offset: Option<u64>,
    /// How much of the snapshot is applied, which a position in the stream does not say any more.
    copied: u64,
    read: u64,
}

impl Tracker {
    /// Of `shards` shards with snapshots of `snapshot_len` bytes together, if that is known; zero if they are in the target already.
    pub fn new(shards: usize, snapshot_len: Option<u64>, ready_when: ReadyWhen) -> Self {
        Self {
            snapshot_len,
            ready_when,
            shards: (0..shards).map(|_| Shard::default()).collect(),
            commands: Rate::default(),
            bytes: Rate::default(),
            keys: Rate::default(),
            copied: Rate::default(),
            followed: Rate::default(),
            written: Rate::default(),
            fit_since: None,
        }
    }

    /// The node of shard `shard` said `sample` at `now`.
    pub fn sampled(&mut self, shard: usize, now: Instant, sample: NodeSample) {
        let Some(shard) = self.shards.get_mut(shard) else { return };
        shard.keys = Some(sample.keys);
        if let Some(offset) = sample.offset {
            shard.lag.sampled(now, offset);
            shard.offset = Some(offset);
        }
    }

    /// How far it is at `now`, when the fleet says `report` of itself.
    pub fn at(&mut self, now: Instant, report: &Report, paused: bool) -> Progress {
        let mut progress = Progress { paused, ..Progress::default() };
        let begun = report.shards.iter().any(|(_, shard)| shard.applied.position.is_some());
        let in_stream = !report.shards.is_empty() && report.is_stream();
        progress.phase = match (begun, in_stream) {
            (_, true) => Phase::Stream,
            (true, _) => Phase::Snapshot,
            _ => Phase::Starting,
        };
        let counts = report.ledger.counts;
        let target = &mut progress.target;
        (target.keys, target.commands, target.bytes) = (counts.keys, counts.commands, counts.bytes);
        self.commands.add(now, counts.commands);
        self.bytes.add(now, counts.bytes);
        self.keys.add(now, counts.keys);
        progress.commands_per_second = self.commands.per_second();
        progress.bytes_per_second = self.bytes.per_second();
        let mut lag = Some((0, std::time::Duration::ZERO));
        let (mut followed, mut written) = (0, 0);
        for (shard, (_, report)) in self.shards.iter_mut().zip(&report.shards) {
            if let Some(Position::Snapshot { rdb_bytes, .. }) = report.read {
                shard.read = rdb_bytes;
            }
            if let Some(Position::Snapshot { rdb_bytes, .. }) = report.applied.position {
                shard.copied = rdb_bytes;
            }
            let applied = report.applied.position.filter(Position::is_stream);
            let of_shard = applied.and_then(|applied| shard.lag.at(now, applied.offset()));
            lag = lag.zip(of_shard).map(|((bytes, time), (more, other))| (bytes + more, time.max(other)));
            followed += applied.map_or(0, |applied| applied.offset());
            written += shard.offset.unwrap_or_default();
        }
        let copied: u64 = self.shards.iter().map(|shard| shard.copied).sum();
        self.copied.add(now, copied);
        progress.source.bytes = self.snapshot_len;
        progress.source.keys = self.shards.iter().map(|shard| shard.keys).sum();
        progress.source.keys_read = report.ledger.intake.keys;
        progress.source.bytes_read = self.shards.iter().map(|shard| shard.read).sum();
        if in_stream {
            self.followed.add(now, followed);
            self.written.add(now, written);
            progress.percent = Some(100.0);
            progress.source.bytes_read = self.snapshot_len.unwrap_or(progress.source.bytes_read);
            progress.lag_bytes = lag.map(|(bytes, _)| bytes);
            progress.lag = lag.map(|(_, time)| time);
            let gained = self.followed.per_second() - self.written.per_second();
            progress.left = lag.and_then(|(bytes, _)| time_for(bytes, gained));
        } else {
            let by_bytes = self.snapshot_len.map(|total| (copied, total, self.copied.per_second()));
            let by_keys = progress.source.keys.map(|total| (counts.keys, total, self.keys.per_second()));
            if let Some((done, total, rate)) = by_bytes.or(by_keys) {
                // Something is missing until all shards are in the stream, whatever the numbers say.
                let share = if total == 0 { 0.0 } else { done.min(total) as f64 / total as f64 };
                progress.percent = Some((share * 100.0).min(99.9));
                progress.left = time_for(total.saturating_sub(done).max(1), rate);
            }
        }
        let fit = progress.lag_bytes.is_some_and(|bytes| bytes <= self.ready_when.bytes)
            && progress.lag.is_some_and(|lag| lag <= self.ready_when.lag)
            && !paused;
        self.fit_since = fit.then(|| self.fit_since.unwrap_or(now));
        progress.ready = self.fit_since.is_some_and(|since| now.duration_since(since) >= self.ready_when.during);
        progress
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline;
    use crate::record::ReplicationId;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A report of shards whose positions are `stream offset` or `snapshot bytes`.
    fn report(shards: &[(bool, u64)], bytes: u64) -> Report {
        let mut report = Report::default();
        report.ledger.counts.bytes = bytes;
        for (stream, at) in shards {
            let position = match stream {
                true => Position::stream(ReplicationId::NONE, *at, 0),
                false => Position::snapshot(ReplicationId::NONE, 0, *at),
            };
            let mut shard = pipeline::Report { read: Some(position), ..pipeline::Report::default() };
            shard.applied.position = Some(position);
            report.shards.push(("s".to_owned(), shard));
        }
        report
    }

    fn node(offset: u64) -> NodeSample {
        NodeSample::new(Some(offset), 7)
    }

    #[tokio::test(start_paused = true)]
    async fn the_lag_is_the_age_of_the_last_answer_that_is_applied() {
        let start = Instant::now();
        let mut tracker = Tracker::new(1, Some(0), ReadyWhen::default());
        assert_eq!(tracker.at(start, &report(&[(true, 0)], 0), false).lag, None, "nobody was asked");
        for second in 1..=4 {
            tracker.sampled(0, start + secs(f64::from(second)), node(u64::try_from(second).unwrap() * 4000 - 3000));
        }
        let at = |tracker: &mut Tracker, seconds: f64, applied| {
            let progress = tracker.at(start + secs(seconds), &report(&[(true, applied)], 0), false);
            (progress.lag_bytes, progress.lag)
        };
        // That of the documentation.
        assert_eq!(at(&mut tracker, 4.0, 6000), (Some(7000), Some(secs(2.0))));
        assert_eq!(at(&mut tracker, 4.5, 9000), (Some(4000), Some(secs(1.5))));
        assert_eq!(at(&mut tracker, 4.5, 13_000), (Some(0), Some(Duration::ZERO)));
        assert_eq!(at(&mut tracker, 4.5, 14_000), (Some(0), Some(Duration::ZERO)), "ahead of the last answer");
        assert_eq!(at(&mut tracker, 9.0, 14_000), (None, None), "nobody has answered for long");
        // A source at rest makes no lag.
        for second in 10..20 {
            tracker.sampled(0, start + secs(f64::from(second)), node(14_000));
            assert_eq!(at(&mut tracker, f64::from(second) + 0.5, 14_000), (Some(0), Some(Duration::ZERO)));
        }
        // What is written after it counts from its last answer.
        tracker.sampled(0, start + secs(20.0), node(15_000));
        assert_eq!(at(&mut tracker, 20.5, 14_000), (Some(1000), Some(secs(1.5))));
        // A promoted replica had a little less.
        tracker.sampled(0, start + secs(21.0), node(14_500));
        assert_eq!(at(&mut tracker, 21.0, 14_500), (Some(0), Some(Duration::ZERO)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_shards_bytes_are_added_and_the_last_one_counts() {
        let start = Instant::now();
        let mut tracker = Tracker::new(2, None, ReadyWhen::default());
        for second in 0..4_u32 {
            tracker.sampled(0, start + secs(f64::from(second)), node(u64::from(second) * 10));
            tracker.sampled(1, start + secs(f64::from(second)), node(u64::from(second) * 100));
        }
        let progress = tracker.at(start + secs(3.0), &report(&[(true, 20), (true, 100)], 0), false);
        assert_eq!((progress.lag_bytes, progress.lag), (Some(10 + 200), Some(secs(2.0))));
        assert_eq!(progress.source.keys, Some(14));
        let progress = tracker.at(start + secs(3.0), &report(&[(true, 20), (false, 100)], 0), false);
        assert_eq!((progress.phase, progress.lag, progress.percent), (Phase::Snapshot, None, Some(0.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn percent_and_time_left_follow_the_bytes_of_the_snapshot() {
        let start = Instant::now();
        let mut tracker = Tracker::new(1, Some(1000), ReadyWhen::default());
        let progress = tracker.at(start, &report(&[], 0), false);
        assert_eq!((progress.phase, progress.percent, progress.left), (Phase::Starting, Some(0.0), None));
        tracker.at(start, &report(&[(false, 0)], 0), false);
        for second in 1..=5_u32 {
            let copied = u64::from(second) * 50;
            let progress = tracker.at(start + secs(f64::from(second)), &report(&[(false, copied)], copied * 2), false);
            assert_eq!(progress.percent, Some(f64::from(second) * 5.0));
            assert_eq!(progress.left.unwrap().as_secs_f64().round(), (1000 - copied) as f64 / 50.0);
            assert_eq!(progress.bytes_per_second, 100.0);
            assert_eq!(progress.source.bytes_read, copied);
        }
        // It slows down: after ten seconds nothing else counts.
        for second in 6..=16_u32 {
            tracker.at(start + secs(f64::from(second)), &report(&[(false, 250 + u64::from(second))], 0), false);
        }
        let progress = tracker.at(start + secs(17.0), &report(&[(false, 267)], 0), false);
        assert_eq!(progress.left.unwrap().as_secs_f64().round(), 733.0);
        assert_eq!(tracker.at(start + secs(18.0), &report(&[(false, 1000)], 0), false).percent, Some(99.9));
        assert_eq!(tracker.at(start + secs(18.0), &report(&[(true, 5)], 0), false).percent, Some(100.0));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_counted_where_the_length_of_a_snapshot_is_not_known() {
        let start = Instant::now();
        let mut tracker = Tracker::new(1, None, ReadyWhen::default());
        assert_eq!(tracker.at(start, &report(&[(false, 0)], 0), false).percent, None);
        for second in 1..=4_u64 {
            let now = start + Duration::from_secs(second);
            tracker.sampled(0, now, NodeSample::new(None, 50));
            let mut report = report(&[(false, 0)], 0);
            report.ledger.counts.keys = second * 10;
            let progress = tracker.at(now, &report, false);
            assert_eq!(progress.percent, Some((second * 20) as f64));
            assert_eq!(progress.left.unwrap().as_secs_f64().round(), (5 - second) as f64);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn catching_up_takes_as_long_as_what_is_gained_says_and_for_ever_if_nothing_is() {
        for (applied, expected) in [(300, Some(secs(40.0))), (100, None), (50, None)] {
            let start = Instant::now();
            let mut tracker = Tracker::new(1, Some(0), ReadyWhen::default());
            let mut last = Progress::default();
            for second in 0..=4_u64 {
                let now = start + Duration::from_secs(second);
                tracker.sampled(0, now, node(8800 + second * 100));
                last = tracker.at(now, &report(&[(true, second * applied)], 0), false);
            }
            assert_eq!(last.left, expected, "{applied}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ready_is_a_small_lag_for_some_time() {
        let start = Instant::now();
        let when = ReadyWhen::default().bytes(100).lag(secs(2.0)).during(secs(5.0));
        let mut tracker = Tracker::new(1, Some(0), when);
        let mut ready = |second: u32, written: u64, applied: u64, paused: bool| {
            let now = start + secs(f64::from(second));
            tracker.sampled(0, now, node(written));
            tracker.at(now, &report(&[(true, applied)], 0), paused).ready
        };
        assert!((1..6).all(|second| !ready(second, 1000, 1000, false)));
        assert!(ready(6, 1100, 1000, false));
        assert!(!ready(7, 1200, 1000, false), "too many bytes");
        assert!((8..13).all(|second| !ready(second, 1200, 1200, false)));
        assert!(ready(13, 1200, 1200, false));
        assert!(!ready(14, 1200, 1200, true), "paused");
        assert!((15..20).all(|second| !ready(second, 1200, 1200, false)));
        assert!(ready(20, 1201, 1200, false) && ready(21, 1202, 1200, false));
        assert!(!ready(23, 1203, 1200, false), "too long ago");
    }
}
