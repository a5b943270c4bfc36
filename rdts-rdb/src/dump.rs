//! DUMP payloads: what `DUMP` answers and `RESTORE` takes. Type byte, value, version (2 bytes) and checksum (8 bytes).
//!
//! ```
//! use rdts_rdb::dump::{self, Payload};
//! use rdts_rdb::encode::{EncodeOptions, encode_value};
//! use rdts_rdb::{ParserOptions, Value, Version};
//!
//! // Made of a value, for a server of version 6.2.
//! let options = EncodeOptions::new(Version::redis(9));
//! let mut raw = Vec::new();
//! let value_type = encode_value(&mut raw, &Value::Set(vec![b"a".to_vec(), b"b".to_vec()]), &options)?;
//! let mut payload = Vec::new();
//! dump::append(&mut payload, value_type, &raw, options.version.number);
//!
//! // Taken apart: is it what it says, and is it fit for a server?
//! let parsed = Payload::parse(&payload)?;
//! assert_eq!(parsed.version, 9);
//! parsed.events(ParserOptions::new()).validate()?;
//! assert_eq!(parsed.value()?.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use bytes::{BufMut, BytesMut};

use crate::crc64;
use crate::decode::{Decoder, Env};
use crate::error::{Error, ErrorKind, Limit};
use crate::event::Event;
use crate::options::ParserOptions;
use crate::scan::Scanner;
use crate::tok::{Attributes, Buffers, Tok};
use crate::token::{At, Halt};
use crate::validate::Validator;
use crate::value::{Builder, Value};
use crate::value_type::{ValueKind, ValueType};
use crate::version::{Dialect, Version};

/// Bytes that a payload has besides its value: type, version and checksum.
pub const OVERHEAD: usize = 11;

/// Bytes at the end of a payload that are not value: version and checksum.
const FOOTER: usize = 10;

/// Opcode of a key's metadata, which may stand in front of the type (Redis 8.6).
const KEY_META: u8 = 243;

/// A payload, taken apart. Borrows; the value was not looked into.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Payload<'a> {
    /// Type of the value; bytes 22 and 23 are decided by the version in the footer.
    pub value_type: ValueType,
    /// The value: what follows the type byte.
    pub value: &'a [u8],
    /// Metadata of the key, if there is any: see [`KeyExtras::key_meta`](crate::KeyExtras::key_meta).
    pub key_meta: Option<&'a [u8]>,
    /// The version in the footer; 80 and up is Valkey.
    pub version: u16,
    /// The checksum in the footer.
    pub checksum: u64,
    /// Whether it is the right one.
    pub checksum_ok: bool,
}

impl<'a> Payload<'a> {
    /// Takes a payload apart and verifies its checksum, as servers do.
    ///
    /// # Errors
    /// Too short, an unknown type, or a wrong checksum (zero is none either).
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let parsed = Self::parse_unverified(payload)?;
        if parsed.checksum_ok {
            return Ok(parsed);
        }
        let computed = crc64::checksum(&payload[..payload.len() - 8]);
        Err(Error::new(ErrorKind::BadChecksum { stored: parsed.checksum, computed }, (payload.len() - 8) as u64))
    }

    /// Takes a payload apart whatever its checksum.
    ///
    /// # Errors
    /// Too short, or an unknown type.
    pub fn parse_unverified(payload: &'a [u8]) -> Result<Self, Error> {
        let Some((body, footer)) = payload.split_last_chunk::<FOOTER>() else {
            return Err(Error::new(ErrorKind::BadPayload("shorter than its footer"), 0));
        };
        let [v0, v1, crc @ ..] = *footer;
        let version = u16::from_le_bytes([v0, v1]);
        let checksum = u64::from_le_bytes(crc);
        let dialect = Version::from_number(version).dialect;
        let (key_meta, body_at) = split_key_meta(body, dialect)?;
        let Some((&byte, value)) = body[body_at..].split_first() else {
            return Err(Error::new(ErrorKind::BadPayload("no value"), body_at as u64));
        };
        let Some(value_type) = ValueType::from_byte(byte, dialect) else {
            return Err(Error::new(ErrorKind::UnknownType(byte), body_at as u64));
        };
        let checksum_ok = crc64::checksum(&payload[..payload.len() - 8]) == checksum;
        Ok(Self { value_type, value, key_meta, version, checksum, checksum_ok })
    }

    /// The value's elements, as a parser would report them.
    #[must_use]
    pub fn events(&self, options: ParserOptions) -> ValueEvents<'a> {
        let start = 1 + self.key_meta.map_or(0, |meta| meta.len() + 1);
        ValueEvents::at(self.value_type, self.value, start as u64, options)
    }

    /// The value, owned.
    ///
    /// # Errors
    /// The value is broken, or bytes follow it.
    pub fn value(&self) -> Result<Value, Error> {
        self.events(ParserOptions::new()).collect_value()
    }
}

fn split_key_meta(body: &[u8], dialect: Dialect) -> Result<(Option<&[u8]>, usize), Error> {
    if body.first() != Some(&KEY_META) || dialect != Dialect::Redis {
        return Ok((None, 0));
    }
    let mut scanner = Scanner::default();
    scanner.start_key_meta(1);
    match scanner.run(body) {
        Ok(end) => Ok((Some(&body[1..end]), end)),
        Err(halt) => Err(error_of(halt, 0, body.len())),
    }
}

fn error_of(halt: Halt, base: u64, len: usize) -> Error {
    match halt {
        Halt::Need(_) => Error::new(ErrorKind::Truncated, base + len as u64),
        Halt::Fail(fault) => Error::new(
            fault.kind,
            match fault.at {
                At::Here(at) => base + at as u64,
                At::Absolute(offset) => offset,
            },
        ),
    }
}

/// The elements of one value that is in memory as a whole.
#[derive(Debug)]
pub struct ValueEvents<'a> {
    value_type: ValueType,
    value: &'a [u8],
    at: usize,
    /// Offset of the value in whatever it is part of, for errors.
    base: u64,
    options: ParserOptions,
    decoder: Decoder,
    buffers: Buffers,
    attributes: Attributes,
    tok: Tok,
    done: bool,
}

impl<'a> ValueEvents<'a> {
    /// The elements of a raw value, as [`Event::Raw`] delivers it.
    #[must_use]
    pub fn new(value_type: ValueType, value: &'a [u8]) -> Self {
        Self::at(value_type, value, 0, ParserOptions::new())
    }

    fn at(value_type: ValueType, value: &'a [u8], base: u64, options: ParserOptions) -> Self {
        let mut decoder = Decoder::default();
        decoder.start(value_type);
        Self {
            value_type,
            value,
            at: 0,
            base,
            options,
            decoder,
            buffers: Buffers::default(),
            attributes: Attributes::default(),
            tok: Tok::ValueEnd,
            done: false,
        }
    }

    /// The next event of the value; `None` behind [`Event::ValueEnd`].
    ///
    /// # Errors
    /// The value is broken, cut, or bytes follow it.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        if self.done {
            return Ok(None);
        }
        self.check_total()?;
        let templates = Default::default();
        let mut env = Env {
            limits: &self.options.limits,
            buffers: &mut self.buffers,
            templates: &templates,
            base: self.base,
            out: &mut self.tok,
        };
        let step = self.decoder.step(&mut env, self.value, &mut self.at);
        step.map_err(|halt| error_of(halt, self.base, self.value.len()))?;
        if let Tok::ValueEnd = self.tok {
            self.done = true;
            self.check_end()?;
        }
        self.tok.event(self.value, &self.buffers, &self.attributes, |event| Ok(Some(event)))
    }

    /// Walks the rest of the value to see whether it is sound: everything that decoding finds, and fields, members or names that occur twice
    /// (up to [`Limits::max_duplicate_check`](crate::Limits::max_duplicate_check)). What passes can be handed to `RESTORE` of a server that
    /// does not look.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event); also an aggregate without elements, which is no value.
    pub fn validate(mut self) -> Result<(), Error> {
        self.check_total()?;
        let templates = Default::default();
        let (limits, buffers) = (&self.options.limits, &mut self.buffers);
        let mut env = Env { limits, buffers, templates: &templates, base: self.base, out: &mut self.tok };
        let mut validator = Validator::default();
        validator
            .run(&mut self.decoder, &mut env, self.value, &mut self.at, self.base)
            .map_err(|halt| error_of(halt, self.base, self.value.len()))?;
        self.check_end()?;
        if !validator.found_something() { self.check_not_empty() } else { Ok(()) }
    }

    fn check_total(&self) -> Result<(), Error> {
        let max = self.options.limits.max_total;
        let claimed = self.base.saturating_add(self.value.len() as u64);
        if claimed <= max {
            return Ok(());
        }
        Err(Error::new(ErrorKind::LimitExceeded { limit: Limit::Total, claimed, max }, max))
    }

    fn check_end(&self) -> Result<(), Error> {
        if self.at == self.value.len() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::BadPayload("bytes follow the value"), self.base + self.at as u64))
    }

    fn check_not_empty(&self) -> Result<(), Error> {
        match self.value_type.kind() {
            ValueKind::List | ValueKind::Set | ValueKind::ZSet | ValueKind::Hash => {
                Err(Error::new(ErrorKind::BadStructure("an aggregate without elements"), self.base))
            }
            _ => Ok(()),
        }
    }

    /// The rest of the value, owned.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event); also an aggregate without elements, which is no value.
    pub fn collect_value(mut self) -> Result<Value, Error> {
        let mut builder = Builder::new(self.value_type.kind(), self.options.limits.max_value);
        let base = self.base;
        while let Some(event) = self.next_event()? {
            if !matches!(event, Event::ValueEnd) {
                builder.push(&event).map_err(|kind| Error::new(kind, base))?;
            }
        }
        let value = builder.finish();
        if value.is_empty() {
            self.check_not_empty()?;
        }
        Ok(value)
    }
}

impl Value {
    /// The value of a DUMP payload.
    ///
    /// # Errors
    /// The payload or the value in it is broken: see [`Payload::parse`] and [`Payload::value`].
    pub fn from_dump(payload: &[u8]) -> Result<Self, Error> {
        Payload::parse(payload)?.value()
    }
}

/// Length of the payload of a raw value: known before it is made, so that a bulk string's head can be written first.
#[must_use]
pub const fn len(raw: &[u8]) -> usize {
    raw.len() + OVERHEAD
}

/// Appends the payload of a raw value to `out`: the value is copied once. `version` goes into the footer; servers refuse one that is newer
/// than theirs, and Redis 2.6 to 3.0 any but 6.
pub fn append(out: &mut Vec<u8>, value_type: ValueType, raw: &[u8], version: u16) {
    let start = out.len();
    out.reserve(len(raw));
    out.push(value_type.byte());
    out.extend_from_slice(raw);
    out.extend_from_slice(&version.to_le_bytes());
    let crc = crc64::checksum(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Appends the payload of a raw value to `out`, like [`append`].
pub fn put(out: &mut BytesMut, value_type: ValueType, raw: &[u8], version: u16) {
    let start = out.len();
    out.reserve(len(raw));
    out.put_u8(value_type.byte());
    out.put_slice(raw);
    out.put_u16_le(version);
    let crc = crc64::checksum(&out[start..]);
    out.put_u64_le(crc);
}

/// Appends version and checksum to `out`, whose bytes from `start` on are everything else of a payload: a type byte and a value, with a
/// key's metadata in front of them or not, or the libraries of a `FUNCTION RESTORE`.
pub fn append_footer(out: &mut Vec<u8>, start: usize, version: u16) {
    out.extend_from_slice(&version.to_le_bytes());
    let crc = crc64::checksum(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}
