//! What a side has of a key, and whether two of that are the same.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdts_rdb::dump::Payload;
use rdts_rdb::{Digester, Event, ParserOptions, Str, ValueKind};

use super::report::DifferenceKind;

/// What a side has of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Missing,
    /// It could not be read: its slot is moving, or it changed while it was read piece by piece.
    Unknown,
    Present(Present),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) kind: ValueKind,
    /// Bytes of a string, elements of anything else; 0 where nobody tells.
    pub(super) len: u64,
    /// Of the contents, or 0 where those are not looked at.
    pub(super) digest: u128,
    pub(super) expire_at: Option<i64>,
}

/// How far expiries may be apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    ms: i64,
}

impl Tolerance {
    pub(super) fn new(tolerance: Duration) -> Self {
        Self { ms: i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX) }
    }

    pub(super) fn same(self, one: Option<i64>, two: Option<i64>) -> bool {
        match (one, two) {
            (None, None) => true,
            (Some(one), Some(two)) => one.abs_diff(two) <= self.ms.unsigned_abs(),
            _ => false,
        }
    }

    /// Whether a key that expires then may be gone on the other side already.
    fn about_to_expire(self, at: Option<i64>) -> bool {
        at.is_some_and(|at| at <= now_ms().saturating_add(self.ms))
    }
}

/// What two sides have of a key, compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Unknown,
    Different(DifferenceKind),
}

pub(super) fn compare(source: &Face, target: &Face, tolerance: Tolerance) -> Verdict {
    use DifferenceKind as Kind;
    let (one, two) = match (source, target) {
        (Face::Unknown, _) | (_, Face::Unknown) => return Verdict::Unknown,
        (Face::Missing, Face::Missing) => return Verdict::Same,
        (Face::Present(one), Face::Missing) if tolerance.about_to_expire(one.expire_at) => return Verdict::Same,
        (Face::Missing, Face::Present(two)) if tolerance.about_to_expire(two.expire_at) => return Verdict::Same,
        (Face::Present(_), Face::Missing) => return Verdict::Different(Kind::Missing),
        (Face::Missing, Face::Present(_)) => return Verdict::Different(Kind::Extra),
        (Face::Present(one), Face::Present(two)) => (one, two),
    };
    if one.kind != two.kind {
        Verdict::Different(Kind::Type)
    } else if one.len != two.len {
        Verdict::Different(Kind::Length)
    } else if one.digest != two.digest {
        Verdict::Different(Kind::Value)
    } else if !tolerance.same(one.expire_at, two.expire_at) {
        Verdict::Different(Kind::Ttl)
    } else {
        Verdict::Same
    }
}

/// Whether a side's key is as it was.
pub(super) fn unchanged(before: &Face, now: &Face, tolerance: Tolerance) -> bool {
    match (before, now) {
        (Face::Missing, Face::Missing) => true,
        (Face::Present(one), Face::Present(two)) => {
            (one.kind, one.len, one.digest) == (two.kind, two.len, two.digest)
                && tolerance.same(one.expire_at, two.expire_at)
        }
        _ => false,
    }
}

/// What a payload of `DUMP` says.
pub(super) fn of_payload(payload: &[u8], expire_at: Option<i64>) -> Face {
    let decoded = Payload::parse_unverified(payload).ok().and_then(|parsed| {
        let kind = parsed.value_type.kind();
        let mut digester = Digester::new(kind);
        let mut events = parsed.events(ParserOptions::new());
        let mut len = 0;
        while let Some(event) = events.next_event().ok()? {
            len += length(&event);
            digester.event(&event);
        }
        Some(Present { kind, len, digest: digester.finish().value(), expire_at })
    });
    // What we cannot decode is compared by its bytes; the module kind is the one of which nobody knows the inside.
    Face::Present(decoded.unwrap_or_else(|| Present {
        kind: ValueKind::Module,
        len: 0,
        digest: of_bytes(body(payload)),
        expire_at,
    }))
}

/// Elements that an event stands for, or bytes of a string.
fn length(event: &Event<'_>) -> u64 {
    match event {
        Event::String(piece) => piece.data.len() as u64,
        Event::ListItem(_)
        | Event::SetMember(_)
        | Event::ZSetMember { .. }
        | Event::HashField { .. }
        | Event::ArrayItem { .. }
        | Event::StreamEntry(_) => 1,
        _ => 0,
    }
}

/// A digest of some bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> u128 {
    let mut digester = Digester::new(ValueKind::List);
    digester.event(&Event::ListItem(Str::Bytes(bytes)));
    digester.finish().value()
}

/// Whether two payloads are the same but for the version in their footers. `false` says nothing.
pub(super) fn same_bytes(one: &[u8], two: &[u8]) -> bool {
    // From 22 on bytes mean different types in Redis and in Valkey.
    one == two || body(one) == body(two) && one.first().is_some_and(|byte| *byte < 22)
}

/// Without version and checksum.
fn body(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().saturating_sub(10)]
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    i64::try_from(now).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(kind: ValueKind, len: u64, digest: u128, expire_at: Option<i64>) -> Face {
        Face::Present(Present { kind, len, digest, expire_at })
    }

    #[test]
    fn the_coarsest_difference_is_named() {
        use DifferenceKind as Kind;
        let tolerance = Tolerance::new(Duration::from_secs(1));
        let far = now_ms() + 1_000_000;
        let base = present(ValueKind::Set, 2, 7, Some(far));
        for (other, expected) in [
            (base, Verdict::Same),
            (present(ValueKind::Set, 2, 7, Some(far + 1000)), Verdict::Same),
            (present(ValueKind::Set, 2, 7, Some(far + 1001)), Verdict::Different(Kind::Ttl)),
            (present(ValueKind::Set, 2, 7, None), Verdict::Different(Kind::Ttl)),
            (present(ValueKind::Set, 2, 8, None), Verdict::Different(Kind::Value)),
            (present(ValueKind::Set, 3, 8, None), Verdict::Different(Kind::Length)),
            (present(ValueKind::List, 3, 8, None), Verdict::Different(Kind::Type)),
            (Face::Missing, Verdict::Different(Kind::Missing)),
            (Face::Unknown, Verdict::Unknown),
        ] {
            assert_eq!(compare(&base, &other, tolerance), expected, "{other:?}");
        }
        assert_eq!(compare(&Face::Missing, &base, tolerance), Verdict::Different(Kind::Extra));
    }

    #[test]
    fn a_key_that_is_expiring_may_be_on_one_side_alone() {
        let tolerance = Tolerance::new(Duration::from_secs(1));
        let soon = present(ValueKind::Set, 2, 7, Some(now_ms() - 5));
        assert_eq!(compare(&soon, &Face::Missing, tolerance), Verdict::Same);
        assert_eq!(compare(&Face::Missing, &soon, tolerance), Verdict::Same);
    }
}
