//! The type byte of a value.

use std::fmt;

use crate::version::Dialect;

/// What a value is for its user: the `TYPE` reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ValueKind {
    /// A string.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    ZSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
    /// A value of a module.
    Module,
    /// A sparse array (Redis 8.8).
    Array,
    /// A cron job of KeyDB.
    Cron,
}

impl ValueKind {
    /// The word that the server's `TYPE` command answers (a module's values answer with the name of their own type instead).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::ZSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
            Self::Module => "module",
            Self::Array => "array",
            Self::Cron => "keydb-cron",
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! value_types {
    ($( $(#[$doc:meta])* $variant:ident = $byte:literal, $dialect:ident, $kind:ident, $since:literal, $name:literal; )*) => {
        /// Type of a value as the file has it: the encoding, not only the kind.
        ///
        /// Bytes 22 and 23 mean different things in Redis and in Valkey, so a byte alone does not name a type: see [`ValueType::from_byte`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ValueType {
            $( $(#[$doc])* $variant, )*
        }

        impl ValueType {
            /// Every type that this crate knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The byte in the file and at the start of a DUMP payload.
            #[must_use]
            pub const fn byte(self) -> u8 {
                match self { $(Self::$variant => $byte),* }
            }

            /// What the value is for its user.
            #[must_use]
            pub const fn kind(self) -> ValueKind {
                match self { $(Self::$variant => ValueKind::$kind),* }
            }

            /// The smallest RDB version whose readers know this type (80 for the types of Valkey). A server accepts a payload
            /// that is labelled older than the type inside, so this is a question of the target, not of the label.
            #[must_use]
            pub const fn min_rdb_version(self) -> u16 {
                match self { $(Self::$variant => $since),* }
            }

            /// Short name of the encoding, such as `hash-listpack`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        const COMMON: [Option<ValueType>; 256] = {
            let mut table = [None; 256];
            $( if let Scope::Both | Scope::Redis = Scope::$dialect { table[$byte] = Some(ValueType::$variant); } )*
            table
        };
        const VALKEY: [Option<ValueType>; 256] = {
            let mut table = [None; 256];
            $( if let Scope::Both | Scope::Valkey = Scope::$dialect { table[$byte] = Some(ValueType::$variant); } )*
            table
        };
    };
}

enum Scope {
    Both,
    Redis,
    Valkey,
}

value_types! {
    /// 0: one string.
    String = 0, Both, String, 1, "string";
    /// 1: elements one after the other.
    List = 1, Both, List, 1, "list";
    /// 2: members one after the other.
    Set = 2, Both, Set, 1, "set";
    /// 3: members with ASCII scores.
    ZSet = 3, Both, ZSet, 1, "zset";
    /// 4: fields and values one after the other.
    Hash = 4, Both, Hash, 1, "hash";
    /// 5: members with binary scores.
    ZSet2 = 5, Both, ZSet, 8, "zset2";
    /// 6: opaque bytes of a module of Redis 4.0-rc: nobody but the module can tell where they end.
    Module = 6, Both, Module, 8, "module";
    /// 7: a module's value in self-describing items.
    Module2 = 7, Both, Module, 8, "module2";
    /// 9: a hash in a zipmap.
    HashZipmap = 9, Both, Hash, 2, "hash-zipmap";
    /// 10: a list in a ziplist.
    ListZiplist = 10, Both, List, 2, "list-ziplist";
    /// 11: a set of integers in an intset.
    SetIntset = 11, Both, Set, 2, "set-intset";
    /// 12: a sorted set in a ziplist.
    ZSetZiplist = 12, Both, ZSet, 2, "zset-ziplist";
    /// 13: a hash in a ziplist.
    HashZiplist = 13, Both, Hash, 4, "hash-ziplist";
    /// 14: a list of ziplists.
    ListQuicklist = 14, Both, List, 7, "list-quicklist";
    /// 15: a stream, first form (Redis 5.0).
    Stream = 15, Both, Stream, 9, "stream";
    /// 16: a hash in a listpack.
    HashListpack = 16, Both, Hash, 10, "hash-listpack";
    /// 17: a sorted set in a listpack.
    ZSetListpack = 17, Both, ZSet, 10, "zset-listpack";
    /// 18: a list of listpacks and plain nodes.
    ListQuicklist2 = 18, Both, List, 10, "list-quicklist2";
    /// 19: a stream, second form (7.0: first id, tombstones, entries added).
    Stream2 = 19, Both, Stream, 10, "stream2";
    /// 20: a set in a listpack.
    SetListpack = 20, Both, Set, 11, "set-listpack";
    /// 21: a stream, third form (7.2: active time of consumers).
    Stream3 = 21, Both, Stream, 11, "stream3";
    /// 22 in Redis: hash with field TTLs, only of 7.4 release candidates.
    HashMetadataPreGa = 22, Redis, Hash, 12, "hash-metadata-pre-ga";
    /// 22 in Valkey: hash with field TTLs (9.0).
    ValkeyHash2 = 22, Valkey, Hash, 80, "valkey-hash2";
    /// 23 in Redis: listpack hash with field TTLs, only of 7.4 release candidates.
    HashListpackExPreGa = 23, Redis, Hash, 12, "hash-listpack-ex-pre-ga";
    /// 24: hash with field TTLs (7.4).
    HashMetadata = 24, Redis, Hash, 12, "hash-metadata";
    /// 25: listpack hash with field TTLs (7.4).
    HashListpackEx = 25, Redis, Hash, 12, "hash-listpack-ex";
    /// 26: a stream, fourth form (8.6: idempotent producers).
    Stream4 = 26, Redis, Stream, 13, "stream4";
    /// 27: a stream, fifth form (8.8: NACK zone).
    Stream5 = 27, Redis, Stream, 14, "stream5";
    /// 28: a sparse array (8.8).
    Array = 28, Redis, Array, 14, "array";
    /// 29: a hash with its own template, values in a listpack (8.10, in DUMP payloads).
    HashTemplateListpack = 29, Redis, Hash, 15, "hash-template-listpack";
    /// 30: a hash by reference to a template of the file, values in a listpack (8.10, in files).
    HashTemplateListpackRef = 30, Redis, Hash, 15, "hash-template-listpack-ref";
    /// 31: a hash with its own template, values one after the other (8.10, in DUMP payloads).
    HashTemplateArray = 31, Redis, Hash, 15, "hash-template-array";
    /// 32: a hash by reference to a template of the file, values one after the other (8.10, in files).
    HashTemplateArrayRef = 32, Redis, Hash, 15, "hash-template-array-ref";
    /// 64: a cron job of KeyDB.
    KeydbCron = 64, Redis, Cron, 9, "keydb-cron";
}

impl ValueType {
    /// The type that a byte stands for in a dialect, or `None`: not a type, or not one of that dialect.
    #[must_use]
    #[inline]
    pub const fn from_byte(byte: u8, dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::Redis => COMMON[byte as usize],
            Dialect::Valkey => VALKEY[byte as usize],
        }
    }

    /// Whether only Valkey knows this type.
    #[must_use]
    pub const fn is_valkey_only(self) -> bool {
        matches!(self, Self::ValkeyHash2)
    }

    /// Whether the raw value means nothing outside of its file (it refers to a template that the file defines), so `RESTORE` refuses it.
    #[must_use]
    pub const fn is_file_only(self) -> bool {
        matches!(self, Self::HashTemplateListpackRef | Self::HashTemplateArrayRef)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_map_back_to_their_type_in_its_dialect() {
        for &t in ValueType::ALL {
            let dialect = if t.is_valkey_only() { Dialect::Valkey } else { Dialect::Redis };
            assert_eq!(ValueType::from_byte(t.byte(), dialect), Some(t));
        }
        assert_eq!(ValueType::from_byte(22, Dialect::Redis), Some(ValueType::HashMetadataPreGa));
        assert_eq!(ValueType::from_byte(22, Dialect::Valkey), Some(ValueType::ValkeyHash2));
        assert_eq!(ValueType::from_byte(8, Dialect::Redis), None);
        assert_eq!(ValueType::from_byte(24, Dialect::Valkey), None);
    }
}
