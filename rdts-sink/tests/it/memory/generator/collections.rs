//! Lists, sets, sorted sets, hashes.

use super::{Command, Generator, cmd};

impl Generator {
    pub(crate) fn list_command(&mut self) -> Command {
        let key = self.key("list");
        match self.rng.below(22) {
            0..6 => {
                let name = *self.rng.pick(&["LPUSH", "RPUSH"]);
                cmd![name, key].into_iter().chain(self.elements(5)).collect()
            }
            6 => cmd![*self.rng.pick(&["LPUSHX", "RPUSHX"]), key, self.element()],
            7..9 => {
                let mut command = cmd![*self.rng.pick(&["LPOP", "RPOP"]), key];
                if self.redis(7, 0) && self.rng.one_in(2) {
                    command.extend(cmd![self.index()]);
                }
                command
            }
            9 => cmd!["LSET", key, self.index(), self.element()],
            10 => cmd![
                "LINSERT",
                key,
                *self.rng.pick(&["BEFORE", "AFTER", "after", "NEAR"]),
                self.element(),
                self.element()
            ],
            11..13 => cmd!["LREM", key, self.index(), self.element()],
            13 => cmd!["LTRIM", key, self.index(), self.index()],
            14 => cmd!["RPOPLPUSH", key, self.key("list")],
            15 => cmd!["BRPOPLPUSH", key, self.key("list"), "0.01"].only(self.redis(6, 0)),
            16..18 if self.redis(6, 2) => {
                let ends = ["LEFT", "RIGHT", "right", "UP"];
                cmd!["LMOVE", key, self.key("list"), *self.rng.pick(&ends[..3]), *self.rng.pick(&ends)]
            }
            18 if self.redis(7, 0) => {
                let mut command = cmd!["LMPOP", "2", key, self.key("list"), *self.rng.pick(&["LEFT", "RIGHT"])];
                if self.rng.one_in(2) {
                    command.extend(cmd!["COUNT", self.index()]);
                }
                command
            }
            _ => cmd!["RPUSH", key, self.rng.below(50).to_string()],
        }
    }

    pub(crate) fn set_command(&mut self) -> Command {
        let key = self.key("set");
        match self.rng.below(11) {
            0..4 => cmd!["SADD", key].into_iter().chain(self.elements(6)).collect(),
            4..6 => cmd!["SREM", key].into_iter().chain(self.elements(3)).collect(),
            6 => cmd!["SMOVE", key, self.key("set"), self.element()],
            7 => cmd!["SADD", key, self.rng.below(30).to_string()],
            _ => {
                let name = *self.rng.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]);
                let mut command = cmd![name, key];
                for _ in 0..self.rng.between(1, self.most_sources()) {
                    command.push(self.key("set").into());
                }
                command
            }
        }
    }

    /// Before 7.0 intersections and differences stop at the first missing key, and do not see a wrong type behind it.
    fn most_sources(&self) -> u64 {
        if self.redis(7, 0) { 3 } else { 1 }
    }

    pub(crate) fn zset_command(&mut self) -> Command {
        let key = self.key("zset");
        match self.rng.below(30) {
            0..8 => self.zadd(key),
            8..10 => cmd!["ZINCRBY", key, self.score(), self.element()],
            10..12 => cmd!["ZREM", key].into_iter().chain(self.elements(3)).collect(),
            12 => cmd!["ZREMRANGEBYRANK", key, self.index(), self.index()],
            13 => cmd!["ZREMRANGEBYSCORE", key, self.score_bound(), self.score_bound()],
            14 => cmd!["ZREMRANGEBYLEX", "lex", self.lex_bound(), self.lex_bound()],
            15 => cmd!["ZADD", "lex", "0", self.element(), "0", self.element()],
            16..18 if self.redis(5, 0) => {
                let mut command = cmd![*self.rng.pick(&["ZPOPMIN", "ZPOPMAX"]), key];
                if self.rng.one_in(2) {
                    // Before 7.0 a count of 0 is answered before the type is looked at.
                    let least = u64::from(!self.redis(7, 0));
                    command.push(self.rng.between(least, 3).to_string().into());
                }
                command
            }
            18 if self.redis(7, 0) => {
                cmd![
                    "ZMPOP",
                    "2",
                    key,
                    self.key("zset"),
                    *self.rng.pick(&["MIN", "MAX"]),
                    "COUNT",
                    self.rng.below(3).to_string()
                ]
            }
            19..23 => self.zstore(key),
            23 if self.redis(6, 2) => self.zrangestore(key),
            24..29 if self.redis(3, 2) => self.geo(),
            _ => self.zadd(key),
        }
    }

    fn zadd(&mut self, key: String) -> Command {
        let mut command = cmd!["ZADD", key];
        let flags: &[&str] =
            if self.redis(6, 2) { &["NX", "XX", "GT", "LT", "CH", "INCR"] } else { &["NX", "XX", "CH", "INCR"] };
        while self.rng.one_in(3) {
            command.extend(cmd![*self.rng.pick(flags)]);
        }
        for _ in 0..self.rng.between(1, 3) {
            command.extend(cmd![self.score(), self.element()]);
        }
        command
    }

    fn score_bound(&mut self) -> String {
        let score = self.score();
        if self.rng.one_in(3) { format!("({score}") } else { score }
    }

    fn lex_bound(&mut self) -> Vec<u8> {
        match self.rng.below(10) {
            0..2 => b"-".to_vec(),
            2..4 => b"+".to_vec(),
            4 => b"x".to_vec(),
            n => [if n > 6 { b"[" } else { b"(" }, self.element().as_slice()].concat(),
        }
    }

    fn zstore(&mut self, key: String) -> Command {
        let mut names = vec!["ZUNIONSTORE", "ZINTERSTORE"];
        if self.redis(6, 2) {
            names.push("ZDIFFSTORE");
        }
        let name = *self.rng.pick(&names);
        let count = self.rng.between(0, self.most_sources());
        let mut command = cmd![name, key, count.to_string()];
        for _ in 0..count {
            let kind = *self.rng.pick(&["zset", "zset", "set"]);
            command.push(self.key(kind).into());
        }
        if name != "ZDIFFSTORE" && self.rng.one_in(3) {
            command.extend(cmd!["WEIGHTS"]);
            for _ in 0..count {
                command.extend(cmd![self.score()]);
            }
        }
        if name != "ZDIFFSTORE" && self.rng.one_in(2) {
            command.extend(cmd!["AGGREGATE", *self.rng.pick(&["SUM", "MIN", "MAX", "AVG"])]);
        }
        command
    }

    fn zrangestore(&mut self, key: String) -> Command {
        let (mut command, limit) = match self.rng.below(3) {
            0 => (cmd!["ZRANGESTORE", key, self.key("zset"), self.index(), self.index()], self.rng.one_in(10)),
            1 => (
                cmd!["ZRANGESTORE", key, self.key("zset"), self.score_bound(), self.score_bound(), "BYSCORE"],
                self.rng.one_in(3),
            ),
            _ => (cmd!["ZRANGESTORE", key, "lex", self.lex_bound(), self.lex_bound(), "BYLEX"], self.rng.one_in(3)),
        };
        if self.rng.one_in(3) {
            command.extend(cmd!["REV"]);
        }
        if limit {
            command.extend(cmd!["LIMIT", self.rng.below(4).to_string(), self.index()]);
        }
        command
    }

    /// Longitude and latitude.
    fn place(&mut self) -> Command {
        if self.rng.one_in(40) {
            return cmd!["181", "12"];
        }
        let longitude = (i64::try_from(self.rng.below(36_000)).unwrap() - 18_000) / 100;
        let latitude = (i64::try_from(self.rng.below(16_000)).unwrap() - 8_000) / 100;
        cmd![format!("{longitude}.{}", self.rng.below(100_000)), format!("{latitude}.{}", self.rng.below(100_000))]
    }

    fn geo(&mut self) -> Command {
        // Only geohashes are there: what a server makes of other scores is not defined.
        let key = if self.rng.one_in(30) { "str:0".to_owned() } else { format!("geo:{}", self.rng.below(3)) };
        let to = format!("geo:{}", self.rng.below(3));
        let unit = *self.rng.pick(&["m", "km", "ft", "mi", "KM"]);
        let radius = (self.rng.between(1, 9) * 1_000).to_string();
        let mut command = match self.rng.below(10) {
            0..6 => {
                let mut command = cmd!["GEOADD", key];
                if self.redis(6, 2) && self.rng.one_in(4) {
                    command.extend(cmd![*self.rng.pick(&["NX", "XX", "CH"])]);
                }
                for _ in 0..self.rng.between(1, 4) {
                    command.extend(self.place());
                    command.push(self.element());
                }
                return command;
            }
            // Before 7.0 a missing source leaves the destination alone, and nothing goes to the stream.
            6..8 if !self.redis(7, 0) => return cmd!["ZREM", key, self.element()],
            6 => cmd!["GEORADIUS", key].into_iter().chain(self.place()).chain(cmd![radius, unit]).collect(),
            7 => cmd!["GEORADIUSBYMEMBER", key, self.element(), radius, unit],
            _ if self.redis(7, 0) => {
                let mut command = cmd!["GEOSEARCHSTORE", to, key];
                if self.rng.one_in(2) {
                    command.extend(cmd!["FROMMEMBER", self.element()]);
                } else {
                    command.extend(cmd!["FROMLONLAT"].into_iter().chain(self.place()));
                }
                if self.rng.one_in(2) {
                    command.extend(cmd!["BYRADIUS", radius, unit]);
                } else {
                    command.extend(cmd!["BYBOX", radius, (self.rng.between(1, 9) * 900).to_string(), unit]);
                }
                if self.rng.one_in(2) {
                    command.extend(cmd!["STOREDIST"]);
                }
                return command;
            }
            _ => return cmd!["ZREM", key, self.element()],
        };
        command.extend(cmd![*self.rng.pick(&["STORE", "STOREDIST"]), to]);
        command
    }

    pub(crate) fn hash_command(&mut self) -> Command {
        let key = self.key("hash");
        match self.rng.below(22) {
            0..5 => {
                let name = *self.rng.pick(if self.redis(4, 0) { &["HSET", "HMSET"] } else { &["HMSET"] });
                let mut command = cmd![name, key];
                for _ in 0..self.rng.between(1, 4) {
                    command.extend([self.element(), self.element()]);
                }
                if self.rng.one_in(20) {
                    command.pop();
                }
                command
            }
            5 => cmd!["HSETNX", key, self.element(), self.element()],
            6..8 => cmd!["HDEL", key].into_iter().chain(self.elements(3)).collect(),
            8 => cmd!["HINCRBY", key, self.element(), self.integer()],
            // Before 7.0 an empty value counts as 0.
            9 if self.redis(7, 0) => {
                cmd!["HINCRBYFLOAT", key, self.element(), *self.rng.pick(&["0.1", "-3.25", "x", "5", "0.7"])]
            }
            10..16 if self.either((8, 0), (9, 0)) => self.hash_expiry(key),
            16..18 if self.either((8, 0), (9, 0)) => {
                let mut command = cmd!["HSETEX", key];
                if self.rng.one_in(3) {
                    command.extend(cmd![*self.rng.pick(&["FNX", "FXX"])]);
                }
                match self.rng.below(4) {
                    0 => command.extend(cmd!["KEEPTTL"]),
                    1..3 => command.extend(self.field_expiry()),
                    _ => {}
                }
                command.extend(cmd!["FIELDS", "2", self.element(), self.element(), self.element(), self.element()]);
                command
            }
            18 if self.either((8, 0), (9, 1)) => {
                cmd!["HGETDEL", key, "FIELDS", "1", self.element()]
            }
            19 if self.either((8, 0), (9, 0)) => {
                let mut command = cmd!["HGETEX", key];
                match self.rng.below(3) {
                    0 => command.extend(cmd!["PERSIST"]),
                    1 => command.extend(self.field_expiry()),
                    _ => {}
                }
                command.extend(cmd!["FIELDS", "2", self.element(), self.element()]);
                command
            }
            _ => cmd!["HINCRBY", key, "counter", self.integer()],
        }
    }

    fn hash_expiry(&mut self, key: String) -> Command {
        if self.rng.one_in(4) {
            return cmd!["HPERSIST", key, "FIELDS", "2", self.element(), self.element()];
        }
        let which = usize::try_from(self.rng.below(4)).unwrap();
        let mut amount = self.expiry_amount(which);
        if amount == "9223372036854775807" {
            amount = "x".into(); // where it ends to be valid differs
        }
        let mut command = cmd![["HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT"][which], key, amount];
        if self.rng.one_in(3) {
            command.extend(cmd![*self.rng.pick(&["NX", "XX", "GT", "LT"])]);
        }
        let fields = self.elements(3);
        command.extend(cmd!["FIELDS", fields.len().to_string()]);
        command.extend(fields);
        command
    }
}

trait Only {
    fn only(self, condition: bool) -> Self;
}

impl Only for Command {
    /// Old servers want whole seconds.
    fn only(mut self, condition: bool) -> Self {
        if !condition {
            self.truncate(3);
            self[0] = b"RPOPLPUSH".to_vec();
        }
        self
    }
}
