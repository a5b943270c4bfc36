//! Random commands over few keys, so that they meet each other, each other's types and each other's errors.

mod collections;
mod streams;
mod strings;

use rdts_testkit::{Rng, Version};

/// A command: name and arguments.
pub(crate) type Command = Vec<Vec<u8>>;

/// Builds a [`Command`] from anything that has bytes.
macro_rules! cmd {
    ($($arg:expr),* $(,)?) => { vec![$(Vec::<u8>::from($arg)),*] };
}
pub(crate) use cmd;

/// Absolute expiries start here: 2100-01-01, far from any clock's now.
const FAR_FUTURE_MS: u64 = 4_102_444_800_000;

pub(crate) struct Generator {
    pub(crate) rng: Rng,
    pub(crate) version: Version,
    /// The last sequence number used in stream ids, so that most of them ascend.
    pub(crate) sequence: u64,
    /// What the server answered to `DUMP`.
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl Generator {
    pub(crate) fn new(seed: u64, version: Version) -> Self {
        Self { rng: Rng::new(seed), version, sequence: 0, payloads: Vec::new() }
    }

    /// Since this Redis; Valkey counts as 7.2.
    pub(crate) fn redis(&self, major: u16, minor: u16) -> bool {
        self.version.has_redis(major, minor)
    }

    /// Since this Redis, or since this Valkey.
    pub(crate) fn either(&self, redis: (u16, u16), valkey: (u16, u16)) -> bool {
        if self.version.is_valkey() {
            self.version.has_valkey(valkey.0, valkey.1)
        } else {
            self.version.has_redis(redis.0, redis.1)
        }
    }

    pub(crate) fn next(&mut self) -> Command {
        match self.rng.below(100) {
            0..30 => self.string_command(),
            30..38 => self.key_command(),
            38..50 => self.list_command(),
            50..58 => self.set_command(),
            58..74 => self.zset_command(),
            74..84 => self.hash_command(),
            _ => self.stream_command(),
        }
    }

    /// Mostly a key of this kind, sometimes one of another.
    pub(crate) fn key(&mut self, kind: &str) -> String {
        let kinds = ["str", "num", "hll", "list", "set", "zset", "hash", "stream"];
        let kind = if self.rng.one_in(30) { self.rng.pick(&kinds) } else { kind };
        format!("{kind}:{}", self.rng.below(3))
    }

    /// A key of any kind.
    pub(crate) fn any_key(&mut self) -> String {
        let kinds = ["str", "num", "hll", "list", "set", "zset", "hash", "stream", "none"];
        let kind = *self.rng.pick(&kinds);
        self.key(kind)
    }

    /// An element from a small pool: short, empty, binary, numeric, and too long for packed encodings.
    pub(crate) fn element(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0 => Vec::new(),
            1 => vec![0, 0xff, b'\r', b'\n'],
            2 => vec![b'L'; 80],
            3..6 => self.rng.below(20).to_string().into_bytes(),
            _ => vec![b'a' + u8::try_from(self.rng.below(8)).unwrap()],
        }
    }

    pub(crate) fn elements(&mut self, at_most: u64) -> Vec<Vec<u8>> {
        (0..self.rng.between(1, at_most)).map(|_| self.element()).collect()
    }

    /// A small number, sometimes one at the border, sometimes none at all.
    pub(crate) fn integer(&mut self) -> String {
        match self.rng.below(20) {
            0 => "9223372036854775807".into(),
            // Before 6.2 DECRBY overflows with this one.
            1 if self.redis(7, 0) => "-9223372036854775808".into(),
            2 => (*self.rng.pick(&["abc", "", "1.5", " 1", "01", "99999999999999999999"])).into(),
            3..8 => format!("-{}", self.rng.between(1, 9)),
            _ => self.rng.below(12).to_string(),
        }
    }

    pub(crate) fn score(&mut self) -> String {
        match self.rng.below(16) {
            0 => "inf".into(),
            1 => "-inf".into(),
            2 => (*self.rng.pick(&["abc", "nan", "", "1e17", "0.1", "-0", "1e-5", "3.0e300", "123456789.123456789"]))
                .into(),
            3..8 => format!("{}.{}", self.rng.below(4), self.rng.below(100)),
            _ => self.rng.below(8).to_string(),
        }
    }

    /// An index into something short.
    pub(crate) fn index(&mut self) -> String {
        if self.rng.one_in(25) { "x".into() } else { (i64::try_from(self.rng.below(14)).unwrap() - 7).to_string() }
    }

    /// `EX …` and the like. A relative time is hardly ever the same twice, so that two clocks cannot disagree about which is later.
    pub(crate) fn expiry(&mut self, absolute: bool) -> Command {
        if self.rng.one_in(25) {
            // Before 7.0 the highest number overflowed.
            let most = if self.redis(7, 0) { 4 } else { 3 };
            return cmd![
                *self.rng.pick(&["EX", "PX"]),
                *self.rng.pick(&["0", "-1", "x", "9223372036854775807"][..most])
            ];
        }
        let relative = self.rng.between(100_000, 99_999_999);
        let far = FAR_FUTURE_MS / 1000 + self.rng.below(4) * 1000;
        match self.rng.below(if absolute { 4 } else { 2 }) {
            0 => cmd!["EX", relative.to_string()],
            1 => cmd!["PX", (relative * 1000).to_string()],
            2 => cmd!["EXAT", far.to_string()],
            _ => cmd!["PXAT", (far * 1000).to_string()],
        }
    }

    /// One that is certainly accepted: whether `GETEX` looks at it when there is no key differs.
    pub(crate) fn valid_expiry(&mut self) -> Command {
        loop {
            let expiry = self.expiry(true);
            if (5..19).contains(&expiry[1].len()) {
                return expiry;
            }
        }
    }

    /// The same for hash fields. Servers take 0 for them and delete the field, which their streams say with a command of its own.
    pub(crate) fn field_expiry(&mut self) -> Command {
        loop {
            let expiry = self.expiry(true);
            if expiry[1] != b"0" {
                return expiry;
            }
        }
    }

    /// An amount for `EXPIRE`, `PEXPIRE`, `EXPIREAT`, `PEXPIREAT` (by index).
    pub(crate) fn expiry_amount(&mut self, command: usize) -> String {
        if self.rng.one_in(25) {
            let most = if self.redis(7, 0) { 2 } else { 1 };
            return (*self.rng.pick(&["x", "9223372036854775807"][..most])).into();
        }
        let relative = self.rng.between(100_000, 99_999_999);
        let far = FAR_FUTURE_MS / 1000 + self.rng.below(4) * 1000;
        [relative, relative * 1000, far, far * 1000][command].to_string()
    }

    fn key_command(&mut self) -> Command {
        match self.rng.below(15) {
            0 => cmd!["DEL", self.any_key(), self.any_key()],
            1 if self.redis(4, 0) => cmd!["UNLINK", self.any_key()],
            2 => cmd!["RENAME", self.any_key(), self.any_key()],
            3 => cmd!["RENAMENX", self.any_key(), self.any_key()],
            4 => cmd!["MOVE", self.any_key(), "3"],
            5..7 if self.redis(6, 2) => {
                let mut command = cmd!["COPY", self.any_key(), self.any_key()];
                if self.rng.one_in(3) {
                    command.extend(cmd!["REPLACE"]);
                }
                if self.rng.one_in(4) {
                    command.extend(cmd!["DB", *self.rng.pick(&["0", "3"])]);
                }
                command
            }
            7 => cmd!["PERSIST", self.any_key()],
            8 if self.rng.one_in(30) => cmd!["FLUSHDB"],
            9 => self.sort(),
            10 if !self.payloads.is_empty() => self.restore(),
            _ => {
                let which = usize::try_from(self.rng.below(4)).unwrap();
                let name = ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"][which];
                let mut command = cmd![name, self.any_key(), self.expiry_amount(which)];
                while self.redis(7, 0) && self.rng.one_in(3) {
                    command.extend(cmd![*self.rng.pick(&["NX", "XX", "GT", "LT"])]);
                }
                command
            }
        }
    }

    fn restore(&mut self) -> Command {
        let mut payload = self.rng.pick(&self.payloads).clone();
        if self.rng.one_in(10) {
            let at = usize::try_from(self.rng.below(payload.len() as u64)).unwrap();
            payload[at] ^= 1;
        }
        let mut command = cmd!["RESTORE", self.any_key(), "0", payload];
        if self.rng.one_in(2) {
            command[2] = self.rng.between(100_000_000, 99_999_999_999).to_string().into();
        } else if self.redis(5, 0) && self.rng.one_in(2) {
            command[2] = FAR_FUTURE_MS.to_string().into();
            command.extend(cmd!["ABSTTL"]);
        }
        if self.redis(3, 0) && !self.rng.one_in(4) {
            command.extend(cmd!["REPLACE"]);
        }
        command
    }

    fn sort(&mut self) -> Command {
        let kind = *self.rng.pick(&["list", "set", "zset"]);
        let mut command = cmd!["SORT", self.key(kind)];
        if self.rng.one_in(3) {
            command.extend(cmd!["LIMIT", self.rng.below(3).to_string(), self.rng.below(6).to_string()]);
        }
        if self.rng.one_in(2) {
            command.extend(cmd!["GET", *self.rng.pick(&["#", "str:*", "hash:*->a", "nothing"])]);
        }
        match self.rng.below(4) {
            // Redis takes an empty weight for 0, Valkey refuses it.
            0 if !self.version.is_valkey() => command.extend(cmd!["BY", "num:*"]),
            1 => command.extend(cmd!["BY", "nosort"]),
            _ => command.extend(cmd!["ALPHA"]),
        }
        // Redis 8 reverses a list that is not to be sorted, others do not.
        if self.rng.one_in(2) && !command.contains(&b"nosort".to_vec()) {
            command.extend(cmd!["DESC"]);
        }
        command.extend(cmd!["STORE", self.key("list")]);
        command
    }
}
