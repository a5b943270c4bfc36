//! What somebody may want of a migration that runs.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks a migration to pause, to go on, or to come to its end. Cheap to clone; what was asked for stays asked for.
#[derive(Debug, Clone, Default)]
pub struct Steering(Arc<watch::Sender<Wishes>>);

#[derive(Debug, Clone, Copy, Default)]
struct Wishes {
    paused: bool,
    finish: bool,
    stops: u32,
}

impl Steering {
    /// Asks for the end of the task: once everything is applied that the source has at this moment, what the migration keeps is removed.
    pub fn finish(&self) {
        self.0.send_modify(|wishes| wishes.finish = true);
    }

    /// Asks for the end of the run, and not of the task if it has a state to go on with. What the source has by now is still applied, if
    /// that does not take long. Asked a second time, even that is not waited for.
    pub fn stop(&self) {
        self.0.send_modify(|wishes| wishes.stops = wishes.stops.saturating_add(1));
    }

    /// Asks it to pause, or to go on.
    pub fn set_paused(&self, paused: bool) {
        self.0.send_modify(|wishes| wishes.paused = paused);
    }

    /// Whether a pause was asked for.
    pub fn is_paused(&self) -> bool {
        self.0.borrow().paused
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.0.borrow().stops > 0
    }

    /// Waits until a finish is asked for.
    pub async fn finish_asked(&self) {
        self.until(|wishes| wishes.finish).await;
    }

    /// Waits until a stop has been asked for `times` times.
    pub async fn stop_asked(&self, times: u32) {
        self.until(|wishes| wishes.stops >= times).await;
    }

    /// Waits until `paused` is what is asked for.
    pub async fn pause_asked(&self, paused: bool) {
        self.until(|wishes| wishes.paused == paused).await;
    }

    async fn until(&self, mut asked: impl FnMut(&Wishes) -> bool) {
        // This is a sender, so that there is one as long as anybody waits.
        let _ = self.0.subscribe().wait_for(|wishes| asked(wishes)).await;
    }
}
