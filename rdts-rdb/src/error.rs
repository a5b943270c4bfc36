//! What can be wrong with an input, and where.

use std::fmt;

use crate::version::Version;

/// Why an input was refused, and at which byte. Opaque: match on [`kind`](Self::kind).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    offset: u64,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, offset: u64) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Absolute offset, from the first byte that the parser was given, of the byte or structure that is wrong. Inside of a compressed
    /// blob it is the offset of the blob.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.kind, self.offset)?;
        match self.kind.hint() {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Which of [`Limits`](crate::Limits) the input went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::max_key`](crate::Limits::max_key).
    Key,
    /// [`Limits::max_blob`](crate::Limits::max_blob).
    Blob,
    /// [`Limits::max_element`](crate::Limits::max_element).
    Element,
    /// [`Limits::max_string`](crate::Limits::max_string).
    String,
    /// [`Limits::max_total`](crate::Limits::max_total).
    Total,
    /// [`Limits::max_value`](crate::Limits::max_value).
    Value,
    /// [`Limits::max_unique_keys`](crate::Limits::max_unique_keys).
    UniqueKeys,
    /// [`Limits::max_templates`](crate::Limits::max_templates).
    Templates,
    /// [`Limits::max_template_bytes`](crate::Limits::max_template_bytes).
    TemplateBytes,
}

impl Limit {
    /// Name of the field of [`Limits`](crate::Limits).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "max_key",
            Self::Blob => "max_blob",
            Self::Element => "max_element",
            Self::String => "max_string",
            Self::Total => "max_total",
            Self::Value => "max_value",
            Self::UniqueKeys => "max_unique_keys",
            Self::Templates => "max_templates",
            Self::TemplateBytes => "max_template_bytes",
        }
    }
}

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ended in the middle of something. The offset is where it ended.
    Truncated,
    /// Neither `REDIS` and four digits nor `VALKEY` and three, or version 0.
    BadMagic,
    /// A version that this crate does not read.
    UnsupportedVersion(Version),
    /// A byte where an opcode or a value type should be, that is neither in this dialect.
    UnknownOpcode(u8),
    /// A DUMP payload whose type byte is no value type of its dialect.
    UnknownType(u8),
    /// Something that exists but cannot be read, such as a value of a module of Redis 4.0-rc.
    Unsupported(&'static str),
    /// The first byte of a length is none (`0x82` to `0xBF`), or announces a specially encoded string where a count is expected.
    BadLength(u8),
    /// A string whose special encoding does not exist; the encoding's number.
    BadStringEncoding(u8),
    /// More than a limit admits.
    LimitExceeded {
        /// Which limit.
        limit: Limit,
        /// What the input claims; one more than the limit where it is not known how much there would be.
        claimed: u64,
        /// What is admitted.
        max: u64,
    },
    /// Compressed data that does not expand to what it claims.
    BadLzf(&'static str),
    /// A broken listpack.
    BadListpack(&'static str),
    /// A broken ziplist.
    BadZiplist(&'static str),
    /// A broken zipmap.
    BadZipmap(&'static str),
    /// A broken intset.
    BadIntset(&'static str),
    /// A value whose parts do not fit together.
    BadStructure(&'static str),
    /// A score or an array's number that is none, or is NaN.
    BadScore,
    /// A broken stream.
    BadStream(&'static str),
    /// Items of a module that are none.
    BadModule(&'static str),
    /// A key, field, member or id that occurs twice where it must not.
    Duplicate(&'static str),
    /// The checksum at the end is not that of the bytes before.
    BadChecksum {
        /// As stored.
        stored: u64,
        /// As computed.
        computed: u64,
    },
    /// A DUMP payload shorter than its footer, or with bytes left over between value and footer.
    BadPayload(&'static str),
}

impl ErrorKind {
    /// A short stable word for logs, metrics and exit messages, such as `truncated`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadMagic => "bad-magic",
            Self::UnsupportedVersion(_) => "unsupported-version",
            Self::UnknownOpcode(_) => "unknown-opcode",
            Self::UnknownType(_) => "unknown-type",
            Self::Unsupported(_) => "unsupported",
            Self::BadLength(_) => "bad-length",
            Self::BadStringEncoding(_) => "bad-string-encoding",
            Self::LimitExceeded { .. } => "limit-exceeded",
            Self::BadLzf(_) => "bad-lzf",
            Self::BadListpack(_) => "bad-listpack",
            Self::BadZiplist(_) => "bad-ziplist",
            Self::BadZipmap(_) => "bad-zipmap",
            Self::BadIntset(_) => "bad-intset",
            Self::BadStructure(_) => "bad-structure",
            Self::BadScore => "bad-score",
            Self::BadStream(_) => "bad-stream",
            Self::BadModule(_) => "bad-module",
            Self::Duplicate(_) => "duplicate",
            Self::BadChecksum { .. } => "bad-checksum",
            Self::BadPayload(_) => "bad-payload",
        }
    }

    /// What to do about it, where there is something to say.
    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Truncated => "the file was cut or is still being written",
            Self::BadMagic => {
                "this is not an RDB file (an append-only file without preamble starts with '*', a compressed backup must be unpacked first)"
            }
            Self::UnsupportedVersion(_) => "written by a newer server than this program knows",
            Self::UnknownOpcode(100..=102 | 107 | 121 | 200..=224) => {
                "an extension of a vendor that is not understood here; export with standard encodings"
            }
            Self::UnknownOpcode(33) => "a GCRA value of a special build of Redis; its layout is not public",
            Self::UnknownOpcode(_) => "written by a newer server or a fork, or the data before it is damaged",
            Self::UnknownType(_) => "written by a newer server or a fork, or not a DUMP payload",
            Self::LimitExceeded { .. } => "raise the limit if the source is trusted",
            Self::BadChecksum { .. } => "the file was damaged or changed after it was written",
            _ => return None,
        })
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("unexpected end of data"),
            Self::BadMagic => f.write_str("no RDB header"),
            Self::UnsupportedVersion(v) => write!(f, "unsupported RDB version {v}"),
            Self::UnknownOpcode(b) => write!(f, "unknown opcode or value type 0x{b:02X} ({b})"),
            Self::UnknownType(b) => write!(f, "unknown value type 0x{b:02X} ({b})"),
            Self::Unsupported(what) => write!(f, "unsupported: {what}"),
            Self::BadLength(b) => write!(f, "0x{b:02X} does not start a length"),
            Self::BadStringEncoding(n) => write!(f, "unknown string encoding {n}"),
            Self::LimitExceeded { limit, claimed, max } => {
                write!(f, "{claimed} is more than the limit {} = {max}", limit.name())
            }
            Self::BadLzf(why) => write!(f, "broken compression: {why}"),
            Self::BadListpack(why) => write!(f, "broken listpack: {why}"),
            Self::BadZiplist(why) => write!(f, "broken ziplist: {why}"),
            Self::BadZipmap(why) => write!(f, "broken zipmap: {why}"),
            Self::BadIntset(why) => write!(f, "broken intset: {why}"),
            Self::BadStructure(why) => write!(f, "broken value: {why}"),
            Self::BadScore => f.write_str("a score that is not a number"),
            Self::BadStream(why) => write!(f, "broken stream: {why}"),
            Self::BadModule(why) => write!(f, "broken module value: {why}"),
            Self::Duplicate(what) => write!(f, "duplicate {what}"),
            Self::BadChecksum { stored, computed } => {
                write!(f, "checksum is {computed:016x} but {stored:016x} is stored")
            }
            Self::BadPayload(why) => write!(f, "broken DUMP payload: {why}"),
        }
    }
}

/// What went wrong while reading: the transport, or what it carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading from the underlying reader failed.
    #[error("reading the RDB data failed")]
    Io(#[from] std::io::Error),
    /// The data is not good.
    #[error(transparent)]
    Rdb(#[from] Error),
}

impl ReadError {
    /// The parser's error, if it is one.
    #[must_use]
    pub fn as_rdb(&self) -> Option<&Error> {
        match self {
            Self::Rdb(e) => Some(e),
            Self::Io(_) => None,
        }
    }
}
