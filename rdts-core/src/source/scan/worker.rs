//! What reads the keys.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rdts_rdb::dump::Payload;
use rdts_rdb::{Event, Function, KeyHeader, Limits, ParserOptions, ValueMode, Version};
use rdts_resp::{Reply, encode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::notifications::{Flags, Listener, Lost};
use super::table::{Seen, Table};
use super::{ScanChanges, ScanHandle, ScanOptions};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::filter::Rules;
use crate::net::{Connection, text};
use crate::record::{Batch, BatchBuilder, Kind, Mark, Position, ReplicationId};
use crate::source::BATCH;
use crate::source::snapshot::WHOLE_STRING;
use crate::translate::{OnConflict, SnapshotTranslator, Target};

/// Differences of expiries that come from the way of the reply, where the server tells only how long a key has to live.
const TREMBLE_MS: u64 = 1000;
/// A round is tried so often before a connection that breaks each time is an error.
const TRIES: u32 = 10;

/// A key of a database.
type Key = Vec<u8>;

pub(super) struct Worker {
    address: NodeAddress,
    target: Target,
    options: ScanOptions,
    handle: ScanHandle,
    sender: mpsc::Sender<Result<Batch>>,
    connection: Connection,
    listener: Option<Listener>,
    pattern: Option<&'static str>,
    abilities: Abilities,
    /// `None` while it is at work elsewhere.
    table: Option<Table>,
    /// For keys that are copied for the first time, and for others.
    first: SnapshotTranslator,
    later: SnapshotTranslator,
    builder: BatchBuilder,
    /// The database that the connection has selected.
    db: u32,
    /// The round that is under way, and the pass; both count from 1.
    round: u64,
    pass: u32,
    /// Bytes of payloads in the first round.
    bytes: u64,
    functions_done: bool,
    allowed: Option<Instant>,
}

/// What the server has, and lets us do, beside what is needed.
#[derive(Debug, Clone, Copy)]
struct Abilities {
    expire_time: bool,
    memory_usage: bool,
    functions: bool,
}

/// What was read of a key.
struct Found {
    key: Key,
    payload: Bytes,
    expire_at_ms: Option<i64>,
    seen: Seen,
}

impl Worker {
    pub(super) async fn open(
        address: &NodeAddress,
        target: Target,
        options: ScanOptions,
        handle: ScanHandle,
        sender: mpsc::Sender<Result<Batch>>,
    ) -> Result<Self> {
        let mut connection = Connection::open(address, options.deadlines).await?;
        let version = Target::from_info(&connection.info("server").await?).map_err(|error| error.at(address))?;
        // Only trying tells whether a user, or a service, may use it.
        let expire_time = connection.call(["PEXPIRETIME", "rdts:no-such-key"]).await?;
        let abilities = Abilities {
            expire_time: expire_time.as_integer() == Some(-2),
            memory_usage: version.version() >= (4, 0, 0),
            functions: version.functions() && target.functions(),
        };
        let reply = connection.call(["SCAN", "0", "COUNT", "1"]).await?;
        if reply.as_error().is_some() {
            return Err(connection.refusal("SCAN", &reply));
        }
        let reply = connection.call(["DUMP", "rdts:no-such-key"]).await?;
        // A user of some keys only is told so for those that it meets.
        if reply.as_error().is_some() && !text(&reply).contains("key") {
            return Err(connection.refusal("DUMP", &reply));
        }
        let pattern = pattern(&mut connection, version, &options).await?;
        let listener = match pattern {
            Some(pattern) => Some(Listener::open(address, options.deadlines, pattern, options.pending).await?),
            None => None,
        };
        let table = Table::create(&options.folder).map_err(|error| {
            let text = format!("no table of what was copied can be made in {}", options.folder.display());
            Error::new(ErrorKind::Io, text).with_source(error)
        })?;
        let later = options.translate.clone().on_conflict(OnConflict::Replace);
        Ok(Self {
            address: address.clone(),
            target,
            handle,
            sender,
            connection,
            listener,
            pattern,
            abilities,
            table: Some(table),
            first: SnapshotTranslator::new(target, options.translate.clone()),
            later: SnapshotTranslator::new(target, later),
            options,
            builder: BatchBuilder::new(BATCH + BATCH / 4),
            db: 0,
            round: 0,
            pass: 0,
            bytes: 0,
            functions_done: false,
            allowed: None,
        })
    }

    pub(super) fn is_notified(&self) -> bool {
        self.pattern.is_some()
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.rounds().await {
            // Nobody listens any more only if the source was dropped.
            let _ = self.sender.send(Err(error)).await;
        }
    }

    async fn rounds(&mut self) -> Result<()> {
        loop {
            self.round += 1;
            self.handle.0.begun.store(self.round, Ordering::SeqCst);
            let mut full =
                self.handle.0.full.swap(false, Ordering::SeqCst) || self.listener.is_none() || self.round == 1;
            let mut tries = 0;
            while let Err(error) = self.round(full).await {
                tries += 1;
                if error.retry() != Retry::Resume || tries == TRIES {
                    return Err(error);
                }
                tracing::warn!(%error, "reading the keys is begun again");
                self.reconnect().await?;
                full = true;
            }
            let over = self.options.changes == ScanChanges::None;
            let position = if over { self.position() } else { Position::stream(ReplicationId::NONE, self.round, 0) };
            self.send(position).await?;
            if over || self.sender.is_closed() {
                return Ok(());
            }
            let wake = self.handle.0.wake.notified();
            match &self.listener {
                None => tokio::select! {
                    () = wake => {}
                    () = tokio::time::sleep(self.options.pause) => {}
                    () = self.sender.closed() => return Ok(()),
                },
                Some(listener) => tokio::select! {
                    () = wake => {}
                    () = listener.changed() => {}
                    () = self.sender.closed() => return Ok(()),
                },
            }
        }
    }

    async fn round(&mut self, full: bool) -> Result<()> {
        if full {
            return self.pass().await;
        }
        let Some(listener) = &mut self.listener else { return self.pass().await };
        listener.mark().await.map_err(|error| error.at(&self.address))?;
        match listener.take() {
            Ok(keys) => self.changed(keys).await,
            Err(Lost::TooMany) => {
                tracing::warn!("more keys have changed than can be kept in mind: all are read");
                self.pass().await
            }
            Err(Lost::Connection(text)) => Err(Error::new(ErrorKind::Disconnected, text).at(&self.address)),
        }
    }

    async fn reconnect(&mut self) -> Result<()> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let attempt = async {
                let connection = Connection::open(&self.address, self.options.deadlines).await?;
                let listener = match self.pattern {
                    Some(pattern) => {
                        let (deadlines, pending) = (self.options.deadlines, self.options.pending);
                        Some(Listener::open(&self.address, deadlines, pattern, pending).await?)
                    }
                    None => None,
                };
                Ok((connection, listener))
            };
            match attempt.await {
                Ok((connection, listener)) => {
                    (self.connection, self.listener, self.db) = (connection, listener, 0);
                    return Ok(());
                }
                Err(error) => {
                    let error: Error = error;
                    if error.retry() != Retry::Resume || started.elapsed() >= self.options.deadlines.ready {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Reads everything.
    async fn pass(&mut self) -> Result<()> {
        // What has changed until now the pass will see.
        if let Some(listener) = &self.listener {
            let _ = listener.take();
        }
        self.functions().await?;
        self.pass += 1;
        for db in self.databases().await? {
            self.select(db).await?;
            let mut cursor = Bytes::from_static(b"0");
            loop {
                let count = self.options.window.max(1).to_string();
                let reply = self.connection.call([&b"SCAN"[..], &cursor, b"COUNT", count.as_bytes()]).await?;
                let page =
                    reply.as_array().and_then(|page| Some((page.first()?.as_bytes()?, page.get(1)?.as_array()?)));
                let Some((next, keys)) = page else { return Err(self.connection.refusal("SCAN", &reply)) };
                let keys: Vec<Key> = keys.iter().filter_map(Reply::as_bytes).map(<[u8]>::to_vec).collect();
                cursor = Bytes::copy_from_slice(next);
                self.limit_rate(keys.len()).await;
                self.copy(db, keys).await?;
                if &cursor[..] == b"0" {
                    break;
                }
            }
        }
        // Not seen is gone, unless it was gone for a moment only: reading it tells.
        let mut from = Some(0);
        while let Some(at) = from {
            let (pass, most) = (self.pass, self.options.window.max(1) as usize);
            let (keys, next) = self.with_table(move |table| table.unseen(pass, at, most)).await?;
            from = next;
            self.changed(keys).await?;
        }
        Ok(())
    }

    /// Reads some keys.
    async fn changed(&mut self, keys: impl IntoIterator<Item = (u32, Key)>) -> Result<()> {
        let mut by_db: BTreeMap<u32, Vec<Key>> = BTreeMap::new();
        for (db, key) in keys.into_iter().filter(|(db, _)| self.options.translate.map_db(*db).is_some()) {
            by_db.entry(db).or_default().push(key);
        }
        for (db, keys) in by_db {
            self.select(db).await?;
            for keys in keys.chunks(self.options.window.max(1) as usize) {
                self.limit_rate(keys.len()).await;
                self.copy(db, keys.to_vec()).await?;
            }
        }
        Ok(())
    }

    async fn databases(&mut self) -> Result<Vec<u32>> {
        let rules = self.options.translate.rules.as_deref();
        if let Some(only) = rules.and_then(Rules::only_dbs) {
            return Ok(only);
        }
        let info = self.connection.info("keyspace").await?;
        let number = |line: &str| line.strip_prefix("db")?.split_once(':')?.0.parse().ok();
        let wanted = |db: &u32| rules.is_none_or(|rules| rules.db(*db).is_some());
        Ok(info.lines().filter_map(number).filter(wanted).collect())
    }

    async fn select(&mut self, db: u32) -> Result<()> {
        if self.db != db {
            let reply = self.connection.call(["SELECT", &db.to_string()]).await?;
            if reply.as_error().is_some() {
                return Err(self.connection.refusal(&format!("SELECT {db}"), &reply));
            }
            self.db = db;
        }
        Ok(())
    }

    async fn limit_rate(&mut self, keys: usize) {
        if self.options.keys_per_second == 0 {
            return;
        }
        let allowed = *self.allowed.get_or_insert_with(Instant::now);
        tokio::time::sleep_until(allowed).await;
        let share = keys as f64 / f64::from(self.options.keys_per_second);
        self.allowed = Some(allowed.max(Instant::now()) + Duration::from_secs_f64(share));
    }

    /// Copies what differs of these keys of the selected database.
    async fn copy(&mut self, db: u32, mut keys: Vec<Key>) -> Result<()> {
        if let Some(rules) = &self.options.translate.rules {
            keys.retain(|key| rules.key(db, key).is_some());
        }
        let sizes = self.sizes(&keys).await?;
        let mut window = Vec::new();
        let mut bytes = 0;
        let mut asked = HashSet::new();
        for (key, size) in keys.into_iter().zip(sizes) {
            if size > self.options.largest_value {
                let text = format!(
                    "has a value of {size} bytes (MEMORY USAGE), more than the {} that are taken (largest_value)",
                    self.options.largest_value
                );
                return Err(Error::new(ErrorKind::Limit, text).at(shown(db, &key)).at(&self.address));
            }
            if !asked.insert(key.clone()) {
                continue;
            }
            if bytes + size > self.options.window_bytes && !window.is_empty() {
                self.copy_window(db, std::mem::take(&mut window)).await?;
                bytes = 0;
            }
            bytes += size;
            window.push(key);
        }
        self.copy_window(db, window).await
    }

    /// What the values take in the server's memory; zeros if it does not tell.
    async fn sizes(&mut self, keys: &[Key]) -> Result<Vec<u64>> {
        if !self.abilities.memory_usage {
            return Ok(vec![0; keys.len()]);
        }
        let mut commands = Vec::new();
        for key in keys {
            encode::command(&mut commands, [&b"MEMORY"[..], b"USAGE", key]);
        }
        self.connection.send(&commands).await?;
        let mut sizes = Vec::with_capacity(keys.len());
        for _ in keys {
            let reply = self.connection.receive().await?;
            if reply.as_error().is_some() && self.abilities.memory_usage {
                tracing::warn!(reply = text(&reply), "MEMORY USAGE is refused: big values are not known beforehand");
                self.abilities.memory_usage = false;
            }
            sizes.push(reply.as_integer().and_then(|size| u64::try_from(size).ok()).unwrap_or(0));
        }
        Ok(sizes)
    }

    async fn copy_window(&mut self, db: u32, keys: Vec<Key>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let time_command: &[u8] = if self.abilities.expire_time { b"PEXPIRETIME" } else { b"PTTL" };
        let mut commands = Vec::new();
        for key in &keys {
            encode::command(&mut commands, [&b"DUMP"[..], key]);
            encode::command(&mut commands, [time_command, key]);
        }
        self.connection.send(&commands).await?;
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for key in keys {
            let payload = self.connection.receive().await?;
            let time = self.connection.receive().await?;
            if payload.as_error().is_some() {
                return Err(self.connection.refusal("DUMP", &payload).at(shown(db, &key)));
            }
            let expiry = match time.as_integer() {
                Some(-2) => None,
                Some(-1) => Some(None),
                Some(at) if self.abilities.expire_time => Some(Some(at)),
                Some(left) => Some(Some(now_ms().saturating_add(left))),
                None => {
                    let name = String::from_utf8_lossy(time_command).into_owned();
                    return Err(self.connection.refusal(&name, &time).at(shown(db, &key)));
                }
            };
            match (payload, expiry) {
                (Reply::Null, _) | (Reply::Bulk(_), None) => gone.push(key),
                (Reply::Bulk(payload), Some(expire_at_ms)) => {
                    found.push(Found { key, payload, expire_at_ms, seen: Seen::New });
                }
                (other, _) => return Err(self.connection.refusal("DUMP", &other).at(shown(db, &key))),
            }
        }
        let (pass, tolerance) = (self.pass, if self.abilities.expire_time { 0 } else { TREMBLE_MS });
        let (found, gone) = self
            .with_table(move |table| {
                for found in &mut found {
                    // Without the footer, which only says what version the server is.
                    let value = &found.payload[..found.payload.len().saturating_sub(10)];
                    let digest = table.digest(value);
                    found.seen = table.see((db, &found.key), digest, found.expire_at_ms, pass, tolerance)?;
                }
                let mut known = Vec::new();
                for key in gone {
                    if table.forget(db, &key)? {
                        known.push(key);
                    }
                }
                Ok((found, known))
            })
            .await?;
        for found in found {
            let wanted = match found.seen {
                Seen::New | Seen::Changed => true,
                // One copy has each key once, as an RDB would.
                Seen::ChangedInPass => self.options.changes != ScanChanges::None,
                Seen::Same => false,
            };
            if self.round == 1 {
                self.bytes += found.payload.len() as u64;
            }
            if wanted {
                self.put(db, &found).await?;
            }
        }
        for key in gone {
            self.delete(db, &key);
        }
        self.send_if_full().await
    }

    async fn put(&mut self, db: u32, found: &Found) -> Result<()> {
        let place = |error: Error| error.at(shown(db, &found.key)).at(&self.address);
        let payload = Payload::parse(&found.payload);
        let payload =
            payload.map_err(|error| place(Error::protocol("DUMP gave what cannot be read").with_source(error)))?;
        if payload.key_meta.is_some() {
            let text = "metadata that modules attach to a key (Redis 8.6) is not supported yet";
            return Err(place(Error::new(ErrorKind::Unsupported, text)));
        }
        let mut header = KeyHeader::new(&found.key, payload.value_type);
        header.expire_at_ms = found.expire_at_ms;
        let first = found.seen == Seen::New;
        let version = Version::from_number(payload.version);
        self.event(first, &Event::Header(version))?;
        self.event(first, &Event::SelectDb(db.into()))?;
        let mode = self.event(first, &Event::Key(header))?;
        match mode {
            Some(ValueMode::Skip) => self.event(first, &Event::ValueEnd).map(|_| ()),
            Some(ValueMode::RawOrDecode { limit }) if payload.value.len() <= limit => {
                self.event(first, &Event::Raw(payload.value)).map(|_| ())
            }
            _ => {
                let options = ParserOptions::new().limits(Limits::new().chunk(WHOLE_STRING));
                let mut events = payload.events(options);
                loop {
                    let event = events.next_event();
                    let event = event.map_err(|error| {
                        Error::protocol("DUMP gave what cannot be read").with_source(error).at(shown(db, &found.key))
                    })?;
                    let Some(event) = event else { return Ok(()) };
                    self.event(first, &event)?;
                    self.send_if_full().await?;
                }
            }
        }?;
        self.send_if_full().await
    }

    fn event(&mut self, first: bool, event: &Event<'_>) -> Result<Option<ValueMode>> {
        let offset = if self.round == 1 { self.bytes } else { self.round };
        let translator = if first { &mut self.first } else { &mut self.later };
        translator.event(event, offset, &mut self.builder).map_err(|error| error.at(&self.address))
    }

    fn delete(&mut self, db: u32, key: &[u8]) {
        // Strings that wait to go together come first.
        self.flush();
        let (db, key) = match &self.options.translate.rules {
            None => (db, Cow::Borrowed(key)),
            Some(rules) => match (rules.db(db), rules.key(db, key)) {
                (Some(db), Some(key)) => (db, key),
                _ => return,
            },
        };
        let arena = self.builder.arena();
        encode::array_header(arena, 2);
        encode::bulk(arena, if self.target.unlink() { b"UNLINK" } else { b"DEL" });
        encode::bulk_header(arena, key.len());
        let start = arena.len();
        arena.extend_from_slice(&key);
        arena.extend_from_slice(b"\r\n");
        self.builder.commit(Mark::new(db, Kind::Write), Some(start..start + key.len()), self.round);
    }

    /// `FUNCTION LIST WITHCODE`, once.
    async fn functions(&mut self) -> Result<()> {
        if self.functions_done || !self.abilities.functions {
            return Ok(());
        }
        let reply = self.connection.call(["FUNCTION", "LIST", "WITHCODE"]).await?;
        match reply.as_array() {
            Some(libraries) => {
                for code in libraries.iter().filter_map(|library| library.get("library_code")?.as_bytes()) {
                    self.event(true, &Event::Function(Function::Library { code }))?;
                }
            }
            None => tracing::warn!(reply = text(&reply), "FUNCTION LIST is refused: functions are not copied"),
        }
        self.functions_done = true;
        self.send_if_full().await
    }

    /// Runs `work` on the table, outside of the runtime's threads.
    async fn with_table<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Table) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let failed = || Error::new(ErrorKind::Io, "the table of what was copied cannot be read or written");
        let mut table = self.table.take().ok_or_else(failed)?;
        let run = move || {
            let result = work(&mut table);
            (table, result)
        };
        let done = tokio::task::spawn_blocking(run).await;
        let (table, result) = done.map_err(|error| failed().with_source(error))?;
        self.table = Some(table);
        result.map_err(|error| failed().with_source(error))
    }

    fn flush(&mut self) {
        let offset = if self.round == 1 { self.bytes } else { self.round };
        self.first.flush(offset, &mut self.builder);
        self.later.flush(offset, &mut self.builder);
    }

    /// Where we are in the middle of a round.
    fn position(&self) -> Position {
        match self.round {
            0 | 1 => Position::snapshot(ReplicationId::NONE, 0, self.bytes),
            round => Position::stream(ReplicationId::NONE, round - 1, 0),
        }
    }

    async fn send_if_full(&mut self) -> Result<()> {
        if self.builder.size() < BATCH {
            return Ok(());
        }
        self.send(self.position()).await
    }

    async fn send(&mut self, position: Position) -> Result<()> {
        self.flush();
        let mut intake = self.first.intake();
        intake += self.later.intake();
        let batch = self.builder.take(position);
        *self.handle.0.intake.lock().unwrap_or_else(PoisonError::into_inner) = intake;
        let gone = |_| Error::new(ErrorKind::Interrupted, "the source was dropped");
        self.sender.send(Ok(batch)).await.map_err(gone)
    }
}

/// Whether the server tells of changes, and how to hear of them.
async fn pattern(connection: &mut Connection, version: Target, options: &ScanOptions) -> Result<Option<&'static str>> {
    if matches!(options.changes, ScanChanges::Passes | ScanChanges::None) {
        return Ok(None);
    }
    let streams = version.version() >= (5, 0, 0);
    let reply = connection.call(["CONFIG", "GET", "notify-keyspace-events"]).await?;
    let found = reply.get("notify-keyspace-events").and_then(Reply::as_str).map(str::to_owned);
    let forced = options.changes == ScanChanges::Notifications;
    let Some(found) = found else {
        tracing::warn!(reply = text(&reply), "CONFIG GET is refused: whether there are notifications is not known");
        return Ok(forced.then(|| Flags::parse("", streams).pattern()));
    };
    let flags = Flags::parse(&found, streams);
    if flags.complete {
        return Ok(Some(flags.pattern()));
    }
    if options.set_notifications {
        let by = if flags.by_key && !flags.by_event { "" } else { "E" };
        let wanted = format!("A{by}{found}");
        let reply = connection.call(["CONFIG", "SET", "notify-keyspace-events", &wanted]).await?;
        if reply.as_error().is_some() {
            return Err(connection.refusal("CONFIG SET notify-keyspace-events", &reply));
        }
        tracing::info!(wanted, "notifications have been switched on");
        return Ok(Some(Flags::parse(&wanted, streams).pattern()));
    }
    if forced {
        let text = format!(
            "notify-keyspace-events is '{}', which does not tell of every change: set it to AE, permit setting it, or copy by passes",
            found.escape_debug()
        );
        return Err(Error::new(ErrorKind::Unsupported, text).at(connection.address()));
    }
    Ok(None)
}

/// A key as `redis-cli` prints it, bounded, for a message.
fn shown(db: u32, key: &[u8]) -> String {
    format!("key \"{}\" of db {db}", key[..key.len().min(128)].escape_ascii())
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    i64::try_from(now).unwrap_or(i64::MAX)
}
