//! Commands that put keys in place → the keys.

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::{Command, Kind};
use rdts_rdb::dump::Payload;
use rdts_rdb::{KeyHeader, ValueKind, ValueType};

/// What becomes of the commands of a snapshot.
pub(super) enum Item<'a> {
    /// A string.
    String { header: KeyHeader<'a>, value: &'a [u8] },
    /// A value as a payload of `DUMP`.
    Value { header: KeyHeader<'a>, payload: Payload<'a> },
    /// A value that comes in pieces begins.
    Begin(ValueKind),
    /// Pieces of it: bytes of a string, elements, members behind their scores, fields and values.
    Pieces(&'a [&'a [u8]]),
    /// A field of the last pieces expires.
    FieldExpiry { field: &'a [u8], at_ms: i64 },
    /// The value is whole, and this is its key.
    End { key: &'a [u8], expire_at_ms: Option<i64> },
    /// A function library.
    Function(&'a [u8]),
    /// A cached script.
    Script(&'a [u8]),
}

/// Takes what the items are.
pub(super) trait Visit {
    fn item(&mut self, db: u32, offset: u64, item: Item<'_>) -> Result<()>;
}

/// Reads the commands into which [`SnapshotTranslator`](rdts_core::translate::SnapshotTranslator) puts keys for a target that knows absolute
/// times.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// A value that comes in pieces: its temporary key, and what was said of it.
    building: Option<Building>,
    /// It has its name, but its expiry may follow.
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Building {
    temporary: Vec<u8>,
    kind: Option<ValueKind>,
    expire_at_ms: Option<i64>,
}

#[derive(Debug)]
struct Ended {
    db: u32,
    offset: u64,
    key: Vec<u8>,
    expire_at_ms: Option<i64>,
}

impl Entries {
    /// Takes a command of a snapshot. Says no if it is none of those that put keys in place.
    pub(super) fn command(&mut self, command: &Command<'_>, visit: &mut impl Visit) -> Result<bool> {
        let args: Vec<&[u8]> = command.args().collect();
        let (db, offset) = (command.db(), command.offset());
        let name = args.first().copied().unwrap_or_default();
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if let Some(ended) = &mut self.ended {
            let expiry = args.get(1) == Some(&&ended.key[..]) && ended.db == db && is(b"PEXPIREAT");
            if expiry {
                ended.expire_at_ms = Some(number(&args, 2)?);
            }
            self.end(visit)?;
            if expiry {
                return Ok(true);
            }
        }
        if command.kind() == Kind::Code {
            let [_, sub, rest @ ..] = &args[..] else { return Ok(false) };
            let item = match rest.last() {
                Some(body) if is(b"SCRIPT") && sub.eq_ignore_ascii_case(b"LOAD") => Item::Script(body),
                Some(code) if is(b"FUNCTION") && sub.eq_ignore_ascii_case(b"LOAD") => Item::Function(code),
                _ => return Ok(false),
            };
            visit.item(db, offset, item)?;
            return Ok(true);
        }
        if command.kind() != Kind::Snapshot {
            return Ok(false);
        }
        let Some((key, rest)) = args.get(1).zip(args.get(2..)) else { return Ok(false) };
        match name.to_ascii_uppercase().as_slice() {
            b"SET" => {
                let [value, options @ ..] = rest else { return Ok(false) };
                let mut header = KeyHeader::new(key, ValueType::String);
                header.expire_at_ms = absolute(options, b"PXAT", 0)?;
                visit.item(db, offset, Item::String { header, value })?;
            }
            b"MSET" | b"MSETNX" => {
                for pair in args[1..].chunks_exact(2) {
                    let header = KeyHeader::new(pair[0], ValueType::String);
                    visit.item(db, offset, Item::String { header, value: pair[1] })?;
                }
            }
            b"RESTORE" => {
                let [ttl, payload, options @ ..] = rest else { return Ok(false) };
                // It was made in this process a moment ago.
                let payload = Payload::parse_unverified(payload).map_err(|error| broken(key, error))?;
                let mut header = KeyHeader::new(key, payload.value_type);
                if *ttl != b"0" {
                    if !options.iter().any(|option| option.eq_ignore_ascii_case(b"ABSTTL")) {
                        return Err(unexpected(command));
                    }
                    header.expire_at_ms = Some(number(&args, 2)?);
                }
                header.idle_seconds = absolute(options, b"IDLETIME", 0)?.map(i64::cast_unsigned);
                header.lfu_frequency = absolute(options, b"FREQ", 0)?.and_then(|n| u8::try_from(n).ok());
                visit.item(db, offset, Item::Value { header, payload })?;
            }
            b"UNLINK" | b"DEL" => {
                if self.building.as_ref().is_some_and(|building| building.kind.is_some()) {
                    return Err(unexpected(command));
                }
                self.building = Some(Building { temporary: key.to_vec(), kind: None, expire_at_ms: None });
            }
            _ => return self.piece(command, &args, visit),
        }
        Ok(true)
    }

    /// A command on a temporary key.
    fn piece(&mut self, command: &Command<'_>, args: &[&[u8]], visit: &mut impl Visit) -> Result<bool> {
        let (db, offset) = (command.db(), command.offset());
        let Some(building) = self.building.as_mut().filter(|building| args[1] == building.temporary) else {
            return Ok(false);
        };
        let kind = match args[0].to_ascii_uppercase().as_slice() {
            b"APPEND" => ValueKind::String,
            b"RPUSH" => ValueKind::List,
            b"SADD" => ValueKind::Set,
            b"ZADD" => ValueKind::ZSet,
            b"HSET" | b"HMSET" => ValueKind::Hash,
            b"HPEXPIREAT" if args.len() == 6 => {
                visit.item(db, offset, Item::FieldExpiry { field: args[5], at_ms: number(args, 2)? })?;
                return Ok(true);
            }
            b"PEXPIREAT" => {
                building.expire_at_ms = Some(number(args, 2)?);
                return Ok(true);
            }
            b"RENAME" | b"RENAMENX" if args.len() == 3 => {
                let expire_at_ms = building.expire_at_ms;
                self.building = None;
                self.ended = Some(Ended { db, offset, key: args[2].to_vec(), expire_at_ms });
                return Ok(true);
            }
            _ => return Ok(false),
        };
        if building.kind.replace(kind).is_none() {
            visit.item(db, offset, Item::Begin(kind))?;
        }
        visit.item(db, offset, Item::Pieces(&args[2..]))?;
        Ok(true)
    }

    /// The batch is over: what belongs together is in one.
    pub(super) fn end(&mut self, visit: &mut impl Visit) -> Result<()> {
        let Some(Ended { db, offset, key, expire_at_ms }) = self.ended.take() else { return Ok(()) };
        visit.item(db, offset, Item::End { key: &key, expire_at_ms })
    }

    /// Whether a value is under way.
    pub(super) fn is_building(&self) -> bool {
        self.building.as_ref().is_some_and(|building| building.kind.is_some())
    }
}

/// What is said of a command that does not belong there.
pub(super) fn unexpected(command: &Command<'_>) -> Error {
    let text = format!(
        "{} (offset {}) does not put a key in place that could be written to this file",
        command.name().escape_ascii(),
        command.offset()
    );
    Error::new(ErrorKind::Unsupported, text)
}

/// An error about a key, which is shown as `redis-cli` prints it, bounded.
pub(super) fn broken(key: &[u8], error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let place = format!("key \"{}\"", key[..key.len().min(128)].escape_ascii());
    Error::new(ErrorKind::Unsupported, "cannot be written to this file").with_source(error).at(place)
}

/// The number behind the option `name`.
fn absolute(options: &[&[u8]], name: &[u8], from: usize) -> Result<Option<i64>> {
    let at = options.iter().skip(from).position(|option| option.eq_ignore_ascii_case(name));
    at.map(|at| number(options, from + at + 1)).transpose()
}

fn number(args: &[&[u8]], index: usize) -> Result<i64> {
    let text = args.get(index).copied().unwrap_or_default();
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::new(ErrorKind::Protocol, format!("'{}' where a number has to be", text.escape_ascii())))
}
