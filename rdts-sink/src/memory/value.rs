//! What a key holds.

use std::collections::{HashMap, HashSet, VecDeque};

use super::stream::Stream;
use super::zset::SortedSet;

/// A list, head to tail.
pub type List = VecDeque<Vec<u8>>;

/// A set of members, in no order.
pub type Set = HashSet<Vec<u8>>;

/// A hash: field to value and expiry.
pub type Hash = HashMap<Vec<u8>, HashField>;

/// The value of one field of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashField {
    /// The field's value.
    pub value: Vec<u8>,
    /// When the field expires, in milliseconds since the Unix epoch (Redis 7.4, Valkey 9.0).
    pub expires_at: Option<i64>,
}

impl HashField {
    /// A field that does not expire.
    pub(super) fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: value.into(), expires_at: None }
    }
}

/// The value of a module's type, or of any type that only its payload can describe.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opaque {
    /// The `DUMP` payload without its footer: type byte and value, as it came.
    pub payload: Vec<u8>,
}

/// What a key holds. An aggregate that becomes empty takes its key with it, except a stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A string. Bitmaps and HyperLogLogs are strings too.
    String(Vec<u8>),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set. Geo indexes are sorted sets too.
    ZSet(SortedSet),
    /// A hash.
    Hash(Hash),
    /// A stream.
    Stream(Stream),
    /// A value that is kept as it came, and compared byte for byte.
    Opaque(Opaque),
}

impl Value {
    /// The type's name, as the command `TYPE` gives it; `opaque` for [`Value::Opaque`].
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::ZSet(_) => "zset",
            Self::Hash(_) => "hash",
            Self::Stream(_) => "stream",
            Self::Opaque(_) => "opaque",
        }
    }
}

/// One of the types in [`Value`], so that a typed access is written once.
pub(super) trait Kind: Default + Sized {
    fn from_ref(value: &Value) -> Option<&Self>;
    fn from_mut(value: &mut Value) -> Option<&mut Self>;
    fn into_value(self) -> Value;
    /// Whether the key goes with the last element.
    fn is_gone(&self) -> bool;
}

macro_rules! kind {
    ($type:ty, $variant:ident, $gone:expr) => {
        impl Kind for $type {
            fn from_ref(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn from_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn into_value(self) -> Value {
                Value::$variant(self)
            }
            fn is_gone(&self) -> bool {
                let gone: fn(&Self) -> bool = $gone;
                gone(self)
            }
        }
    };
}

kind!(Vec<u8>, String, |_| false);
kind!(List, List, |list| list.is_empty());
kind!(Set, Set, |set| set.is_empty());
kind!(SortedSet, ZSet, |zset| zset.is_empty());
kind!(Hash, Hash, |hash| hash.is_empty());
kind!(Stream, Stream, |_| false);
