//! Random commands on a real server, of which all write and most have several keys.

use rdts_testkit::{Rng, Server};
use redis::{Connection, RedisResult, Value};

/// What the names of keys begin with, in this order.
pub(super) const FAMILIES: [&str; 4] = ["a:", "b:", "c:", "d:"];
/// The databases that are written to.
pub(super) const DBS: u32 = 4;

/// Writes at random.
pub(super) struct History {
    rng: Rng,
    connection: Connection,
    db: u32,
    /// Whether values go from families and databases to later ones only.
    ordered: bool,
    expires: u64,
    /// Whether it makes HyperLogLogs as memory does, byte for byte.
    merges: bool,
}

/// The keys of one type have a letter of it, so that most commands meet what they want; some do not.
const TYPES: [&str; 6] = ["s", "l", "t", "z", "h", "x"];

impl History {
    pub(super) fn new(server: &Server, seed: u64, ordered: bool) -> Self {
        let (rng, connection) = (Rng::new(seed), server.connection());
        let merges = server.version().has_redis(7, 0);
        Self { rng, connection, db: 0, ordered, expires: 4_000_000_000_000, merges }
    }

    pub(super) fn run(&mut self, commands: usize) {
        for _ in 0..commands {
            if self.rng.one_in(12) {
                self.db = u32::try_from(self.rng.below(DBS.into())).unwrap();
                let db = self.db.to_string();
                self.send(&["SELECT", &db]);
            }
            if self.rng.one_in(15) {
                self.send(&["MULTI"]);
                for _ in 0..self.rng.between(1, 5) {
                    self.one();
                }
                self.send(&["EXEC"]);
            } else {
                self.one();
            }
        }
    }

    /// Errors are part of it: servers do not replicate what failed.
    fn send<A: AsRef<[u8]>>(&mut self, words: &[A]) {
        let mut command = redis::cmd(std::str::from_utf8(words[0].as_ref()).unwrap());
        for word in &words[1..] {
            command.arg(word.as_ref());
        }
        let reply: RedisResult<Value> = command.query(&mut self.connection);
        if let Err(error) = reply {
            assert!(!error.is_io_error(), "{error}");
        }
    }

    fn key_of(&mut self, family: usize, kind: &str) -> String {
        // Now and then a key has a value of another type than its name says.
        let kind = if self.rng.one_in(25) { self.rng.pick(&TYPES) } else { kind };
        format!("{}{kind}{}", FAMILIES[family], self.rng.below(3))
    }

    fn family(&mut self) -> usize {
        usize::try_from(self.rng.below(FAMILIES.len() as u64)).unwrap()
    }

    fn key(&mut self, kind: &str) -> String {
        let family = self.family();
        self.key_of(family, kind)
    }

    /// Where a value comes from and where it goes.
    fn pair(&mut self, kind: &str) -> (String, String) {
        let (mut from, mut to) = (self.family(), self.family());
        if self.ordered && from > to {
            (from, to) = (to, from);
        }
        (self.key_of(from, kind), self.key_of(to, kind))
    }

    /// A destination, and two keys of which its value is made.
    fn made_of(&mut self, kind: &str) -> [String; 3] {
        let mut families = [self.family(), self.family(), self.family()];
        if self.ordered {
            families.sort_by(|one, two| two.cmp(one));
        }
        families.map(|family| self.key_of(family, kind))
    }

    fn member(&mut self) -> String {
        self.rng.below(12).to_string()
    }

    fn one(&mut self) {
        let (m, n) = (self.member(), self.member());
        self.expires += 1000;
        let later = self.expires.to_string();
        let words: Vec<String> = match self.rng.below(48) {
            0 => vec!["SET".into(), self.key("s"), m],
            1 => vec!["SET".into(), self.key("s"), m, "PXAT".into(), later],
            2 => vec!["APPEND".into(), self.key("s"), m],
            3 => vec!["INCRBY".into(), self.key("s"), m],
            4 => vec!["MSET".into(), self.key("s"), m, self.key("s"), n, self.key("s"), "x".into()],
            5 => vec!["MSETNX".into(), self.key("s"), m, self.key("s"), n],
            6 => vec!["SETNX".into(), self.key("s"), m],
            7 => vec!["GETSET".into(), self.key("s"), m],
            8 => vec!["SETRANGE".into(), self.key("s"), "3".into(), m],
            9 | 10 => vec!["RPUSH".into(), self.key("l"), m, n],
            11 => vec!["LPOP".into(), self.key("l")],
            12 => vec!["LREM".into(), self.key("l"), "0".into(), m],
            13 | 14 => vec!["SADD".into(), self.key("t"), m, n],
            15 => vec!["SPOP".into(), self.key("t")],
            16 => vec!["SREM".into(), self.key("t"), m],
            17 | 18 => vec!["ZADD".into(), self.key("z"), m, n],
            19 => vec!["ZINCRBY".into(), self.key("z"), m, n],
            20 => vec!["ZREMRANGEBYRANK".into(), self.key("z"), "0".into(), "0".into()],
            21 | 22 => vec!["HSET".into(), self.key("h"), m, n],
            23 => vec!["HDEL".into(), self.key("h"), m],
            24 => vec!["XADD".into(), self.key("x"), format!("{later}-1"), m, n],
            25 => vec!["XTRIM".into(), self.key("x"), "MAXLEN".into(), "2".into()],
            26 => vec!["PEXPIREAT".into(), self.any(), later],
            27 => vec!["PERSIST".into(), self.any()],
            28 => vec!["DEL".into(), self.any(), self.any(), self.any()],
            29 => vec!["UNLINK".into(), self.any(), self.any()],
            30 | 31 => {
                let kind = *self.rng.pick(&TYPES);
                let (from, to) = self.pair(kind);
                vec!["RENAME".into(), from, to]
            }
            32 => {
                let kind = *self.rng.pick(&TYPES);
                let (from, to) = self.pair(kind);
                vec!["RENAMENX".into(), from, to]
            }
            33 => {
                let kind = *self.rng.pick(&TYPES);
                let (from, to) = self.pair(kind);
                let mut words = vec!["COPY".into(), from, to];
                if self.rng.one_in(2) {
                    words.push("REPLACE".into());
                }
                words
            }
            34 => {
                // Where members go does not matter: SMOVE can be kept either way.
                let (from, to) = (self.key("t"), self.key("t"));
                vec!["SMOVE".into(), from, to, m]
            }
            35 => {
                let (from, to) = self.pair("l");
                vec!["RPOPLPUSH".into(), from, to]
            }
            36 => {
                let (from, to) = self.pair("l");
                vec!["LMOVE".into(), from, to, "LEFT".into(), "RIGHT".into()]
            }
            37 => self.store("SUNIONSTORE", "t", None),
            38 => self.store("SDIFFSTORE", "t", None),
            39 => self.store("ZUNIONSTORE", "z", Some("2")),
            40 if self.merges => self.store("PFMERGE", "p", None),
            40 | 41 => vec!["PFADD".into(), self.key("p"), m, n],
            42 => {
                let [to, one, two] = self.made_of("s");
                vec!["BITOP".into(), "OR".into(), to, one, two]
            }
            43 => {
                let kind = *self.rng.pick(&["l", "t", "z"]);
                let (from, _) = self.pair(kind);
                let at = FAMILIES.iter().position(|family| from.starts_with(family)).unwrap();
                let to = if self.ordered { self.family().max(at) } else { at };
                let to = self.key_of(to, "l");
                vec!["SORT".into(), from, "ALPHA".into(), "STORE".into(), to]
            }
            44 => {
                let to = if self.ordered { self.db + 1 } else { u32::try_from(self.rng.below(DBS.into())).unwrap() };
                vec!["MOVE".into(), self.any(), to.min(DBS - 1).to_string()]
            }
            45 if self.rng.one_in(8) => vec!["FLUSHDB".into()],
            45 if self.rng.one_in(40) => vec!["FLUSHALL".into()],
            45 => vec!["EVAL".into(), "return 1".into(), "0".into()],
            46 => vec!["GEOADD".into(), self.key("z"), m.clone(), n, m],
            _ => vec!["GETDEL".into(), self.key("s")],
        };
        self.send(&words);
    }

    fn any(&mut self) -> String {
        let kind = *self.rng.pick(&TYPES);
        self.key(kind)
    }

    fn store(&mut self, name: &str, kind: &str, count: Option<&str>) -> Vec<String> {
        let [to, one, two] = self.made_of(kind);
        [name.to_owned(), to].into_iter().chain(count.map(str::to_owned)).chain([one, two]).collect()
    }
}
