//! What people and scripts see: progress on standard error, JSON lines or a summary on standard output.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use rdts_core::fleet::Report;
use rdts_core::ledger::Ledger;
use rdts_core::{Error, ErrorKind, Position, pipeline, verify};
use serde_json::{Value, json};

use rdts_examples::account;
use rdts_examples::migration::{Observer, Started, Steering, Stopped};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) struct Output {
    json: bool,
    task: Option<String>,
    started: Instant,
    bar: ProgressBar,
    report: Report,
    /// Whether the comparison at the end found both sides equal, if there was one.
    verified: Option<bool>,
    /// Whether the same command goes on where a run ended.
    resumable: bool,
    /// What signals have to be told to, until they are caught.
    steering: Option<Steering>,
    /// When the next line is due, after the start.
    next_line: Duration,
    in_stream: bool,
}

impl Output {
    pub(crate) fn new(json: bool, task: Option<String>, steering: Steering) -> Self {
        Self {
            json,
            task,
            started: Instant::now(),
            bar: ProgressBar::hidden(),
            report: Report::default(),
            verified: None,
            resumable: false,
            steering: Some(steering),
            next_line: Duration::ZERO,
            in_stream: false,
        }
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

    fn progress_line(&self, report: &Report) {
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

    /// Whether the comparison at the end found both sides equal.
    pub(crate) fn verified(&mut self, equal: bool) {
        self.verified = Some(equal);
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
            "ledger": account::json(&ledger),
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

impl Observer for Output {
    fn resumable(&mut self) {
        self.resumable = true;
    }

    fn started(&mut self, started: &Started<'_>) {
        let total = started.snapshot_len;
        (self.started, self.next_line, self.in_stream) = (Instant::now(), Duration::ZERO, false);
        self.line(&json!({
            "event": "start", "task": self.task, "from": started.from, "to": started.to, "snapshot_bytes": total,
        }));
        eprintln!("{} → {}", started.from, started.to);
        self.bar = ProgressBar::new(total.unwrap_or(0));
        let template = match total {
            Some(_) => "{spinner} snapshot [{bar:30}] {bytes}/{total_bytes} {msg}",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        // Until here a signal ends the program.
        if let Some(steering) = self.steering.take() {
            tokio::spawn(catch_signals(steering));
        }
    }

    fn progress(&mut self, report: &Report) {
        if report.is_stream() && !self.in_stream {
            self.in_stream = true;
            self.snapshot_done(report);
        }
        self.bar.set_message(describe(report));
        self.bar.set_position(snapshot_bytes(report));
        self.bar.tick();
        if self.started.elapsed() >= self.next_line {
            self.next_line += Duration::from_secs(if self.json { 1 } else { 5 });
            self.progress_line(report);
        }
    }

    fn compared(&mut self, report: &verify::Report) {
        self.verified(report.equal);
        self.line(&json!({ "event": "verification", "report": report }));
    }

    fn done(&mut self, report: Report) {
        self.bar.finish_and_clear();
        self.report = report;
    }

    fn warn(&mut self, text: &str) {
        self.line(&json!({ "event": "warning", "text": text }));
        self.say(&format!("warning: {text}"));
    }

    fn say(&mut self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

/// Passes on requests to stop.
async fn catch_signals(steering: Steering) {
    let caught = signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)));
    let (mut interrupt, mut terminate) = match caught {
        Ok(caught) => caught,
        Err(error) => return tracing::error!(%error, "signals cannot be caught"),
    };
    loop {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        steering.stop();
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
