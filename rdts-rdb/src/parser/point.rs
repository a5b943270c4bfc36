//! Places between keys at which parsing can be taken up again.

use std::fmt;
use std::sync::Arc;

use super::{Parser, State};
use crate::crc64::{self, Running};
use crate::decode::template::{Template, Templates};
use crate::limits::Limits;
use crate::options::ParserOptions;
use crate::version::{Dialect, Version};

/// All that a parser knows at a place between two keys: what another one, perhaps of another process, needs to go on from there without the bytes
/// before. A few dozen bytes, but for files that define hash templates (Redis 8.10), which are in it.
///
/// The checksum of the whole file is verified at its end as if it had been read in one go.
///
/// ```
/// use rdts_rdb::{Event, Parser, ParserOptions, Progress, ResumePoint};
///
/// let file = b"REDIS0003\xFE\x02\x00\x01a\x011\x00\x01b\x012\xFF";
/// let mut parser = Parser::new();
/// let (mut at, mut point) = (0, None);
/// while let Progress::Parsed { consumed, event } = parser.parse(&file[at..], true)? {
///     let between = matches!(event, Event::ValueEnd);
///     at += consumed;
///     if between {
///         point = parser.resume_point(&file[at..]);
///         break;
///     }
/// }
/// // Stored, and read back by whoever goes on.
/// let stored = point.expect("behind a value").to_bytes();
/// let point = ResumePoint::from_bytes(&stored)?;
/// assert_eq!((point.offset(), point.db()), (16, 2));
/// let mut parser = Parser::resume(ParserOptions::new(), &point);
/// let Progress::Parsed { event: Event::Key(key), .. } = parser.parse(&file[16..], true)? else { panic!("a key") };
/// assert_eq!(key.key, b"b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ResumePoint {
    version: Version,
    offset: u64,
    db: u64,
    /// Of all bytes before, if it is computed.
    crc: Option<u64>,
    templates: Arc<Templates>,
}

/// Bytes that are no [`ResumePoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPoint(());

impl fmt::Display for NotAPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these bytes are no resume point, or they are damaged")
    }
}

impl std::error::Error for NotAPoint {}

/// The first byte of a stored point.
const FORM: u8 = 1;
/// An auxiliary field: with KeyDB it may belong to the key before.
const AUX: u8 = 250;

impl Parser {
    /// A point at [`offset`](Self::offset), if a parser can be resumed there: between two keys, and not at an auxiliary field. `None`
    /// anywhere else, without the header read, with [`unique_keys`](ParserOptions::unique_keys), and if there is too little in `data`.
    ///
    /// `data` is what the next call of [`parse`](Self::parse) would be given, of which at least all that was shown before has to be there.
    /// That takes some 16 KiB of it to be walked through: do it now and then, not after every key.
    #[must_use]
    pub fn resume_point(&self, data: &[u8]) -> Option<ResumePoint> {
        let between = self.state == State::Records
            && self.scanned == 0
            && self.has_attributes == self.attributes_used
            && self.subkey.is_none()
            && self.unique.is_none()
            && self.failure.is_none();
        if !between || data.first().is_none_or(|&byte| byte == AUX) {
            return None;
        }
        let crc = match &self.crc {
            Some(crc) => Some(crc.so_far(data)?),
            None => None,
        };
        let Self { version, offset, db, templates, .. } = self;
        Some(ResumePoint { version: *version, offset: *offset, db: *db, crc, templates: templates.clone() })
    }

    /// A parser that goes on at `point`: what it is given first is the byte at [`ResumePoint::offset`]. [`Event::Header`](crate::Event::Header)
    /// and [`Event::SelectDb`](crate::Event::SelectDb) do not come again.
    ///
    /// The checksum is verified if both the parser that gave the point and `options` want it. Keys before the point are not known, so that
    /// [`unique_keys`](ParserOptions::unique_keys) is about those behind it.
    #[must_use]
    pub fn resume(options: ParserOptions, point: &ResumePoint) -> Self {
        let ResumePoint { version, offset, db, crc, ref templates } = *point;
        let mut parser = Self::with_options(options);
        parser.state = State::Records;
        (parser.version, parser.offset, parser.db) = (version, offset, db);
        parser.crc = parser.crc.and(crc).map(Running::from);
        parser.templates = templates.clone();
        if let Some(unique) = &mut parser.unique {
            unique.db = db;
        }
        parser
    }
}

impl ResumePoint {
    /// Bytes of the file before it.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The database that is selected there.
    #[must_use]
    pub fn db(&self) -> u64 {
        self.db
    }

    /// Version and dialect of the file.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// For a store. With a checksum, so that what comes back is this or an error.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let dialect = match self.version.dialect {
            Dialect::Redis => 0,
            Dialect::Valkey => 1,
        };
        let mut out = vec![FORM, dialect, u8::from(self.crc.is_some())];
        out.extend_from_slice(&self.version.number.to_le_bytes());
        for number in [self.offset, self.db, self.crc.unwrap_or_default()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        self.templates.write(&mut out);
        let checksum = crc64::checksum(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The same back.
    ///
    /// # Errors
    /// What [`to_bytes`](Self::to_bytes) of this version did not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotAPoint> {
        Self::read(bytes).ok_or(NotAPoint(()))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_last_chunk::<8>()?;
        if crc64::checksum(content) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = Rest(content);
        let [form, dialect, summed] = rest.array()?;
        let number = u16::from_le_bytes(rest.array()?);
        let version = match dialect {
            0 => Version::redis(number),
            1 => Version::valkey(number),
            _ => return None,
        };
        let (offset, db, crc) = (rest.long()?, rest.long()?, rest.long()?);
        if form != FORM || summed > 1 || !version.is_supported() {
            return None;
        }
        let templates = Templates::read(&mut rest)?;
        let crc = (summed == 1).then_some(crc);
        rest.0.is_empty().then(|| Self { version, offset, db, crc, templates: Arc::new(templates) })
    }
}

impl fmt::Debug for ResumePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, offset, db, crc, .. } = self;
        f.debug_struct("ResumePoint")
            .field("version", version)
            .field("offset", offset)
            .field("db", db)
            .field("crc", crc)
            .finish_non_exhaustive()
    }
}

/// What is left of a stored point.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn long(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.long()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl Templates {
    fn write(&self, out: &mut Vec<u8>) {
        let mut templates: Vec<_> = self.iter().collect();
        templates.sort_unstable_by_key(|(id, _)| *id);
        out.extend_from_slice(&(templates.len() as u64).to_le_bytes());
        for (id, template) in templates {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&(template.names().count() as u64).to_le_bytes());
            for name in template.names() {
                out.extend_from_slice(&(name.len() as u64).to_le_bytes());
                out.extend_from_slice(name);
            }
        }
    }

    /// Each name takes more in the input than here.
    fn read(rest: &mut Rest<'_>) -> Option<Self> {
        let mut templates = Self::default();
        let everything = Limits::new().max_templates(usize::MAX, usize::MAX);
        for _ in 0..rest.long()? {
            let (id, mut template) = (rest.long()?, Template::default());
            for _ in 0..rest.long()? {
                template.push(rest.bytes()?).ok()?;
            }
            templates.define(id, template, &everything).ok()?;
        }
        Some(templates)
    }
}
