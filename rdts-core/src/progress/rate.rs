//! How fast something grows.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Over how long a rate is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// How fast a number grows, over the last [`WINDOW`].
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    pub(super) fn add(&mut self, now: Instant, value: u64) {
        // A number that starts anew, or one that is looked at too often to tell anything.
        if self.0.back().is_some_and(|(_, last)| *last > value) {
            self.0.clear();
        }
        self.0.push_back((now, value));
        // One at or before the beginning of the window is kept.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// Per second; zero until there are two values.
    pub(super) fn per_second(&self) -> f64 {
        let (Some((first, from)), Some((last, to))) = (self.0.front(), self.0.back()) else { return 0.0 };
        let seconds = last.duration_since(*first).as_secs_f64();
        if seconds > 0.0 { (to - from) as f64 / seconds } else { 0.0 }
    }
}

/// How long `amount` takes at `rate` per second, if it comes to an end.
pub(super) fn time_for(amount: u64, rate: f64) -> Option<Duration> {
    match amount {
        0 => Some(Duration::ZERO),
        _ if rate > 0.0 => Duration::try_from_secs_f64(amount as f64 / rate).ok(),
        _ => None,
    }
}
