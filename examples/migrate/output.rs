//! What people and scripts see: progress on standard error, JSON lines or a summary on standard output.

use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use rdts_core::fleet::{Handle, Report};
use rdts_core::ledger::Ledger;
use rdts_core::{Error, ErrorKind, Position, pipeline};
use serde_json::{Value, json};

use crate::Stopped;

pub(crate) struct Output {
    json: bool,
    task: Option<String>,
    started: Instant,
    total: Option<u64>,
    bar: ProgressBar,
    report: Report,
    /// Whether the comparison at the end found both sides equal, if there was one.
    verified: Option<bool>,
    /// Whether the same command goes on where a run ended.
    resumable: bool,
}

impl Output {
    pub(crate) fn new(json: bool, task: Option<String>) -> Self {
        Self {
            json,
            task,
            started: Instant::now(),
            total: None,
            bar: ProgressBar::hidden(),
            report: Report::default(),
            verified: None,
            resumable: false,
        }
    }

    /// The same command goes on where this run ends.
    pub(crate) fn resumable(&mut self) {
        self.resumable = true;
    }

    /// Whether the last run got as far as the stream.
    pub(crate) fn is_live(&self) -> bool {
        !self.report.shards.is_empty() && self.report.is_stream()
    }

    /// What can be done about an error.
    fn solution(&self, error: &Error) -> Option<&'static str> {
        match error.kind() {
            ErrorKind::Interrupted | ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Connect
                if self.resumable =>
            {
                Some("the same command goes on from here")
            }
            ErrorKind::HistoryLost if self.resumable => Some(
                "--on-lost restart empties the target and copies again; a larger repl-backlog-size lets the source remember a longer \
                 interruption",
            ),
            _ => error.solution(),
        }
    }

    /// The copy begins; `total` is the length of the snapshot in bytes, if it is known.
    pub(crate) fn start(&mut self, from: &str, to: &str, total: Option<u64>) {
        self.started = Instant::now();
        self.total = total;
        self.line(&json!({ "event": "start", "task": self.task, "from": from, "to": to, "snapshot_bytes": total }));
        eprintln!("{from} → {to}");
        self.bar = ProgressBar::new(total.unwrap_or(0));
        let template = match total {
            Some(_) => "{spinner} snapshot [{bar:30}] {bytes}/{total_bytes} {msg}",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }

    /// Shows the progress of `work` until it is done.
    pub(crate) async fn watch<T>(&mut self, handle: &Handle, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        let mut next_line = Duration::ZERO;
        let mut in_stream = false;
        loop {
            tokio::select! {
                result = &mut work => {
                    self.bar.finish_and_clear();
                    return result;
                }
                _ = ticks.tick() => {
                    let report = handle.report();
                    if report.is_stream() && !in_stream {
                        in_stream = true;
                        self.snapshot_done(&report);
                    }
                    self.bar.set_message(describe(&report));
                    self.bar.set_position(snapshot_bytes(&report));
                    self.bar.tick();
                    if self.started.elapsed() >= next_line {
                        next_line += Duration::from_secs(if self.json { 1 } else { 5 });
                        self.progress(&report);
                    }
                }
            }
        }
    }

    fn snapshot_done(&mut self, report: &Report) {
        self.bar.suspend(|| {
            eprintln!(
                "snapshot in place after {:.1} s: {} keys; following the writes",
                self.started.elapsed().as_secs_f64(),
                HumanCount(report.ledger.counts.keys)
            );
        });
        if let Ok(style) = ProgressStyle::with_template("{spinner} live {msg}") {
            self.bar.set_style(style);
        }
    }

    fn progress(&self, report: &Report) {
        let read = report.shards.first().and_then(|(_, shard)| shard.read);
        self.line(&json!({
            "event": "progress",
            "phase": phase(report),
            "keys": report.ledger.counts.keys,
            "commands": report.ledger.counts.commands,
            "bytes": report.ledger.counts.bytes,
            "read_offset": alone(report).and_then(|shard| Some(shard.read?.offset())),
            "offset": offset(report),
            "seconds": self.started.elapsed().as_secs_f64(),
        }));
        if self.bar.is_hidden() && read.is_some() {
            eprintln!("{}: {}", phase(report), describe(report));
        }
    }

    /// What was done in the end.
    pub(crate) fn done(&mut self, report: Report) {
        self.report = report;
    }

    /// Whether the comparison at the end found both sides equal.
    pub(crate) fn verified(&mut self, equal: bool) {
        self.verified = Some(equal);
    }

    /// Says what a person should know before relying on the result.
    pub(crate) fn warn(&self, text: &str) {
        self.line(&json!({ "event": "warning", "text": text }));
        self.say(&format!("warning: {text}"));
    }

    /// Says something to a person.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// The last words.
    pub(crate) fn summary(&self, stopped: Option<&Stopped>) {
        let ledger = self.report.ledger;
        let counts = ledger.counts;
        let seconds = self.started.elapsed().as_secs_f64();
        let failed = u64::from(stopped.is_some_and(|stopped| stopped.error.kind() == ErrorKind::Rejected));
        let offset = offset(&self.report);
        let shards: Vec<Value> = self.report.shards.iter().map(shard).collect();
        self.line(&json!({
            "event": "summary",
            "task": self.task,
            "status": stopped.map_or(0, |stopped| stopped.status),
            "error": stopped.map(|stopped| stopped.error.to_string()),
            "solution": stopped.and_then(|stopped| self.solution(&stopped.error)),
            "phase": phase(&self.report),
            "keys": counts.keys,
            "commands": counts.commands,
            "bytes": counts.bytes,
            "seconds": seconds,
            "offset": offset,
            "shards": shards,
            "skipped": left_out(&ledger),
            "ledger": account(&ledger),
            "script_errors": counts.script_errors,
            "failed": failed,
            "verified": self.verified,
        }));
        if let Some(stopped) = stopped {
            eprintln!("error: {}", stopped.error);
            if let Some(solution) = self.solution(&stopped.error) {
                eprintln!("  what to do: {solution}");
            }
        }
        if !self.json && self.report.shards.iter().any(|(_, shard)| shard.read.is_some()) {
            println!(
                "{} keys, {} commands, {} in {seconds:.1} s{}; skipped {}, failed {failed}{}",
                HumanCount(counts.keys),
                HumanCount(counts.commands),
                HumanBytes(counts.bytes),
                offset.map_or_else(String::new, |offset| format!("; offset {offset}")),
                left_out(&ledger),
                match self.verified {
                    Some(true) => "; verified: equal",
                    Some(false) => "; verified: DIFFERENT",
                    None => "",
                }
            );
        }
    }

    fn line(&self, value: &Value) {
        if self.json {
            let mut out = std::io::stdout().lock();
            // Whoever reads the output may have gone; the migration goes on all the same.
            let _ = writeln!(out, "{value}").and_then(|()| out.flush());
        }
    }
}

fn phase(report: &Report) -> &'static str {
    match report.shards.iter().any(|(_, shard)| shard.applied.position.is_some()) {
        _ if report.is_stream() => "live",
        true => "snapshot",
        false => "starting",
    }
}

/// The one shard of a source that has no others: only there, one offset says something.
fn alone(report: &Report) -> Option<&pipeline::Report> {
    match report.shards.as_slice() {
        [(_, shard)] => Some(shard),
        _ => None,
    }
}

fn offset(report: &Report) -> Option<u64> {
    Some(alone(report)?.applied.position?.offset())
}

fn shard((name, report): &(String, pipeline::Report)) -> Value {
    json!({
        "name": name,
        "keys": report.applied.counts.keys,
        "commands": report.applied.counts.commands,
        "offset": report.applied.position.map(|position| position.offset()),
    })
}

fn left_out(ledger: &Ledger) -> u64 {
    ledger.intake.skipped() + ledger.counts.kept + ledger.counts.impossible
}

/// What became of every key and command that was read.
pub(crate) fn account(ledger: &Ledger) -> Value {
    let (intake, counts) = (ledger.intake, ledger.counts);
    json!({
        "keys": {
            "read": intake.keys,
            "done": ledger.keys,
            "kept": counts.kept,
            "left_out": {
                "expired": intake.expired,
                "empty": intake.empty,
                "other_databases": intake.keys_of_other_dbs,
                "filtered": intake.filtered_keys,
                "other_shards": intake.keys_elsewhere,
            },
            "on_their_way": ledger.keys_on_their_way(),
        },
        "commands": {
            "read": intake.commands,
            "rewritten": intake.rewritten,
            "done": ledger.writes,
            "script_errors": counts.script_errors,
            "impossible": counts.impossible,
            "left_out": {
                "messages": intake.messages,
                "functions": intake.function_changes,
                "slot_moves": intake.cluster,
                "other_databases": intake.commands_of_other_dbs,
                "filtered": intake.filtered_commands,
                "other_shards": intake.elsewhere,
            },
            "on_their_way": ledger.commands_on_their_way(),
        },
        "left_out": { "functions": intake.functions, "module_data": intake.module_aux },
        "balanced": ledger.is_balanced(),
    })
}

/// Bytes of the snapshots that have been read. A shard that follows the writes counts no more, but then the bar is gone soon.
fn snapshot_bytes(report: &Report) -> u64 {
    let bytes = |(_, shard): &(String, pipeline::Report)| match shard.read {
        Some(Position::Snapshot { rdb_bytes, .. }) => rdb_bytes,
        _ => 0,
    };
    report.shards.iter().map(bytes).sum()
}

fn describe(report: &Report) -> String {
    let counts = report.ledger.counts;
    let on_their_way: u64 = report
        .shards
        .iter()
        .map(|(_, shard)| match (shard.read, shard.applied.position) {
            (Some(read @ Position::Stream { .. }), Some(applied @ Position::Stream { .. })) => {
                read.offset().saturating_sub(applied.offset())
            }
            _ => 0,
        })
        .sum();
    let lag = match offset(report).filter(|_| report.is_stream()) {
        Some(offset) => format!(", offset {offset}, {} on their way", HumanBytes(on_their_way)),
        None if report.is_stream() => format!(", {} on their way", HumanBytes(on_their_way)),
        None => String::new(),
    };
    format!(
        "{} keys, {} commands, {}{lag}",
        HumanCount(counts.keys),
        HumanCount(counts.commands),
        HumanBytes(counts.bytes)
    )
}
