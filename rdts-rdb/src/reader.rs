//! A parser with a blocking reader and a buffer.

use std::io::{ErrorKind as IoErrorKind, Read};

use bytes::BytesMut;

use crate::buffer::Buffer;
use crate::entry::Entries;
use crate::error::ReadError;
use crate::event::Event;
use crate::filter::{Choice, KeyFilter};
use crate::limits::Limits;
use crate::options::{ParserOptions, ValueMode};
use crate::parser::{Parser, Step};
use crate::version::Version;

/// Events of a file, a pipe or a socket.
///
/// ```
/// use rdts_rdb::{Event, Reader};
///
/// let file = &b"REDIS0003\x00\x03key\x05value\xFF"[..];
/// let mut reader = Reader::new(file);
/// while let Some(event) = reader.next_event()? {
///     if let Event::String(piece) = event {
///         assert_eq!(piece.data, b"value");
///     }
/// }
/// # Ok::<(), rdts_rdb::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    parser: Parser,
    buffer: Buffer,
    eof: bool,
    choice: Choice,
}

impl<R: Read> Reader<R> {
    /// Reads from `source`, which needs no buffer of its own.
    pub fn new(source: R) -> Self {
        Self::with_options(source, ParserOptions::new())
    }

    /// Reads from `source` with the given options.
    pub fn with_options(source: R, options: ParserOptions) -> Self {
        Self {
            source,
            parser: Parser::with_options(options),
            buffer: Buffer::new(),
            eof: false,
            choice: Choice::default(),
        }
    }

    /// Lets `filter` decide, key by key, how values are taken.
    #[must_use]
    pub fn with_filter(mut self, filter: impl KeyFilter + 'static) -> Self {
        self.choice = Choice::by(filter);
        self
    }

    /// The next event; `None` behind [`Event::End`].
    ///
    /// # Errors
    /// Reading failed, or the data is not good.
    #[inline]
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        // A third of all events of a file full of strings.
        if self.parser.take_value_end() {
            return Ok(Some(Event::ValueEnd));
        }
        self.read_event()
    }

    fn read_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        let consumed = loop {
            match self.parser.step(self.buffer.filled(), self.eof)? {
                Step::Event(consumed) => break consumed,
                Step::Nothing(consumed) => self.buffer.consume(consumed),
                Step::Need(_) => self.fill()?,
                Step::Done => return Ok(None),
            }
        };
        // What the event borrows stays in its place until more is read.
        let at = self.buffer.mark();
        self.buffer.consume(consumed);
        if !self.choice.is_none()
            && let Some(mode) = self.parser.event(self.buffer.since(at), |event| self.choice.mode(&event))
        {
            self.parser.set_value_mode(mode);
        }
        self.parser.event(self.buffer.since(at), |event| Ok(Some(event)))
    }

    #[cold]
    fn fill(&mut self) -> Result<(), ReadError> {
        loop {
            match self.source.read(self.buffer.room()) {
                Ok(0) => self.eof = true,
                Ok(n) => self.buffer.filled_more(n),
                Err(e) if e.kind() == IoErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            }
            return Ok(());
        }
    }

    /// How the value after the key that was just delivered is taken: see [`Parser::set_value_mode`].
    pub fn set_value_mode(&mut self, mode: ValueMode) {
        self.parser.set_value_mode(mode);
    }

    /// Absolute offset of the next unconsumed byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.parser.offset()
    }

    /// Version and dialect of the file; `None` before its header was read.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.parser.version()
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.parser.limits()
    }

    /// Owned keys with their values instead of events.
    pub fn entries(self) -> Entries<R> {
        Entries::new(self)
    }

    /// The source and what was read from it but not consumed: what follows the file.
    #[must_use]
    pub fn into_parts(self) -> (R, BytesMut) {
        (self.source, self.buffer.into_unread())
    }
}
