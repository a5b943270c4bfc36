//! What stands between the values.

use std::sync::Arc;

use super::{Parser, State};
use crate::decode::{self, Found, template::Template};
use crate::error::{ErrorKind, Limit};
use crate::event::{Checksum, KeyExtras};
use crate::tok::{Attributes, Source, Span, Tok};
use crate::token::{self, Halt, Leaf};
use crate::value_type::ValueType;
use crate::version::{Dialect, Version};

mod opcode {
    pub(super) const EOF: u8 = 255;
    pub(super) const SELECT_DB: u8 = 254;
    pub(super) const EXPIRE_SECONDS: u8 = 253;
    pub(super) const EXPIRE_MS: u8 = 252;
    pub(super) const RESIZE_DB: u8 = 251;
    pub(super) const AUX: u8 = 250;
    pub(super) const FREQ: u8 = 249;
    pub(super) const IDLE: u8 = 248;
    pub(super) const MODULE_AUX: u8 = 247;
    pub(super) const FUNCTION_PRE_GA: u8 = 246;
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const SLOT_INFO: u8 = 244;
    /// Redis: metadata of a key; Valkey: a slot import.
    pub(super) const KEY_META_OR_SLOT_IMPORT: u8 = 243;
    /// Redis: a hash template; Valkey (unreleased): a replicated command.
    pub(super) const HASH_TEMPLATE: u8 = 242;
    pub(super) const ENTERPRISE_SLOT: u8 = 121;
    pub(super) const ENTERPRISE_RAM_LRU: u8 = 107;
}

impl Parser {
    pub(super) fn header(&mut self, data: &[u8]) -> Leaf<Tok> {
        let version = header(data)?;
        if !version.is_supported() {
            return Err(Halt::fail(ErrorKind::UnsupportedVersion(version), 0));
        }
        self.version = version;
        self.state = State::Records;
        self.scanned = HEADER;
        Ok(Tok::Header(version))
    }

    /// The next record. Attributes of a key are only remembered; they take part in no event of their own.
    #[inline]
    pub(super) fn record(&mut self, data: &[u8]) -> Leaf<bool> {
        if !self.buffers.scratch.is_empty() {
            self.buffers.scratch.clear();
        }
        loop {
            let at = self.scanned;
            let (byte, next) = token::byte(data, at)?;
            match byte {
                opcode::EXPIRE_MS => {
                    let (ms, next) = token::array(data, next)?;
                    self.attributes().expire_at_ms = Some(i64::from_le_bytes(ms));
                    self.scanned = next;
                }
                byte => {
                    if let Some(value_type) = ValueType::from_byte(byte, self.version.dialect) {
                        return self.key(data, next, value_type);
                    }
                    match self.opcode(data, byte, at, next)? {
                        Some(tok) => return Ok(self.give(Some(tok))),
                        None if self.state != State::Records => return Ok(false),
                        None => {}
                    }
                }
            }
        }
    }

    #[inline]
    fn key(&mut self, data: &[u8], at: usize, value_type: ValueType) -> Leaf<bool> {
        let (key, next) = match data.get(at) {
            // The head that nearly all keys have: one byte.
            Some(&len) if len < 0x40 && usize::from(len) <= self.options.limits.max_key => {
                let end = token::end_of(data, at + 1, usize::from(len))?;
                (Span::new(Source::Data, at + 1, end), end)
            }
            _ => self.name(data, at)?,
        };
        if self.unique.is_some() {
            self.check_unique(data, key, at)?;
        }
        if self.attributes_used {
            self.drop_attributes();
        }
        self.attributes_used = self.has_attributes;
        self.scanned = next;
        self.state = State::Value(value_type);
        self.mode = self.options.value_mode;
        self.tok = Tok::Key { key, value_type };
        Ok(true)
    }

    #[cold]
    fn check_unique(&mut self, data: &[u8], key: Span, at: usize) -> Leaf<()> {
        let Some(unique) = &mut self.unique else { return Ok(()) };
        let key = self.buffers.bytes(data, key);
        unique.add(key, self.options.limits.max_unique_keys).map_err(|kind| Halt::fail(kind, at))
    }

    /// Those of the key before; the next key has none yet.
    #[cold]
    fn drop_attributes(&mut self) {
        self.attributes = Attributes::default();
        self.has_attributes = false;
        self.attributes_used = false;
    }

    /// Attributes of the key that follows.
    fn attributes(&mut self) -> &mut Attributes {
        if self.attributes_used {
            self.drop_attributes();
        }
        self.has_attributes = true;
        &mut self.attributes
    }

    /// A string that is as long as a key may be.
    #[inline]
    fn name(&mut self, data: &[u8], at: usize) -> Leaf<(Span, usize)> {
        let max = self.options.limits.max_key;
        let (_, mut env, _) = self.decoder();
        decode::whole_bytes(&mut env, data, at, max, Limit::Key)
    }

    /// Finds a string that is as long as a key may be. Where several strings make one record all of them are found before one is expanded:
    /// until the last one has arrived, all this is done again and again.
    fn find_name(&self, data: &[u8], at: usize) -> Leaf<(Found, usize)> {
        decode::find_str(data, at, self.options.limits.max_key, Limit::Key)
    }

    /// The same with one that is as long as a blob may be.
    fn find_text(&self, data: &[u8], at: usize) -> Leaf<(Found, usize)> {
        decode::find_str(data, at, self.options.limits.max_blob, Limit::Blob)
    }

    /// The bytes of what was found.
    fn ready(&mut self, data: &[u8], found: Found) -> Leaf<Span> {
        found.bytes(&mut self.decoder().1, data)
    }

    /// Rare attributes of the key that follows.
    fn extras(&mut self) -> &mut KeyExtras {
        self.attributes().extras.get_or_insert_default()
    }

    /// Anything but a key. `None`: an attribute was remembered, or another state goes on.
    #[inline(never)]
    fn opcode(&mut self, data: &[u8], byte: u8, at: usize, next: usize) -> Leaf<Option<Tok>> {
        let valkey = self.version.dialect == Dialect::Valkey;
        let (tok, next) = match byte {
            opcode::EXPIRE_SECONDS => {
                let (seconds, next) = token::array(data, next)?;
                self.attributes().expire_at_ms = Some(i64::from(i32::from_le_bytes(seconds)) * 1000);
                (None, next)
            }
            opcode::IDLE => {
                let (seconds, next) = token::length(data, next)?;
                self.attributes().idle_seconds = Some(seconds);
                (None, next)
            }
            opcode::FREQ => {
                let (frequency, next) = token::byte(data, next)?;
                self.attributes().lfu_frequency = Some(frequency);
                (None, next)
            }
            opcode::KEY_META_OR_SLOT_IMPORT if valkey => self.slot_import(data, next)?,
            opcode::KEY_META_OR_SLOT_IMPORT => {
                self.scanner.start_key_meta(next);
                self.state = State::KeyMeta;
                (None, next)
            }
            opcode::ENTERPRISE_RAM_LRU if !valkey => {
                let (value, next) = token::length(data, next)?;
                self.extras().enterprise_ram_lru = Some(value);
                (None, next)
            }
            opcode::ENTERPRISE_SLOT if !valkey => {
                let (value, next) = token::length(data, next)?;
                self.extras().enterprise_slot = Some(value);
                (None, next)
            }
            opcode::EOF => return self.end(data, at, next).map(Some),
            opcode::SELECT_DB => {
                let (db, next) = token::length(data, next)?;
                self.db = db;
                if let Some(unique) = &mut self.unique {
                    unique.db = db;
                }
                (Some(Tok::SelectDb(db)), next)
            }
            opcode::RESIZE_DB => {
                let (keys, next) = token::length(data, next)?;
                let (expires, next) = token::length(data, next)?;
                (Some(Tok::ResizeDb { keys, expires }), next)
            }
            opcode::AUX => self.aux(data, next)?,
            opcode::MODULE_AUX => return self.module_aux(data, next).map(Some),
            opcode::FUNCTION_PRE_GA => self.pre_ga_function(data, next)?,
            opcode::FUNCTION => {
                let (code, next) = self.find_text(data, next)?;
                (Some(Tok::Library { code: self.ready(data, code)? }), next)
            }
            opcode::SLOT_INFO => {
                let (slot, next) = token::length(data, next)?;
                let (keys, next) = token::length(data, next)?;
                let (expires, next) = token::length(data, next)?;
                (Some(Tok::SlotInfo { slot, keys, expires }), next)
            }
            opcode::HASH_TEMPLATE if !valkey => {
                let (id, next) = token::length(data, next)?;
                let (fields, next) = token::length(data, next)?;
                if fields == 0 {
                    return Err(Halt::fail(ErrorKind::BadStructure("a template without fields"), at));
                }
                self.defining = Template::default();
                self.state = State::Template { id, fields, left: fields };
                (None, next)
            }
            other => return Err(Halt::fail(ErrorKind::UnknownOpcode(other), at)),
        };
        self.scanned = next;
        Ok(tok)
    }

    fn aux(&mut self, data: &[u8], at: usize) -> Leaf<(Option<Tok>, usize)> {
        let (name, next) = self.find_name(data, at)?;
        let (value, next) = self.find_text(data, next)?;
        let (name, value) = (self.ready(data, name)?, self.ready(data, value)?);
        // KeyDB attaches expiries of members to the key before, as two records.
        let member = match self.buffers.bytes(data, name) {
            b"keydb-subexpire-key" => true,
            b"keydb-subexpire-when" => false,
            _ => return Ok((Some(Tok::Aux { name, value }), next)),
        };
        if member {
            self.subkey = Some(self.buffers.bytes(data, value).to_vec());
            return Ok((None, next));
        }
        let Some(member) = self.subkey.take() else {
            return Err(Halt::fail(ErrorKind::BadStructure("an expiry of a member that was not named"), at));
        };
        let when = std::str::from_utf8(self.buffers.bytes(data, value)).ok().and_then(|text| text.parse().ok());
        let Some(expire_at_ms) = when else {
            return Err(Halt::fail(ErrorKind::BadStructure("an expiry of a member that is no number"), at));
        };
        let scratch = &mut self.buffers.scratch;
        let start = scratch.len();
        scratch.extend_from_slice(&member);
        let member = Span::new(Source::Scratch, start, scratch.len());
        Ok((Some(Tok::SubkeyExpire { member, expire_at_ms }), next))
    }

    fn pre_ga_function(&mut self, data: &[u8], at: usize) -> Leaf<(Option<Tok>, usize)> {
        let (name, next) = self.find_name(data, at)?;
        let (engine, next) = self.find_name(data, next)?;
        let (has_description, mut next) = token::length(data, next)?;
        let mut description = None;
        if has_description != 0 {
            let (text, after) = self.find_text(data, next)?;
            description = Some(text);
            next = after;
        }
        let (code, next) = self.find_text(data, next)?;
        let (name, engine) = (self.ready(data, name)?, self.ready(data, engine)?);
        let description = description.map(|text| self.ready(data, text)).transpose()?;
        let code = self.ready(data, code)?;
        Ok((Some(Tok::PreGaFunction { name, engine, description, code }), next))
    }

    fn slot_import(&mut self, data: &[u8], at: usize) -> Leaf<(Option<Tok>, usize)> {
        let (job, next) = self.find_name(data, at)?;
        let (count, start) = token::length(data, next)?;
        // There are 16,384 slots, so no more ranges than that.
        if count > 16_384 {
            return Err(Halt::fail(ErrorKind::BadStructure("more ranges of slots than there are slots"), next));
        }
        let mut end = start;
        for _ in 0..count * 2 {
            end = token::length(data, end)?.1;
        }
        let job = self.ready(data, job)?;
        Ok((Some(Tok::SlotImport { job, ranges: Span::new(Source::Data, start, end) }), end))
    }

    fn module_aux(&mut self, data: &[u8], at: usize) -> Leaf<Tok> {
        let (module, next) = token::length(data, at)?;
        let (kind, when_at) = token::length(data, next)?;
        if kind != 2 {
            return Err(Halt::fail(ErrorKind::BadModule("auxiliary data does not say when it was saved"), next));
        }
        let (when, next) = token::length(data, when_at)?;
        self.scanned = next;
        self.state = State::Aux;
        Ok(Tok::ModuleAux { module, when })
    }

    pub(super) fn key_meta(&mut self, data: &[u8]) -> Leaf<Option<Tok>> {
        let start = self.scanned;
        let max = self.options.limits.max_blob;
        let seen = &data[..data.len().min(start.saturating_add(max))];
        let end = match self.scanner.run(seen) {
            Ok(end) => end,
            Err(Halt::Need(total)) if total > start.saturating_add(max) => {
                let claimed = (total - start) as u64;
                return Err(Halt::fail(
                    ErrorKind::LimitExceeded { limit: Limit::Blob, claimed, max: max as u64 },
                    start,
                ));
            }
            Err(halt) => return Err(halt),
        };
        self.extras().key_meta = data[start..end].to_vec();
        self.scanned = end;
        self.state = State::Records;
        Ok(None)
    }

    pub(super) fn template_name(&mut self, data: &[u8], id: u64, fields: u64, left: u64) -> Leaf<Option<Tok>> {
        let at = self.scanned;
        if left == 0 {
            let template = std::mem::take(&mut self.defining);
            let templates = Arc::make_mut(&mut self.templates);
            templates.define(id, template, &self.options.limits).map_err(|kind| Halt::fail(kind, at))?;
            self.state = State::Records;
            return Ok(Some(Tok::HashTemplate { id, fields }));
        }
        self.buffers.scratch.clear();
        let (name, next) = self.name(data, at)?;
        let name = self.buffers.bytes(data, name);
        let claimed = (self.templates.bytes() + self.defining.size() + name.len()) as u64;
        let max = self.options.limits.max_template_bytes as u64;
        if claimed > max {
            return Err(Halt::fail(ErrorKind::LimitExceeded { limit: Limit::TemplateBytes, claimed, max }, at));
        }
        self.defining.push(name).map_err(|kind| Halt::fail(kind, at))?;
        self.scanned = next;
        self.state = State::Template { id, fields, left: left - 1 };
        Ok(None)
    }

    fn end(&mut self, data: &[u8], at: usize, next: usize) -> Leaf<Tok> {
        if self.has_attributes && !self.attributes_used {
            return Err(Halt::fail(ErrorKind::BadStructure("attributes of a key that does not follow"), at));
        }
        if !self.version.has_checksum() {
            self.crc = None;
            self.scanned = next;
            self.state = State::Done;
            return Ok(Tok::End(Checksum::Absent));
        }
        let (stored, end) = token::array(data, next)?;
        let stored = u64::from_le_bytes(stored);
        let checksum = match &mut self.crc {
            _ if stored == 0 => Checksum::Disabled,
            None => Checksum::NotVerified(stored),
            Some(crc) => {
                token::end_of(data, crc.needed(next), 0)?;
                let computed = crc.finish(data, next);
                if computed != stored {
                    return Err(Halt::fail(ErrorKind::BadChecksum { stored, computed }, next));
                }
                Checksum::Verified(stored)
            }
        };
        self.crc = None;
        self.scanned = end;
        self.state = State::Done;
        Ok(Tok::End(checksum))
    }
}

/// Bytes of magic and version.
const HEADER: usize = 9;

/// The first bytes of a file. Wrong ones are refused as soon as they are there.
fn header(data: &[u8]) -> Leaf<Version> {
    use nom::Parser as _;
    use nom::branch::alt;
    use nom::bytes::streaming::{tag, take};
    use nom::combinator::{map_opt, value};

    fn number(digits: usize) -> impl Fn(&[u8]) -> nom::IResult<&[u8], u16> {
        move |input| map_opt(take(digits), decimal).parse(input)
    }
    let redis = (value(Dialect::Redis, tag("REDIS")), number(4));
    let valkey = (value(Dialect::Valkey, tag("VALKEY")), number(3));
    let parsed: nom::IResult<&[u8], (Dialect, u16)> = alt((redis, valkey)).parse(data);
    match parsed {
        Ok((_, (dialect, number))) if number > 0 => Ok(match dialect {
            Dialect::Redis => Version::redis(number),
            Dialect::Valkey => Version::valkey(number),
        }),
        Err(nom::Err::Incomplete(_)) => Err(Halt::Need(HEADER)),
        _ => Err(Halt::fail(ErrorKind::BadMagic, 0)),
    }
}

/// A number of ASCII digits only; servers use `atoi` and take more than that.
fn decimal(text: &[u8]) -> Option<u16> {
    text.iter().try_fold(0, |number, &digit| digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0')))
}
