//! RDB files.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::record::{Batch, Kind};
use rdts_core::translate::Target;
use rdts_rdb::encode::{EncodeOptions, WriteError, Writer, convert};
use rdts_rdb::{Dialect, KeyHeader, ValueKind, ValueType, Version};

use super::entries::{Entries, Item, Visit, broken, unexpected};
use super::output::{Output, Remains, beside};
use super::spool::Spool;
use super::{FileOptions, Format, failed};

/// What keys have to be translated for, so that they can be written for `target`: raw values go through
/// [`convert`], which knows more than `RESTORE` of an old server.
pub(super) fn translate_for(target: Target) -> Target {
    match target.rdb_version() {
        // What it has no functions for, the translation leaves out and counts.
        ..10 => Target::redis(6, 2, 0),
        Version::FIRST_VALKEY.. => Target::valkey(9, 1, 0),
        _ => Target::redis(8, 10, 0),
    }
}

pub(super) struct RdbFile {
    entries: Entries,
    writer: RdbWriter,
}

/// The file, and the value that comes in pieces.
struct RdbWriter {
    out: Writer<Output>,
    options: EncodeOptions,
    value_path: PathBuf,
    value: Option<Value>,
}

/// A value that comes in pieces: an RDB has the number of its elements, and the key's expiry, in front of them.
struct Value {
    kind: ValueKind,
    count: u64,
    spool: Spool,
    /// Fields that came last: their expiry may follow.
    fields: Vec<(Vec<u8>, Vec<u8>, Option<i64>)>,
    least_expiry: Option<i64>,
}

impl RdbFile {
    pub(super) fn create(path: &Path, options: FileOptions) -> Result<Self> {
        let version = Version::from_number(options.target.rdb_version());
        let options_of_file = EncodeOptions::new(version);
        let out = Output::create(path, options, Remains::Removed)?;
        let mut out = Writer::with_options(out, options_of_file).map_err(failed)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        out.aux(b"redis-bits", b"64").map_err(failed)?;
        out.aux(b"ctime", now.to_string().as_bytes()).map_err(failed)?;
        let writer = RdbWriter { out, options: options_of_file, value_path: beside(path, ".value"), value: None };
        Ok(Self { entries: Entries::default(), writer })
    }
}

impl Format for RdbFile {
    fn write(&mut self, batch: &Batch) -> Result<Counts> {
        let mut counts = Counts::default();
        for command in batch.commands() {
            if !matches!(command.kind(), Kind::Snapshot | Kind::Code) {
                let text = format!(
                    "an RDB file holds a snapshot and cannot take the writes that follow it ({} at offset {}): copy the snapshot only, or write to a .resp or .jsonl file",
                    command.name().escape_ascii(),
                    command.offset()
                );
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            if !self.entries.command(&command, &mut self.writer)? {
                return Err(unexpected(&command));
            }
            counts.commands += 1;
            counts.bytes += command.raw().len() as u64;
            counts.keys += u64::from(command.mark().keys);
        }
        self.entries.end(&mut self.writer)?;
        Ok(counts)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        if self.entries.is_building() {
            let text = "closed in the middle of a value: the snapshot is not whole";
            return Err(Error::new(ErrorKind::Interrupted, text));
        }
        self.writer.out.finish().map_err(failed)?.finish()
    }
}

impl RdbWriter {
    fn key(&mut self, db: u32, header: &KeyHeader<'_>) -> Result<()> {
        self.out.select_db(db.into()).map_err(failed)?;
        self.out.key(header).map_err(refused)
    }

    fn value(&mut self) -> Result<&mut Value> {
        self.value.as_mut().ok_or_else(|| Error::new(ErrorKind::Protocol, "a piece came before its value"))
    }

    fn end(&mut self, db: u32, key: &[u8], expire_at_ms: Option<i64>) -> Result<()> {
        let Some(mut value) = self.value.take() else { return Ok(()) };
        value.settle_fields().map_err(failed)?;
        let version = self.options.version;
        let value_type = match value.kind {
            ValueKind::List => ValueType::List,
            ValueKind::Set => ValueType::Set,
            ValueKind::ZSet if version.number >= 8 => ValueType::ZSet2,
            ValueKind::ZSet => ValueType::ZSet,
            ValueKind::Hash if value.least_expiry.is_none() => ValueType::Hash,
            ValueKind::Hash if version.dialect == Dialect::Valkey => ValueType::ValkeyHash2,
            ValueKind::Hash if version.number >= 12 => ValueType::HashMetadata,
            ValueKind::Hash => return Err(broken(key, format!("{version} has no expiry of hash fields"))),
            _ => ValueType::String,
        };
        let mut header = KeyHeader::new(key, value_type);
        header.expire_at_ms = expire_at_ms;
        self.key(db, &header)?;
        let mut head = Vec::new();
        let least = value.least_expiry.unwrap_or(0);
        if value_type == ValueType::HashMetadata {
            head.extend(least.to_le_bytes());
        }
        length(&mut head, if value_type == ValueType::String { value.spool.len() } else { value.count });
        self.out.raw(&head).map_err(failed)?;
        let mut elements = value.spool.read().map_err(failed)?;
        if value.kind == ValueKind::Hash {
            for _ in 0..value.count {
                hash_field(&mut self.out, &mut *elements, value_type, least)?;
            }
            return Ok(());
        }
        let mut block = vec![0; 64 << 10];
        loop {
            match elements.read(&mut block).map_err(failed)? {
                0 => return Ok(()),
                count => self.out.raw(&block[..count]).map_err(failed)?,
            }
        }
    }
}

impl Visit for RdbWriter {
    fn item(&mut self, db: u32, _offset: u64, item: Item<'_>) -> Result<()> {
        match item {
            Item::String { header, value } => {
                self.key(db, &header)?;
                let mut raw = Vec::with_capacity(value.len() + 9);
                string(&mut raw, value);
                self.out.raw(&raw).map_err(failed)
            }
            Item::Value { mut header, payload } => {
                if payload.key_meta.is_some() {
                    return Err(broken(header.key, "metadata that modules attach to a key is not supported"));
                }
                let converted = convert(payload.value_type, payload.value, &self.options);
                let converted = converted.map_err(|error| broken(header.key, error))?;
                header.value_type = converted.value_type;
                self.key(db, &header)?;
                self.out.raw(&converted.raw).map_err(failed)
            }
            Item::Begin(kind) => {
                let spool = Spool::new(self.value_path.clone());
                self.value = Some(Value { kind, count: 0, spool, fields: Vec::new(), least_expiry: None });
                Ok(())
            }
            Item::Pieces(pieces) => {
                let binary_scores = self.options.version.number >= 8;
                self.value()?.add(pieces, binary_scores)
            }
            Item::FieldExpiry { field, at_ms } => {
                let value = self.value()?;
                value.least_expiry = Some(value.least_expiry.map_or(at_ms, |least| least.min(at_ms)));
                let found = value.fields.iter_mut().find(|(name, _, _)| name == field);
                let missing = || Error::new(ErrorKind::Protocol, "an expiry came for a field that did not");
                found.ok_or_else(missing)?.2 = Some(at_ms);
                Ok(())
            }
            Item::End { key, expire_at_ms } => self.end(db, key, expire_at_ms),
            Item::Function(code) => self.out.function(code).map_err(refused),
            Item::Script(body) => self.out.aux(b"lua", body).map_err(failed),
        }
    }
}

impl Value {
    fn add(&mut self, pieces: &[&[u8]], binary_scores: bool) -> Result<()> {
        match self.kind {
            ValueKind::List | ValueKind::Set => {
                self.count += pieces.len() as u64;
                pieces.iter().for_each(|piece| string(self.spool.buffer(), piece));
            }
            ValueKind::ZSet => {
                for pair in pieces.chunks_exact(2) {
                    let text = std::str::from_utf8(pair[0]).ok();
                    let score: f64 = text.and_then(|text| text.parse().ok()).ok_or_else(|| {
                        Error::new(ErrorKind::Protocol, format!("'{}' is no score", pair[0].escape_ascii()))
                    })?;
                    let buffer = self.spool.buffer();
                    string(buffer, pair[1]);
                    match score {
                        _ if binary_scores => buffer.extend(score.to_le_bytes()),
                        f64::INFINITY => buffer.push(254),
                        f64::NEG_INFINITY => buffer.push(255),
                        _ => {
                            // The text is a double's shortest, of at most 24 characters.
                            buffer.push(u8::try_from(pair[0].len()).unwrap_or(0));
                            buffer.extend_from_slice(pair[0]);
                        }
                    }
                    self.count += 1;
                }
            }
            ValueKind::Hash => {
                self.settle_fields().map_err(failed)?;
                self.fields.extend(pieces.chunks_exact(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec(), None)));
            }
            _ => pieces.iter().for_each(|piece| self.spool.buffer().extend_from_slice(piece)),
        }
        self.spool.settle().map_err(failed)
    }

    /// Fields whose expiry is known by now: the expiry, whether there is one, and two strings.
    fn settle_fields(&mut self) -> std::io::Result<()> {
        for (field, value, expiry) in self.fields.drain(..) {
            self.count += 1;
            let buffer = self.spool.buffer();
            buffer.push(u8::from(expiry.is_some()));
            buffer.extend(expiry.unwrap_or(0).to_le_bytes());
            for bytes in [field, value] {
                buffer.extend((bytes.len() as u64).to_le_bytes());
                buffer.extend(bytes);
            }
        }
        self.spool.settle()
    }
}

/// Moves one field from the spool to the file.
fn hash_field(out: &mut Writer<Output>, spool: &mut dyn Read, value_type: ValueType, least: i64) -> Result<()> {
    let mut head = [0; 9];
    spool.read_exact(&mut head).map_err(failed)?;
    let [expires, time @ ..] = head;
    let expiry = (expires == 1).then_some(i64::from_le_bytes(time));
    let mut raw = Vec::new();
    if value_type == ValueType::HashMetadata {
        // Relative to the least one, plus one, so that zero can mean none.
        length(&mut raw, expiry.map_or(0, |time| time.abs_diff(least) + 1));
    }
    for _ in 0..2 {
        let mut size = [0; 8];
        spool.read_exact(&mut size).map_err(failed)?;
        let size = u64::from_le_bytes(size);
        length(&mut raw, size);
        // It was in memory before, as part of a batch.
        spool.take(size).read_to_end(&mut raw).map_err(failed)?;
    }
    if value_type == ValueType::ValkeyHash2 {
        raw.extend(expiry.unwrap_or(-1).to_le_bytes());
    }
    out.raw(&raw).map_err(failed)
}

fn refused(error: WriteError) -> Error {
    match error {
        WriteError::Io(error) => failed(error),
        other => Error::new(ErrorKind::Unsupported, "cannot be written to this file").with_source(other),
    }
}

/// A string as it is: neither as a number nor compressed, which is good for nothing but the size of the file.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A length in its shortest form.
fn length(out: &mut Vec<u8>, length: u64) {
    let bytes = length.to_be_bytes();
    match length {
        0..64 => out.push(bytes[7]),
        64..16_384 => out.extend([0x40 | bytes[6], bytes[7]]),
        16_384..=0xFFFF_FFFF => {
            out.push(0x80);
            out.extend(&bytes[4..]);
        }
        _ => {
            out.push(0x81);
            out.extend(bytes);
        }
    }
}
