//! Waiting for a condition, with a deadline: the one place of the test kit that polls.

use std::time::{Duration, Instant};

/// Between two looks. Short, since every test waits for something; long enough not to burn the CPU of what it waits
/// for.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, and looks again every 5 ms.
///
/// # Panics
/// When it does not hold within `deadline`; `what` is in the message.
#[track_caller]
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    if poll(deadline, || condition().then_some(())).is_none() {
        panic!("waited {deadline:?} in vain for: {what}");
    }
}

/// Looks until `probe` gives something; `None` when it did not within `deadline`.
pub(crate) fn poll<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        std::thread::sleep(POLL);
    }
}
