//! How a parser is set up.

use crate::limits::Limits;

/// How the value after a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ValueMode {
    /// Element by element, then [`Event::ValueEnd`](crate::Event::ValueEnd).
    ///
    /// Elements are delivered as they are, one at a time; whether a field or member was there before is not looked for, since that would need
    /// memory for all of them. Servers refuse to load such a value; commands that are made of the events give the last of the fields, and every
    /// member once. [`Raw`](Self::Raw) values are checked, and so is what is [encoded](crate::encode::encode_value).
    #[default]
    Decode,
    /// The value's bytes as they are in the file (what follows the type byte), in pieces: [`Event::RawChunk`](crate::Event::RawChunk).
    Raw,
    /// One [`Event::Raw`](crate::Event::Raw) with the whole value when it takes at most `limit` bytes in the file, else as [`Decode`](Self::Decode).
    /// A type that only means something inside its file ([`ValueType::is_file_only`](crate::ValueType::is_file_only)) and an aggregate without
    /// elements are decoded whatever their size.
    RawOrDecode {
        /// Most bytes of a value that is delivered raw. The caller's buffer must be able to hold them.
        limit: usize,
    },
    /// Passed over; only [`Event::ValueEnd`](crate::Event::ValueEnd).
    Skip,
}

/// Settings of a parser, a reader or a payload.
///
/// ```
/// use rdts_rdb::{ParserOptions, ValueMode};
/// let options = ParserOptions::new().value_mode(ValueMode::RawOrDecode { limit: 1 << 20 }).validate(false);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParserOptions {
    /// What may be held in memory.
    pub limits: Limits,
    /// Verify the checksum at the end of the file. Default on. A stored checksum of zero ("not computed") is accepted either way.
    pub checksum: bool,
    /// How values are taken unless [`set_value_mode`](crate::Parser::set_value_mode) says otherwise for one. Default [`ValueMode::Decode`].
    pub value_mode: ValueMode,
    /// Walk the structure of values that are taken raw, so that what is handed on for `RESTORE` is sound: servers crash or hang on
    /// payloads that they let through. Default on; switch it off for a source that is trusted.
    pub validate: bool,
    /// Refuse a key that its database has already: [`ErrorKind::Duplicate`](crate::ErrorKind::Duplicate). Servers do not load such a file (they
    /// end), and do not write one, so this is for files of other origin. Default off, because it is the one check that needs memory for every
    /// key: see [`Limits::max_unique_keys`]. A 128-bit hash with a secret key stands for the key; that two of 10^9 different keys have the same
    /// one is less likely than 1 in 10^20.
    pub unique_keys: bool,
}

impl ParserOptions {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            limits: Limits::new(),
            checksum: true,
            value_mode: ValueMode::Decode,
            validate: true,
            unique_keys: false,
        }
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`checksum`](Self::checksum).
    #[must_use]
    pub const fn checksum(mut self, on: bool) -> Self {
        self.checksum = on;
        self
    }

    /// Sets [`value_mode`](Self::value_mode).
    #[must_use]
    pub const fn value_mode(mut self, mode: ValueMode) -> Self {
        self.value_mode = mode;
        self
    }

    /// Sets [`validate`](Self::validate).
    #[must_use]
    pub const fn validate(mut self, on: bool) -> Self {
        self.validate = on;
        self
    }

    /// Sets [`unique_keys`](Self::unique_keys).
    #[must_use]
    pub const fn unique_keys(mut self, on: bool) -> Self {
        self.unique_keys = on;
        self
    }
}

impl Default for ParserOptions {
    fn default() -> Self {
        Self::new()
    }
}
