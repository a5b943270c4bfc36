//! Numbers of running migrations for whoever collects them, by the `metrics` facade: without a recorder they go nowhere, and cost next to
//! nothing.
//!
//! Every metric has the label [`TASK`]. What is not known is NaN.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::progress::Progress;
use crate::task::State;

/// The label with the name of the task.
pub const TASK: &str = "task";
/// The label with the name of a state, of [`TASK_STATE`].
pub const STATE: &str = "state";

/// Gauge: 1 for the state that a task is in, 0 for the others.
pub const TASK_STATE: &str = "rdts_task_state";
/// Gauge: how much of the snapshots is in the target, from 0 to 100.
pub const SNAPSHOT_PERCENT: &str = "rdts_snapshot_percent";
/// Gauge: keys that the source has.
pub const SOURCE_KEYS: &str = "rdts_source_keys";
/// Gauge: the length of the source's snapshots in bytes.
pub const SOURCE_BYTES: &str = "rdts_source_snapshot_bytes";
/// Counter: keys of the snapshots that were read.
pub const KEYS_READ: &str = "rdts_source_keys_read_total";
/// Counter: bytes of the snapshots that were read.
pub const BYTES_READ: &str = "rdts_source_bytes_read_total";
/// Counter: keys of the snapshots that are in place in the target.
pub const TARGET_KEYS: &str = "rdts_target_keys_total";
/// Counter: commands that the target took.
pub const TARGET_COMMANDS: &str = "rdts_target_commands_total";
/// Counter: bytes of commands that the target took.
pub const TARGET_BYTES: &str = "rdts_target_bytes_total";
/// Gauge: commands per second that the target took lately.
pub const COMMAND_RATE: &str = "rdts_target_commands_per_second";
/// Gauge: bytes per second that the target took lately.
pub const BYTE_RATE: &str = "rdts_target_bytes_per_second";
/// Gauge: bytes of the stream that are not applied yet.
pub const LAG_BYTES: &str = "rdts_lag_bytes";
/// Gauge: how far behind the source the target is, in seconds.
pub const LAG_SECONDS: &str = "rdts_lag_seconds";
/// Gauge: how long it will take, in seconds.
pub const LEFT_SECONDS: &str = "rdts_left_seconds";
/// Gauge: 1 if clients may be led to the target.
pub const READY: &str = "rdts_ready_to_cut_over";
/// Gauge: 1 if the migration is paused.
pub const PAUSED: &str = "rdts_paused";

/// Tells the recorder what the metrics are, and their units. To be called once, after a recorder was installed.
pub fn describe() {
    describe_gauge!(TASK_STATE, "1 for the state that the task is in");
    describe_gauge!(SNAPSHOT_PERCENT, Unit::Percent, "How much of the snapshots is in the target");
    describe_gauge!(SOURCE_KEYS, Unit::Count, "Keys that the source has");
    describe_gauge!(SOURCE_BYTES, Unit::Bytes, "The length of the source's snapshots");
    describe_counter!(KEYS_READ, Unit::Count, "Keys of the snapshots that were read");
    describe_counter!(BYTES_READ, Unit::Bytes, "Bytes of the snapshots that were read");
    describe_counter!(TARGET_KEYS, Unit::Count, "Keys of the snapshots that are in place in the target");
    describe_counter!(TARGET_COMMANDS, Unit::Count, "Commands that the target took");
    describe_counter!(TARGET_BYTES, Unit::Bytes, "Bytes of commands that the target took");
    describe_gauge!(COMMAND_RATE, Unit::CountPerSecond, "Commands that the target took lately");
    describe_gauge!(BYTE_RATE, "Bytes of commands per second that the target took lately");
    describe_gauge!(LAG_BYTES, Unit::Bytes, "Bytes of the stream that are not applied yet");
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "How far behind the source the target is");
    describe_gauge!(LEFT_SECONDS, Unit::Seconds, "How long it will take");
    describe_gauge!(READY, "1 if clients may be led to the target");
    describe_gauge!(PAUSED, "1 if the migration is paused");
}

/// Records how far one run of a task's migration is.
#[derive(Debug)]
pub struct Recorder {
    task: String,
    last: Progress,
}

impl Recorder {
    /// For a run of `task` that has done nothing yet.
    pub fn new(task: impl Into<String>) -> Self {
        Self { task: task.into(), last: Progress::default() }
    }

    /// Records what is known now. Counters grow by what was done since the last time.
    pub fn record(&mut self, progress: &Progress) {
        let set = |name: &'static str, value: f64| gauge!(name, TASK => self.task.clone()).set(value);
        let add = |name: &'static str, before: u64, now: u64| {
            counter!(name, TASK => self.task.clone()).increment(now.saturating_sub(before));
        };
        let known = |value: Option<u64>| value.map_or(f64::NAN, |value| value as f64);
        let seconds = |time: Option<std::time::Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
        let last = &self.last;
        set(SNAPSHOT_PERCENT, progress.percent.unwrap_or(f64::NAN));
        set(SOURCE_KEYS, known(progress.source.keys));
        set(SOURCE_BYTES, known(progress.source.bytes));
        add(KEYS_READ, last.source.keys_read, progress.source.keys_read);
        add(BYTES_READ, last.source.bytes_read, progress.source.bytes_read);
        add(TARGET_KEYS, last.target.keys, progress.target.keys);
        add(TARGET_COMMANDS, last.target.commands, progress.target.commands);
        add(TARGET_BYTES, last.target.bytes, progress.target.bytes);
        set(COMMAND_RATE, progress.commands_per_second);
        set(BYTE_RATE, progress.bytes_per_second);
        set(LAG_BYTES, known(progress.lag_bytes));
        set(LAG_SECONDS, seconds(progress.lag));
        set(LEFT_SECONDS, seconds(progress.left));
        set(READY, f64::from(u8::from(progress.ready)));
        set(PAUSED, f64::from(u8::from(progress.paused)));
        self.last = *progress;
    }
}

/// Records which state a task is in; `None` when it is gone.
pub fn record_state(task: &str, now: Option<State>) {
    for state in State::ALL {
        let value = f64::from(u8::from(now == Some(state)));
        gauge!(TASK_STATE, TASK => task.to_owned(), STATE => state.name()).set(value);
    }
}
