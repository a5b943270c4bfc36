//! What a check has found, on its way into one result.

use super::report::{Check, Verdict};

/// So many findings are spelled out; a cluster may have hundreds of nodes with the same one.
const SHOWN: usize = 6;

/// What one check has found, node by node.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    seen: String,
    remedy: Option<String>,
}

impl Findings {
    fn add(&mut self, verdict: Verdict, seen: String, remedy: Option<String>) {
        self.0.push(Finding { verdict, seen, remedy });
    }

    /// What is in order.
    pub(super) fn pass(&mut self, seen: impl Into<String>) {
        self.add(Verdict::Pass, seen.into(), None);
    }

    pub(super) fn warn(&mut self, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(Verdict::Warn, seen.into(), Some(remedy.into()));
    }

    pub(super) fn fail(&mut self, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(Verdict::Fail, seen.into(), Some(remedy.into()));
    }

    pub(super) fn say(&mut self, verdict: Verdict, seen: impl Into<String>, remedy: impl Into<String>) {
        let remedy = (verdict != Verdict::Pass).then(|| remedy.into());
        self.add(verdict, seen.into(), remedy);
    }

    /// The check cannot be made at `place`, because of `why`.
    pub(super) fn unknown(&mut self, place: impl std::fmt::Display, why: &str) {
        self.warn(format!("{place} cannot be checked: {why}"), "let the user ask for that, or look at it by hand");
    }

    /// Whether something was found that is not in order.
    pub(super) fn is_clean(&self) -> bool {
        self.0.iter().all(|finding| finding.verdict == Verdict::Pass)
    }

    /// The result of the check `name`: the worst of all findings, and what belongs to it first.
    pub(super) fn check(mut self, name: &'static str) -> Check {
        let result = self.0.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Pass);
        // What is in order is of interest only if all is.
        self.0.retain(|finding| result == Verdict::Pass || finding.verdict != Verdict::Pass);
        self.0.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        let mut seen: Vec<&str> = Vec::new();
        let mut remedies: Vec<&str> = Vec::new();
        for finding in &self.0 {
            push_new(&mut seen, &finding.seen);
            finding.remedy.iter().for_each(|remedy| push_new(&mut remedies, remedy));
        }
        let remedy = (!remedies.is_empty()).then(|| shown(&remedies));
        let seen = if seen.is_empty() { "nothing to check".to_owned() } else { shown(&seen) };
        Check { name: name.into(), result, seen, remedy }
    }
}

fn push_new<'a>(list: &mut Vec<&'a str>, text: &'a str) {
    if !list.contains(&text) {
        list.push(text);
    }
}

fn shown(texts: &[&str]) -> String {
    let mut text = texts[..texts.len().min(SHOWN)].join("; ");
    if texts.len() > SHOWN {
        text.push_str(&format!("; and {} more", texts.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_a_pass_is_told_only_if_all_pass() {
        let mut findings = Findings::default();
        findings.pass("a is fine");
        findings.warn("b is slow", "wait");
        findings.fail("c is down", "start it");
        findings.fail("d is down", "start it");
        let check = findings.check("x");
        assert_eq!((check.result, check.seen.as_str()), (Verdict::Fail, "c is down; d is down; b is slow"));
        assert_eq!(check.remedy.as_deref(), Some("start it; wait"));
        let mut findings = Findings::default();
        for node in 0..100 {
            findings.unknown(node, "no");
        }
        let check = findings.check("x");
        assert!(check.result == Verdict::Warn && check.seen.ends_with("; and 94 more"), "{check}");
        let mut findings = Findings::default();
        findings.pass("fine");
        assert_eq!(findings.check("x").to_string(), "pass x: fine");
    }
}
