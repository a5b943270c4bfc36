//! One command of the table, and finding it.

use super::table::COMMANDS;
use crate::translate::{Family, Target};

/// What a command does with a key, as servers tell it in their key specifications.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads its value.
    Read,
    /// Reads and changes it, or may do either, depending on options.
    Update,
    /// Puts a value in its place, whatever was there.
    Overwrite,
    /// Removes it.
    Remove,
}

/// A command, or a subcommand, that some server knows.
#[derive(Debug)]
pub struct CommandInfo {
    name: &'static str,
    arity: i8,
    write: bool,
    redis: Option<(u16, u16, u16)>,
    valkey: Option<(u16, u16, u16)>,
    rule: Rule,
    subcommands: &'static [CommandInfo],
}

impl CommandInfo {
    /// Its name in upper case; of a subcommand the second word only.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many arguments it has with its name (for a subcommand: with both words); if negative, how many at least. The
    /// newest server that knows it says so; older ones may take fewer.
    pub fn arity(&self) -> i8 {
        self.arity
    }

    /// Whether it may change data; of a command with subcommands, whether one of them may have done so in some version.
    pub fn is_write(&self) -> bool {
        self.write
    }

    /// The first version of `family` that has it, or `None` if none has: commands of modules and of Codis, and those of
    /// the other family. `(0, 0, 0)` for Valkey means that it came with all of Redis 7.2.
    pub fn since(&self, family: Family) -> Option<(u16, u16, u16)> {
        match family {
            Family::Redis => self.redis,
            Family::Valkey => self.valkey,
        }
    }

    /// Whether a server of this family and version has it.
    pub fn known_to(&self, target: &Target) -> bool {
        self.since(target.family()).is_some_and(|first| first <= target.version())
    }

    /// Its subcommands; empty for nearly all.
    pub fn subcommands(&self) -> &'static [CommandInfo] {
        self.subcommands
    }

    /// The subcommand of this name, without regard to case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static CommandInfo> {
        self.subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Where its key is if every such command has exactly one, in arguments from its name (0).
    pub fn only_key(&self) -> Option<usize> {
        match self.rule {
            Rule::Fixed(&[Spec::Range { first, last, .. }]) if last == first as i8 => Some(usize::from(first)),
            _ => None,
        }
    }

    pub(super) fn rule(&self) -> Rule {
        self.rule
    }
}

/// Where a command has its keys.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    Fixed(&'static [Spec]),
    /// `SORT key … STORE destination`.
    Sort,
    /// `GEORADIUS key … STORE|STOREDIST destination`, with the argument at which options begin.
    Geo(u8),
    /// `XREAD … STREAMS key … id …`.
    Streams,
    /// `MIGRATE host port key|"" db timeout … KEYS key …`.
    Migrate,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Spec {
    /// The arguments `first`, `first + step`, … up to `last`, which counts from the end (-1) if it is negative.
    Range { first: u8, last: i8, step: u8, access: Access },
    /// The argument `at` says how many keys follow it, one in `step` arguments.
    Counted { at: u8, step: u8, access: Access },
}

// The words of the table.

pub(super) const NONE: Option<(u16, u16, u16)> = None;

pub(super) const fn since(major: u16, minor: u16, patch: u16) -> Option<(u16, u16, u16)> {
    Some((major, minor, patch))
}

pub(super) const fn range(first: u8, last: i8, step: u8, access: Access) -> Spec {
    Spec::Range { first, last, step, access }
}

pub(super) const fn counted(at: u8, step: u8, access: Access) -> Spec {
    Spec::Counted { at, step, access }
}

pub(super) const fn row(
    name: &'static str,
    arity: i8,
    write: bool,
    redis: Option<(u16, u16, u16)>,
    valkey: Option<(u16, u16, u16)>,
    rule: Rule,
    subcommands: &'static [CommandInfo],
) -> CommandInfo {
    CommandInfo { name, arity, write, redis, valkey, rule, subcommands }
}

/// All commands, by name in ascending order.
pub fn commands() -> &'static [CommandInfo] {
    &COMMANDS
}

/// The command of this name, without regard to case.
///
/// `None` for a name that no server from Redis 2.8 to 8.10, Valkey to 9.1 or Codis has: a module's, or one of a later
/// version.
pub fn lookup(name: &[u8]) -> Option<&'static CommandInfo> {
    index(name).map(|index| &COMMANDS[index])
}

/// Where the command of this name is among [`commands`].
#[inline]
pub(crate) fn index(name: &[u8]) -> Option<usize> {
    let mut at = hash(name);
    loop {
        let index = usize::from(*INDEX.get(at)?);
        if COMMANDS.get(index)?.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(index);
        }
        at = (at + 1) % INDEX.len();
    }
}

const EMPTY: u16 = u16::MAX;

/// A hash table: where in `COMMANDS` the command with a hash is, or with one shortly before.
#[allow(clippy::cast_possible_truncation, reason = "there are fewer than 1000 commands")]
static INDEX: [u16; 2048] = {
    let mut index = [EMPTY; 2048];
    let mut i = 0;
    while i < COMMANDS.len() {
        let mut at = hash(COMMANDS[i].name.as_bytes());
        while index[at] != EMPTY {
            at = (at + 1) % index.len();
        }
        index[at] = i as u16;
        i += 1;
    }
    index
};

const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0;
    let mut i = 0;
    while i < name.len() {
        // Upper and lower case are alike; what else falls together does no harm.
        hash = (hash ^ (name[i] & !0x20) as u32).wrapping_mul(0x9e37_79b1);
        hash ^= hash >> 15;
        i += 1;
    }
    hash as usize % 2048
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name() {
        for info in commands() {
            for name in [info.name.to_string(), info.name.to_lowercase()] {
                assert!(std::ptr::eq(lookup(name.as_bytes()).unwrap(), info), "{name}");
            }
        }
        assert!(commands().windows(2).all(|pair| pair[0].name < pair[1].name));
        for unknown in [&b""[..], b"GE", b"GETT", b"FT.SEARCH", b"\x07ET", b"SET ", b"host:"] {
            assert!(lookup(unknown).is_none(), "{}", unknown.escape_ascii());
        }
    }

    #[test]
    fn versions_are_those_of_the_family() {
        let known = |name: &[u8], target| lookup(name).unwrap().known_to(&target);
        assert!(known(b"set", Target::valkey(7, 2, 5)));
        assert!(!known(b"hexpire", Target::valkey(8, 1, 8)) && known(b"hexpire", Target::valkey(9, 0, 0)));
        assert!(!known(b"hexpire", Target::redis(7, 2, 4)) && known(b"hexpire", Target::redis(7, 4, 0)));
        assert!(!known(b"delifeq", Target::redis(8, 10, 2)) && !known(b"vadd", Target::valkey(9, 1, 2)));
        assert!(!known(b"slotsrestore", Target::redis(3, 2, 11)));
        let created = lookup(b"XGROUP").unwrap().subcommand(b"createconsumer").unwrap();
        assert_eq!(created.since(Family::Redis), Some((6, 2, 0)));
    }
}
