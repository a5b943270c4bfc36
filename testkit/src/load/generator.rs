//! What the operations of the load are made of.

use crate::load::LoadOptions;
use crate::rng::Rng;
use crate::slot::key_slot;

/// One operation: a command, or a few that belong together.
#[derive(Clone, Copy)]
pub(super) struct Op {
    /// The command that the server must have, in lower case as `COMMAND` says it.
    pub(super) command: &'static str,
    /// The version of Redis since which the command takes these arguments.
    pub(super) since: (u16, u16),
    /// Whether its commands must be sent as one transaction.
    pub(super) atomic: bool,
    pub(super) build: fn(&mut Generator),
}

/// An operation of one command, or of several that need no transaction.
pub(super) const fn op(command: &'static str, since: (u16, u16), build: fn(&mut Generator)) -> Op {
    Op { command, since, atomic: false, build }
}

/// An operation in MULTI/EXEC.
pub(super) const fn atomic(command: &'static str, since: (u16, u16), build: fn(&mut Generator)) -> Op {
    Op { command, since, atomic: true, build }
}

/// An argument of a command.
pub(super) enum Arg<'a> {
    Text(&'a str),
    Bytes(Vec<u8>),
    Number(i64),
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Arg<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<String> for Arg<'_> {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<i64> for Arg<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Where the operations put their commands, and where they take keys and values from.
pub(super) struct Generator {
    pub(super) rng: Rng,
    pub(super) dbs: Vec<u32>,
    pub(super) commands: Vec<Vec<Vec<u8>>>,
    keys: u64,
    prefix: String,
    /// The hash tag of the next keys, when they have one.
    tag: Option<u64>,
}

/// Keys of a family in one slot of a cluster, so that commands with several keys have some to choose from.
const SAME_SLOT: u64 = 3;

impl Generator {
    /// With `in_slots`, the keys of an operation are in one slot of a cluster.
    pub(super) fn new(options: &LoadOptions, in_slots: bool) -> Self {
        assert!(!options.dbs.is_empty() && options.keys > 0, "a load needs a database and a key: {options:?}");
        Self {
            rng: Rng::new(options.seed),
            dbs: options.dbs.clone(),
            commands: Vec::new(),
            keys: options.keys,
            prefix: options.prefix.clone(),
            tag: in_slots.then_some(0),
        }
    }

    pub(super) fn in_slots(&self) -> bool {
        self.tag.is_some()
    }

    /// Chooses the slot of the next operation.
    pub(super) fn next_slot(&mut self) -> Option<u16> {
        self.tag?;
        let tag = self.rng.below(self.keys.div_ceil(SAME_SLOT));
        self.tag = Some(tag);
        Some(key_slot(&self.key_of("", tag * SAME_SLOT)))
    }

    /// Adds a command.
    pub(super) fn send<const N: usize>(&mut self, args: [Arg<'_>; N]) {
        self.send_with(args, Vec::new());
    }

    /// Adds a command with arguments whose number is not known here.
    pub(super) fn send_with<const N: usize>(&mut self, args: [Arg<'_>; N], more: Vec<Vec<u8>>) {
        let fixed = args.into_iter().map(|arg| match arg {
            Arg::Text(text) => text.as_bytes().to_vec(),
            Arg::Bytes(bytes) => bytes,
            Arg::Number(number) => number.to_string().into_bytes(),
        });
        self.commands.push(fixed.chain(more).collect());
    }

    /// A key of a family: all keys of one hold the same type. Some are binary, so that a key is never taken for text.
    pub(super) fn key(&mut self, family: &str) -> Vec<u8> {
        let number = match self.tag {
            None => self.rng.below(self.keys),
            Some(tag) => (tag * SAME_SLOT + self.rng.below(SAME_SLOT)).min(self.keys - 1),
        };
        self.key_of(family, number)
    }

    /// All keys of a family.
    pub(super) fn all_keys(&self, family: &str) -> Vec<Vec<u8>> {
        (0..self.keys).map(|number| self.key_of(family, number)).collect()
    }

    fn key_of(&self, family: &str, number: u64) -> Vec<u8> {
        let prefix = &self.prefix;
        let mut key = match self.tag {
            None => format!("{prefix}:{family}:{number}"),
            Some(_) => format!("{{{prefix}:{}}}:{family}:{number}", number / SAME_SLOT),
        }
        .into_bytes();
        match number % 8 {
            3 => key.extend([0, b'\r', b'\n', 0xff, b' ', b'"']),
            5 => key.extend(0..=255),
            _ => {}
        }
        key
    }

    pub(super) fn value(&mut self) -> Vec<u8> {
        self.rng.value()
    }

    /// A member of a set or a field of a hash: of a small range, so that some are there already.
    pub(super) fn member(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => self.rng.below(100).to_string().into_bytes(),
            1 => Rng::new(self.rng.below(50)).bytes(70),
            2 => Vec::new(),
            _ => format!("member-{}", self.rng.below(300)).into_bytes(),
        }
    }

    pub(super) fn members(&mut self) -> Vec<Vec<u8>> {
        let count = if self.rng.one_in(40) { self.rng.between(100, 400) } else { self.rng.between(1, 5) };
        (0..count).map(|_| self.member()).collect()
    }

    pub(super) fn score(&mut self) -> String {
        match self.rng.below(10) {
            0 => "-inf".to_owned(),
            1 => "inf".to_owned(),
            2 => format!("{}e-5", self.rng.below(1_000_000)),
            3 => "0.1".to_owned(),
            4 => "17179869184.000001".to_owned(),
            _ => self.rng.below(100).to_string(),
        }
    }

    pub(super) fn number(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).expect("low is not above high");
        low + i64::try_from(self.rng.below(span)).expect("the range is that of an i64")
    }

    /// A time to live that ends while tests run, in milliseconds.
    pub(super) fn short_ttl(&mut self) -> i64 {
        self.number(20, 3000)
    }

    /// A time to live that no test sees the end of, in milliseconds.
    pub(super) fn long_ttl(&mut self) -> i64 {
        self.number(40_000_000, 400_000_000)
    }
}

/// The arguments of a command, of any types that an argument can have.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { [$(crate::load::generator::Arg::from($arg)),*] };
}
pub(super) use args;
