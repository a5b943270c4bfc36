//! Random commands, most of which have keys in different slots.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use rdts_core::command::lookup;
use rdts_core::translate::Target;
use rdts_testkit::Rng;

pub(super) type Args = Vec<Vec<u8>>;

/// The kinds of keys, each with as many keys, some of them in one slot.
const KINDS: [&str; 6] = ["string", "list", "set", "zset", "geo", "hll"];
const KEYS: u64 = 6;

/// What is tried of servers that know it.
const COMMANDS: [&str; 32] = [
    "RENAME",
    "RENAMENX",
    "COPY",
    "SMOVE",
    "RPOPLPUSH",
    "BRPOPLPUSH",
    "LMOVE",
    "BLMOVE",
    "LMOVEM",
    "SORT",
    "SUNIONSTORE",
    "SINTERSTORE",
    "SDIFFSTORE",
    "ZUNIONSTORE",
    "ZINTERSTORE",
    "ZDIFFSTORE",
    "ZRANGESTORE",
    "BITOP",
    "PFMERGE",
    "GEOSEARCHSTORE",
    "GEORADIUS",
    "GEORADIUSBYMEMBER",
    "MSETNX",
    "MSETEX",
    "LMPOP",
    "ZMPOP",
    "DEL",
    "UNLINK",
    "TOUCH",
    "MSET",
    "BLMOVEM",
    "EXISTS",
];

pub(super) struct Generator {
    rng: Rng,
    commands: Vec<&'static str>,
    seen: BTreeMap<&'static str, u64>,
    now: u64,
}

impl Generator {
    pub(super) fn new(rng: Rng, target: Target) -> Self {
        let known = |name: &&&str| lookup(name.as_bytes()).unwrap().known_to(&target);
        let commands = COMMANDS.iter().filter(known).copied().collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Self { rng, commands, seen: BTreeMap::new(), now: u64::try_from(now).unwrap() }
    }

    /// That every command was tried often.
    pub(super) fn assert_all_seen(&self) {
        for command in &self.commands {
            let times = self.seen.get(command).copied().unwrap_or(0);
            assert!(times >= 5, "{command} was tried {times} times only");
        }
    }

    /// Commands that make all keys.
    pub(super) fn fill(&mut self) -> Vec<Args> {
        (0..200).map(|_| self.refresh()).collect()
    }

    /// A command that gives one key something, or an expiry.
    pub(super) fn refresh(&mut self) -> Args {
        let kind = *self.rng.pick(&KINDS);
        let key = self.key(kind);
        let member = |rng: &mut Rng| format!("m{}", rng.below(12)).into_bytes();
        if self.rng.one_in(4) {
            let time = (self.now + 3_600_000 + self.rng.below(1 << 30)).to_string();
            return vec![b"PEXPIREAT".to_vec(), key, time.into_bytes()];
        }
        let rng = &mut self.rng;
        let mut args = match kind {
            "string" if rng.one_in(2) => vec![b"SET".to_vec(), key],
            "string" => return vec![b"SETRANGE".to_vec(), key, rng.below(9).to_string().into_bytes(), rng.bytes(3)],
            "list" => vec![b"RPUSH".to_vec(), key],
            "set" => vec![b"SADD".to_vec(), key],
            "zset" => vec![b"ZADD".to_vec(), key],
            "geo" => vec![b"GEOADD".to_vec(), key],
            _ => vec![b"PFADD".to_vec(), key],
        };
        let count = if kind == "string" { 1 } else { rng.between(1, 4) };
        for _ in 0..count {
            match kind {
                "zset" => args.push(format!("{}.5", rng.below(20)).into_bytes()),
                "geo" => {
                    args.push(format!("{}.25", rng.below(20)).into_bytes());
                    args.push(format!("{}.5", rng.below(20)).into_bytes());
                }
                _ => {}
            }
            args.push(match kind {
                // So that SORT has numbers, mostly.
                "list" if !rng.one_in(8) => rng.below(50).to_string().into_bytes(),
                "string" => rng.value(),
                _ => member(rng),
            });
        }
        args
    }

    /// A command with several keys.
    pub(super) fn command(&mut self) -> Args {
        let name = *self.rng.pick(&self.commands);
        *self.seen.entry(name).or_default() += 1;
        let mut args: Args = vec![name.into()];
        self.arguments(name, &mut args);
        args
    }

    fn arguments(&mut self, name: &str, args: &mut Args) {
        let any = *self.rng.pick(&KINDS);
        match name {
            "RENAME" | "RENAMENX" => args.extend([self.key(any), self.key(any)]),
            "COPY" => {
                // One server refuses a key as its own copy; but then the keys are in one slot.
                args.extend([self.key(any), self.key(any)]);
                self.maybe(args, "REPLACE");
            }
            "SMOVE" => args.extend([self.key("set"), self.key("set"), format!("m{}", self.rng.below(12)).into()]),
            "RPOPLPUSH" => args.extend([self.key("list"), self.key("list")]),
            "BRPOPLPUSH" => args.extend([self.key("list"), self.key("list"), b"1".to_vec()]),
            "LMOVE" | "BLMOVE" | "LMOVEM" | "BLMOVEM" => {
                args.extend([self.key("list"), self.key("list"), self.side(), self.side()]);
                if name.starts_with('B') {
                    args.push(b"1".to_vec());
                }
                if name.ends_with('M') && self.rng.one_in(2) {
                    args.extend([b"COUNT".to_vec(), self.number(1, 3), b"BULK".to_vec()]);
                }
            }
            "SORT" => {
                let kind = *self.rng.pick(&["list", "list", "set", "zset"]);
                args.push(self.key(kind));
                self.maybe(args, "ALPHA");
                self.maybe(args, "DESC");
                if self.rng.one_in(4) {
                    args.extend([b"BY".to_vec(), b"nosort".to_vec()]);
                }
                if self.rng.one_in(3) {
                    args.extend([b"LIMIT".to_vec(), self.number(0, 2), self.number(0, 5)]);
                }
                args.extend([b"STORE".to_vec(), self.key("list")]);
            }
            "SUNIONSTORE" | "SINTERSTORE" | "SDIFFSTORE" => self.keys(args, "set", 2),
            "PFMERGE" => self.keys(args, "hll", 2),
            "BITOP" => {
                let operation = *self.rng.pick(&["AND", "OR", "XOR", "NOT"]);
                args.push(operation.into());
                if operation == "NOT" {
                    args.extend([self.key("string"), self.key("string")]);
                } else {
                    self.keys(args, "string", 2);
                }
            }
            "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE" => {
                args.push(self.key("zset"));
                let count = self.rng.between(1, 3);
                args.push(count.to_string().into());
                for _ in 0..count {
                    let kind = *self.rng.pick(&["zset", "zset", "geo", "set"]);
                    args.push(self.key(kind));
                }
                if name != "ZDIFFSTORE" {
                    if self.rng.one_in(3) {
                        args.push(b"WEIGHTS".to_vec());
                        args.extend((0..count).map(|i| (i + 1).to_string().into_bytes()));
                    }
                    if self.rng.one_in(3) {
                        args.extend([b"AGGREGATE".to_vec(), b"MAX".to_vec()]);
                    }
                }
            }
            "ZRANGESTORE" => args.extend([self.key("zset"), self.key("zset"), self.number(0, 2), self.number(2, 6)]),
            "GEOSEARCHSTORE" => {
                args.extend([self.key("geo"), self.key("geo")]);
                args.extend("FROMLONLAT 5 5 BYRADIUS 900 km".split(' ').map(Into::into));
                self.maybe(args, "STOREDIST");
            }
            "GEORADIUS" | "GEORADIUSBYMEMBER" => {
                args.push(self.key("geo"));
                if name == "GEORADIUS" {
                    args.extend([b"5".to_vec(), b"5".to_vec()]);
                } else {
                    args.push(format!("m{}", self.rng.below(12)).into());
                }
                let store = *self.rng.pick(&["STORE", "STOREDIST"]);
                args.extend([b"900".to_vec(), b"km".to_vec(), store.into(), self.key("zset")]);
            }
            "MSETNX" | "MSET" => self.pairs(args, 3),
            "MSETEX" => {
                let count = self.rng.between(1, 3);
                args.push(count.to_string().into());
                let before = args.len();
                self.pairs(args, count);
                assert_eq!(args.len() - before, usize::try_from(2 * count).unwrap());
                let condition = *self.rng.pick(&["NX", "XX", "nx", "KEEPTTL"]);
                args.push(condition.into());
                if self.rng.one_in(2) && condition != "KEEPTTL" {
                    args.extend([b"PXAT".to_vec(), (self.now + 7_200_000).to_string().into()]);
                }
            }
            "LMPOP" | "ZMPOP" => {
                let count = self.rng.between(1, 3);
                args.push(count.to_string().into());
                let kind = if name == "LMPOP" { "list" } else { "zset" };
                for _ in 0..count {
                    args.push(self.key(kind));
                }
                args.push(if name == "LMPOP" { self.side() } else { b"MIN".to_vec() });
                if self.rng.one_in(2) {
                    args.extend([b"COUNT".to_vec(), self.number(1, 3)]);
                }
            }
            _ => self.keys(args, any, 1),
        }
    }

    /// A key of the kind; of any other now and then, and one that is not there.
    fn key(&mut self, kind: &str) -> Vec<u8> {
        let kind = if self.rng.one_in(12) { *self.rng.pick(&KINDS) } else { kind };
        match self.rng.below(KEYS) {
            0 => format!("{{together}}{kind}").into(),
            1 => format!("none:{kind}").into(),
            number => format!("{kind}:{number}").into(),
        }
    }

    fn keys(&mut self, args: &mut Args, kind: &str, least: u64) {
        for _ in 0..self.rng.between(least, 4) {
            let key = self.key(kind);
            args.push(key);
        }
    }

    fn pairs(&mut self, args: &mut Args, count: u64) {
        // New names most of the time, so that a condition holds.
        for _ in 0..count {
            let key =
                if self.rng.one_in(3) { self.key("string") } else { format!("new:{}", self.rng.below(300)).into() };
            args.extend([key, self.rng.bytes(4)]);
        }
    }

    fn number(&mut self, low: u64, high: u64) -> Vec<u8> {
        self.rng.between(low, high).to_string().into()
    }

    fn side(&mut self) -> Vec<u8> {
        (*self.rng.pick(&["LEFT", "right"])).into()
    }

    fn maybe(&mut self, args: &mut Args, word: &str) {
        if self.rng.one_in(2) {
            args.push(word.into());
        }
    }
}
