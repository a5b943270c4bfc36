//! What a comparison has found.

use std::fmt;

use serde::Serialize;

use super::options::Mode;

/// In what the two sides differ. Of several, the first in this order is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The target lacks the key.
    Missing,
    /// The source does not have the key.
    Extra,
    /// The types are not the same.
    Type,
    /// The numbers of elements (bytes of a string) are not the same.
    Length,
    /// The contents are not the same.
    Value,
    /// The expiries are further apart than is tolerated, or one side has none.
    Ttl,
    /// The key kept changing as long as it was looked at, or could not be read: nobody knows whether it differs.
    Unsettled,
}

impl DifferenceKind {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Type => "type",
            Self::Length => "length",
            Self::Value => "value",
            Self::Ttl => "ttl",
            Self::Unsettled => "unsettled",
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many differences of each kind there are. Those that were repaired are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Differences {
    /// Keys that the target lacks.
    pub missing: u64,
    /// Keys that only the target has.
    pub extra: u64,
    /// Keys of different types.
    #[serde(rename = "type")]
    pub types: u64,
    /// Keys with different numbers of elements.
    pub length: u64,
    /// Keys with different contents.
    pub value: u64,
    /// Keys with different expiries.
    pub ttl: u64,
    /// Keys of which nobody knows.
    pub unsettled: u64,
}

impl Differences {
    pub(super) fn count(&mut self, kind: DifferenceKind) {
        *match kind {
            DifferenceKind::Missing => &mut self.missing,
            DifferenceKind::Extra => &mut self.extra,
            DifferenceKind::Type => &mut self.types,
            DifferenceKind::Length => &mut self.length,
            DifferenceKind::Value => &mut self.value,
            DifferenceKind::Ttl => &mut self.ttl,
            DifferenceKind::Unsettled => &mut self.unsettled,
        } += 1;
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        let Self { missing, extra, types, length, value, ttl, unsettled } = self;
        missing + extra + types + length + value + ttl + unsettled
    }
}

/// What one side has of a key that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The type, as `TYPE` says; `module` for those of modules.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of a string, elements of anything else, 0 for a module's value.
    pub length: u64,
    /// The canonical digest of the contents in hexadecimal digits; `None` where they were not looked at.
    pub digest: Option<String>,
    /// When it expires: Unix time in milliseconds.
    pub expire_at_ms: Option<i64>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind, self.length)?;
        if let Some(digest) = &self.digest {
            write!(f, " #{}", &digest[..digest.len().min(8)])?;
        }
        match self.expire_at_ms {
            Some(at) => write!(f, ", expires at {at}"),
            None => Ok(()),
        }
    }
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The source's database, or the target's for a key that only that has.
    pub db: u32,
    /// The key; in JSON it is text with escapes, as in `a\xffb`.
    #[serde(serialize_with = "escaped")]
    pub key: Vec<u8>,
    /// In what.
    pub kind: DifferenceKind,
    /// What the source has; `None` is nothing.
    pub source: Option<Summary>,
    /// What the target has; `None` is nothing.
    pub target: Option<Summary>,
    /// Whether it was set right, and was found to be right thereafter.
    pub repaired: bool,
    /// Why it could not be set right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

fn escaped<S: serde::Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&key.escape_ascii())
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} db {} \"{}\"", self.kind, self.db, self.key.escape_ascii())?;
        match (&self.source, &self.target) {
            (Some(source), Some(target)) => write!(f, ": source {source}; target {target}")?,
            (Some(source), None) => write!(f, ": source {source}")?,
            (None, Some(target)) => write!(f, ": target {target}")?,
            (None, None) => {}
        }
        if self.repaired {
            f.write_str(" (repaired)")?;
        }
        match &self.problem {
            Some(problem) => write!(f, " (not repaired: {problem})"),
            None => Ok(()),
        }
    }
}

/// How many keys a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DatabaseCount {
    /// Its number in the source.
    pub db: u32,
    /// Keys in the source.
    pub source: u64,
    /// Keys in the target's database that it goes to, without those that RDTS keeps there for itself.
    pub target: u64,
}

/// What a comparison has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was compared.
    pub mode: Mode,
    /// Whether the two sides are the same in all that was compared, after repair if that was asked for.
    pub equal: bool,
    /// Keys of the source that were compared with the target. Of a key that a server listed twice, each counts.
    pub compared: u64,
    /// Keys of the target that were looked for in the source.
    pub looked_for: u64,
    /// Bytes of values that were read from the source.
    pub bytes: u64,
    /// The fraction of the keys that was looked at: 1 but for [`Mode::Sample`].
    pub fraction: f64,
    /// Differences of each kind that are left.
    pub differences: Differences,
    /// Keys that kept changing and whose target had a value that the source had had a little before: in order.
    pub in_motion: u64,
    /// Differences that were repaired.
    pub repaired: u64,
    /// What could not be compared, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// With [`Mode::Count`]: the databases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseCount>,
    /// The first differences, repaired ones as well; not in any order.
    pub keys: Vec<Difference>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            equal: true,
            compared: 0,
            looked_for: 0,
            bytes: 0,
            fraction: 1.0,
            differences: Differences::default(),
            in_motion: 0,
            repaired: 0,
            notes: Vec::new(),
            databases: Vec::new(),
            keys: Vec::new(),
            seconds: 0.0,
        }
    }
}

impl fmt::Display for Report {
    /// For people, in several lines; the differences first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.keys {
            writeln!(f, "{key}")?;
        }
        let listed = self.keys.len() as u64;
        let all = self.differences.total() + self.repaired;
        if all > listed {
            writeln!(f, "… and {} more", all - listed)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for DatabaseCount { db, source, target } in &self.databases {
            let sign = if source == target { "" } else { "  <- not the same" };
            writeln!(f, "db {db}: {source} keys in the source, {target} in the target{sign}")?;
        }
        match self.mode {
            Mode::Count => {}
            mode => writeln!(
                f,
                "compared {} keys ({}{}) and looked for {} of the target in the source, in {:.1} s",
                self.compared,
                mode.name(),
                if self.fraction < 1.0 { format!(", {:.2} % of all", self.fraction * 100.0) } else { String::new() },
                self.looked_for,
                self.seconds
            )?,
        }
        if self.in_motion > 0 {
            writeln!(f, "{} keys kept changing; the target follows them", self.in_motion)?;
        }
        if self.repaired > 0 {
            writeln!(f, "repaired: {}", self.repaired)?;
        }
        if self.equal {
            return f.write_str("equal");
        }
        let Differences { missing, extra, types, length, value, ttl, unsettled } = self.differences;
        let counts = [
            (missing, "missing"),
            (extra, "extra"),
            (types, "type"),
            (length, "length"),
            (value, "value"),
            (ttl, "ttl"),
            (unsettled, "unsettled"),
        ];
        let counts: Vec<String> =
            counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
        match counts.is_empty() {
            true => f.write_str("different: the numbers of keys"),
            false => write!(f, "different: {}", counts.join(", ")),
        }
    }
}
