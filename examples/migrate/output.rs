//! What people and scripts see: progress on standard error, JSON lines or a summary on standard output.

use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use rdts_core::pipeline::{Handle, Report};
use rdts_core::{ErrorKind, Position};
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
                    let stream = report.applied.position.is_some_and(|position| position.is_stream());
                    if stream && !in_stream {
                        in_stream = true;
                        self.snapshot_done(&report);
                    }
                    self.bar.set_message(describe(&report));
                    if let Some(Position::Snapshot { rdb_bytes, .. }) = report.read {
                        self.bar.set_position(rdb_bytes);
                    }
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
                HumanCount(report.applied.counts.keys)
            );
        });
        if let Ok(style) = ProgressStyle::with_template("{spinner} live {msg}") {
            self.bar.set_style(style);
        }
    }

    fn progress(&self, report: &Report) {
        self.line(&json!({
            "event": "progress",
            "phase": phase(report.applied.position),
            "keys": report.applied.counts.keys,
            "commands": report.applied.counts.commands,
            "bytes": report.applied.counts.bytes,
            "read_offset": report.read.map(|position| position.offset()),
            "offset": report.applied.position.map(|position| position.offset()),
            "seconds": self.started.elapsed().as_secs_f64(),
        }));
        if self.bar.is_hidden() && report.read.is_some() {
            eprintln!("{}: {}", phase(report.applied.position), describe(report));
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

    /// Says something to a person.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// The last words.
    pub(crate) fn summary(&self, stopped: Option<&Stopped>) {
        let counts = self.report.applied.counts;
        let skipped = self.report.skipped;
        let seconds = self.started.elapsed().as_secs_f64();
        let failed = u64::from(stopped.is_some_and(|stopped| stopped.error.kind() == ErrorKind::Rejected));
        let offset = self.report.applied.position.map(|position| position.offset());
        self.line(&json!({
            "event": "summary",
            "task": self.task,
            "status": stopped.map_or(0, |stopped| stopped.status),
            "error": stopped.map(|stopped| stopped.error.to_string()),
            "solution": stopped.and_then(|stopped| stopped.error.solution()),
            "phase": phase(self.report.applied.position),
            "keys": counts.keys,
            "commands": counts.commands,
            "bytes": counts.bytes,
            "seconds": seconds,
            "offset": offset,
            "skipped": skipped.total() + counts.kept,
            "skipped_because": {
                "kept": counts.kept,
                "expired": skipped.expired,
                "empty": skipped.empty,
                "functions": skipped.functions,
                "module_aux": skipped.module_aux,
                "messages": skipped.messages,
                "cluster": skipped.cluster,
            },
            "script_errors": counts.script_errors,
            "failed": failed,
            "verified": self.verified,
        }));
        if let Some(stopped) = stopped {
            eprintln!("error: {}", stopped.error);
            if let Some(solution) = stopped.error.solution() {
                eprintln!("  what to do: {solution}");
            }
        }
        if !self.json && self.report.read.is_some() {
            println!(
                "{} keys, {} commands, {} in {seconds:.1} s; offset {}; skipped {}, failed {failed}{}",
                HumanCount(counts.keys),
                HumanCount(counts.commands),
                HumanBytes(counts.bytes),
                offset.unwrap_or_default(),
                skipped.total() + counts.kept,
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

fn phase(position: Option<Position>) -> &'static str {
    match position {
        None => "starting",
        Some(Position::Stream { .. }) => "live",
        Some(_) => "snapshot",
    }
}

fn describe(report: &Report) -> String {
    let counts = report.applied.counts;
    let lag = match (report.read, report.applied.position) {
        (Some(read @ Position::Stream { .. }), Some(applied @ Position::Stream { .. })) => {
            format!(", offset {}, {} on their way", applied.offset(), HumanBytes(read.offset() - applied.offset()))
        }
        _ => String::new(),
    };
    format!(
        "{} keys, {} commands, {}{lag}",
        HumanCount(counts.keys),
        HumanCount(counts.commands),
        HumanBytes(counts.bytes)
    )
}
