//! A parser with an asynchronous reader and a buffer.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::buffer::Buffer;
use crate::error::ReadError;
use crate::event::Event;
use crate::filter::{Choice, KeyFilter};
use crate::options::{ParserOptions, ValueMode};
use crate::parser::{Parser, Step};
use crate::version::Version;

/// Events of whatever tokio can read. [`into_parts`](Self::into_parts) gives the source back, with what follows the file.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), rdts_rdb::ReadError> {
/// use rdts_rdb::AsyncReader;
///
/// let socket = &b"REDIS0003\x00\x03key\x05value\xFF*1\r\n$4\r\nPING\r\n"[..];
/// let mut reader = AsyncReader::new(socket);
/// while let Some(event) = reader.next_event().await? {
///     println!("{event:?}");
/// }
/// let (_socket, unread) = reader.into_parts();
/// assert_eq!(&unread[..], b"*1\r\n$4\r\nPING\r\n");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AsyncReader<R> {
    source: R,
    parser: Parser,
    buffer: Buffer,
    eof: bool,
    choice: Choice,
    received: u64,
}

impl<R: AsyncRead + Unpin> AsyncReader<R> {
    /// Reads from `source`, which needs no buffer of its own.
    pub fn new(source: R) -> Self {
        Self::with_options(source, ParserOptions::new())
    }

    /// Reads from `source` with the given options.
    pub fn with_options(source: R, options: ParserOptions) -> Self {
        Self::with_unread(source, &[], options)
    }

    /// Reads `unread` and then from `source`: for a socket of which more was read than belonged to what came before the file.
    pub fn with_unread(source: R, unread: &[u8], options: ParserOptions) -> Self {
        let buffer = Buffer::with(unread);
        Self {
            source,
            parser: Parser::with_options(options),
            buffer,
            eof: false,
            choice: Choice::default(),
            received: unread.len() as u64,
        }
    }

    /// Lets `filter` decide, key by key, how values are taken.
    #[must_use]
    pub fn with_filter(mut self, filter: impl KeyFilter + 'static) -> Self {
        self.choice = Choice::by(filter);
        self
    }

    /// The next event; `None` behind [`Event::End`]. Cancel safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Reading failed, or the data is not good.
    #[inline]
    pub async fn next_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        let consumed = loop {
            match self.parser.step(self.buffer.filled(), self.eof)? {
                Step::Event(consumed) => break consumed,
                Step::Nothing(consumed) => self.buffer.consume(consumed),
                Step::Need(_) => self.fill().await?,
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

    async fn fill(&mut self) -> Result<(), ReadError> {
        let n = self.source.read(self.buffer.room()).await?;
        if n == 0 {
            self.eof = true;
        }
        self.received += n as u64;
        self.buffer.filled_more(n);
        Ok(())
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

    /// How many bytes have come from the source so far, consumed or not.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Version and dialect of the file; `None` before its header was read.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.parser.version()
    }

    /// The source, for what does not touch the stream of bytes (acknowledgements on the same socket).
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// The source and what was read from it but not consumed: what follows the file.
    #[must_use]
    pub fn into_parts(self) -> (R, BytesMut) {
        (self.source, self.buffer.into_unread())
    }
}
