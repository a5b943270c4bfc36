//! The ways to take a value.

use super::{Parser, State};
use crate::decode;
use crate::options::ValueMode;
use crate::tok::{Maybe, Source, Span, Tok};
use crate::token::{Halt, Leaf};
use crate::value_type::{ValueKind, ValueType};

/// First byte of a compressed string.
const LZF: u8 = 0xC3;

impl Parser {
    /// The first call after a key: from here on the way is fixed.
    #[inline]
    pub(super) fn begin_value(&mut self, value_type: ValueType, data: &[u8]) -> Leaf<bool> {
        if value_type == ValueType::String
            && let Some(string) = decode::string_at_once(data, self.options.limits.chunk)
        {
            self.string(string);
            return Ok(true);
        }
        match self.mode {
            ValueMode::RawOrDecode { limit } if !value_type.is_file_only() && value_type != ValueType::Module => {
                if self.scanner.start(value_type, 0) {
                    self.state = State::Whole { value_type, limit };
                    return self.whole(data, value_type, limit);
                }
                self.begin_walk(value_type);
                self.state = State::WholeWalk { value_type, limit };
            }
            ValueMode::Decode | ValueMode::RawOrDecode { .. } => {
                self.decoder.start(value_type);
                self.state = State::Decode;
                return self.decode(data);
            }
            ValueMode::Raw if !self.options.validate && self.scanner.start(value_type, 0) => {
                self.state = State::RawScan;
            }
            ValueMode::Raw => {
                self.begin_walk(value_type);
                self.state = State::RawWalk;
            }
            ValueMode::Skip if self.scanner.start(value_type, 0) => self.state = State::SkipScan,
            ValueMode::Skip => {
                self.begin_walk(value_type);
                self.state = State::SkipWalk;
            }
        }
        Ok(false)
    }

    /// The way that most string values take: there is nothing in them to be looked for or to be wrong.
    #[inline(always)]
    fn string(&mut self, string: Span) {
        let raw = Span::new(Source::Data, 0, string.end);
        self.scanned = string.end;
        self.state = State::Records;
        match self.mode {
            ValueMode::RawOrDecode { limit } if string.end <= limit => self.tok = Tok::Raw(raw),
            ValueMode::Decode | ValueMode::RawOrDecode { .. } => {
                self.tok = Tok::String { total: string.len() as u64, offset: 0, data: string, int: Maybe::NONE };
                self.state = State::ValueEnd;
            }
            ValueMode::Raw => self.tok = Tok::RawChunk { data: raw, last: true },
            ValueMode::Skip => self.tok = Tok::ValueEnd,
        }
    }

    fn begin_walk(&mut self, value_type: ValueType) {
        self.decoder.start(value_type);
        self.validator.start();
        self.walked = 0;
        self.value_start = self.offset;
    }

    /// A module's auxiliary data, taken like a value.
    pub(super) fn begin_aux(&mut self) {
        self.scanner.start_items(self.scanned);
        self.decoder.start_items();
        self.state = match self.mode {
            ValueMode::Decode | ValueMode::RawOrDecode { .. } => State::Decode,
            ValueMode::Raw => State::RawScan,
            ValueMode::Skip => State::AuxSkip,
        };
    }

    fn end_of_value(&mut self) {
        self.state = State::Records;
    }

    #[inline]
    pub(super) fn decode(&mut self, data: &[u8]) -> Leaf<bool> {
        let (decoder, mut env, at) = self.decoder();
        decoder.step(&mut env, data, at)?;
        if self.decoder.is_done() {
            // Unless that was the end already.
            self.state = if let Tok::ValueEnd = self.tok { State::Records } else { State::ValueEnd };
        }
        Ok(true)
    }

    /// Whether the event that comes next is the end of a value; then it is found with that, and nothing is consumed.
    #[inline(always)]
    pub(crate) fn take_value_end(&mut self) -> bool {
        let end = self.state == State::ValueEnd;
        if end {
            self.tok = Tok::ValueEnd;
            self.end_of_value();
        }
        end
    }

    /// A value that is delivered whole if it is small enough: nothing is consumed until that is known.
    #[inline]
    pub(super) fn whole(&mut self, data: &[u8], value_type: ValueType, limit: usize) -> Leaf<bool> {
        let seen = &data[..data.len().min(limit)];
        match self.scanner.run(seen) {
            Ok(end) => {
                if self.scanner.is_empty() && value_type.kind() != ValueKind::Stream {
                    return self.decode_instead(value_type);
                }
                // A string that is not compressed has nothing in it to be wrong.
                let plain_string = value_type == ValueType::String && data.first() != Some(&LZF);
                if self.options.validate && !plain_string {
                    self.begin_walk(value_type);
                    self.walk(&data[..end]).map_err(cannot_be_short)?;
                    if !self.validator.found_something() && value_type.kind() != ValueKind::Module {
                        return self.decode_instead(value_type);
                    }
                }
                let raw = self.raw(end);
                Ok(self.give(Some(raw)))
            }
            Err(Halt::Need(total)) if total > limit => self.decode_instead(value_type),
            Err(halt) => Err(halt),
        }
    }

    /// The same for a type whose layout only decoding can tell.
    pub(super) fn whole_walk(&mut self, data: &[u8], value_type: ValueType, limit: usize) -> Leaf<Option<Tok>> {
        match self.walk(&data[..data.len().min(limit)]) {
            Ok(()) => Ok(Some(self.raw(self.walked))),
            Err(Halt::Need(total)) if total > limit => self.decode_instead(value_type).map(|_| None),
            Err(halt) => Err(halt),
        }
    }

    fn raw(&mut self, end: usize) -> Tok {
        self.scanned = end;
        self.end_of_value();
        Tok::Raw(Span::new(Source::Data, 0, end))
    }

    fn decode_instead(&mut self, value_type: ValueType) -> Leaf<bool> {
        self.decoder.start(value_type);
        self.state = State::Decode;
        Ok(false)
    }

    /// Walks on through the value, from `walked`.
    fn walk(&mut self, data: &[u8]) -> Leaf<()> {
        let Self { decoder, validator, walked, .. } = self;
        let mut env = decode::Env {
            limits: &self.options.limits,
            buffers: &mut self.buffers,
            templates: &self.templates,
            base: self.offset,
            out: &mut self.tok,
        };
        validator.run(decoder, &mut env, data, walked, self.value_start)
    }

    /// A piece of a raw value that is trusted.
    pub(super) fn raw_scan(&mut self, data: &[u8]) -> Leaf<Tok> {
        match self.scanner.run(data) {
            Ok(end) => {
                self.scanned = end;
                self.end_of_value();
                Ok(Tok::RawChunk { data: Span::new(Source::Data, 0, end), last: true })
            }
            Err(Halt::Need(total)) => {
                let passed = self.scanner.passed(data);
                if passed == 0 {
                    return Err(Halt::Need(total));
                }
                self.scanner.forget(passed);
                self.scanned = passed;
                Ok(Tok::RawChunk { data: Span::new(Source::Data, 0, passed), last: false })
            }
            Err(halt) => Err(halt),
        }
    }

    /// A piece of a raw value that is validated on the way.
    pub(super) fn raw_walk(&mut self, data: &[u8]) -> Leaf<Tok> {
        let last = match self.walk(data) {
            Ok(()) => true,
            Err(Halt::Need(_)) if self.walked > 0 => false,
            Err(halt) => return Err(halt),
        };
        if last {
            self.end_of_value();
        }
        let passed = std::mem::take(&mut self.walked);
        self.scanned = passed;
        Ok(Tok::RawChunk { data: Span::new(Source::Data, 0, passed), last })
    }

    pub(super) fn skip_scan(&mut self, data: &[u8]) -> Leaf<Option<Tok>> {
        let result = self.scanner.run(data);
        // What was passed over can be consumed before the end is found; the scanner is told when that is done.
        self.scanned = self.scanner.passed(data);
        self.scanned = result?;
        self.end_of_value();
        Ok(Some(Tok::ValueEnd))
    }

    pub(super) fn aux_skip(&mut self, data: &[u8]) -> Leaf<Option<Tok>> {
        self.skip_scan(data)?;
        Ok(None)
    }

    pub(super) fn skip_walk(&mut self, data: &[u8]) -> Leaf<Option<Tok>> {
        let result = self.walk(data);
        self.scanned = self.walked;
        result?;
        self.end_of_value();
        Ok(Some(Tok::ValueEnd))
    }

    /// The first `n` bytes of the slice were reported as consumed while the machine was in the middle of something.
    pub(super) fn forget(&mut self, n: usize) {
        match self.state {
            State::SkipScan | State::AuxSkip | State::KeyMeta => self.scanner.forget(n),
            State::SkipWalk => self.walked -= n,
            _ => {}
        }
    }
}

/// The scanner has found the end of a value, and the decoder runs out of it: the two disagree about its layout.
fn cannot_be_short(halt: Halt) -> Halt {
    match halt {
        Halt::Need(total) => {
            Halt::fail(crate::error::ErrorKind::BadStructure("it ends inside of an element"), total.saturating_sub(1))
        }
        fail @ Halt::Fail(_) => fail,
    }
}
