//! One node, and what it says of itself.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdts_resp::Reply;

use super::access::Permit;
use super::facts::Answer;
use super::sample::Sample;
use super::trial::Trial;
use crate::endpoint::NodeAddress;
use crate::error::Error;
use crate::net::{Connection, Deadlines, info_field, text};
use crate::protection::SourceFacts;
use crate::slot;
use crate::translate::Target;

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Data is read from it or written to it.
    Primary,
    /// It may become a primary.
    Replica,
    Sentinel,
    Proxy,
    /// A node of a cluster that could not be found as a whole.
    Seed,
}

/// A node and what it says. What was not asked, or not answered, is an `Err` that says why.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: NodeAddress,
    pub(super) part: Part,
    /// Its slots, of a cluster or a Codis.
    pub(super) slots: Vec<RangeInclusive<u16>>,
    /// Whether it can be connected to and logged in to.
    pub(super) reached: Result<(), Error>,
    pub(super) info: Answer<String>,
    /// `CLUSTER INFO` and `CLUSTER NODES`, of a node in cluster mode.
    pub(super) cluster: Answer<(String, String)>,
    pub(super) settings: BTreeMap<&'static str, Answer<String>>,
    /// Milliseconds that its clock is ahead of ours, and how long the answer took at most.
    pub(super) ahead: Answer<(i64, Duration)>,
    pub(super) modules: Answer<Vec<String>>,
    // What only a source is asked.
    /// Calls of each command by name in upper case (`XGROUP`, or `XGROUP|CREATE` from 7.0 on).
    pub(super) usage: Answer<BTreeMap<String, u64>>,
    pub(super) functions: Answer<usize>,
    pub(super) protection: Answer<SourceFacts>,
    /// What the node says to each thing that a source is asked for while it is copied.
    pub(super) permits: BTreeMap<&'static str, Permit>,
    pub(super) sample: Answer<Sample>,
    // What only a target is asked.
    pub(super) trial: Answer<Trial>,
    /// Whether a database can be selected.
    pub(super) selects: BTreeMap<u32, Answer<()>>,
    /// Keys of RDTS itself in databases that have few keys.
    pub(super) own_keys: BTreeMap<u32, u64>,
}

/// What a line of `INFO keyspace` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) keys: u64,
    /// Hashes with fields that expire; Redis 7.4 and Valkey 9.0 tell it.
    pub(super) field_expiry: Option<u64>,
}

/// What is asked by `CONFIG GET`.
const SETTINGS: &[&str] = &[
    "appendonly",
    "appendfsync",
    "save",
    "stop-writes-on-bgsave-error",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-slaves-to-write",
    "databases",
];

/// Databases with more keys than that are not searched for keys of RDTS itself.
const FEW: u64 = 1000;

/// A connection for questions. Once it breaks, all further questions have that for an answer.
#[derive(Debug)]
pub(super) struct Asker {
    connection: Result<Connection, String>,
}

impl Asker {
    /// The reply to a command, unless that is an error.
    pub(super) async fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Answer<Reply> {
        let name = args.first().map_or_else(String::new, |name| name.as_ref().escape_ascii().to_string());
        let reply = self.call(args).await?;
        match reply.is_error() {
            true => Err(format!("{name} is answered with '{}'", text(&reply))),
            false => Ok(reply),
        }
    }

    /// The reply to a command, which may be an error.
    pub(super) async fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Answer<Reply> {
        let connection = self.connection.as_mut().map_err(|why| why.clone())?;
        let reply = connection.call(args).await;
        self.kept(reply)
    }

    /// The replies to several commands, ready as RESP, that are sent at once.
    pub(super) async fn pipeline(&mut self, commands: &[u8], count: usize) -> Answer<Vec<Reply>> {
        let connection = self.connection.as_mut().map_err(|why| why.clone())?;
        let work = async {
            connection.send(commands).await?;
            let mut replies = Vec::with_capacity(count.min(4096));
            while replies.len() < count {
                replies.push(connection.receive().await?);
            }
            Ok(replies)
        };
        let replies = work.await;
        self.kept(replies)
    }

    fn kept<T>(&mut self, result: Result<T, Error>) -> Answer<T> {
        result.map_err(|error| {
            let why = error.to_string();
            self.connection = Err(why.clone());
            why
        })
    }

    /// Selects database 0 again. If that fails, the connection is of no use, and whoever asks next is told so.
    pub(super) async fn back_to_0(&mut self) {
        if let Err(why) = self.ask(&["SELECT", "0"]).await {
            self.connection = Err(why);
        }
    }

    async fn text<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Answer<String> {
        let reply = self.ask(args).await?;
        reply.as_bytes().map(|text| String::from_utf8_lossy(text).into_owned()).ok_or_else(|| "no text".to_owned())
    }
}

fn not_asked<T>() -> Answer<T> {
    Err("it was not asked".to_owned())
}

impl Node {
    pub(super) fn new(address: NodeAddress, part: Part) -> Self {
        Self {
            address,
            part,
            slots: Vec::new(),
            reached: Ok(()),
            info: not_asked(),
            cluster: not_asked(),
            settings: BTreeMap::new(),
            ahead: not_asked(),
            modules: not_asked(),
            usage: not_asked(),
            functions: not_asked(),
            protection: not_asked(),
            permits: BTreeMap::new(),
            sample: not_asked(),
            trial: not_asked(),
            selects: BTreeMap::new(),
            own_keys: BTreeMap::new(),
        }
    }

    /// Connects and logs in.
    pub(super) async fn open(mut self, deadlines: Deadlines) -> (Self, Asker) {
        match Connection::open(&self.address, deadlines.ready(Duration::ZERO)).await {
            Ok(connection) => (self, Asker { connection: Ok(connection) }),
            Err(error) => {
                let why = error.to_string();
                self.reached = Err(error);
                (self, Asker { connection: Err(why) })
            }
        }
    }

    /// Asks what concerns both sides.
    pub(super) async fn ask(&mut self, asker: &mut Asker) {
        if matches!(self.part, Part::Sentinel | Part::Proxy) || self.reached.is_err() {
            return;
        }
        self.info = asker.text(&["INFO", "default"]).await;
        if self.field("cluster_enabled") == Some("1") {
            self.cluster = match asker.text(&["CLUSTER", "INFO"]).await {
                Ok(info) => asker.text(&["CLUSTER", "NODES"]).await.map(|nodes| (info, nodes)),
                Err(why) => Err(why),
            };
        }
        if self.part != Part::Primary {
            return;
        }
        for name in SETTINGS {
            let value = asker.ask(&["CONFIG", "GET", name]).await;
            let value = value.and_then(|reply| match reply.get(name).and_then(Reply::as_str) {
                Some(value) => Ok(value.to_owned()),
                None => Err(format!("it has no setting {name}")),
            });
            self.settings.insert(name, value);
        }
        self.ahead = clock(asker).await;
        self.modules = modules(asker).await;
    }

    /// Asks what concerns a source.
    pub(super) async fn ask_source(&mut self, asker: &mut Asker) {
        self.usage = asker.text(&["INFO", "commandstats"]).await.map(|info| usage(&info));
        self.functions = match self.version() {
            Ok(version) if version.functions() => {
                let list = asker.ask(&["FUNCTION", "LIST"]).await;
                list.map(|reply| reply.as_array().map_or(0, <[Reply]>::len))
            }
            Ok(_) => Ok(0),
            Err(why) => Err(why),
        };
        self.permits = super::access::ask(asker, self.version().ok()).await;
        // It may break the connection of nobody else: what it is asked is answered or left out.
        self.protection = match &mut asker.connection {
            Ok(connection) => SourceFacts::ask(connection).await.map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
    }

    /// Asks what concerns a target in which databases `wanted` will be written to.
    pub(super) async fn ask_target(&mut self, asker: &mut Asker, wanted: &[u32]) {
        for (db, keys) in self.keyspace().unwrap_or_default() {
            if keys.keys <= FEW
                && let Ok(own) = own_keys(asker, db).await
            {
                self.own_keys.insert(db, own);
            }
        }
        self.ask_databases(asker, wanted).await;
    }

    /// Tries which databases there are; 0 is selected afterwards.
    pub(super) async fn ask_databases(&mut self, asker: &mut Asker, wanted: &[u32]) {
        for db in wanted.iter().filter(|db| **db != 0) {
            let selected = asker.ask(&["SELECT", &db.to_string()]).await.map(|_| ());
            self.selects.insert(*db, selected);
        }
        if !self.selects.is_empty() {
            asker.back_to_0().await;
        }
    }

    /// A field of `INFO`.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        info_field(self.info.as_ref().ok()?, name)
    }

    /// A number of `INFO`; why not, if there is none.
    pub(super) fn number(&self, name: &str) -> Answer<u64> {
        let info = self.info.as_ref().map_err(Clone::clone)?;
        let value = info_field(info, name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| format!("INFO has no {name}"))
    }

    pub(super) fn setting(&self, name: &str) -> Answer<&str> {
        match self.settings.get(name) {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(why.clone()),
            None => not_asked(),
        }
    }

    pub(super) fn version(&self) -> Answer<Target> {
        let info = self.info.as_ref().map_err(Clone::clone)?;
        Target::from_info(info).map_err(|error| error.to_string())
    }

    /// The databases that hold keys.
    pub(super) fn keyspace(&self) -> Answer<BTreeMap<u32, Keys>> {
        let info = self.info.as_ref().map_err(Clone::clone)?;
        Ok(info.lines().filter_map(keys_of).collect())
    }

    /// A key in one of the node's slots, that nobody else has.
    pub(super) fn probe_key(&self) -> String {
        match self.slots.first() {
            Some(slots) if self.cluster.is_ok() => format!("rdts:precheck:{{{}}}", slot::tag(*slots.start())),
            _ => "rdts:precheck".to_owned(),
        }
    }
}

/// `db0:keys=3,expires=0,avg_ttl=0,subexpiry=1`
fn keys_of(line: &str) -> Option<(u32, Keys)> {
    let (db, fields) = line.trim_end().strip_prefix("db")?.split_once(':')?;
    let field = |name: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.split_once('='));
        fields.find(|(found, _)| *found == name).and_then(|(_, value)| value.parse().ok())
    };
    let field_expiry = field("subexpiry").or_else(|| field("keys_with_volatile_items"));
    Some((db.parse().ok()?, Keys { keys: field("keys")?, field_expiry }))
}

/// `cmdstat_xgroup|create:calls=3,usec=…`
fn usage(info: &str) -> BTreeMap<String, u64> {
    let command = |line: &str| {
        let (name, fields) = line.trim_end().strip_prefix("cmdstat_")?.split_once(':')?;
        let calls: u64 = fields.strip_prefix("calls=")?.split(',').next()?.parse().ok()?;
        (calls > 0).then(|| (name.to_ascii_uppercase(), calls))
    };
    info.lines().filter_map(command).collect()
}

async fn clock(asker: &mut Asker) -> Answer<(i64, Duration)> {
    let ours = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (before, started) = (ours(), std::time::Instant::now());
    let reply = asker.ask(&["TIME"]).await?;
    let took = started.elapsed();
    let number = |index: usize| reply.as_array()?.get(index)?.as_str()?.parse::<i64>().ok();
    let (Some(seconds), Some(micros)) = (number(0), number(1)) else { return Err("no time".to_owned()) };
    let theirs = seconds.saturating_mul(1000).saturating_add(micros / 1000);
    // It was some time in between.
    let middle = i64::try_from((before + took / 2).as_millis()).unwrap_or(i64::MAX);
    Ok((theirs.saturating_sub(middle), took))
}

async fn modules(asker: &mut Asker) -> Answer<Vec<String>> {
    let reply = asker.call(&["MODULE", "LIST"]).await?;
    match &reply {
        // Servers before 4.0 have no modules.
        reply if text(reply).contains("unknown command") => Ok(Vec::new()),
        reply if reply.is_error() => Err(format!("MODULE LIST is answered with '{}'", text(reply))),
        reply => {
            let name = |module: &Reply| module.get("name").and_then(Reply::as_str).map(str::to_owned);
            Ok(reply.as_array().unwrap_or_default().iter().filter_map(name).collect())
        }
    }
}

/// How many keys of database `db`, which has few, are RDTS's own.
async fn own_keys(asker: &mut Asker, db: u32) -> Answer<u64> {
    asker.ask(&["SELECT", &db.to_string()]).await?;
    let own = count_own(asker).await;
    asker.back_to_0().await;
    own
}

async fn count_own(asker: &mut Asker) -> Answer<u64> {
    let (mut cursor, mut own) = ("0".to_owned(), 0);
    for _ in 0..FEW {
        let reply = asker.ask(&["SCAN", &cursor, "MATCH", "rdts:*", "COUNT", "1000"]).await?;
        let Some([next, keys]) = reply.as_array() else { return Err("SCAN is answered with nonsense".to_owned()) };
        own += keys.as_array().map_or(0, |keys| keys.len() as u64);
        cursor = next.as_str().unwrap_or("0").to_owned();
        if cursor == "0" {
            break;
        }
    }
    Ok(own)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_print_is_read() {
        let keys = |keys, field_expiry| Some((3, Keys { keys, field_expiry }));
        assert_eq!(keys_of("db3:keys=7,expires=0,avg_ttl=0\r"), keys(7, None));
        assert_eq!(keys_of("db3:keys=7,expires=0,avg_ttl=0,subexpiry=2"), keys(7, Some(2)));
        assert_eq!(keys_of("db3:keys=7,expires=0,avg_ttl=0,keys_with_volatile_items=2"), keys(7, Some(2)));
        assert_eq!(keys_of("db0_distrib_strings_sizes:1=1"), None);
        let used = usage(
            "# Commandstats\r\ncmdstat_get:calls=2,usec=1\r\ncmdstat_set:calls=0,usec=0,rejected_calls=1\r\ncmdstat_xgroup|create:calls=1,usec=9\r\n",
        );
        assert_eq!(used.into_iter().collect::<Vec<_>>(), [("GET".to_owned(), 2), ("XGROUP|CREATE".to_owned(), 1)]);
    }
}
