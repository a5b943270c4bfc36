//! What the checks say.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::findings::Findings;
use super::{access, clock, data, duration, memory, place, reach, slots, source, usage, versions, writable};

/// What a check says.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// In order.
    Pass,
    /// The migration can be made; somebody should know this, or could not find it out.
    Warn,
    /// The migration would fail, or lose data.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// The result of one check.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, which stays the same over versions.
    pub name: Cow<'static, str>,
    /// What it says.
    pub result: Verdict,
    /// What was seen, with addresses and numbers.
    pub seen: String,
    /// What an operator can do; `None` if it passed.
    pub remedy: Option<String>,
}

/// `fail target-empty: db0 of 10.0.0.1:6379 has 3 keys. Empty it, …`
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:4} {}: {}", self.result, self.name, self.seen)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, ". Remedy: {remedy}"))
    }
}

/// The results of all checks, in the order of [`CHECKS`].
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst of all results.
    pub result: Verdict,
    /// Each check once.
    pub checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        let worst = checks.iter().map(|check| check.result).max();
        Self { result: worst.unwrap_or(Verdict::Pass), checks }
    }

    /// The worst of all results.
    pub fn worst(&self) -> Verdict {
        self.result
    }

    /// The check of that name.
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// The checks with this result.
    pub fn with(&self, result: Verdict) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.result == result)
    }
}

/// A line for each check.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checks.iter().try_for_each(|check| writeln!(f, "{check}"))
    }
}

/// A check: its name, and what it can say at worst.
#[non_exhaustive]
#[derive(Debug)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// The worst that it can say. That it cannot be made is always a [`Warn`](Verdict::Warn).
    pub worst: Verdict,
    pub(super) judge: fn(&Facts<'_>) -> Findings,
}

const fn check(name: &'static str, worst: Verdict, judge: fn(&Facts<'_>) -> Findings) -> Description {
    Description { name, worst, judge }
}

/// All checks, in the order in which they are reported.
pub static CHECKS: &[Description] = {
    use Verdict::{Fail, Warn};
    &[
        check("source-reachable", Fail, |facts| reach::reachable(&facts.source)),
        check("source-login", Fail, |facts| reach::login(&facts.source)),
        check("source-ready", Fail, |facts| reach::ready(&facts.source)),
        check("target-reachable", Fail, |facts| reach::reachable(&facts.target)),
        check("target-login", Fail, |facts| reach::login(&facts.target)),
        check("target-ready", Fail, |facts| reach::ready(&facts.target)),
        check("different-servers", Fail, reach::different),
        check("source-slots", Fail, |facts| slots::complete(&facts.source)),
        check("target-slots", Fail, |facts| slots::complete(&facts.target)),
        check("source-version", Fail, |facts| versions::supported(&facts.source)),
        check("target-version", Fail, |facts| versions::supported(&facts.target)),
        check("version-order", Warn, versions::order),
        check("source-replication", Fail, access::replication),
        check("source-permissions", Warn, access::questions),
        check("target-permissions", Fail, access::permissions),
        check("target-commands", Fail, access::commands),
        check("target-writable", Fail, writable::writable),
        check("target-persistence", Warn, writable::persistence),
        check("target-empty", Fail, place::empty),
        check("databases", Fail, place::databases),
        check("target-memory", Fail, memory::room),
        check("target-eviction", Fail, memory::eviction),
        check("data-types", Fail, data::types),
        check("hash-field-expiry", Fail, data::field_expiry),
        check("modules", Fail, data::modules),
        check("functions", Fail, data::functions),
        check("newer-commands", Fail, usage::newer),
        check("big-keys", Fail, data::big_keys),
        check("restricted-commands", Warn, usage::restricted),
        check("cross-slot-commands", Warn, usage::crossing),
        check("source-output-buffer", Warn, source::output_buffer),
        check("source-backlog", Warn, source::backlog),
        check("source-timeout", Warn, source::timeout),
        check("source-snapshot", Warn, source::snapshot),
        check("source-memory", Warn, source::memory),
        check("clock", Warn, clock::differences),
        check("duration", Warn, duration::estimate),
    ]
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut findings = Findings::default();
        findings.fail("db0 has 3 keys", "empty it");
        Report::new(vec![Findings::default().check("clock"), findings.check("target-empty")])
    }

    #[test]
    fn names_are_different_and_readable_by_programs() {
        for (index, one) in CHECKS.iter().enumerate() {
            assert!(one.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", one.name);
            assert!(CHECKS[..index].iter().all(|other| other.name != one.name), "{}", one.name);
        }
    }

    #[test]
    fn a_report_is_stable_json() {
        let text = serde_json::to_string(&report()).unwrap();
        let expected = r#"{"result":"fail","checks":[{"name":"clock","result":"pass","seen":"nothing to check","remedy":null},{"name":"target-empty","result":"fail","seen":"db0 has 3 keys","remedy":"empty it"}]}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    }

    #[test]
    fn a_report_is_readable() {
        let expected = "pass clock: nothing to check\nfail target-empty: db0 has 3 keys. Remedy: empty it\n";
        assert_eq!(report().to_string(), expected);
        assert_eq!(report().worst(), Verdict::Fail);
    }
}
