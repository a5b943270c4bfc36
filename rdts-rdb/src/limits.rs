//! What a parser is ready to hold, whatever the input claims.

const MIB: usize = 1024 * 1024;

/// Upper bounds on what has to be in memory at once, and on the whole. In bytes where nothing else is said; all are checked before anything is
/// allocated or awaited.
///
/// There is none for nesting: values do not nest in this format (the items of a module are flat), and nothing here recurses.
///
/// The defaults admit every file that a server with the default `proto-max-bulk-len` (512 MiB) can have written. They are ceilings,
/// not reservations: memory grows with what the input really contains. Lower them for untrusted input.
///
/// ```
/// let limits = rdts_rdb::Limits::new().max_key(64 * 1024).max_element(1024 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest key, database-wide names included (aux names, group names). Default 512 MiB.
    pub max_key: usize,
    /// Longest packed blob that must be expanded as a whole: a compressed listpack, ziplist, intset or zipmap; also the bytes of one key's
    /// metadata record, of a function, and of an aux value. Default 512 MiB. Blobs that are not compressed are walked where they lie and
    /// need only one element at a time.
    pub max_blob: usize,
    /// Longest element of an aggregate (list item, member, field, value, all the fields of one stream entry). Default 512 MiB.
    pub max_element: usize,
    /// Longest string value, decoded or not. Strings are delivered in pieces, so this bounds no memory; it is there to refuse
    /// nonsense early. Default 2^40.
    pub max_string: u64,
    /// Size of the pieces in which a long string value is delivered, and the length up to which it comes in one. Default 64 KiB, at least 1 KiB.
    pub chunk: usize,
    /// Longest input: a file from its first byte to its last, or a payload. Nothing is looked at beyond. Memory does not grow with it; it bounds
    /// time, and an endless stream. Compressed data expands to at most 88 times as much. Default 2^64 - 1: none.
    pub max_total: u64,
    /// Most memory that one owned value may take: its strings, and 24 to 64 bytes for each. For [`Entries`](crate::Entries),
    /// [`Value::from_dump`](crate::Value::from_dump) and the like, which hold values as a whole; events need no such limit. Default 4 GiB.
    pub max_value: u64,
    /// Most keys, a count, that [`ParserOptions::unique_keys`](crate::ParserOptions::unique_keys) remembers: 20 to 40 bytes for each, and half as
    /// much again while its table grows. Default 10,000,000, which take 290 MB.
    pub max_unique_keys: u64,
    /// Most hash templates (Redis 8.10) that a file may define. Default 65,536.
    pub max_templates: usize,
    /// Bytes that all field names of all templates may take together. Default 64 MiB.
    pub max_template_bytes: usize,
    /// Elements of one value that validation compares for duplicates; above it duplicates go unnoticed. Default 65,536.
    pub max_duplicate_check: usize,
}

impl Limits {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_key: 512 * MIB,
            max_blob: 512 * MIB,
            max_element: 512 * MIB,
            max_string: 1 << 40,
            chunk: 64 * 1024,
            max_total: u64::MAX,
            max_value: 4 << 30,
            max_unique_keys: 10_000_000,
            max_templates: 65_536,
            max_template_bytes: 64 * MIB,
            max_duplicate_check: 65_536,
        }
    }

    /// Sets [`max_key`](Self::max_key), in bytes.
    #[must_use]
    pub const fn max_key(mut self, bytes: usize) -> Self {
        self.max_key = bytes;
        self
    }

    /// Sets [`max_blob`](Self::max_blob), in bytes.
    #[must_use]
    pub const fn max_blob(mut self, bytes: usize) -> Self {
        self.max_blob = bytes;
        self
    }

    /// Sets [`max_element`](Self::max_element), in bytes.
    #[must_use]
    pub const fn max_element(mut self, bytes: usize) -> Self {
        self.max_element = bytes;
        self
    }

    /// Sets [`max_string`](Self::max_string), in bytes.
    #[must_use]
    pub const fn max_string(mut self, bytes: u64) -> Self {
        self.max_string = bytes;
        self
    }

    /// Sets [`chunk`](Self::chunk), in bytes; less than 1 KiB is taken as 1 KiB.
    #[must_use]
    pub const fn chunk(mut self, bytes: usize) -> Self {
        self.chunk = if bytes < 1024 { 1024 } else { bytes };
        self
    }

    /// Sets [`max_total`](Self::max_total), in bytes.
    #[must_use]
    pub const fn max_total(mut self, bytes: u64) -> Self {
        self.max_total = bytes;
        self
    }

    /// Sets [`max_value`](Self::max_value), in bytes.
    #[must_use]
    pub const fn max_value(mut self, bytes: u64) -> Self {
        self.max_value = bytes;
        self
    }

    /// Sets [`max_unique_keys`](Self::max_unique_keys), a count.
    #[must_use]
    pub const fn max_unique_keys(mut self, keys: u64) -> Self {
        self.max_unique_keys = keys;
        self
    }

    /// Sets [`max_templates`](Self::max_templates) (a count) and [`max_template_bytes`](Self::max_template_bytes).
    #[must_use]
    pub const fn max_templates(mut self, count: usize, bytes: usize) -> Self {
        self.max_templates = count;
        self.max_template_bytes = bytes;
        self
    }

    /// Sets [`max_duplicate_check`](Self::max_duplicate_check), in elements.
    #[must_use]
    pub const fn max_duplicate_check(mut self, elements: usize) -> Self {
        self.max_duplicate_check = elements;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
