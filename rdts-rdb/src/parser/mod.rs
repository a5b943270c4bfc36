//! The parser: container, records and keys; values it leaves to the decoder or the scanner.

mod point;
mod records;
mod unique;
mod values;

use std::sync::Arc;

use crate::crc64::Running;
use crate::decode::template::{Template, Templates};
use crate::decode::{Decoder, Env};
use crate::error::{Error, ErrorKind, Limit};
use crate::event::Event;
use crate::limits::Limits;
use crate::options::{ParserOptions, ValueMode};
use crate::scan::Scanner;
use crate::tok::{Attributes, Buffers, Tok};
use crate::token::{At, Halt, Leaf};
use crate::validate::Validator;
use crate::value_type::ValueType;
use crate::version::Version;

pub use point::{NotAPoint, ResumePoint};
use unique::UniqueKeys;

/// How much may be passed over without an event before the parser says so. Keeps the caller's buffer small without an event for every trifle.
const SILENT: usize = 4096;

/// The most that the parser asks for at once. What it needs may be more, but that is only what the input claims: a caller that makes room for
/// what is asked for must not be made to exhaust its memory.
const MOST_WANTED: usize = 1 << 20;

/// A push parser: it is given what there is of a file and says what it found first.
///
/// The caller owns the buffer. Nothing is read, nothing blocks, and nothing is allocated for a length that the input merely claims.
///
/// ```
/// use rdts_rdb::{Event, Parser, Progress};
///
/// let file = b"REDIS0003\x00\x03key\x05value\xFF";
/// let mut parser = Parser::new();
/// let mut rest = &file[..];
/// loop {
///     match parser.parse(rest, true)? {
///         Progress::Parsed { consumed, event } => {
///             if let Event::Key(header) = &event {
///                 assert_eq!(header.key, b"key");
///             }
///             rest = &rest[consumed..];
///         }
///         Progress::NeedMoreData(_) => unreachable!("with `eof` set there is either an event or an error"),
///         Progress::Done => break,
///     }
/// }
/// # Ok::<(), rdts_rdb::Error>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    options: ParserOptions,
    version: Version,
    /// The database that is selected.
    db: u64,
    state: State,
    /// Absolute offset of the first byte of the slice that is given next.
    offset: u64,
    /// How many of its bytes are done with already, without having been reported as consumed.
    scanned: usize,
    crc: Option<Running>,
    /// How the value that comes next, or is being read, is taken.
    mode: ValueMode,
    /// Of the key that follows, or was just delivered.
    attributes: Attributes,
    /// Whether there are any, and whether they were delivered with their key.
    has_attributes: bool,
    attributes_used: bool,
    decoder: Decoder,
    scanner: Scanner,
    validator: Validator,
    /// How far the validator has walked in the slice, and where the value began that it walks through.
    walked: usize,
    value_start: u64,
    buffers: Buffers,
    templates: Arc<Templates>,
    defining: Template,
    /// Member of KeyDB's sub-key expiry whose time has not come yet.
    subkey: Option<Vec<u8>>,
    /// The keys that were met, if none may be met twice.
    unique: Option<Box<UniqueKeys>>,
    /// The event that was found last.
    tok: Tok,
    failure: Option<Error>,
}

/// What a call of [`Parser::parse`] came to.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle each of them")]
pub enum Progress<'a> {
    /// Nothing was consumed. Call again with the same bytes and so many more behind them, or fewer, or more. At most 1 MiB, whatever the
    /// input claims, so there is no harm in making room for it.
    NeedMoreData(usize),
    /// The next event. Drop the first `consumed` bytes (possibly none) before the next call; the others must be given again, unchanged.
    Parsed {
        /// How many bytes were consumed.
        consumed: usize,
        /// What was found.
        event: Event<'a>,
    },
    /// [`Event::End`] was delivered. What is left of the input belongs to somebody else: the commands behind the preamble of an append-only
    /// file, the end mark of a diskless transfer.
    Done,
}

/// [`Progress`] without a lifetime; the event is kept by the parser.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Need(usize),
    /// So many bytes are consumed with it.
    Event(usize),
    /// So many bytes are consumed, and there is no event but [`Event::Consumed`].
    Nothing(usize),
    Done,
}

/// What is behind the bytes that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Perhaps more of them, later.
    Open,
    /// Nothing.
    Input,
    /// More than [`Limits::max_total`] admits.
    Limit,
}

impl Ending {
    fn of(eof: bool) -> Self {
        if eof { Self::Input } else { Self::Open }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Records,
    /// Metadata of the key that follows.
    KeyMeta,
    /// Names of the template with this number; how many are still to come.
    Template {
        id: u64,
        fields: u64,
        left: u64,
    },
    /// A key was delivered.
    Value(ValueType),
    Decode,
    /// Behind the last element of a value that is decoded.
    ValueEnd,
    /// A value that has to be in the slice as a whole.
    Whole {
        value_type: ValueType,
        limit: usize,
    },
    /// The same for a type whose layout only decoding can tell.
    WholeWalk {
        value_type: ValueType,
        limit: usize,
    },
    RawScan,
    RawWalk,
    SkipScan,
    SkipWalk,
    /// The head of a module's auxiliary data was delivered.
    Aux,
    AuxSkip,
    Done,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser with default options.
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(ParserOptions::new())
    }

    /// A parser with the given options.
    #[must_use]
    pub fn with_options(options: ParserOptions) -> Self {
        Self {
            options,
            version: Version::redis(0),
            db: 0,
            state: State::Header,
            offset: 0,
            scanned: 0,
            crc: options.checksum.then(Running::new),
            mode: options.value_mode,
            attributes: Attributes::default(),
            has_attributes: false,
            attributes_used: false,
            decoder: Decoder::default(),
            scanner: Scanner::default(),
            validator: Validator::default(),
            walked: 0,
            value_start: 0,
            buffers: Buffers::default(),
            templates: Arc::default(),
            defining: Template::default(),
            subkey: None,
            unique: options.unique_keys.then(Box::default),
            tok: Tok::ValueEnd,
            failure: None,
        }
    }

    /// Reports the next event of the file whose unconsumed bytes `data` begins with. `eof` says that nothing will follow `data`.
    ///
    /// Bytes that were shown but not consumed must be shown again at the start of the next call's `data`, unchanged: the parser remembers how
    /// far it has looked, and never looks at a byte twice for want of more of them. After an error every call gives that error again.
    ///
    /// # Errors
    /// What is wrong with the input, and where; [`ErrorKind::Truncated`] when more is needed and `eof` is set.
    #[inline]
    pub fn parse<'a>(&'a mut self, data: &'a [u8], eof: bool) -> Result<Progress<'a>, Error> {
        match self.step(data, eof)? {
            Step::Event(consumed) | Step::Nothing(consumed) => {
                self.event(data, |event| Ok(Progress::Parsed { consumed, event }))
            }
            Step::Need(more) => Ok(Progress::NeedMoreData(more)),
            Step::Done => Ok(Progress::Done),
        }
    }

    /// Says how the value of the key that was just delivered is taken; also the data of a module that was just announced by
    /// [`Event::ModuleAux`]. At any other time it does nothing.
    pub fn set_value_mode(&mut self, mode: ValueMode) {
        match self.state {
            State::Value(_) => self.mode = mode,
            State::Aux => {
                self.mode = mode;
                self.begin_aux();
            }
            _ => {}
        }
    }

    /// Absolute offset of the next unconsumed byte; after [`Event::End`] that is where the file ends.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Version and dialect of the file; `None` before [`Event::Header`].
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        (self.state != State::Header).then_some(self.version)
    }

    /// Whether the end of the file was reached.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// The event that was found last, as `wrap` wants it; `data` is what it was found in.
    #[inline(always)]
    pub(crate) fn event<'a, T>(&'a self, data: &'a [u8], wrap: impl FnOnce(Event<'a>) -> T) -> T {
        self.tok.event(data, &self.buffers, &self.attributes, wrap)
    }

    /// The machine itself.
    #[inline]
    pub(crate) fn step(&mut self, data: &[u8], eof: bool) -> Result<Step, Error> {
        // Beyond the limit nothing is looked at, so that the result does not depend on how the input is cut.
        let left = self.options.limits.max_total - self.offset;
        let seen = &data[..data.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        match self.advance(seen) {
            Ok(()) => Ok(Step::Event(self.consume(seen))),
            Err(halt) => self.halted(seen, if seen.len() < data.len() { Ending::Limit } else { Ending::of(eof) }, halt),
        }
    }

    /// What was passed over counts as consumed from now on.
    #[inline(always)]
    fn consume(&mut self, data: &[u8]) -> usize {
        let at = self.scanned;
        // Adding nothing would make all that follows wait for it.
        if at > 0 {
            if let Some(crc) = &mut self.crc {
                crc.consume(data, at);
            }
            self.offset += at as u64;
            self.scanned = 0;
        }
        at
    }

    #[inline(never)]
    fn halted(&mut self, data: &[u8], ending: Ending, halt: Halt) -> Result<Step, Error> {
        match halt {
            Halt::Need(_) if self.state == State::Done => Ok(Step::Done),
            Halt::Need(_) if ending == Ending::Input => {
                Err(self.fail(ErrorKind::Truncated, self.offset + data.len() as u64))
            }
            Halt::Need(_) if ending == Ending::Limit => {
                let max = self.options.limits.max_total;
                let claimed = max.saturating_add(1);
                Err(self.fail(ErrorKind::LimitExceeded { limit: Limit::Total, claimed, max }, max))
            }
            Halt::Need(_) if self.scanned >= SILENT => {
                let at = self.consume(data);
                self.forget(at);
                self.tok = Tok::Consumed;
                Ok(Step::Nothing(at))
            }
            Halt::Need(total) => Ok(Step::Need(total.saturating_sub(data.len()).clamp(1, MOST_WANTED))),
            Halt::Fail(fault) => {
                let offset = match fault.at {
                    At::Here(at) => self.offset + at as u64,
                    At::Absolute(offset) => offset,
                };
                Err(self.fail(fault.kind, offset))
            }
        }
    }

    fn fail(&mut self, kind: ErrorKind, offset: u64) -> Error {
        if let Some(failure) = &self.failure {
            return failure.clone();
        }
        let error = Error::new(kind, offset);
        self.failure = Some(error.clone());
        error
    }

    /// Finds the next event; `scanned` says how far it reaches, or what was passed over when more is needed.
    #[inline]
    fn advance(&mut self, data: &[u8]) -> Leaf<()> {
        if self.failure.is_some() {
            return Err(Halt::fail(ErrorKind::Truncated, 0));
        }
        if self.take_value_end() {
            return Ok(());
        }
        loop {
            let found = match self.state {
                State::Records => self.record(data)?,
                State::Value(value_type) => self.begin_value(value_type, data)?,
                State::Decode => self.decode(data)?,
                State::Whole { value_type, limit } => self.whole(data, value_type, limit)?,
                _ => self.uncommon(data)?,
            };
            if found {
                return Ok(());
            }
        }
    }

    #[inline(never)]
    fn uncommon(&mut self, data: &[u8]) -> Leaf<bool> {
        let tok = match self.state {
            State::Header => self.header(data).map(Some),
            State::KeyMeta => self.key_meta(data),
            State::Template { id, fields, left } => self.template_name(data, id, fields, left),
            State::WholeWalk { value_type, limit } => self.whole_walk(data, value_type, limit),
            State::RawScan => self.raw_scan(data).map(Some),
            State::RawWalk => self.raw_walk(data).map(Some),
            State::SkipScan => self.skip_scan(data),
            State::SkipWalk => self.skip_walk(data),
            State::Aux => {
                self.scanner.start_items(self.scanned);
                self.state = State::AuxSkip;
                Ok(None)
            }
            State::AuxSkip => self.aux_skip(data),
            State::Done => Err(Halt::Need(usize::MAX)),
            State::Records | State::Value(_) | State::Decode | State::ValueEnd | State::Whole { .. } => Ok(None),
        }?;
        Ok(self.give(tok))
    }

    /// Keeps the event that was found, if one was.
    #[inline]
    fn give(&mut self, tok: Option<Tok>) -> bool {
        match tok {
            Some(tok) => {
                self.tok = tok;
                true
            }
            None => false,
        }
    }

    /// The decoder with what it needs, and where it goes on.
    #[inline(always)]
    fn decoder(&mut self) -> (&mut Decoder, Env<'_>, &mut usize) {
        let env = Env {
            limits: &self.options.limits,
            buffers: &mut self.buffers,
            templates: &self.templates,
            base: self.offset,
            out: &mut self.tok,
        };
        (&mut self.decoder, env, &mut self.scanned)
    }
}
