//! Making files and payloads: tokens, values in the plainest encoding that a version knows, and conversion of raw values to older types.

mod convert;
mod listpack;
mod stream;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

pub use convert::{ConvertError, Converted, convert};
pub use writer::{WriteError, Writer};

use crate::value::{Array, ArrayItem, Cron, HashField, ModuleValue, OwnedItem, Value};
use crate::value_type::ValueType;
use crate::version::{Dialect, Version};

/// What is done with the parts of a value that the version asked for cannot express: expiries of a hash's fields before RDB 12, owners of
/// nothing in a stream before RDB 14, and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Loss {
    /// The value is refused.
    #[default]
    Refuse,
    /// The parts are left out.
    Drop,
}

/// How values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// For readers of this version.
    pub version: Version,
    /// Compress strings of more than 20 bytes where that saves 4 bytes or more, as servers do by default. Default on.
    pub compress: bool,
    /// What is done with what cannot be expressed. Default: refuse.
    pub loss: Loss,
}

impl EncodeOptions {
    /// Defaults for a version.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self { version, compress: true, loss: Loss::Refuse }
    }

    /// Sets [`compress`](Self::compress).
    #[must_use]
    pub const fn compress(mut self, on: bool) -> Self {
        self.compress = on;
        self
    }

    /// Sets [`loss`](Self::loss).
    #[must_use]
    pub const fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    fn is_redis(&self, at_least: u16) -> bool {
        self.version.dialect == Dialect::Redis && self.version.number >= at_least
    }

    /// Whether readers of the version know what Redis had in this version of its own; Valkey knows all up to 11.
    fn knows(&self, redis: u16) -> bool {
        match self.version.dialect {
            Dialect::Redis => self.version.number >= redis,
            Dialect::Valkey => redis <= 11,
        }
    }
}

/// Why a value could not be encoded. Opaque: match on [`kind`](Self::kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeError {
    kind: EncodeErrorKind,
}

/// Why a value could not be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// Readers of the version do not know anything like it.
    NeedsNewerVersion(&'static str),
    /// Something would be lost; [`Loss::Drop`] permits it.
    WouldLose(&'static str),
    /// An aggregate without elements: servers refuse it or crash on it.
    Empty,
    /// A score or number that is NaN: old servers crash on it.
    NotANumber,
    /// A field or member that occurs twice: servers refuse to load it.
    Duplicate(&'static str),
    /// Parts that do not fit together, such as pending entries out of order.
    Inconsistent(&'static str),
}

impl EncodeError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> EncodeErrorKind {
        self.kind
    }
}

impl From<EncodeErrorKind> for EncodeError {
    fn from(kind: EncodeErrorKind) -> Self {
        Self { kind }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            EncodeErrorKind::NeedsNewerVersion(what) => write!(f, "the version asked for does not know {what}"),
            EncodeErrorKind::WouldLose(what) => {
                write!(f, "the version asked for cannot express {what}; permit the loss to leave them out")
            }
            EncodeErrorKind::Empty => f.write_str("an aggregate without elements cannot exist"),
            EncodeErrorKind::NotANumber => f.write_str("a score or number that is not a number"),
            EncodeErrorKind::Duplicate(what) => write!(f, "a {what} that occurs twice"),
            EncodeErrorKind::Inconsistent(why) => write!(f, "the value's parts do not fit together: {why}"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Appends a value to `out` as it is in a file behind the type byte, and gives its type: the plainest one that readers of the version know,
/// which every newer reader knows too. Takes 10 to 20 bytes for each field or member, for as long as it lasts, to find those that occur twice.
///
/// # Errors
/// The version cannot express the value, or no server can hold it.
pub fn encode_value(out: &mut Vec<u8>, value: &Value, options: &EncodeOptions) -> Result<ValueType, EncodeError> {
    if value.is_empty() && matches!(value, Value::List(_) | Value::Set(_) | Value::ZSet(_) | Value::Hash(_)) {
        return Err(EncodeErrorKind::Empty.into());
    }
    let start = out.len();
    let mut encoder = Encoder { out, options };
    let result = encoder.value(value);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends tokens to a buffer.
pub(crate) struct Encoder<'o> {
    pub(crate) out: &'o mut Vec<u8>,
    pub(crate) options: &'o EncodeOptions,
}

impl Encoder<'_> {
    /// A length in its shortest form.
    pub(crate) fn length(&mut self, n: u64) {
        let bytes = n.to_be_bytes();
        match n {
            0..64 => self.out.push(bytes[7]),
            64..16_384 => self.out.extend([0x40 | bytes[6], bytes[7]]),
            16_384..=0xFFFF_FFFF => {
                self.out.push(0x80);
                self.out.extend(&bytes[4..]);
            }
            _ => {
                self.out.push(0x81);
                self.out.extend(bytes);
            }
        }
    }

    fn count(&mut self, n: usize) {
        self.length(n as u64);
    }

    /// A string the way servers write it: as an integer, compressed, or as it is.
    pub(crate) fn string(&mut self, s: &[u8]) {
        if let Some(i) = canonical_i32(s) {
            let bytes = i.to_le_bytes();
            if let Ok(i) = i8::try_from(i) {
                self.out.extend([0xC0, i.cast_unsigned()]);
            } else if let Ok(i) = i16::try_from(i) {
                self.out.push(0xC1);
                self.out.extend(i.to_le_bytes());
            } else {
                self.out.push(0xC2);
                self.out.extend(bytes);
            }
            return;
        }
        if self.options.compress && s.len() > 20 {
            let mut packed = Vec::new();
            if let Some(len) = crate::lzf::encode(s, &mut packed) {
                self.out.push(0xC3);
                self.count(len);
                self.count(s.len());
                self.out.extend(packed);
                return;
            }
        }
        self.count(s.len());
        self.out.extend_from_slice(s);
    }

    fn value(&mut self, value: &Value) -> Result<ValueType, EncodeError> {
        match value {
            Value::String(s) => {
                self.string(s);
                Ok(ValueType::String)
            }
            Value::List(items) => {
                self.strings(items);
                Ok(ValueType::List)
            }
            Value::Set(members) => {
                unique(members.iter(), members.len(), "member of a set")?;
                self.strings(members);
                Ok(ValueType::Set)
            }
            Value::ZSet(members) => self.zset(members),
            Value::Hash(fields) => self.hash(fields),
            Value::Stream(stream) => self.stream(stream),
            Value::Module(module) => self.module(module),
            Value::Array(array) => self.array(array),
            Value::Cron(cron) => self.cron(cron),
        }
    }

    fn strings(&mut self, items: &[Vec<u8>]) {
        self.count(items.len());
        for item in items {
            self.string(item);
        }
    }

    fn zset(&mut self, members: &[(Vec<u8>, f64)]) -> Result<ValueType, EncodeError> {
        if members.iter().any(|(_, score)| score.is_nan()) {
            return Err(EncodeErrorKind::NotANumber.into());
        }
        unique(members.iter().map(|(member, _)| member), members.len(), "member of a sorted set")?;
        let binary = self.options.knows(8);
        self.count(members.len());
        for (member, score) in members {
            self.string(member);
            if binary {
                self.out.extend(score.to_le_bytes());
            } else {
                self.text_score(*score);
            }
        }
        Ok(if binary { ValueType::ZSet2 } else { ValueType::ZSet })
    }

    fn text_score(&mut self, score: f64) {
        if score.is_infinite() {
            self.out.push(if score > 0.0 { 254 } else { 255 });
            return;
        }
        // The shortest text that reads back as the same double; every `strtod` takes it.
        let mut buffer = zmij::Buffer::new();
        let text = if score == 0.0 && score.is_sign_negative() { "-0" } else { buffer.format_finite(score) };
        self.out.push(u8::try_from(text.len()).unwrap_or(0));
        self.out.extend_from_slice(text.as_bytes());
    }

    fn hash(&mut self, fields: &[HashField]) -> Result<ValueType, EncodeError> {
        unique(fields.iter().map(|field| &field.field), fields.len(), "field of a hash")?;
        let expires = fields.iter().any(|field| field.expire_at_ms.is_some());
        let value_type = match self.options.version.dialect {
            _ if !expires => ValueType::Hash,
            Dialect::Valkey => ValueType::ValkeyHash2,
            Dialect::Redis if self.options.version.number >= 12 => ValueType::HashMetadata,
            Dialect::Redis if self.options.loss == Loss::Drop => ValueType::Hash,
            Dialect::Redis => return Err(EncodeErrorKind::WouldLose("expiries of a hash's fields").into()),
        };
        let mut least = 0;
        if value_type == ValueType::HashMetadata {
            least = fields.iter().filter_map(|field| field.expire_at_ms).min().unwrap_or(0);
            if least < 0 {
                return Err(EncodeErrorKind::Inconsistent("an expiry before 1970").into());
            }
            self.out.extend(least.to_le_bytes());
        }
        self.count(fields.len());
        for field in fields {
            if value_type == ValueType::HashMetadata {
                // Relative to the least one, plus one, so that zero can mean none.
                self.length(field.expire_at_ms.map_or(0, |ms| (ms - least).unsigned_abs() + 1));
            }
            self.string(&field.field);
            self.string(&field.value);
            if value_type == ValueType::ValkeyHash2 {
                self.out.extend(field.expire_at_ms.unwrap_or(-1).to_le_bytes());
            }
        }
        Ok(value_type)
    }

    fn module(&mut self, module: &ModuleValue) -> Result<ValueType, EncodeError> {
        if !self.options.knows(8) {
            return Err(EncodeErrorKind::NeedsNewerVersion("values of modules").into());
        }
        self.length(module.id.raw());
        for item in &module.items {
            match item {
                OwnedItem::Signed(i) => {
                    self.length(1);
                    self.length(i.cast_unsigned());
                }
                OwnedItem::Unsigned(u) => {
                    self.length(2);
                    self.length(*u);
                }
                OwnedItem::Float(f) => {
                    self.length(3);
                    self.out.extend(f.to_le_bytes());
                }
                OwnedItem::Double(d) => {
                    self.length(4);
                    self.out.extend(d.to_le_bytes());
                }
                OwnedItem::Bytes(b) => {
                    self.length(5);
                    self.string(b);
                }
            }
        }
        self.length(0);
        Ok(ValueType::Module2)
    }

    fn array(&mut self, array: &Array) -> Result<ValueType, EncodeError> {
        if !self.options.is_redis(14) {
            return Err(EncodeErrorKind::NeedsNewerVersion("arrays").into());
        }
        if array.items.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(EncodeErrorKind::Inconsistent("indexes of an array do not ascend").into());
        }
        self.count(array.items.len());
        match array.insert_index {
            Some(index) => {
                self.length(1);
                self.length(index);
            }
            None => self.length(0),
        }
        for (index, item) in &array.items {
            self.length(*index);
            match item {
                ArrayItem::Bytes(b) => {
                    self.length(0);
                    self.string(b);
                }
                ArrayItem::Int(i) => {
                    self.length(1);
                    self.out.extend(i.to_le_bytes());
                }
                ArrayItem::Double(d) if d.is_nan() => return Err(EncodeErrorKind::NotANumber.into()),
                ArrayItem::Double(d) => {
                    self.length(2);
                    self.out.extend(d.to_le_bytes());
                }
            }
        }
        Ok(ValueType::Array)
    }

    fn cron(&mut self, cron: &Cron) -> Result<ValueType, EncodeError> {
        if !self.options.is_redis(9) {
            return Err(EncodeErrorKind::NeedsNewerVersion("cron jobs of KeyDB").into());
        }
        self.string(&cron.script);
        self.out.extend(cron.start.to_le_bytes());
        self.out.extend(cron.interval.to_le_bytes());
        self.strings(&cron.keys);
        self.strings(&cron.args);
        Ok(ValueType::KeydbCron)
    }
}

/// Fails when one of `names` occurs twice.
fn unique<N: Eq + Hash>(
    mut names: impl Iterator<Item = N>,
    count: usize,
    what: &'static str,
) -> Result<(), EncodeError> {
    let mut seen = HashSet::with_capacity(count);
    if names.all(|name| seen.insert(name)) { Ok(()) } else { Err(EncodeErrorKind::Duplicate(what).into()) }
}

/// The integer whose text this is, if it is the text that servers would make of it.
pub(crate) fn canonical_i64(s: &[u8]) -> Option<i64> {
    if s.is_empty() || s.len() > crate::str::INT_TEXT {
        return None;
    }
    let value: i64 = std::str::from_utf8(s).ok()?.parse().ok()?;
    (itoa::Buffer::new().format(value).as_bytes() == s).then_some(value)
}

fn canonical_i32(s: &[u8]) -> Option<i32> {
    if s.len() > 11 { None } else { canonical_i64(s).and_then(|i| i32::try_from(i).ok()) }
}
