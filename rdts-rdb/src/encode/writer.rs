//! Writing files.

use std::io::{self, Write};

use crc_fast::{CrcAlgorithm, Digest};

use super::{EncodeError, EncodeErrorKind, EncodeOptions, Encoder, Loss, encode_value};
use crate::entry::Entry;
use crate::event::KeyHeader;
use crate::module::ModuleId;
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

    fn needs(&self, known: bool, what: &'static str) -> Result<(), WriteError> {
        if known { Ok(()) } else { Err(EncodeError::from(EncodeErrorKind::NeedsNewerVersion(what)).into()) }
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

    /// Writes a function library: its code with the first line, as [`Function::loadable`](crate::Function::loadable) gives it.
    ///
    /// # Errors
    /// Writing failed, or the version knows no functions.
    pub fn function(&mut self, code: &[u8]) -> Result<(), WriteError> {
        self.needs(self.options.version.number >= 10, "functions")?;
        let mut encoder = self.encoder();
        encoder.out.push(245);
        encoder.string(code);
        Ok(self.flush_if_full()?)
    }

    /// Begins a module's own data that belongs to no key. Its items must follow by [`raw`](Self::raw), up to and with the zero that ends them: what
    /// a parser delivers for [`Event::ModuleAux`](crate::Event::ModuleAux) with [`ValueMode::Raw`](crate::ValueMode::Raw). `when` is as there. A server
    /// without the module does not load the file.
    ///
    /// # Errors
    /// Writing failed, or the version knows nothing like it.
    pub fn module_aux(&mut self, module: ModuleId, when: u64) -> Result<(), WriteError> {
        self.needs(self.options.version.number >= 9, "data of modules outside of keys")?;
        let mut encoder = self.encoder();
        encoder.out.push(247);
        encoder.length(module.raw());
        // An unsigned item of a module.
        encoder.length(2);
        encoder.length(when);
        Ok(self.flush_if_full()?)
    }

    /// Writes that a cluster import was running: the job's name and its ranges of slots, both ends included. Valkey in cluster mode goes on with
    /// it or ends it when it loads the file.
    ///
    /// # Errors
    /// Writing failed, or the version is not one of Valkey, or there are more ranges than slots.
    pub fn slot_import(&mut self, job: &[u8], ranges: &[(u64, u64)]) -> Result<(), WriteError> {
        self.needs(self.options.version.dialect == Dialect::Valkey, "imports of slots")?;
        if ranges.len() > 16_384 {
            return Err(EncodeError::from(EncodeErrorKind::Inconsistent("more ranges of slots than slots")).into());
        }
        let mut encoder = self.encoder();
        encoder.out.push(243);
        encoder.string(job);
        encoder.count(ranges.len());
        for &(first, last) in ranges {
            encoder.length(first);
            encoder.length(last);
        }
        Ok(self.flush_if_full()?)
    }

    /// Hint about a slot of a cluster; nothing before version 12, which has none.
    ///
    /// # Errors
    /// Writing failed.
    pub fn slot_info(&mut self, slot: u64, keys: u64, expires: u64) -> io::Result<()> {
        if self.options.version.number < 12 {
            return Ok(());
        }
        let mut encoder = self.encoder();
        encoder.out.push(244);
        encoder.length(slot);
        encoder.length(keys);
        encoder.length(expires);
        self.flush_if_full()
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
        let subkeys = self.options.version == Version::redis(9);
        if !entry.subkey_expires.is_empty() && !subkeys {
            self.loses("expiries of members (KeyDB)")?;
        }
        let mut header = KeyHeader::new(&entry.key, value_type);
        header.expire_at_ms = entry.expire_at_ms;
        header.idle_seconds = entry.idle_seconds;
        header.lfu_frequency = entry.lfu_frequency;
        header.extras = entry.extras.as_deref();
        self.check_key(&header)?;
        self.select_db(entry.db)?;
        self.key(&header)?;
        self.raw(&raw)?;
        if subkeys {
            for (member, when) in &entry.subkey_expires {
                self.aux(b"keydb-subexpire-key", member)?;
                self.aux(b"keydb-subexpire-when", when.to_string().as_bytes())?;
            }
        }
        Ok(())
    }

    /// Something that the version cannot express.
    fn loses(&self, what: &'static str) -> Result<(), EncodeError> {
        match self.options.loss {
            Loss::Refuse => Err(EncodeErrorKind::WouldLose(what).into()),
            Loss::Drop => Ok(()),
        }
    }

    fn knows_key_meta(&self) -> bool {
        self.options.is_redis(13)
    }

    fn check_key(&self, header: &KeyHeader<'_>) -> Result<(), EncodeError> {
        if header.value_type.is_file_only() {
            let why = "a value by reference to a template of another file must be decoded";
            return Err(EncodeErrorKind::Inconsistent(why).into());
        }
        if header.extras.is_some_and(|extras| !extras.key_meta.is_empty()) && !self.knows_key_meta() {
            self.loses("metadata of keys")?;
        }
        if self.options.version.number < 3 && header.expire_at_ms.is_some_and(|ms| seconds(ms).is_none()) {
            self.loses("expiries after 2038")?;
        }
        Ok(())
    }

    /// Writes a key and all that belongs to it but the value, which must follow by [`raw`](Self::raw).
    ///
    /// Left out without a word is what only concerns eviction and placement: idle time and access counter before version 9, and the two
    /// attributes of Redis Enterprise, which no other server reads. Before version 3 expiries have whole seconds, rounded down; one after 2038
    /// becomes the last that can be expressed, if loss is permitted.
    ///
    /// # Errors
    /// Writing failed; the version cannot express the key's metadata or expiry ([`Loss`]); or the type only means something inside of the file that
    /// it came from ([`ValueType::is_file_only`](crate::ValueType::is_file_only)). Then nothing was written.
    pub fn key(&mut self, header: &KeyHeader<'_>) -> Result<(), WriteError> {
        self.check_key(header)?;
        let version = self.options.version;
        let key_meta = self.knows_key_meta();
        let mut encoder = self.encoder();
        if let Some(ms) = header.expire_at_ms {
            if version.number >= 3 {
                encoder.out.push(252);
                encoder.out.extend(ms.to_le_bytes());
            } else {
                encoder.out.push(253);
                let last = if ms < 0 { i32::MIN } else { i32::MAX };
                encoder.out.extend(seconds(ms).unwrap_or(last).to_le_bytes());
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
            && key_meta
        {
            encoder.out.push(243);
            encoder.out.extend_from_slice(&extras.key_meta);
        }
        encoder.out.push(header.value_type.byte());
        encoder.string(header.key);
        Ok(self.flush_if_full()?)
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

/// A time in the whole seconds of old versions.
fn seconds(ms: i64) -> Option<i32> {
    i32::try_from(ms.div_euclid(1000)).ok()
}
