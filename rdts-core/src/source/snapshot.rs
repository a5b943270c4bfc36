//! RDB bytes → batches: what every source with a snapshot does.

use rdts_rdb::{Event, Limits, Parser, ParserOptions, Progress, ResumePoint};

use super::BATCH;
use super::aof::ExpiryFloor;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
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
    /// What is made of the bytes up to here is thrown away.
    skip_to: u64,
    /// Where it can be gone on with, of what was read lately.
    points: Vec<ResumePoint>,
    /// The next of them is to be found behind this byte, and one whenever so many more were read.
    next_point: u64,
    points_every: u64,
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
        Self::with(Parser::with_options(options(validate)), translator)
    }

    /// Goes on at `point`.
    pub(super) fn resume(mut translator: SnapshotTranslator, validate: bool, point: &ResumePoint) -> Result<Self> {
        let mut nothing = BatchBuilder::new(0);
        for event in [Event::Header(point.version()), Event::SelectDb(point.db())] {
            translator.event(&event, point.offset(), &mut nothing)?;
        }
        Ok(Self::with(Parser::resume(options(validate), point), translator))
    }

    fn with(parser: Parser, translator: SnapshotTranslator) -> Self {
        let (points, next_point, points_every) = (Vec::new(), u64::MAX, 0);
        Self { parser, translator, floor: None, skip_to: 0, points, next_point, points_every }
    }

    /// Notes where it can be gone on with, about every so many bytes.
    pub(super) fn points_every(mut self, bytes: Option<u64>) -> Self {
        self.points_every = bytes.unwrap_or(u64::MAX);
        self.next_point = self.parser.offset().saturating_add(self.points_every);
        self
    }

    /// The places that were found since this was called last.
    pub(super) fn take_points(&mut self) -> impl Iterator<Item = ResumePoint> + '_ {
        self.points.drain(..)
    }

    /// Keys do not expire before that: commands that follow may give them more time.
    pub(super) fn expiry_floor(mut self, floor: Option<ExpiryFloor>) -> Self {
        self.floor = floor;
        self
    }

    /// What is made of the first `bytes` is not given out: a run before has passed it on. They have to be those up to where a batch of it
    /// ended.
    pub(super) fn skip_to(mut self, bytes: u64) -> Self {
        self.skip_to = bytes;
        self
    }

    /// Bytes of RDB that have been read.
    pub(super) fn offset(&self) -> u64 {
        self.parser.offset()
    }

    pub(super) fn intake(&self) -> Intake {
        self.translator.intake()
    }

    /// Takes from `data` what it can; `eof` says that nothing follows it. The first value is how many bytes it took.
    pub(super) fn advance(&mut self, data: &[u8], eof: bool, out: &mut BatchBuilder) -> Result<(usize, Step)> {
        if self.parser.offset() < self.skip_to {
            return self.skip(data, eof, out);
        }
        let (used, mut step) = self.parse(data, eof, out)?;
        if step == Step::BatchFull {
            // What is in these bytes already, such as the rest of a compressed value, belongs to them: a batch that ended before it would
            // say that it ends here, too.
            while step == Step::BatchFull {
                (_, step) = self.parse(&[], false, out)?;
            }
            step = Step::BatchFull;
        }
        self.translator.flush(self.parser.offset(), out);
        Ok((used, step))
    }

    /// The same for what is thrown away. The parser is shown just that, since it cuts strings where they happen to end.
    fn skip(&mut self, data: &[u8], eof: bool, out: &mut BatchBuilder) -> Result<(usize, Step)> {
        let left = usize::try_from(self.skip_to - self.parser.offset()).unwrap_or(usize::MAX);
        let all = data.len() >= left;
        let shown = &data[..left.min(data.len())];
        let mut used = 0;
        let step = loop {
            let (taken, step) = self.parse(&shown[used..], eof && !all, out)?;
            used += taken;
            out.truncate(0);
            if step != Step::BatchFull {
                break step;
            }
        };
        self.translator.flush(self.parser.offset(), out);
        out.truncate(0);
        match step {
            Step::NeedMoreData(_) if all => {
                // What is left of them is in something that gives no command.
                self.skip_to = 0;
                self.translator.account_anew();
                let (taken, step) = self.advance(&data[used..], eof, out)?;
                Ok((used + taken, step))
            }
            step => Ok((used, step)),
        }
    }

    fn parse(&mut self, data: &[u8], eof: bool, out: &mut BatchBuilder) -> Result<(usize, Step)> {
        let start = self.parser.offset();
        let mut used = 0;
        loop {
            if self.parser.offset() >= self.next_point
                && let Some(point) = self.parser.resume_point(&data[used..])
            {
                self.next_point = point.offset().saturating_add(self.points_every);
                self.points.push(point);
            }
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

fn options(validate: bool) -> ParserOptions {
    ParserOptions::default().limits(Limits::new().chunk(WHOLE_STRING)).validate(validate)
}

fn damaged(error: rdts_rdb::Error) -> Error {
    Error::new(ErrorKind::Snapshot, "the snapshot cannot be read").with_source(error)
}
