//! Keys of a snapshot → commands that put them in place.

use std::borrow::Cow;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use rdts_rdb::dump::{self, ValueEvents};
use rdts_rdb::{Dialect, Event, Function, KeyHeader, ValueKind, ValueMode, ValueType};
use rdts_resp::encode;

use super::big_value::BigValue;
use super::group::{Group, LONGEST_VALUE};
use super::losses::{LossKind, OnLoss};
use super::payload::{self, Unfit, fit};
use super::rewrite::stop;
use super::{OnConflict, Target, TranslateOptions, WHOLE_VALUE};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
use crate::record::{BatchBuilder, Expect, Kind, Mark};

/// Translates the events of an RDB parser into commands for one target.
///
/// After each [`Event::Key`] the caller hands the [`ValueMode`] that [`event`](Self::event) returned to the parser, and before it
/// takes a batch it calls [`flush`](Self::flush).
///
/// Which command a value becomes:
///
/// | value | command |
/// |---|---|
/// | string | `SET` (with `PXAT` from 6.2 on): cheaper than `RESTORE` for both sides; `MSET` of many, if [that is wanted](TranslateOptions::group_strings) |
/// | anything that the target's `RESTORE` reads, up to 8 MiB | `RESTORE` of the bytes as they are in the RDB |
/// | list, set, zset or hash that is encoded in a way that the target does not know, up to [a limit](TranslateOptions::convert_up_to) | `RESTORE` of it in the plainest encoding |
/// | string, list, set, zset or hash that is bigger | built under a temporary key by `APPEND`, `RPUSH`, `SADD`, `ZADD`, `HSET`, then renamed into place |
/// | stream that is encoded in a way that the target does not know | `RESTORE` of it in the encoding of the target's version; it is in memory as a whole for that |
///
/// What the target cannot hold at all is refused, with the key, or left out: [`losses`](TranslateOptions::losses) says.
#[derive(Debug)]
pub struct SnapshotTranslator {
    target: Target,
    options: TranslateOptions,
    dialect: Dialect,
    source_db: u32,
    key: CurrentKey,
    big: Option<BigValue>,
    group: Group,
    intake: Intake,
}

/// What is needed of a key until its value is complete.
#[derive(Debug, Default)]
pub(super) struct CurrentKey {
    pub(super) name: Vec<u8>,
    pub(super) db: u32,
    pub(super) value_type: Option<ValueType>,
    pub(super) expire_at_ms: Option<i64>,
    idle_seconds: Option<u64>,
    lfu_frequency: Option<u8>,
    /// The value is passed over.
    skipped: bool,
    /// The value was sent, or it is known that it will not be.
    sent: bool,
}

impl CurrentKey {
    /// The key as `redis-cli` prints it, bounded, for a message.
    pub(super) fn shown(&self) -> String {
        let shown = &self.name[..self.name.len().min(128)];
        format!("key \"{}\" of db {}", shown.escape_ascii(), self.db)
    }
}

impl SnapshotTranslator {
    /// A translator for commands that `target` understands.
    pub fn new(target: Target, options: TranslateOptions) -> Self {
        Self {
            target,
            options,
            dialect: Dialect::default(),
            source_db: 0,
            key: CurrentKey::default(),
            big: None,
            group: Group::default(),
            intake: Intake::default(),
        }
    }

    /// What was read so far and is not sent.
    pub fn intake(&self) -> Intake {
        self.intake
    }

    /// Forgets what was read, but for the key that is being read: what was made of it before is thrown away.
    pub(crate) fn account_anew(&mut self) {
        let open = self.key.value_type.is_some() && !self.key.sent && !self.key.skipped;
        self.intake = Intake { keys: u64::from(open), ..Intake::default() };
    }

    /// Takes one event; `offset` is where the source is after it. The result is how the parser is to give the value, after a key.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for what the target cannot hold, naming the key.
    pub fn event(&mut self, event: &Event<'_>, offset: u64, out: &mut BatchBuilder) -> Result<Option<ValueMode>> {
        match event {
            Event::Key(header) => return self.key(header).map(Some),
            Event::String(chunk) if self.big.is_none() && chunk.is_whole() => self.set(chunk.data, offset, out),
            Event::Raw(value) => self.whole(value, offset, out)?,
            Event::Header(version) => self.dialect = version.dialect,
            Event::SelectDb(db) => {
                let error = || Error::new(ErrorKind::Snapshot, format!("no server has a database {db}"));
                self.source_db = u32::try_from(*db).map_err(|_| error())?;
            }
            Event::Function(function) => self.function(function, offset, out)?,
            Event::Aux { name: b"lua", value } => {
                encode::command(out.arena(), [b"SCRIPT".as_slice(), b"LOAD", value]);
                out.commit(Mark::new(0, Kind::Code), None, offset);
            }
            Event::ModuleAux { module, .. } => {
                tracing::warn!(%module, "a module's data that belongs to no key is left out: no command can restore it");
                self.intake.module_aux += 1;
            }
            Event::SubkeyExpire { .. } if self.key.skipped => {}
            Event::SubkeyExpire { .. } => {
                return Err(self.unsupported("expiry times of single members (KeyDB) cannot be set there"));
            }
            Event::ValueEnd => match self.big.take() {
                Some(big) => {
                    if big.lost_expiries() {
                        self.lose_part(LossKind::HashFieldExpiry);
                    }
                    big.finish(&self.key, offset, out);
                    self.key.sent = true;
                }
                None if self.key.skipped || self.key.sent => {}
                None => {
                    tracing::warn!(key = self.key.shown(), "a value without elements is left out, as servers do");
                    self.intake.empty += 1;
                    self.key.sent = true;
                }
            },
            Event::Aux { .. }
            | Event::ResizeDb { .. }
            | Event::SlotInfo { .. }
            | Event::SlotImport(_)
            | Event::HashTemplate { .. }
            | Event::Consumed
            | Event::End { .. } => {}
            element => self.element(element, offset, out)?,
        }
        Ok(None)
    }

    fn key(&mut self, header: &KeyHeader<'_>) -> Result<ValueMode> {
        let key = &mut self.key;
        let (db, name) = match &self.options.rules {
            None => (Some(self.source_db), Some(Cow::Borrowed(header.key))),
            Some(rules) => {
                let takes = rules.takes(header.value_type.kind());
                (rules.db(self.source_db), rules.key(self.source_db, header.key).filter(|_| takes))
            }
        };
        key.name.clear();
        key.name.extend_from_slice(name.as_deref().unwrap_or(header.key));
        key.value_type = Some(header.value_type);
        key.expire_at_ms = header.expire_at_ms;
        key.idle_seconds = header.idle_seconds;
        key.lfu_frequency = header.lfu_frequency;
        self.intake.keys += 1;
        let expired = header.expire_at_ms.is_some_and(|time| time <= 0);
        key.db = db.unwrap_or(self.source_db);
        key.skipped = db.is_none() || name.is_none() || expired;
        key.sent = false;
        if key.skipped {
            match (db, name) {
                (None, _) => self.intake.keys_of_other_dbs += 1,
                (_, None) => self.intake.filtered_keys += 1,
                _ => self.intake.expired += 1,
            }
            return Ok(ValueMode::Skip);
        }
        if header.extras.is_some_and(|extras| !extras.key_meta.is_empty()) {
            return Err(self.unsupported("metadata that modules attach to a key (Redis 8.6) is not supported yet"));
        }
        let value_type = header.value_type;
        let kind = value_type.kind();
        if let Some(lost) = payload::lost(&self.target, &self.options.losses, value_type, None)
            && self.loses(lost)?
        {
            return Ok(ValueMode::Skip);
        }
        // The access time or counter of a string survives only in a RESTORE.
        let access =
            self.target.restore_options() && (self.key.idle_seconds.is_some() || self.key.lfu_frequency.is_some());
        let in_pieces =
            matches!(kind, ValueKind::String | ValueKind::List | ValueKind::Set | ValueKind::ZSet | ValueKind::Hash);
        if kind == ValueKind::String && !access {
            return Ok(ValueMode::Decode);
        }
        match (self.target.restores(value_type, self.dialect), in_pieces) {
            (true, true) => Ok(ValueMode::RawOrDecode { limit: WHOLE_VALUE }),
            // No command rebuilds these exactly: they go whole, up to what one argument of a command may have.
            (true, false) => Ok(ValueMode::RawOrDecode { limit: MAX_ARGUMENT }),
            // Converted as a whole, or taken apart if that cannot be.
            (false, true) => Ok(ValueMode::RawOrDecode { limit: self.options.convert_up_to }),
            // Streams are converted, whatever their size: nothing takes them apart.
            (false, false) if !matches!(value_type, ValueType::Module | ValueType::KeydbCron) => {
                Ok(ValueMode::RawOrDecode { limit: MAX_ARGUMENT })
            }
            (false, false) => {
                let target = self.target;
                Err(self.unsupported(&format!("a {value_type} cannot be restored into {target}")))
            }
        }
    }

    /// What becomes of a key that the target cannot hold: whether it is left out. If not, it is tried.
    fn loses(&mut self, kind: LossKind) -> Result<bool> {
        match self.options.losses.policy(kind) {
            OnLoss::Stop => Err(stop(&self.target, &self.key.shown(), kind)),
            OnLoss::Pass => Ok(false),
            OnLoss::Drop => {
                self.options.losses.remember(kind, &self.key.name);
                self.intake.lost.of_mut(kind).keys += 1;
                self.key.skipped = true;
                Ok(true)
            }
        }
    }

    /// Counts a key of which a part is left out.
    fn lose_part(&mut self, kind: LossKind) {
        self.options.losses.remember(kind, &self.key.name);
        self.intake.lost.of_mut(kind).parts += 1;
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::new(ErrorKind::Unsupported, what).at(self.key.shown())
    }

    /// Sends what waits to be sent together with more of its kind: to be called before a batch is taken, whose position would
    /// otherwise say too much.
    pub fn flush(&mut self, offset: u64, out: &mut BatchBuilder) {
        self.group.send(self.options.on_conflict, offset, out);
    }

    /// `SET key value [PXAT time] [NX]`
    fn set(&mut self, value: &[u8], offset: u64, out: &mut BatchBuilder) {
        self.key.sent = true;
        let key = &self.key;
        let grouped = self.options.group_strings && self.options.on_conflict != OnConflict::Skip;
        if grouped && key.expire_at_ms.is_none() && value.len() <= LONGEST_VALUE {
            if self.group.is_closed_to(key.db) {
                self.group.send(self.options.on_conflict, offset, out);
            }
            self.group.push(key.db, &key.name, value);
            return;
        }
        let expiry = key.expire_at_ms.map(|time| Expiry::of(time, self.target.set_pxat()));
        let nx = self.options.on_conflict != OnConflict::Replace;
        let arena = out.arena();
        encode::array_header(arena, 3 + 2 * usize::from(expiry.is_some()) + usize::from(nx));
        encode::bulk(arena, b"SET");
        let at = bulk_at(arena, &key.name);
        encode::bulk(arena, value);
        if let Some(expiry) = &expiry {
            encode::bulk(arena, if expiry.absolute { b"PXAT" } else { b"PX" });
            encode::bulk_int(arena, expiry.time);
        }
        if nx {
            encode::bulk(arena, b"NX");
        }
        out.commit(self.mark(), Some(at), offset);
        self.exact_expiry(expiry, offset, out);
    }

    /// A value in the bytes that it has in the RDB.
    fn whole(&mut self, raw: &[u8], offset: u64, out: &mut BatchBuilder) -> Result<()> {
        let Some(value_type) = self.key.value_type else {
            return Err(Error::protocol("a value came before its key"));
        };
        match fit(&self.target, &self.options.losses, value_type, raw, self.dialect) {
            Ok(fitted) => {
                if let Some(kind) = fitted.lost {
                    self.lose_part(kind);
                }
                self.restore(fitted.value_type, &fitted.raw, offset, out);
            }
            Err(Unfit::Lost(LossKind::HashFieldExpiry)) => {
                return Err(stop(&self.target, &self.key.shown(), LossKind::HashFieldExpiry));
            }
            Err(Unfit::Lost(kind)) => {
                if !self.loses(kind)? {
                    self.restore(value_type, raw, offset, out);
                }
            }
            // The commands that take it apart know best what the target cannot have.
            Err(Unfit::Broken(error)) if value_type.kind() == ValueKind::Stream => {
                let text = format!("a {value_type} cannot be put into a form that {} reads", self.target);
                return Err(Error::new(ErrorKind::Unsupported, text).with_source(error).at(self.key.shown()));
            }
            Err(Unfit::Broken(_)) => self.apart(value_type, raw, offset, out)?,
        }
        Ok(())
    }

    /// The same for a value that goes in pieces after all.
    fn apart(&mut self, value_type: ValueType, raw: &[u8], offset: u64, out: &mut BatchBuilder) -> Result<()> {
        let mut events = ValueEvents::new(value_type, raw);
        loop {
            match events.next_event() {
                Ok(Some(event)) => _ = self.event(&event, offset, out)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let text = "the value cannot be read";
                    return Err(Error::new(ErrorKind::Snapshot, text).with_source(error).at(self.key.shown()));
                }
            }
        }
    }

    /// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s | FREQ n]`
    fn restore(&mut self, value_type: ValueType, value: &[u8], offset: u64, out: &mut BatchBuilder) {
        let key = &self.key;
        let expiry = key.expire_at_ms.map(|time| Expiry::of(time, self.target.restore_options()));
        let replace = self.options.on_conflict == OnConflict::Replace;
        if replace && !self.target.restore_replace() {
            let arena = out.arena();
            encode::array_header(arena, 2);
            encode::bulk(arena, b"DEL");
            let at = bulk_at(arena, &key.name);
            out.commit(Mark::new(key.db, Kind::Snapshot), Some(at), offset);
        }
        let replace = replace && self.target.restore_replace();
        let absolute = expiry.as_ref().is_some_and(|expiry| expiry.absolute);
        let options = self.target.restore_options();
        let idle = key.idle_seconds.filter(|_| options);
        let frequency = key.lfu_frequency.filter(|_| options && idle.is_none());
        let arena = out.arena();
        let words =
            4 + usize::from(replace) + usize::from(absolute) + 2 * usize::from(idle.is_some() || frequency.is_some());
        encode::array_header(arena, words);
        encode::bulk(arena, b"RESTORE");
        let at = bulk_at(arena, &key.name);
        encode::bulk_int(arena, expiry.as_ref().map_or(0, |expiry| expiry.time));
        encode::bulk_header(arena, dump::len(value));
        dump::append(arena, value_type, value, self.target.rdb_version());
        arena.extend_from_slice(b"\r\n");
        if replace {
            encode::bulk(arena, b"REPLACE");
        }
        if absolute {
            encode::bulk(arena, b"ABSTTL");
        }
        if let Some(seconds) = idle {
            encode::bulk(arena, b"IDLETIME");
            encode::bulk_uint(arena, seconds);
        } else if let Some(frequency) = frequency {
            encode::bulk(arena, b"FREQ");
            encode::bulk_uint(arena, frequency.into());
        }
        out.commit(self.mark(), Some(at), offset);
        self.exact_expiry(expiry, offset, out);
    }

    /// How the reply to the command that puts the current key in place is judged.
    fn mark(&self) -> Mark {
        let expect = match self.options.on_conflict {
            OnConflict::Replace => Expect::Success,
            OnConflict::Fail => Expect::Created,
            OnConflict::Skip => Expect::CreatedOrKept,
        };
        Mark::new(self.key.db, Kind::Snapshot).expect(expect).keys(1)
    }

    /// A relative expiry is late by the time that the command waits in queues: where the target knows no absolute one, a second
    /// command sets it right. Not where that could meet a key of the target's own.
    fn exact_expiry(&self, expiry: Option<Expiry>, offset: u64, out: &mut BatchBuilder) {
        let (Some(Expiry { absolute: false, .. }), Some(time)) = (expiry, self.key.expire_at_ms) else { return };
        if self.options.on_conflict != OnConflict::Skip {
            expire_at(&self.key.name, self.key.db, time, offset, out);
        }
    }

    fn element(&mut self, event: &Event<'_>, offset: u64, out: &mut BatchBuilder) -> Result<()> {
        if self.big.is_none() {
            let Some(value_type) = self.key.value_type else {
                return Err(Error::protocol("an element came before its key"));
            };
            let options = &self.options;
            self.big = Some(BigValue::start(&self.key, value_type.kind(), self.target, options, offset, out));
        }
        match &mut self.big {
            Some(big) => big.add(event, &self.key, offset, out),
            None => Ok(()),
        }
    }

    /// `FUNCTION LOAD [REPLACE] code`
    fn function(&mut self, function: &Function<'_>, offset: u64, out: &mut BatchBuilder) -> Result<()> {
        let kind = LossKind::Functions;
        if !self.target.functions() {
            match self.options.losses.policy(kind) {
                OnLoss::Stop => return Err(stop(&self.target, "a function library", kind)),
                OnLoss::Pass => {}
                OnLoss::Drop => {
                    self.options.losses.remember(kind, b"FUNCTION");
                    self.intake.lost.of_mut(kind).parts += 1;
                    self.intake.functions += 1;
                    return Ok(());
                }
            }
        }
        let arena = out.arena();
        let replace = self.options.on_conflict == OnConflict::Replace;
        encode::array_header(arena, 3 + usize::from(replace));
        encode::bulk(arena, b"FUNCTION");
        encode::bulk(arena, b"LOAD");
        if replace {
            encode::bulk(arena, b"REPLACE");
        }
        match function {
            Function::Library { code } => encode::bulk(arena, code),
            Function::PreGa { name, engine, code, .. } => {
                let engine = engine.to_ascii_lowercase();
                encode::bulk(arena, &[b"#!", &engine[..], b" name=", name, b"\n", code].concat());
            }
            _ => {
                self.intake.functions += 1;
                out.discard();
                return Ok(());
            }
        }
        let expect = match self.options.on_conflict {
            OnConflict::Skip => Expect::CreatedOrKept,
            _ => Expect::Success,
        };
        out.commit(Mark::new(0, Kind::Code).expect(expect), None, offset);
        Ok(())
    }
}

/// The biggest argument that servers take by default (`proto-max-bulk-len`), less what a payload adds to a value.
const MAX_ARGUMENT: usize = (512 << 20) - 64;

struct Expiry {
    time: i64,
    absolute: bool,
}

impl Expiry {
    fn of(time: i64, absolute: bool) -> Self {
        if absolute {
            return Self { time, absolute };
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        // 0 would mean "never"; what has expired goes with the shortest time there is.
        Self { time: time.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)).max(1), absolute }
    }
}

/// Appends a bulk string and tells where its bytes are.
pub(super) fn bulk_at(arena: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    encode::bulk_header(arena, bytes.len());
    let start = arena.len();
    arena.extend_from_slice(bytes);
    arena.extend_from_slice(b"\r\n");
    start..start + bytes.len()
}

/// `PEXPIREAT key time`, which every server since 2.6 knows.
pub(super) fn expire_at(key: &[u8], db: u32, time: i64, offset: u64, out: &mut BatchBuilder) {
    let arena = out.arena();
    encode::array_header(arena, 3);
    encode::bulk(arena, b"PEXPIREAT");
    let at = bulk_at(arena, key);
    encode::bulk_int(arena, time);
    out.commit(Mark::new(db, Kind::Snapshot), Some(at), offset);
}
