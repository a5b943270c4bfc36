//! Bounds on what a decoder accepts.

/// Bounds on what a decoder accepts; whatever is beyond them is an error, never an allocation.
///
/// A decoder allocates nothing from a length that the input claims: these bounds say how much of an unfinished
/// frame the *caller* may have to keep in its buffer, and how deep a consumer of nested replies may have to recurse.
///
/// ```
/// use rdts_resp::{CommandDecoder, Limits};
///
/// let decoder = CommandDecoder::with_limits(Limits::default().max_bulk(1024).max_args(16));
/// # let _ = decoder;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    pub(crate) line: usize,
    pub(crate) bulk: usize,
    pub(crate) args: usize,
    pub(crate) elements: usize,
    pub(crate) depth: usize,
    pub(crate) frame: usize,
}

/// The most that [`Limits::max_frame`] can be set to: positions inside a frame are kept in 32 bits.
pub(crate) const FRAME_CEILING: usize = u32::MAX as usize;
/// The most that [`Limits::max_depth`] can be set to: owned replies are built and dropped by recursion.
pub(crate) const DEPTH_CEILING: usize = 512;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line: 64 << 10,
            bulk: 512 << 20,
            args: i32::MAX as usize,
            elements: FRAME_CEILING,
            depth: 32,
            frame: 1 << 30,
        }
    }
}

impl Limits {
    /// The longest line in bytes, without its type byte and terminator: a simple string, an error, a double, a big
    /// number, an inline command. Default 64 KiB, where servers stop reading an inline command.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.line = bytes;
        self
    }

    /// The longest bulk string, bulk error or verbatim string in bytes. Default 512 MiB, the servers' default
    /// `proto-max-bulk-len`; raise it with a source that has raised its own.
    #[must_use]
    pub fn max_bulk(mut self, bytes: usize) -> Self {
        self.bulk = bytes;
        self
    }

    /// The most arguments of one command, its name included. Default 2,147,483,647 like Redis since 7.0 and Valkey, in
    /// effect bounded by [`max_frame`](Limits::max_frame); Redis up to 6.2 takes no more than 1,048,576. The decoder
    /// keeps 8 bytes for each argument that has arrived.
    #[must_use]
    pub fn max_args(mut self, args: usize) -> Self {
        self.args = args;
        self
    }

    /// The most elements of one array, set or push in a reply, and the most keys and values together of one map or
    /// attribute. Default 4,294,967,295, in effect bounded by [`max_frame`](Limits::max_frame) alone.
    #[must_use]
    pub fn max_elements(mut self, elements: usize) -> Self {
        self.elements = elements;
        self
    }

    /// How many aggregates (arrays, maps, sets, pushes, replies with attributes) may be open at once in a reply.
    /// Default 32; a value above 512 is taken as 512.
    #[must_use]
    pub fn max_depth(mut self, aggregates: usize) -> Self {
        self.depth = aggregates.min(DEPTH_CEILING);
        self
    }

    /// The longest frame in bytes, from its type byte to the end of its last element: this bounds what a caller has to
    /// keep in memory. Default 1 GiB, the servers' default `client-query-buffer-limit`; a value above
    /// 4 GiB − 1 is taken as that.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.frame = bytes.min(FRAME_CEILING);
        self
    }
}
