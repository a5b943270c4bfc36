//! What somebody may want of a migration that runs.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks a migration to come to its end. Cheap to clone; what was asked for stays asked for.
#[derive(Debug, Clone, Default)]
pub struct Steering(Arc<watch::Sender<Wishes>>);

#[derive(Debug, Clone, Copy, Default)]
struct Wishes {
    finish: bool,
    stops: u32,
}

impl Steering {
    /// Asks for the end of the task: once everything is applied that the source has at this moment, its checkpoints are removed.
    pub fn finish(&self) {
        self.0.send_modify(|wishes| wishes.finish = true);
    }

    /// Asks for the end of the run, and not of the task if it has a state to go on with. What the source has by now is still applied, if
    /// that does not take long. Asked a second time, even that is not waited for.
    pub fn stop(&self) {
        self.0.send_modify(|wishes| wishes.stops = wishes.stops.saturating_add(1));
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.0.borrow().stops > 0
    }

    /// Waits until a finish is asked for.
    pub(super) async fn finish_asked(&self) {
        // This is a sender, so that there is one as long as anybody waits.
        let _ = self.0.subscribe().wait_for(|wishes| wishes.finish).await;
    }

    /// Waits until a stop has been asked for `times` times.
    pub(super) async fn stop_asked(&self, times: u32) {
        let _ = self.0.subscribe().wait_for(|wishes| wishes.stops >= times).await;
    }
}
