//! The keys of a concrete command.

use super::first_key;
use super::info::{Access, CommandInfo, Rule, Spec, lookup};
use crate::error::{Error, Result};

/// A key of a command.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which argument it is; the command's name is 0.
    pub index: usize,
    /// What the command does with it.
    pub access: Access,
}

/// The keys of a command in the order of its arguments, from [`keys`]. Nothing is allocated for them.
#[derive(Debug, Clone)]
pub struct Keys {
    ranges: [Range; 2],
    guessed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    next: usize,
    end: usize,
    step: usize,
    access: Access,
}

const NOTHING: Range = Range { next: 0, end: 0, step: 1, access: Access::Read };

impl Keys {
    /// Whether the command is one that no server of the table has, of a module or a later version: then its first
    /// argument is *supposed* to be its key, as it is for most, and any others are not known.
    pub fn is_guess(&self) -> bool {
        self.guessed
    }

    /// From one key to the next.
    pub(crate) fn step(&self) -> usize {
        self.ranges[0].step
    }

    fn new(first: Range, second: Range) -> Self {
        Self { ranges: [first, second], guessed: false }
    }
}

impl Iterator for Keys {
    type Item = Key;

    #[inline]
    fn next(&mut self) -> Option<Key> {
        let range = if self.ranges[0].next < self.ranges[0].end { &mut self.ranges[0] } else { &mut self.ranges[1] };
        let index = range.next;
        if index >= range.end {
            return None;
        }
        range.next += range.step;
        Some(Key { index, access: range.access })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.ranges.iter().map(|range| range.end.saturating_sub(range.next).div_ceil(range.step)).sum();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Keys {}

/// The keys that a command names; `args` begins with its name.
///
/// They are those that `COMMAND GETKEYS` tells of it, of every family and version, with two differences: where an
/// option that names a key is given twice (`SORT … STORE a STORE b`) the last counts, as when the server executes it,
/// and the patterns of `SORT … BY … GET …` are no keys, though they lead to some. A command without keys has none.
///
/// # Errors
/// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if the number of keys that the command tells is no number or
/// more than there are.
pub fn keys(args: &[&[u8]]) -> Result<Keys> {
    keys_of(args.first().and_then(|name| lookup(name)), args)
}

/// The same where the command has been looked up already; what is not known to the table is `None`.
pub(crate) fn keys_of(info: Option<&'static CommandInfo>, args: &[&[u8]]) -> Result<Keys> {
    let Some(name) = args.first() else { return Ok(Keys::new(NOTHING, NOTHING)) };
    let Some(mut info) = info else { return Ok(guess(name, args.len())) };
    if !info.subcommands().is_empty()
        && let Some(second) = args.get(1)
    {
        match info.subcommand(second) {
            Some(sub) => info = sub,
            None => return Ok(guess(name, args.len())),
        }
    }
    Ok(match info.rule() {
        Rule::Fixed(&[]) => Keys::new(NOTHING, NOTHING),
        Rule::Fixed(&[first]) => Keys::new(resolve(first, args)?, NOTHING),
        Rule::Fixed(&[first, second, ..]) => Keys::new(resolve(first, args)?, resolve(second, args)?),
        Rule::Sort => with_store(args, 2, &[(b"LIMIT", 2), (b"BY", 1), (b"GET", 1)], &[b"STORE"]),
        Rule::Geo(from) => with_store(args, usize::from(from), &[], &[b"STORE", b"STOREDIST"]),
        Rule::Streams => Keys::new(streams(args), NOTHING),
        Rule::Migrate => Keys::new(migrate(args), NOTHING),
    })
}

/// What is not in the table: as most commands are, or as the other subcommands are.
fn guess(name: &[u8], len: usize) -> Keys {
    let key = first_key(name).filter(|at| *at < len).map_or(NOTHING, |at| one(at, Access::Update));
    Keys { guessed: true, ..Keys::new(key, NOTHING) }
}

fn one(at: usize, access: Access) -> Range {
    Range { next: at, end: at + 1, step: 1, access }
}

fn resolve(spec: Spec, args: &[&[u8]]) -> Result<Range> {
    match spec {
        Spec::Range { first, last, step, access } => {
            let end = match usize::try_from(last) {
                Ok(last) => (last + 1).min(args.len()),
                Err(_) => (args.len() + 1).saturating_sub(usize::from(last.unsigned_abs())),
            };
            Ok(Range { next: usize::from(first), end, step: usize::from(step), access })
        }
        Spec::Counted { at, step, access } => {
            let (at, step) = (usize::from(at), usize::from(step));
            let told = args.get(at).copied().unwrap_or_default();
            let count: usize = std::str::from_utf8(told).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                let name = args[0].escape_ascii();
                Error::protocol(format!("{name}: '{}' is no number of keys", told.escape_ascii()))
            })?;
            let there = args.len() - at - 1;
            if count.checked_mul(step).is_none_or(|needed| needed > there) {
                let name = args[0].escape_ascii();
                return Err(Error::protocol(format!("{name} tells of {count} keys, but {there} arguments follow")));
            }
            Ok(Range { next: at + 1, end: at + 1 + count * step, step, access })
        }
    }
}

/// A key, and the destination that follows the last of the words `stores`. `skipped` are the words before which no
/// destination can stand, with the number of arguments that belong to them.
fn with_store(args: &[&[u8]], from: usize, skipped: &[(&[u8], usize)], stores: &[&[u8]]) -> Keys {
    if args.len() < 2 {
        return Keys::new(NOTHING, NOTHING);
    }
    let (mut at, mut found) = (from, NOTHING);
    while at + 1 < args.len() {
        let word = args[at];
        if stores.iter().any(|store| word.eq_ignore_ascii_case(store)) {
            found = one(at + 1, Access::Overwrite);
            at += 1;
        } else if let Some((_, length)) = skipped.iter().find(|(skip, _)| word.eq_ignore_ascii_case(skip)) {
            at += length;
        }
        at += 1;
    }
    Keys::new(one(1, Access::Read), found)
}

/// The first half of what follows `STREAMS`.
fn streams(args: &[&[u8]]) -> Range {
    let mut at = 1;
    while let Some(word) = args.get(at) {
        let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
        at += match word.len() {
            7 if is(b"STREAMS") => {
                let left = args.len() - at - 1;
                let count = if left.is_multiple_of(2) { left / 2 } else { 0 };
                return Range { next: at + 1, end: at + 1 + count, step: 1, access: Access::Read };
            }
            5 if is(b"NOACK") => 1,
            5 if is(b"GROUP") => 3,
            5 if is(b"BLOCK") || is(b"COUNT") || is(b"CLAIM") => 2,
            _ => break,
        };
    }
    NOTHING
}

fn migrate(args: &[&[u8]]) -> Range {
    if args.len() < 4 {
        return NOTHING;
    }
    let mut at = 6;
    while let Some(word) = args.get(at).filter(|_| args[3].is_empty()) {
        let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
        at += match word.len() {
            4 if is(b"KEYS") => return Range { next: at + 1, end: args.len(), step: 1, access: Access::Update },
            4 if is(b"AUTH") => 2,
            5 if is(b"AUTH2") => 3,
            _ => 1,
        };
    }
    one(3, Access::Update)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn of(text: &str) -> Vec<&str> {
        let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        let found = keys(&args).unwrap();
        let (count, mut shown) = (found.len(), Vec::new());
        shown.extend(found.map(|key| std::str::from_utf8(args[key.index]).unwrap()));
        assert_eq!(count, shown.len());
        shown
    }

    #[test]
    fn keys_are_found_where_servers_do_not_tell_or_tell_otherwise() {
        // What COMMAND GETKEYS of real servers can tell is compared with it in the integration tests.
        assert_eq!(of("SLOTSRESTORE a 0 x b 0 y"), ["a", "b"]);
        assert_eq!(of("SLOTSRESTORE-ASYNC object a 0 x"), ["a"]);
        assert_eq!(of("SLOTSDEL 1 2"), [""; 0]);
        assert_eq!(of("SORT a BY STORE LIMIT 0 STORE GET x STORE b STORE c"), ["a", "c"]);
        assert_eq!(of("GEORADIUS a 0 0 1 m STORE b COUNT 1 STOREDIST c"), ["a", "c"]);
        assert_eq!(of("JSON.MSET a $ 1 b $ 2"), ["a", "b"]);
        assert_eq!(of("MIGRATE h 1 a 0 1 KEYS b"), ["a"]);
        assert_eq!(of("XREADGROUP GROUP STREAMS c CLAIM 5 STREAMS a b 1"), [""; 0]);
    }

    #[test]
    fn what_is_not_known_is_a_guess() {
        let guessed =
            |args: &[&[u8]]| (keys(args).unwrap().is_guess(), keys(args).unwrap().map(|key| key.index).collect());
        assert_eq!(guessed(&[b"TOPK.ADDED", b"a"]), (true, vec![1]));
        assert_eq!(guessed(&[b"XGROUP", b"LATER", b"a"]), (true, vec![2]));
        assert_eq!(guessed(&[b"FUNCTION", b"LATER", b"a"]), (true, vec![]));
        assert_eq!(guessed(&[b"UNKNOWN"]), (true, vec![]));
        assert_eq!(guessed(&[b"DEL", b"a", b"b"]), (false, vec![1, 2]));
        assert_eq!(guessed(&[b"XGROUP"]), (false, vec![]));
        assert_eq!(guessed(&[]), (false, vec![]));
    }

    #[test]
    fn a_wrong_number_of_keys_is_an_error() {
        for count in ["-1", "x", "", "3", "18446744073709551615", "9223372036854775808", "99999999999999999999"] {
            let error = keys(&[b"EVAL", b"return 1", count.as_bytes(), b"a", b"b"]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{count}: {error}");
            assert!(keys(&[b"MSETEX", count.as_bytes(), b"a", b"1", b"b", b"1"]).is_err());
        }
        assert!(keys(&[b"EVAL"]).is_err());
    }

    #[test]
    fn the_quick_way_finds_the_same_first_key() {
        let args: Vec<&[u8]> = vec![b"1"; 12];
        for info in super::super::commands().iter().filter(|info| info.is_write()) {
            let mut subs: Vec<_> = info.subcommands().iter().filter(|sub| sub.is_write()).map(Some).collect();
            if subs.is_empty() {
                subs.push(None);
            }
            for sub in subs {
                let mut args = args.clone();
                args[0] = info.name().as_bytes();
                match info.name() {
                    "XREADGROUP" => args[1] = b"STREAMS",
                    "MIGRATE" => args[3] = b"key",
                    _ => {}
                }
                if let Some(sub) = sub {
                    args[1] = sub.name().as_bytes();
                }
                let first = keys(&args).unwrap().map(|key| key.index).min();
                // XREADGROUP is never in a stream: nothing is read by a replica.
                if info.name() != "XREADGROUP" {
                    assert_eq!(first_key(args[0]), first, "{} {:?}", info.name(), sub);
                }
            }
        }
    }
}
