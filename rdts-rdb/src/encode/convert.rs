//! Raw values for readers that do not know their type.

use std::borrow::Cow;

use super::{EncodeOptions, encode_value};
use crate::dump::ValueEvents;
use crate::error::Error;
use crate::event::Event;
use crate::value_type::ValueType;
use crate::version::Dialect;

/// A value as readers of a version know it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted<'a> {
    /// Its type.
    pub value_type: ValueType,
    /// The raw value: the one that was given if nothing had to be done.
    pub raw: Cow<'a, [u8]>,
}

/// Why a raw value could not be converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The value is broken.
    #[error(transparent)]
    Rdb(#[from] Error),
    /// The version cannot express it.
    #[error(transparent)]
    Encode(#[from] super::EncodeError),
}

/// Makes a raw value readable for readers of `options.version`: as it is if they know its type, else decoded and encoded in the plainest type
/// of its kind. The whole value is held in memory for that.
///
/// A listpack with an element of 16,378 bytes (2,097,146; 268,435,450) is never handed on as it is: servers write its length in two ways, and
/// each refuses the other, or crashes on it.
///
/// # Errors
/// The value is broken, or readers of the version know nothing like it.
///
/// ```
/// use rdts_rdb::encode::{EncodeOptions, convert};
/// use rdts_rdb::{ValueType, Version};
///
/// // A set of one member in a listpack, as Redis 7.2 has it, for Redis 2.8.
/// let listpack = b"\x0A\x0A\0\0\0\x01\0\x81a\x02\xFF";
/// let converted = convert(ValueType::SetListpack, listpack, &EncodeOptions::new(Version::redis(6)))?;
/// assert_eq!((converted.value_type, &converted.raw[..]), (ValueType::Set, &b"\x01\x01a"[..]));
/// # Ok::<(), rdts_rdb::encode::ConvertError>(())
/// ```
pub fn convert<'a>(
    value_type: ValueType,
    raw: &'a [u8],
    options: &EncodeOptions,
) -> Result<Converted<'a>, ConvertError> {
    if is_known(value_type, options) && !has_ambiguous_element(value_type, raw)? {
        return Ok(Converted { value_type, raw: Cow::Borrowed(raw) });
    }
    let value = ValueEvents::new(value_type, raw).collect_value()?;
    let mut out = Vec::with_capacity(raw.len());
    let value_type = encode_value(&mut out, &value, options)?;
    Ok(Converted { value_type, raw: Cow::Owned(out) })
}

/// Whether readers of the version know a type.
fn is_known(value_type: ValueType, options: &EncodeOptions) -> bool {
    match options.version.dialect {
        _ if value_type.is_file_only() => false,
        Dialect::Redis => !value_type.is_valkey_only() && value_type.min_rdb_version() <= options.version.number,
        Dialect::Valkey => value_type.is_valkey_only() || value_type.min_rdb_version() <= 11,
    }
}

/// Whether a listpack in the value has an element whose length is written in two ways.
fn has_ambiguous_element(value_type: ValueType, raw: &[u8]) -> Result<bool, Error> {
    use ValueType as T;
    let has_listpacks = matches!(
        value_type,
        T::HashListpack
            | T::ZSetListpack
            | T::SetListpack
            | T::ListQuicklist2
            | T::HashListpackEx
            | T::HashListpackExPreGa
            | T::HashTemplateListpack
            | T::Stream
            | T::Stream2
            | T::Stream3
            | T::Stream4
            | T::Stream5
    );
    if !has_listpacks || raw.len() < 40 {
        return Ok(false);
    }
    // Five bytes stand in front of a string of that length.
    let ambiguous = |len: usize| matches!(len + 5, 16_383 | 2_097_151 | 268_435_455);
    let mut events = ValueEvents::new(value_type, raw);
    while let Some(event) = events.next_event()? {
        let found = match event {
            Event::ListItem(item) | Event::SetMember(item) | Event::ZSetMember { member: item, .. } => {
                ambiguous(item.len())
            }
            Event::HashField { field, value, .. } => ambiguous(field.len()) || ambiguous(value.len()),
            Event::StreamEntry(entry) => {
                let mut fields = entry.fields;
                fields.any(|(name, value)| ambiguous(name.len()) || ambiguous(value.len()))
            }
            _ => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
