//! Times in an AOF that have passed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdts_resp::{CommandRef, encode};

/// Lifts times at which something expires to the end of a grace period.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct ExpiryFloor {
    grace_ms: i64,
}

/// The time of a command: which argument, and its unit in ms.
type Place = (usize, i64);

impl ExpiryFloor {
    /// `None` if there is no grace.
    pub(super) fn after(grace: Duration) -> Option<Self> {
        let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        (grace_ms > 0).then_some(Self { grace_ms })
    }

    /// The time instead of `time_ms`, both in ms since 1970; `None` if it can stay.
    pub(in crate::source) fn lift(self, time_ms: i64) -> Option<i64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let floor = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(self.grace_ms);
        (time_ms > 0 && time_ms < floor).then_some(floor)
    }

    /// Writes the command with a later time to `out` if it has one that must not stay.
    pub(super) fn rewrite(self, command: &CommandRef<'_>, out: &mut Vec<u8>) -> bool {
        let Some((index, unit)) = place(command) else { return false };
        let time = command.arg(index).and_then(|text| std::str::from_utf8(text).ok()?.parse::<i64>().ok());
        let Some(floor) = time.and_then(|time| self.lift(time.saturating_mul(unit))) else { return false };
        out.clear();
        encode::array_header(out, command.len());
        for (at, arg) in command.iter().enumerate() {
            if at == index {
                // Not before its time: seconds are rounded up.
                encode::bulk_int(out, floor.saturating_add(unit - 1) / unit);
            } else {
                encode::bulk(out, arg);
            }
        }
        true
    }
}

/// Where a command has an absolute time. Servers write no relative ones to an AOF, but for `RESTORE` before 7.0, which they load as it is.
fn place(command: &CommandRef<'_>) -> Option<Place> {
    let name = command.name();
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let option = |from: usize, to: usize| {
        (from..to).find_map(|index| {
            let word = command.arg(index)?;
            let unit = match word {
                _ if word.eq_ignore_ascii_case(b"PXAT") => 1,
                _ if word.eq_ignore_ascii_case(b"EXAT") => 1000,
                _ => return None,
            };
            Some((index + 1, unit))
        })
    };
    let word = |from: usize, word: &[u8]| {
        (from..command.len()).find(|index| command.arg(*index).is_some_and(|arg| arg.eq_ignore_ascii_case(word)))
    };
    match name.len() {
        3 if is(b"SET") => option(3, command.len()),
        5 if is(b"GETEX") => option(2, command.len()),
        // HSETEX key [options] FIELDS n field value …: what follows FIELDS is data.
        6 if is(b"HSETEX") || is(b"HGETEX") => option(2, word(2, b"FIELDS")?),
        6 if is(b"MSETEX") => {
            let pairs: usize = std::str::from_utf8(command.arg(1)?).ok()?.parse().ok()?;
            option(pairs.checked_mul(2)?.checked_add(2)?, command.len())
        }
        7 if is(b"RESTORE") => word(4, b"ABSTTL").map(|_| (2, 1)),
        14 if is(b"RESTORE-ASKING") => word(4, b"ABSTTL").map(|_| (2, 1)),
        8 if is(b"EXPIREAT") => Some((2, 1000)),
        9 if is(b"PEXPIREAT") => Some((2, 1)),
        9 if is(b"HEXPIREAT") => Some((2, 1000)),
        10 if is(b"HPEXPIREAT") => Some((2, 1)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdts_resp::CommandDecoder;

    use super::*;

    fn rewritten(text: &str) -> Option<Vec<String>> {
        let mut frame = Vec::new();
        encode::command(&mut frame, text.split(' ').collect::<Vec<_>>());
        let mut decoder = CommandDecoder::new();
        let (_, command) = decoder.decode(&frame).unwrap().unwrap();
        let mut out = Vec::new();
        let floor = ExpiryFloor::after(Duration::from_secs(60)).unwrap();
        floor.rewrite(&command, &mut out).then(|| {
            let mut decoder = CommandDecoder::new();
            let (used, command) = decoder.decode(&out).unwrap().unwrap();
            assert_eq!(used, out.len());
            command.iter().map(|arg| String::from_utf8(arg.to_vec()).unwrap()).collect()
        })
    }

    #[test]
    fn times_of_the_past_become_times_to_come_and_nothing_else_changes() {
        let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        for (text, index, unit) in [
            ("PEXPIREAT k 1000", 2, 1),
            ("expireat k 1", 2, 1000),
            ("SET PXAT PXAT NX PXAT 5", 5, 1),
            ("SET k v EXAT 5 NX", 4, 1000),
            ("RESTORE k 7 payload REPLACE ABSTTL", 2, 1),
            ("HPEXPIREAT k 7 FIELDS 1 f", 2, 1),
            ("HSETEX k FNX PXAT 7 FIELDS 1 PXAT 9", 4, 1),
            ("MSETEX 1 PXAT 9 PXAT 7", 5, 1),
            ("GETEX k PXAT 7", 3, 1),
        ] {
            let words = rewritten(text).unwrap_or_else(|| vec![text.to_owned()]);
            let time: i64 = words[index].parse().unwrap();
            assert!((now + 60_000..now + 120_000).contains(&(time * unit)), "{words:?}");
            let others = text.split(' ').enumerate().filter(|(at, _)| *at != index);
            assert!(others.into_iter().all(|(at, word)| words[at] == word), "{text}: {words:?}");
        }
    }

    #[test]
    fn times_to_come_and_what_only_looks_like_a_time_stay() {
        for text in [
            "PEXPIREAT k 99999999999999",
            "PEXPIREAT k x",
            "PEXPIREAT k",
            "SET k v",
            "SET k PXAT",
            "RESTORE k 7 payload",
            "RESTORE k 0 payload ABSTTL",
            "HSETEX k FIELDS 1 PXAT 9",
            "MSETEX 1 PXAT 9",
            "RPUSH k PXAT 7",
            "PERSIST k",
        ] {
            assert_eq!(rewritten(text), None, "{text}");
        }
    }
}
