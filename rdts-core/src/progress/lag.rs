//! How far behind one node of the source the target is.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::STALE;

/// What one node said of its offset, and when.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// The latest that is applied, and all after it. Offsets grow.
    samples: VecDeque<(Instant, u64)>,
    answered: Option<Instant>,
}

/// With a sample each second, more than an hour at full resolution. Beyond that every other one of the older ones is dropped.
const MOST: usize = 4096;

impl Lag {
    pub(super) fn sampled(&mut self, now: Instant, offset: u64) {
        self.answered = Some(now);
        if self.samples.back().is_some_and(|(_, last)| *last > offset) {
            // After a promotion the stream may be a little shorter, and what the node before said is of no use any more.
            self.samples.clear();
        }
        // Nothing was written in between: the first time at which it was there says less than the last.
        if let Some((at, last)) = self.samples.back_mut()
            && *last == offset
        {
            *at = now;
            return;
        }
        if self.samples.len() >= MOST {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index == 1 || index > MOST / 2 || index % 2 == 0
            });
        }
        self.samples.push_back((now, offset));
    }

    /// The lag at `now`, when everything up to `applied` is in the target.
    pub(super) fn at(&mut self, now: Instant, applied: u64) -> Option<(u64, Duration)> {
        if self.answered.is_none_or(|answered| now.duration_since(answered) >= STALE) {
            return None;
        }
        while self.samples.get(1).is_some_and(|(_, offset)| *offset <= applied) {
            self.samples.pop_front();
        }
        let (first, _) = *self.samples.front()?;
        let bytes = self.samples.back()?.1.saturating_sub(applied);
        let time = match bytes {
            0 => Duration::ZERO,
            // If not even the first answer is applied, this is the least that it can be.
            _ => now.duration_since(first),
        };
        Some((bytes, time))
    }
}
