//! How long keys have left.

use super::report::Tally;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Each bucket's name and the time that ends it, in ms from now; what never expires is counted apart.
const BUCKETS: [(&str, i64); 9] = [
    ("expired", 0),
    ("< 1 min", MINUTE),
    ("< 1 h", HOUR),
    ("< 1 day", DAY),
    ("< 1 week", 7 * DAY),
    ("< 30 days", 30 * DAY),
    ("< 1 year", 365 * DAY),
    ("later", i64::MAX),
    ("never", i64::MAX),
];
const NEVER: usize = BUCKETS.len() - 1;

/// Tallies by the time that keys have left.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    tallies: [Tally; BUCKETS.len()],
}

impl Expiry {
    pub(super) fn count(&mut self, expire_at_ms: Option<i64>, now_ms: i64, tally: &Tally) {
        let bucket = match expire_at_ms {
            None => NEVER,
            Some(time) => {
                let left = time.saturating_sub(now_ms);
                BUCKETS[..NEVER].iter().position(|(_, end)| left < *end).unwrap_or(NEVER - 1)
            }
        };
        self.tallies[bucket].add(tally);
    }

    pub(super) fn buckets(&self) -> Vec<(String, Tally)> {
        BUCKETS.iter().zip(self.tallies).map(|((name, _), tally)| ((*name).to_owned(), tally)).collect()
    }
}
