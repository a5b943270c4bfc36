//! Pausing and slowing down what runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Pauses, resumes and limits one pipeline, or all those of a fleet together, while they run. Cheap to clone.
///
/// What holds a pipeline back holds its source back as well. A replica goes on reading from its primary while there is room in memory and,
/// with one, in its spool; once that is full, the primary keeps what is to come in its output buffer and cuts the
/// connection when that is too much for it.
#[derive(Debug, Clone)]
pub struct Control {
    settings: Arc<watch::Sender<Settings>>,
    /// When the next batch may be taken.
    free_at: Arc<Mutex<Option<Instant>>>,
}

/// How fast at most.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// Commands per second; a key of the snapshot is one or several. Default: no limit.
    pub commands: Option<u64>,
    /// Bytes of commands per second. Default: no limit.
    pub bytes: Option<u64>,
}

impl RateLimit {
    /// No limit.
    pub const NONE: Self = Self { commands: None, bytes: None };

    /// Sets [`commands`](Self::commands), per second; zero counts as one.
    #[must_use]
    pub fn commands(mut self, per_second: u64) -> Self {
        self.commands = Some(per_second.max(1));
        self
    }

    /// Sets [`bytes`](Self::bytes), per second; zero counts as one.
    #[must_use]
    pub fn bytes(mut self, per_second: u64) -> Self {
        self.bytes = Some(per_second.max(1));
        self
    }

    /// The time that so much takes at this rate.
    fn time(self, commands: usize, bytes: usize) -> Duration {
        let part = |amount: usize, rate: Option<u64>| rate.map_or(0.0, |rate| amount as f64 / rate as f64);
        let seconds = part(commands, self.commands).max(part(bytes, self.bytes));
        // A rate of one byte a second makes a long wait of a big batch, but not one that a clock cannot hold.
        Duration::from_secs_f64(seconds.min(1e6))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Settings {
    paused: bool,
    limit: RateLimit,
}

impl Default for Control {
    fn default() -> Self {
        Self { settings: Arc::new(watch::Sender::new(Settings::default())), free_at: Arc::default() }
    }
}

impl Control {
    /// Takes nothing more from the source until [`resume`](Self::resume); what was taken is still applied. A pipeline that is asked
    /// to stop does so also while it is paused.
    pub fn pause(&self) {
        self.settings.send_modify(|settings| settings.paused = true);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.settings.send_modify(|settings| settings.paused = false);
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.settings.borrow().paused
    }

    /// From now on at most so much per second, all pipelines together. A batch is never cut: with a low limit there is a long pause
    /// after each.
    pub fn set_limit(&self, limit: RateLimit) {
        // A pause that the limit before has made ends with it.
        *self.free_at() = None;
        self.settings.send_modify(|settings| settings.limit = limit);
    }

    /// The limit.
    pub fn limit(&self) -> RateLimit {
        self.settings.borrow().limit
    }

    /// Counts what was taken.
    pub(crate) fn took(&self, commands: usize, bytes: usize) {
        let limit = self.limit();
        if limit != RateLimit::NONE {
            let now = Instant::now();
            let mut free_at = self.free_at();
            *free_at = Some(free_at.map_or(now, |at| at.max(now)) + limit.time(commands, bytes));
        }
    }

    fn free_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.free_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the next batch may be taken. Cancel safe.
    pub(crate) async fn may_take(&self) {
        let mut settings = self.settings.subscribe();
        loop {
            let paused = settings.borrow_and_update().paused;
            let free_at = *self.free_at();
            match (paused, free_at) {
                (false, None) => return,
                (false, Some(at)) if at <= Instant::now() => return,
                // No sender is dropped while this is borrowed.
                (true, _) => drop(settings.changed().await),
                (false, Some(at)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        _ = settings.changed() => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_on_the_average_and_can_be_changed() {
        let control = Control::default();
        control.set_limit(RateLimit::NONE.commands(1000).bytes(1_000_000));
        let start = Instant::now();
        for _ in 0..20 {
            control.may_take().await;
            control.took(100, 10);
        }
        control.may_take().await;
        assert_eq!(start.elapsed().as_secs_f64().round(), 2.0);
        control.took(1, 10_000_000);
        let (waiting, start) = (control.clone(), Instant::now());
        let waiting = tokio::spawn(async move { waiting.may_take().await });
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!waiting.is_finished());
        control.set_limit(RateLimit::NONE);
        waiting.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_lasts_until_it_is_ended() {
        let control = Control::default();
        control.pause();
        let waiting = tokio::spawn({
            let control = control.clone();
            async move { control.may_take().await }
        });
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(!waiting.is_finished() && control.is_paused());
        control.resume();
        waiting.await.unwrap();
    }
}
