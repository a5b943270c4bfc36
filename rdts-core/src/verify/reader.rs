//! Reads many keys of a side at once.

use std::ops::Range;
use std::sync::Arc;

use futures::future::try_join_all;
use rdts_rdb::ValueKind;

use super::face::{Face, Present, now_ms, of_payload};
use super::keys::{Keys, shown};
use super::pieces;
use super::side::{About, Place, Side};
use super::wire::{Answer, Wire, refusal};
use crate::error::{Error, Result};
use crate::net::Deadlines;

/// Bytes of payloads that one reading keeps: more than what was asked for should have, if nobody has lied about sizes or changed them.
const MOST: usize = 8 << 20;
/// Keys of one `EXISTS`.
const MANY: usize = 64;

/// Connections to all nodes of a side.
pub(super) struct Reader {
    side: Arc<Side>,
    nodes: Vec<NodeReader>,
    /// Of each key of the last reading, the node that has it and its number there.
    found: Vec<(u32, u32)>,
}

/// What was read of a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    state: State,
    expire_at: Option<i64>,
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Missing,
    /// It is there, and nothing else was asked.
    There,
    Unknown,
    /// Where its payload is.
    Dump(Range<usize>),
    Outline(ValueKind, u64, u128),
    TooLong,
}

/// One key of a reading.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    entry: &'a Entry,
    bytes: &'a [u8],
}

impl<'a> Seen<'a> {
    /// What it says, decoded; `None` for a value that has to be read in pieces.
    pub(super) fn face(self) -> Option<Face> {
        let expire_at = self.entry.expire_at;
        Some(match &self.entry.state {
            State::Missing => Face::Missing,
            State::There | State::Unknown => Face::Unknown,
            State::Dump(range) => of_payload(&self.bytes[range.clone()], expire_at),
            State::Outline(kind, len, digest) => {
                Face::Present(Present { kind: *kind, len: *len, digest: *digest, expire_at })
            }
            State::TooLong => return None,
        })
    }

    /// The payload of `DUMP`, if that was asked for and the key is there.
    pub(super) fn payload(self) -> Option<&'a [u8]> {
        match &self.entry.state {
            State::Dump(range) => Some(&self.bytes[range.clone()]),
            _ => None,
        }
    }

    pub(super) fn expire_at(self) -> Option<i64> {
        self.entry.expire_at
    }

    pub(super) fn is_missing(self) -> bool {
        matches!(self.entry.state, State::Missing)
    }
}

struct NodeReader {
    about: About,
    wire: Wire,
    /// The keys of this reading that are asked for here.
    mine: Vec<u32>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// What is asked of each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Whether it is there.
    Existence,
    /// Type, length and expiry.
    Outline,
    /// `DUMP` and expiry.
    Full,
}

impl Reader {
    pub(super) async fn open(side: Arc<Side>, deadlines: Deadlines) -> Result<Self> {
        let open = async |about: &About| -> Result<NodeReader> {
            let wire = Wire::open(&about.address, deadlines).await?;
            Ok(NodeReader { about: about.clone(), wire, mine: Vec::new(), entries: Vec::new(), bytes: Vec::new() })
        };
        let mut nodes = Vec::with_capacity(side.nodes.len());
        for about in &side.nodes {
            nodes.push(open(about).await?);
        }
        Ok(Self { side, nodes, found: Vec::new() })
    }

    /// Sends each key to the node that has it; `at` is where all of them are, if that is known.
    fn route(&mut self, keys: &Keys, at: Option<usize>) {
        for node in &mut self.nodes {
            node.mine.clear();
        }
        // After a change of the deployment there may be fewer nodes than there were.
        let at = at.filter(|at| *at < self.nodes.len());
        for (index, key) in (0..).zip(keys.iter()) {
            match at.map_or_else(|| self.side.place(key), Place::Node) {
                Place::Node(node) => self.nodes[node].mine.push(index),
                Place::Any => self.nodes.iter_mut().for_each(|node| node.mine.push(index)),
                #[cfg(feature = "codis")]
                Place::Nowhere => {}
            }
        }
    }

    /// Reads `keys` of `db`. What was read is there until the next reading.
    pub(super) async fn read(&mut self, db: u32, keys: &Keys, at: Option<usize>, depth: Depth) -> Result<()> {
        self.found.clear();
        self.found.resize(keys.len(), (u32::MAX, 0));
        if db > 0 && self.side.one_database() {
            return Ok(());
        }
        self.route(keys, at);
        let many = self.side.many_keys();
        try_join_all(self.nodes.iter_mut().map(|node| node.read(db, keys, depth, many))).await?;
        for (number, node) in (0..).zip(&self.nodes) {
            for (at, (index, entry)) in (0..).zip(node.mine.iter().zip(&node.entries)) {
                let found = &mut self.found[*index as usize];
                if found.0 == u32::MAX || !matches!(entry.state, State::Missing) {
                    *found = (number, at);
                }
            }
        }
        Ok(())
    }

    /// What was read of key number `index`.
    pub(super) fn seen(&self, index: usize) -> Seen<'_> {
        static MISSING: Entry = Entry { state: State::Missing, expire_at: None };
        let (node, at) = self.found[index];
        match self.nodes.get(node as usize) {
            Some(node) => Seen { entry: &node.entries[at as usize], bytes: &node.bytes },
            None => Seen { entry: &MISSING, bytes: &[] },
        }
    }

    /// About how many bytes each key takes in its server.
    pub(super) async fn sizes(&mut self, db: u32, keys: &Keys, at: Option<usize>) -> Result<Vec<u64>> {
        let mut sizes = vec![0; keys.len()];
        if db > 0 && self.side.one_database() {
            return Ok(sizes);
        }
        self.route(keys, at);
        let found = try_join_all(self.nodes.iter_mut().map(|node| node.sizes(db, keys))).await?;
        for (node, found) in self.nodes.iter().zip(found) {
            for (index, size) in node.mine.iter().zip(found) {
                let known: &mut u64 = &mut sizes[*index as usize];
                *known = (*known).max(size);
            }
        }
        Ok(sizes)
    }

    /// Reads one key piece by piece.
    pub(super) async fn read_pieces(&mut self, db: u32, key: &[u8]) -> Result<Face> {
        if db > 0 && self.side.one_database() {
            return Ok(Face::Missing);
        }
        let place = self.side.place(key);
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if place == Place::Any || place == Place::Node(number) {
                if !node.wire.select(db).await? {
                    return Ok(Face::Missing);
                }
                let face = pieces::read(&mut node.wire, &node.about, key).await;
                match face.map_err(|error| error.at(shown(db, key)))? {
                    Face::Missing => {}
                    face => return Ok(face),
                }
            }
        }
        Ok(Face::Missing)
    }

    /// The connection to the node that has `key`, with `db` selected, and what its server is.
    pub(super) async fn node_of(&mut self, db: u32, key: &[u8]) -> Result<Option<(&mut Wire, &About)>> {
        let number = match self.side.place(key) {
            Place::Node(number) => number,
            Place::Any if self.nodes.len() == 1 => 0,
            _ => return Ok(None),
        };
        let node = &mut self.nodes[number];
        Ok(node.wire.select(db).await?.then_some((&mut node.wire, &node.about)))
    }
}

impl NodeReader {
    async fn read(&mut self, db: u32, keys: &Keys, depth: Depth, many: bool) -> Result<()> {
        self.bytes.clear();
        self.entries.clear();
        self.entries.resize(self.mine.len(), Entry::default());
        if self.mine.is_empty() || !self.wire.select(db).await? {
            return Ok(());
        }
        match depth {
            Depth::Existence if many && self.about.exists_many => self.exists_many(keys).await,
            Depth::Existence => self.exists(keys).await,
            Depth::Outline => self.outline(keys).await,
            Depth::Full => self.dump(keys).await,
        }
    }

    /// Many keys in one command: as they are nearly always there, single ones are asked for only where the count says that one is not.
    async fn exists_many(&mut self, keys: &Keys) -> Result<()> {
        let Self { mine, wire, entries, about, .. } = self;
        let mut words: Vec<&[u8]> = Vec::with_capacity(MANY + 1);
        for part in mine.chunks(MANY) {
            words.clear();
            words.push(b"EXISTS");
            words.extend(part.iter().map(|index| keys.get(*index as usize)));
            wire.command(words.iter());
        }
        let len = mine.len();
        let mut left = Vec::new();
        wire.exchange(|number, answer| {
            let part = number * MANY..len.min((number + 1) * MANY);
            match answer.reply().and_then(|reply| reply.as_integer()) {
                Some(count) if usize::try_from(count) == Ok(part.len()) => {
                    entries[part].iter_mut().for_each(|entry| entry.state = State::There);
                }
                _ => left.extend(part),
            }
            Ok(())
        })
        .await?;
        for at in &left {
            wire.command([&b"EXISTS"[..], keys.get(mine[*at] as usize)]);
        }
        wire.exchange(|number, answer| existence(about, answer, &mut entries[left[number]])).await
    }

    async fn exists(&mut self, keys: &Keys) -> Result<()> {
        let Self { mine, wire, entries, about, .. } = self;
        for index in mine.iter() {
            wire.command([&b"EXISTS"[..], keys.get(*index as usize)]);
        }
        wire.exchange(|number, answer| existence(about, answer, &mut entries[number])).await
    }

    async fn dump(&mut self, keys: &Keys) -> Result<()> {
        let Self { mine, wire, entries, about, bytes } = self;
        let clock = Clock::ask(wire, about);
        for index in mine.iter() {
            let key = keys.get(*index as usize);
            wire.command([&b"DUMP"[..], key]);
            wire.command([clock.command, key]);
        }
        let mut clock = clock;
        wire.exchange(|number, answer| {
            let Some(number) = clock.take(number, &answer) else { return Ok(()) };
            let entry = &mut entries[number / 2];
            let key = || keys.get(mine[number / 2] as usize);
            let Some(reply) = answer.reply() else {
                entry.state = State::TooLong;
                return Ok(());
            };
            if let Some(error) = reply.as_error() {
                return unreadable(about, "DUMP", key(), error, entry);
            }
            if number % 2 == 1 {
                return clock.expiry(about, reply.as_integer(), entry);
            }
            if let Some(payload) = reply.as_bytes() {
                if bytes.len() + payload.len() > MOST {
                    entry.state = State::TooLong;
                    return Ok(());
                }
                let start = bytes.len();
                bytes.extend_from_slice(payload);
                entry.state = State::Dump(start..bytes.len());
            }
            Ok(())
        })
        .await
    }

    async fn outline(&mut self, keys: &Keys) -> Result<()> {
        let Self { mine, wire, entries, about, .. } = self;
        let mut clock = Clock::ask(wire, about);
        for index in mine.iter() {
            let key = keys.get(*index as usize);
            wire.command([&b"TYPE"[..], key]);
            wire.command([clock.command, key]);
        }
        wire.exchange(|number, answer| {
            let Some(number) = clock.take(number, &answer) else { return Ok(()) };
            let entry = &mut entries[number / 2];
            let Some(reply) = answer.reply() else { return Ok(()) };
            if let Some(error) = reply.as_error() {
                return unreadable(about, "TYPE", keys.get(mine[number / 2] as usize), error, entry);
            }
            if number % 2 == 1 {
                return clock.expiry(about, reply.as_integer(), entry);
            }
            entry.state = match reply.as_bytes().unwrap_or(b"none") {
                b"none" => State::Missing,
                name => match kind(name) {
                    Some(kind) => State::Outline(kind, 0, 0),
                    // Modules name their types themselves.
                    None => State::Outline(ValueKind::Module, 0, super::face::of_bytes(name)),
                },
            };
            Ok(())
        })
        .await?;
        let mut asked = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            if let State::Outline(kind, ..) = entry.state
                && let Some(command) = length_command(kind)
            {
                asked.push(at);
                wire.command([command, keys.get(mine[at] as usize)]);
            }
        }
        wire.exchange(|number, answer| {
            let entry = &mut entries[asked[number]];
            let Some(reply) = answer.reply() else { return Ok(()) };
            match (reply.as_integer(), &mut entry.state) {
                (Some(found), State::Outline(_, len, _)) => *len = found.unsigned_abs(),
                // Another type by now, or a slot that moves: it is looked at again.
                _ => entry.state = State::Unknown,
            }
            Ok(())
        })
        .await
    }

    async fn sizes(&mut self, db: u32, keys: &Keys) -> Result<Vec<u64>> {
        if self.mine.is_empty() || !self.wire.select(db).await? {
            return Ok(vec![0; self.mine.len()]);
        }
        if !self.about.memory_usage {
            self.entries.clear();
            self.entries.resize(self.mine.len(), Entry::default());
            self.outline(keys).await?;
            let size = |entry: &Entry| match entry.state {
                State::Outline(ValueKind::String, len, _) => len,
                // What an element takes nobody tells without reading it.
                State::Outline(_, len, _) => len.saturating_mul(64),
                _ => 0,
            };
            return Ok(self.entries.iter().map(size).collect());
        }
        for index in &self.mine {
            self.wire.command([&b"MEMORY"[..], b"USAGE", keys.get(*index as usize)]);
        }
        let mut sizes = Vec::with_capacity(self.mine.len());
        self.wire
            .exchange(|_, answer| {
                let size = answer.reply().and_then(|reply| reply.as_integer());
                sizes.push(size.map_or(0, i64::unsigned_abs));
                Ok(())
            })
            .await?;
        Ok(sizes)
    }
}

fn existence(about: &About, answer: Answer<'_>, entry: &mut Entry) -> Result<()> {
    let reply = answer.reply();
    match reply.and_then(|reply| reply.as_integer()) {
        Some(0) => entry.state = State::Missing,
        Some(_) => entry.state = State::There,
        None => match reply.and_then(|reply| reply.as_error()) {
            // It may be there or not: whoever looks at it again will see.
            Some(error) if is_moving(error) => entry.state = State::Missing,
            other => return Err(refusal(&about.address, "EXISTS", other)),
        },
    }
    Ok(())
}

/// A key that this node does not have any more, or not yet, is looked at again; everything else ends the work.
fn unreadable(about: &About, command: &str, key: &[u8], error: &[u8], entry: &mut Entry) -> Result<()> {
    if is_moving(error) {
        entry.state = State::Unknown;
        return Ok(());
    }
    let key = key[..key.len().min(128)].escape_ascii();
    Err::<(), Error>(refusal(&about.address, &format!("{command} \"{key}\""), Some(error)))
}

pub(super) fn is_moving(error: &[u8]) -> bool {
    [&b"MOVED "[..], b"ASK ", b"TRYAGAIN", b"CLUSTERDOWN"].iter().any(|code| error.starts_with(code))
}

/// The kind that `TYPE` names.
pub(super) fn kind(name: &[u8]) -> Option<ValueKind> {
    use ValueKind::{Array, Hash, List, Set, Stream, String, ZSet};
    [String, List, Set, ZSet, Hash, Stream, Array].into_iter().find(|kind| kind.name().as_bytes() == name)
}

pub(super) fn length_command(kind: ValueKind) -> Option<&'static [u8]> {
    Some(match kind {
        ValueKind::String => b"STRLEN",
        ValueKind::List => b"LLEN",
        ValueKind::Set => b"SCARD",
        ValueKind::ZSet => b"ZCARD",
        ValueKind::Hash => b"HLEN",
        ValueKind::Stream => b"XLEN",
        _ => return None,
    })
}

/// How expiries become absolute. A server that only tells how long a key has to live is asked for its own time in the same breath, since
/// a reply may be long on its way.
pub(super) struct Clock {
    pub(super) command: &'static [u8],
    /// What its time is; `None` if expiries are absolute.
    now: Option<i64>,
}

impl Clock {
    pub(super) fn ask(wire: &mut Wire, about: &About) -> Self {
        if about.expire_time {
            return Self { command: b"PEXPIRETIME", now: None };
        }
        wire.command(["TIME"]);
        Self { command: b"PTTL", now: Some(now_ms()) }
    }

    /// The number of an answer among those of the keys; `None` for the one that tells the time.
    pub(super) fn take(&mut self, number: usize, answer: &Answer<'_>) -> Option<usize> {
        let Some(now) = &mut self.now else { return Some(number) };
        if number > 0 {
            return Some(number - 1);
        }
        if let Answer::Reply(reply) = answer
            && let Some(array) = reply.as_array()
        {
            let mut parts = array.iter().map(|part| part.as_str().and_then(|part| part.parse::<i64>().ok()));
            if let (Some(Some(seconds)), Some(Some(micros))) = (parts.next(), parts.next()) {
                *now = seconds.saturating_mul(1000).saturating_add(micros / 1000);
            }
        }
        None
    }

    fn expiry(&self, about: &About, reply: Option<i64>, entry: &mut Entry) -> Result<()> {
        match reply {
            // Gone between the two commands.
            Some(-2) => *entry = Entry::default(),
            Some(time) => entry.expire_at = self.absolute(time),
            None => return Err(refusal(&about.address, "PTTL", None)),
        }
        Ok(())
    }

    pub(super) fn absolute(&self, time: i64) -> Option<i64> {
        match time {
            ..0 => None,
            time => Some(self.now.map_or(time, |now| now.saturating_add(time))),
        }
    }
}
