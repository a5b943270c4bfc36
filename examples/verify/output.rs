//! What people and programs are told.

use std::io::{IsTerminal, Write};

use rdts_core::Error;
use rdts_core::verify::{Progress, Report};
use serde_json::{Value, json};

/// Standard output has the result, standard error what is said on the way.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn progress(&self, progress: &Progress) {
        let done = progress.compared() + progress.looked_for();
        self.line(&json!({
            "event": "progress",
            "compared": progress.compared(),
            "looked_for": progress.looked_for(),
            "candidates": progress.candidates(),
            "total": progress.total(),
        }));
        if !self.json && std::io::stderr().is_terminal() {
            eprintln!("{done} of about {} keys, {} to be looked at again", progress.total(), progress.candidates());
        }
    }

    pub(crate) fn report(&self, report: &Report, status: u8) {
        for key in &report.keys {
            self.event("difference", json!(key));
        }
        let mut summary = json!(report);
        if let Value::Object(fields) = &mut summary {
            fields.remove("keys");
            fields.insert("status".into(), status.into());
        }
        self.event("summary", summary);
        if !self.json {
            let mut out = std::io::stdout().lock();
            // Whoever reads the output may have gone.
            let _ = writeln!(out, "{report}").and_then(|()| out.flush());
        }
    }

    pub(crate) fn error(&self, error: &Error, status: u8) {
        let solution = error.solution();
        self.line(&json!({
            "event": "summary", "status": status, "error": error.to_string(), "solution": solution, "equal": null,
        }));
        eprintln!("error: {error}");
        if let Some(solution) = solution {
            eprintln!("  what to do: {solution}");
        }
    }

    fn event(&self, name: &str, mut value: Value) {
        if let Value::Object(fields) = &mut value {
            fields.insert("event".into(), name.into());
        }
        self.line(&value);
    }

    fn line(&self, value: &Value) {
        if self.json {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{value}").and_then(|()| out.flush());
        }
    }
}
