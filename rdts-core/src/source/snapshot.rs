//! RDB bytes → batches: what every source with a snapshot does.

use rdts_rdb::{Event, Limits, Parser, ParserOptions, Progress};

use super::BATCH;
use super::aof::ExpiryFloor;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Skipped;
use crate::record::BatchBuilder;
use crate::translate::SnapshotTranslator;

/// Strings up to so many bytes go as one command, longer ones in pieces of this size.
pub(super) const WHOLE_STRING: usize = 1 << 20;

/// Parses and translates one RDB.
#[derive(Debug)]
pub(super) struct Snapshot {
    parser: Parser,
    translator: SnapshotTranslator,
    floor: Option<ExpiryFloor>,
}

/// Why [`Snapshot::advance`] returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing more can be made of these bytes; at least so many more are needed.
    NeedMoreData(usize),
    /// The batch is big enough to be sent.
    BatchFull,
    /// The RDB is over. Bytes behind it belong to somebody else.
    End,
}

impl Snapshot {
    /// `validate` has packed values walked through before they are passed on.
    pub(super) fn new(translator: SnapshotTranslator, validate: bool) -> Self {
        let limits = Limits::new().chunk(WHOLE_STRING);
        let options = ParserOptions::default().limits(limits).validate(validate);
        Self { parser: Parser::with_options(options), translator, floor: None }
    }

    /// Keys do not expire before that: commands that follow may give them more time.
    pub(super) fn expiry_floor(mut self, floor: Option<ExpiryFloor>) -> Self {
        self.floor = floor;
        self
    }

    /// Bytes of RDB that have been read.
    pub(super) fn offset(&self) -> u64 {
        self.parser.offset()
    }

    pub(super) fn skipped(&self) -> Skipped {
        self.translator.skipped()
    }

    /// Takes from `data` what it can; `eof` says that nothing follows it. The first value is how many bytes it took.
    pub(super) fn advance(&mut self, data: &[u8], eof: bool, out: &mut BatchBuilder) -> Result<(usize, Step)> {
        let (used, step) = self.parse(data, eof, out)?;
        self.translator.flush(self.parser.offset(), out);
        Ok((used, step))
    }

    fn parse(&mut self, data: &[u8], eof: bool, out: &mut BatchBuilder) -> Result<(usize, Step)> {
        let start = self.parser.offset();
        let mut used = 0;
        loop {
            let progress = self.parser.parse(&data[used..], eof).map_err(damaged)?;
            let (consumed, mut event) = match progress {
                Progress::NeedMoreData(hint) => return Ok((used, Step::NeedMoreData(hint))),
                Progress::Done => return Ok((used, Step::End)),
                Progress::Parsed { consumed, event } => (consumed, event),
            };
            used += consumed;
            let over = matches!(event, Event::End { .. });
            if let (Some(floor), Event::Key(header)) = (self.floor, &mut event) {
                let lifted = header.expire_at_ms.and_then(|time| floor.lift(time));
                header.expire_at_ms = lifted.or(header.expire_at_ms);
            }
            let mode = self.translator.event(&event, start + used as u64, out)?;
            if let Some(mode) = mode {
                self.parser.set_value_mode(mode);
            }
            if over {
                return Ok((used, Step::End));
            }
            if out.size() >= BATCH {
                return Ok((used, Step::BatchFull));
            }
        }
    }
}

fn damaged(error: rdts_rdb::Error) -> Error {
    Error::new(ErrorKind::Snapshot, "the snapshot cannot be read").with_source(error)
}
