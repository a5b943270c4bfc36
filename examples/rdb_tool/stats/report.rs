//! What was found, ready to be shown.

use std::fmt;

/// Counts of keys and what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) keys: u64,
    /// Bytes in the file.
    pub(super) bytes: u64,
    pub(super) elements: u64,
    /// Keys that expire.
    pub(super) expiring: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.keys += other.keys;
        self.bytes += other.bytes;
        self.elements += other.elements;
        self.expiring += other.expiring;
    }

    /// The greater of each count.
    pub(super) fn greatest(self, other: &Self) -> Self {
        Self {
            keys: self.keys.max(other.keys),
            bytes: self.bytes.max(other.bytes),
            elements: self.elements.max(other.elements),
            expiring: self.expiring.max(other.expiring),
        }
    }
}

/// A key that is among the biggest.
#[derive(Debug, Clone)]
pub(super) struct BigKey {
    pub(super) db: u64,
    /// At most its first [`SHOWN`](Self::SHOWN) bytes.
    pub(super) key: Vec<u8>,
    pub(super) key_len: usize,
    pub(super) kind: String,
    pub(super) encoding: String,
    pub(super) bytes: u64,
    pub(super) elements: u64,
    /// Bytes of its longest element.
    pub(super) longest: u64,
    pub(super) expire_at_ms: Option<i64>,
}

impl BigKey {
    /// Bytes of a name that are kept.
    pub(super) const SHOWN: usize = 1024;
}

/// Rows with their names.
pub(super) type Rows = Vec<(String, Tally)>;

/// What there is beside the prefixes that are shown.
#[derive(Debug, Default)]
pub(super) struct OtherPrefixes {
    pub(super) tally: Tally,
    /// Prefixes that are kept and not shown.
    pub(super) hidden: u64,
    /// How many times a prefix was given up for the limit on memory; one that came again counts again.
    pub(super) given_up: u64,
    /// What a prefix that is shown may at most lack for that.
    pub(super) may_lack: Tally,
}

/// All about a file.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) file: String,
    /// Such as `REDIS0012`.
    pub(super) version: String,
    /// What the file says of itself.
    pub(super) aux: Vec<(Vec<u8>, Vec<u8>)>,
    /// The time that expiry is told from, in ms since 1970.
    pub(super) now_ms: i64,
    /// Length of the file.
    pub(super) file_bytes: u64,
    pub(super) total: Tally,
    /// Fields and members that expire of themselves.
    pub(super) expiring_fields: u64,
    pub(super) functions: u64,
    pub(super) module_aux: u64,
    pub(super) databases: Rows,
    pub(super) types: Rows,
    pub(super) encodings: Rows,
    pub(super) expiry: Rows,
    pub(super) sizes: Rows,
    pub(super) prefixes: Vec<(Vec<u8>, Tally)>,
    pub(super) other: OtherPrefixes,
    pub(super) by_bytes: Vec<BigKey>,
    pub(super) by_elements: Vec<BigKey>,
}

impl Report {
    /// What an aux field says.
    fn aux(&self, name: &[u8]) -> Option<&[u8]> {
        self.aux.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// Who wrote the file, and when, in words.
    pub(super) fn origin(&self) -> String {
        let mut text = self.version.clone();
        let server = self.aux(b"valkey-ver").map(|v| ("Valkey", v)).or(self.aux(b"redis-ver").map(|v| ("Redis", v)));
        if let Some((name, version)) = server {
            text += &format!(", written by {name} {}", version.escape_ascii());
        }
        if let Some(seconds) = self.aux(b"ctime").and_then(number) {
            text += &format!(", {}", Time(seconds.saturating_mul(1000)));
        }
        text
    }
}

/// A decimal number.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A number of bytes for people.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1023.95 && unit < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        f.pad(&format!("{value:.1} {}", UNITS[unit - 1]))
    }
}

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A count for people: 1,234,567.
pub(super) struct Count(pub(super) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A part of a whole in percent.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// A time in ms since 1970, as a date in UTC.
pub(super) struct Time(pub(super) i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        // Days are counted from 1 March of year 0, so that a leap day is the last of its year.
        let days = days + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (year, month) = if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) };
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        f.pad(&format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02} UTC"))
    }
}
