//! Streams.

use super::{Command, Generator, cmd};

impl Generator {
    pub(crate) fn stream_command(&mut self) -> Command {
        if !self.redis(5, 0) {
            return self.list_command();
        }
        // Before 7.0 XCLAIM keeps entries pending that were deleted; and Redis 5.0 crashes on UNLINK after some of these.
        let claims = self.redis(7, 0);
        let key = self.key("stream");
        match self.rng.below(40) {
            0..12 => self.xadd(key),
            12..15 => cmd!["XDEL", key, self.id(), self.id()],
            15..17 => {
                let mut command = cmd!["XTRIM", key];
                command.extend(self.trim());
                if self.redis(8, 2) && self.rng.one_in(3) {
                    command.extend(cmd![*self.rng.pick(&["KEEPREF", "DELREF", "ACKED"])]);
                }
                command
            }
            17 => {
                let mut command = cmd!["XSETID", key, self.new_id()];
                if self.redis(7, 0) && self.rng.one_in(2) {
                    command.extend(cmd!["ENTRIESADDED", self.rng.below(100).to_string(), "MAXDELETEDID", self.id()]);
                }
                command
            }
            18..22 => self.xgroup(key),
            22..26 => cmd!["XACK", key, self.group(), self.id(), self.id(), self.id()],
            26..28 if self.redis(8, 2) => {
                let policy = *self.rng.pick(&["KEEPREF", "DELREF", "ACKED"]);
                if self.rng.one_in(2) {
                    cmd!["XACKDEL", key, self.group(), policy, "IDS", "2", self.id(), self.id()]
                } else {
                    cmd!["XDELEX", key, policy, "IDS", "2", self.id(), self.id()]
                }
            }
            28 if self.redis(7, 0) => {
                // Whether an entry has been idle for long enough is decided by far more than two clocks can differ.
                let idle = *self.rng.pick(&["0", "3600000", "864000000000"]);
                let mut command = cmd!["XAUTOCLAIM", key, self.group(), self.consumer(), idle, self.id()];
                if self.rng.one_in(2) {
                    command.extend(cmd!["COUNT", self.rng.between(1, 3).to_string()]);
                }
                if self.rng.one_in(2) {
                    command.extend(cmd!["JUSTID"]);
                }
                command
            }
            _ if claims => self.xclaim(key),
            _ => self.xadd(key),
        }
    }

    fn xclaim(&mut self, key: String) -> Command {
        let idle = *self.rng.pick(&["0", "0", "3600000"]);
        let mut command = cmd!["XCLAIM", key, self.group(), self.consumer(), idle];
        for _ in 0..self.rng.between(1, 4) {
            command.push(self.id().into());
        }
        match self.rng.below(4) {
            0 => command.extend(cmd!["IDLE", "7200000"]),
            1 => command.extend(cmd!["TIME", (1_500_000_000_000 + self.rng.below(1_000_000)).to_string()]),
            _ => {}
        }
        if self.rng.one_in(3) {
            command.extend(cmd!["RETRYCOUNT", self.rng.below(5).to_string()]);
        }
        if !self.rng.one_in(3) {
            command.extend(cmd!["FORCE"]);
        }
        if self.rng.one_in(3) {
            command.extend(cmd!["JUSTID"]);
        }
        if self.rng.one_in(4) {
            command.extend(cmd!["LASTID", self.id()]);
        }
        command
    }

    /// An id that was probably used.
    fn id(&mut self) -> String {
        if self.rng.one_in(60) {
            return "nonsense".into();
        }
        let back = self.rng.below(60);
        let n = self.sequence.saturating_sub(back);
        format!("{}-{}", 1 + n / 4, n % 4)
    }

    /// Mostly higher than all before.
    fn new_id(&mut self) -> String {
        if self.rng.one_in(15) {
            return self.id();
        }
        self.sequence += 1;
        let (ms, seq) = (1 + self.sequence / 4, self.sequence % 4);
        if self.redis(7, 0) && self.rng.one_in(10) { format!("{ms}-*") } else { format!("{ms}-{seq}") }
    }

    fn trim(&mut self) -> Command {
        let mut command = if self.redis(6, 2) && self.rng.one_in(2) {
            cmd!["MINID", self.id()]
        } else {
            cmd!["MAXLEN", self.rng.between(3, 30).to_string()]
        };
        if self.rng.one_in(2) {
            command.insert(1, b"=".to_vec());
        }
        command
    }

    fn xadd(&mut self, key: String) -> Command {
        let mut command = cmd!["XADD", key];
        if self.redis(6, 2) && self.rng.one_in(10) {
            command.extend(cmd!["NOMKSTREAM"]);
        }
        if self.rng.one_in(6) {
            if self.redis(8, 2) && self.rng.one_in(2) {
                command.extend(cmd![*self.rng.pick(&["KEEPREF", "DELREF", "ACKED"])]);
            }
            command.extend(self.trim());
        }
        command.push(self.new_id().into());
        for _ in 0..self.rng.between(1, 3) {
            command.extend([self.element(), self.element()]);
        }
        if self.rng.one_in(40) {
            command.pop();
        }
        command
    }

    fn group(&mut self) -> String {
        format!("g{}", self.rng.below(2))
    }

    fn consumer(&mut self) -> String {
        format!("c{}", self.rng.below(3))
    }

    /// Redis 8 cuts a number that is higher than the number of entries ever added; Redis 7 and Valkey keep it.
    fn entries_read(&mut self) -> String {
        let most = if self.redis(8, 0) { 1 } else { 500 };
        self.rng.below(most).to_string()
    }

    fn xgroup(&mut self, key: String) -> Command {
        let group = self.group();
        match self.rng.below(12) {
            0..5 => {
                let id = if self.rng.one_in(3) { "$".to_owned() } else { self.id() };
                let mut command = cmd!["XGROUP", "CREATE", key, group, id];
                if self.rng.one_in(2) {
                    command.extend(cmd!["MKSTREAM"]);
                }
                if self.redis(7, 0) && self.rng.one_in(3) {
                    command.extend(cmd!["ENTRIESREAD", self.entries_read()]);
                }
                command
            }
            5..7 => {
                let id = if self.rng.one_in(3) { "$".to_owned() } else { self.id() };
                let mut command = cmd!["XGROUP", "SETID", key, group, id];
                if self.redis(7, 0) && self.rng.one_in(2) {
                    command.extend(cmd!["ENTRIESREAD", self.entries_read()]);
                }
                command
            }
            7 => cmd!["XGROUP", "DESTROY", key, group],
            8..10 if self.redis(6, 2) => cmd!["XGROUP", "CREATECONSUMER", key, group, self.consumer()],
            _ => cmd!["XGROUP", "DELCONSUMER", key, group, self.consumer()],
        }
    }
}
