//! Strings, bitmaps, HyperLogLogs.

use super::{Command, Generator, cmd};

impl Generator {
    pub(crate) fn string_command(&mut self) -> Command {
        match self.rng.below(30) {
            0..6 => self.set(),
            6 => cmd!["SETNX", self.key("str"), self.element()],
            7 => cmd!["SETEX", self.key("str"), self.expiry_amount(0), self.element()],
            8 => cmd!["PSETEX", self.key("str"), self.expiry_amount(1), self.element()],
            9 => cmd!["GETSET", self.key("str"), self.element()],
            10 if self.redis(6, 2) => cmd!["GETDEL", self.key("str")],
            11 if self.redis(6, 2) => {
                let mut command = cmd!["GETEX", self.key("str")];
                match self.rng.below(3) {
                    0 => command.extend(cmd!["PERSIST"]),
                    1 => command.extend(self.valid_expiry()),
                    _ => {}
                }
                command
            }
            12 => {
                let name = *self.rng.pick(&["MSET", "MSETNX"]);
                let mut command = cmd![name, self.key("str"), self.element(), self.key("str"), self.element()];
                if self.rng.one_in(10) {
                    command.pop();
                }
                command
            }
            13 if self.either((8, 4), (9, 1)) => {
                let mut command = cmd!["MSETEX", "2", self.key("str"), self.element(), self.key("num"), "7"];
                if self.rng.one_in(2) {
                    command.extend(cmd![*self.rng.pick(&["NX", "XX"])]);
                }
                if self.rng.one_in(2) {
                    command.extend(self.expiry(true));
                } else if self.rng.one_in(2) {
                    command.extend(cmd!["KEEPTTL"]);
                }
                command
            }
            14 if self.version.has_valkey(9, 0) => cmd!["DELIFEQ", self.key("str"), self.element()],
            15 => cmd!["APPEND", self.key("str"), self.element()],
            16 => cmd!["SETRANGE", self.key("str"), self.index(), self.element()],
            17..19 => cmd![*self.rng.pick(&["INCR", "DECR"]), self.key("num")],
            19..21 => cmd![*self.rng.pick(&["INCRBY", "DECRBY"]), self.key("num"), self.integer()],
            21 => {
                let by = *self.rng.pick(&["0.1", "-3.25", "1.000000001", "x", "5", "0.3", "1e3"]);
                cmd!["INCRBYFLOAT", self.key("num"), by]
            }
            22 => cmd!["SETBIT", self.key("str"), self.integer(), *self.rng.pick(&["0", "1", "1", "2"])].map_offset(),
            23 => self.bitop(),
            24 if self.redis(3, 2) => self.bitfield(),
            25..29 => self.hyperloglog(),
            _ => cmd!["SET", self.key("num"), self.rng.below(1000).to_string()],
        }
    }

    fn set(&mut self) -> Command {
        let kind = *self.rng.pick(&["str", "num"]);
        let mut command = cmd!["SET", self.key(kind), self.element()];
        if self.rng.one_in(3) {
            command.extend(cmd![*self.rng.pick(&["NX", "XX"])]);
        } else if self.either((8, 4), (8, 1)) && self.rng.one_in(6) {
            command.extend(cmd!["IFEQ", self.element()]);
        }
        if self.rng.one_in(3) {
            command.extend(self.expiry(self.redis(6, 2)));
        } else if self.redis(6, 0) && self.rng.one_in(4) {
            command.extend(cmd!["KEEPTTL"]);
        }
        if self.redis(7, 0) && self.rng.one_in(4) {
            command.extend(cmd!["GET"]);
        }
        if self.rng.one_in(40) {
            command.extend(cmd!["NONSENSE"]);
        }
        command
    }

    fn bitop(&mut self) -> Command {
        let mut operations = vec!["AND", "OR", "XOR", "NOT", "FOO"];
        if self.redis(8, 2) {
            operations.extend(["DIFF", "DIFF1", "ANDOR", "ONE"]);
        }
        let mut command = cmd!["BITOP", *self.rng.pick(&operations)];
        for _ in 0..self.rng.between(2, 5) {
            command.push(self.key("str").into());
        }
        command
    }

    fn bitfield(&mut self) -> Command {
        let mut command = cmd!["BITFIELD", self.key("str")];
        for _ in 0..self.rng.between(1, 3) {
            if self.rng.one_in(2) {
                command.extend(cmd!["OVERFLOW", *self.rng.pick(&["WRAP", "SAT", "FAIL"])]);
            }
            // Before 6.0 a negative i64 is read as -1.
            let most = if self.redis(6, 0) { 9 } else { 8 };
            let width =
                (*self.rng.pick(&["u8", "i8", "u3", "i5", "u63", "i16", "u1", "u64", "i64"][..most])).to_owned();
            let offset = (*self.rng.pick(&["0", "3", "#1", "#2", "17", "-1"])).to_owned();
            match self.rng.below(3) {
                0 => command.extend(cmd!["GET", width, offset]),
                1 => command.extend(cmd!["SET", width, offset, self.integer()]),
                _ => command.extend(cmd!["INCRBY", width, offset, self.integer()]),
            }
        }
        command
    }

    fn hyperloglog(&mut self) -> Command {
        let key = self.key("hll");
        match self.rng.below(8) {
            0 => cmd!["PFMERGE", key, self.key("hll"), self.key("hll")],
            // The estimator of 4.0 and older gives other numbers, which it caches in the string.
            1 if self.redis(5, 0) => cmd!["PFCOUNT", key],
            2 if self.redis(5, 0) => cmd!["PFCOUNT", key, self.key("hll")],
            3 => cmd!["PFADD", key],
            _ => {
                let mut command = cmd!["PFADD", key];
                for _ in 0..self.rng.between(1, 60) {
                    command.push(self.rng.below(100_000).to_string().into());
                }
                command
            }
        }
    }
}

/// `SETBIT` offsets are kept small: the largest allowed one would make strings of 512 MB.
trait MapOffset {
    fn map_offset(self) -> Self;
}

impl MapOffset for Command {
    fn map_offset(mut self) -> Self {
        if self[2].len() > 3 && self[2][0] != b'-' && self[2].len() < 19 {
            self[2] = b"100".to_vec();
        }
        self
    }
}
