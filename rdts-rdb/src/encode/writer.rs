//! Writing files.

use std::io::{self, Write};

use crc_fast::{CrcAlgorithm, Digest};

use super::{EncodeError, EncodeErrorKind, EncodeOptions, Encoder, encode_value};
use crate::entry::Entry;
use crate::event::KeyHeader;
use crate::version::{Dialect, Version};

/// Writes an RDB file that servers load: any version from 1 to 15, and `VALKEY080`. Output is buffered; [`finish`](Self::finish) writes the end,
/// without which the file is no file.
///
/// ```
/// use rdts_rdb::encode::Writer;
/// use rdts_rdb::{Entry, Reader, Value, Version};
///
/// let mut writer = Writer::new(Vec::new(), Version::redis(9))?;
/// writer.aux(b"redis-ver", b"6.2.0")?;
/// writer.entry(&Entry::new(0, "key", Value::List(vec![b"a".to_vec(), b"b".to_vec()])))?;
/// let file = writer.finish()?;
///
/// let entry = Reader::new(&file[..]).entries().next().unwrap()?;
/// assert_eq!(entry.value.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    options: EncodeOptions,
    buffer: Vec<u8>,
    crc: Digest,
    db: Option<u64>,
    written: u64,
}

/// Why writing failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Writing to the underlying writer failed.
    #[error("writing the RDB data failed")]
    Io(#[from] io::Error),
    /// The version cannot express what was to be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

const BUFFER: usize = 64 * 1024;

impl<W: Write> Writer<W> {
    /// Begins a file of the given version.
    ///
    /// # Errors
    /// Writing failed.
    pub fn new(out: W, version: Version) -> io::Result<Self> {
        Self::with_options(out, EncodeOptions::new(version))
    }

    /// Begins a file with the given options.
    ///
    /// # Errors
    /// Writing failed.
    pub fn with_options(out: W, options: EncodeOptions) -> io::Result<Self> {
        let buffer = options.version.to_string().into_bytes();
        let crc = Digest::new(CrcAlgorithm::Crc64Redis);
        Ok(Self { out, options, buffer, crc, db: None, written: 0 })
    }

    fn encoder(&mut self) -> Encoder<'_> {
        Encoder { out: &mut self.buffer, options: &self.options }
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.crc.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes of the file so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes a named piece of information; nothing before version 7, which has none.
    ///
    /// # Errors
    /// Writing failed.
    pub fn aux(&mut self, name: &[u8], value: &[u8]) -> io::Result<()> {
        if self.options.version.number < 7 {
            return Ok(());
        }
        let mut encoder = self.encoder();
        encoder.out.push(250);
        encoder.string(name);
        encoder.string(value);
        self.flush_if_full()
    }

    /// Writes a function library.
    ///
    /// # Errors
    /// Writing failed, or the version knows no functions.
    pub fn function(&mut self, code: &[u8]) -> Result<(), WriteError> {
        if self.options.version.number < 10 {
            return Err(EncodeError::from(EncodeErrorKind::NeedsNewerVersion("functions")).into());
        }
        let mut encoder = self.encoder();
        encoder.out.push(245);
        encoder.string(code);
        Ok(self.flush_if_full()?)
    }

    /// The keys that follow are in this database. Done by [`entry`](Self::entry) by itself.
    ///
    /// # Errors
    /// Writing failed.
    pub fn select_db(&mut self, db: u64) -> io::Result<()> {
        if self.db.replace(db) != Some(db) {
            let mut encoder = self.encoder();
            encoder.out.push(254);
            encoder.length(db);
        }
        self.flush_if_full()
    }

    /// Hint about the size of the database that was selected; nothing before version 7.
    ///
    /// # Errors
    /// Writing failed.
    pub fn resize_db(&mut self, keys: u64, expires: u64) -> io::Result<()> {
        if self.options.version.number < 7 {
            return Ok(());
        }
        let mut encoder = self.encoder();
        encoder.out.push(251);
        encoder.length(keys);
        encoder.length(expires);
        self.flush_if_full()
    }

    /// Writes a key with its value, in the plainest encoding that the version knows.
    ///
    /// # Errors
    /// Writing failed, or the version cannot express the value: then nothing of the key was written.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let mut raw = Vec::new();
        let value_type = encode_value(&mut raw, &entry.value, &self.options)?;
        self.select_db(entry.db)?;
        let mut header = KeyHeader::new(&entry.key, value_type);
        header.expire_at_ms = entry.expire_at_ms;
        header.idle_seconds = entry.idle_seconds;
        header.lfu_frequency = entry.lfu_frequency;
        header.extras = entry.extras.as_deref();
        self.key(&header)?;
        self.raw(&raw)?;
        if !entry.subkey_expires.is_empty() && self.options.version == Version::redis(9) {
            for (member, when) in &entry.subkey_expires {
                self.aux(b"keydb-subexpire-key", member)?;
                self.aux(b"keydb-subexpire-when", when.to_string().as_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes a key and all that belongs to it but the value, which must follow by [`raw`](Self::raw).
    ///
    /// # Errors
    /// Writing failed.
    pub fn key(&mut self, header: &KeyHeader<'_>) -> io::Result<()> {
        let version = self.options.version;
        let mut encoder = self.encoder();
        if let Some(ms) = header.expire_at_ms {
            if version.number >= 3 {
                encoder.out.push(252);
                encoder.out.extend(ms.to_le_bytes());
            } else {
                encoder.out.push(253);
                let seconds = i32::try_from(ms.div_euclid(1000)).unwrap_or(i32::MAX);
                encoder.out.extend(seconds.to_le_bytes());
            }
        }
        if version.number >= 9 {
            // A server has one or the other policy; both opcodes are read.
            if let Some(seconds) = header.idle_seconds {
                encoder.out.push(248);
                encoder.length(seconds);
            }
            if let Some(frequency) = header.lfu_frequency {
                encoder.out.extend([249, frequency]);
            }
        }
        if let Some(extras) = header.extras
            && !extras.key_meta.is_empty()
            && version.dialect == Dialect::Redis
            && version.number >= 13
        {
            encoder.out.push(243);
            encoder.out.extend_from_slice(&extras.key_meta);
        }
        encoder.out.push(header.value_type.byte());
        encoder.string(header.key);
        self.flush_if_full()
    }

    /// Writes a raw value, or a piece of it, as a parser delivers them.
    ///
    /// # Errors
    /// Writing failed.
    pub fn raw(&mut self, raw: &[u8]) -> io::Result<()> {
        if raw.len() < BUFFER {
            self.buffer.extend_from_slice(raw);
            return self.flush_if_full();
        }
        self.flush()?;
        self.crc.update(raw);
        self.written += raw.len() as u64;
        self.out.write_all(raw)
    }

    /// Writes the end of the file and gives the underlying writer back, flushed.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(mut self) -> io::Result<W> {
        self.buffer.push(255);
        self.flush()?;
        if self.options.version.has_checksum() {
            self.out.write_all(&self.crc.finalize().to_le_bytes())?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}
