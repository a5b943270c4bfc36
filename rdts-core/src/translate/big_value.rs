//! A value that is built piece by piece.

use rdts_rdb::{Event, Str, ValueKind};
use rdts_resp::encode;

use super::losses::{LossKind, OnLoss};
use super::rewrite::stop;
use super::snapshot::{CurrentKey, bulk_at, expire_at};
use super::{OnConflict, PIECE, PIECE_ELEMENTS, Target, TranslateOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{BatchBuilder, Expect, Kind, Mark};
use crate::slot;

/// Builds a value under a temporary key and renames it into place, so that nobody sees half of it under its own name, and a
/// key that is there already is replaced, kept or complained of as a whole.
#[derive(Debug)]
pub(super) struct BigValue {
    temporary: Vec<u8>,
    command: &'static [u8],
    target: Target,
    on_conflict: OnConflict,
    /// Expiry times of fields are left out where the target has none.
    without_expiries: bool,
    lost_expiries: bool,
    /// The arguments of the command to come, as bulk strings, and their number.
    piece: Vec<u8>,
    arguments: usize,
    /// Fields of this piece that expire, and when.
    expiries: Vec<(i64, Vec<u8>)>,
    /// With its last field a hash vanishes.
    fields_expire: bool,
    text: Vec<u8>,
}

impl BigValue {
    pub(super) fn start(
        key: &CurrentKey,
        kind: ValueKind,
        target: Target,
        options: &TranslateOptions,
        offset: u64,
        out: &mut BatchBuilder,
    ) -> Self {
        let command: &[u8] = match kind {
            ValueKind::List => b"RPUSH",
            ValueKind::Set => b"SADD",
            ValueKind::ZSet => b"ZADD",
            ValueKind::Hash if target.variadic_hset() => b"HSET",
            ValueKind::Hash => b"HMSET",
            _ => b"APPEND",
        };
        let big = Self {
            temporary: temporary(&key.name),
            command,
            target,
            on_conflict: options.on_conflict,
            without_expiries: options.losses.policy(LossKind::HashFieldExpiry) == OnLoss::Drop,
            lost_expiries: false,
            piece: Vec::new(),
            arguments: 0,
            expiries: Vec::new(),
            fields_expire: false,
            text: Vec::new(),
        };
        // What a run that was cut off has left must not become part of this value.
        big.delete_temporary(key, offset, out);
        big
    }

    pub(super) fn add(
        &mut self,
        event: &Event<'_>,
        key: &CurrentKey,
        offset: u64,
        out: &mut BatchBuilder,
    ) -> Result<()> {
        match event {
            Event::String(chunk) => {
                encode::bulk(&mut self.piece, chunk.data);
                self.arguments += 1;
                self.send(key, offset, out);
                return Ok(());
            }
            Event::ListItem(element) | Event::SetMember(element) => self.push(element),
            Event::ZSetMember { member, score } => {
                self.text.clear();
                write_score(&mut self.text, *score);
                encode::bulk(&mut self.piece, &self.text);
                self.arguments += 1;
                self.push(member);
            }
            Event::HashField { field, value, expire_at_ms } => {
                self.push(field);
                self.push(value);
                if let Some(time) = expire_at_ms {
                    if self.target.field_expiry() {
                        self.fields_expire = true;
                        self.text.clear();
                        field.write_to(&mut self.text);
                        self.expiries.push((*time, self.text.clone()));
                    } else if self.without_expiries {
                        self.lost_expiries = true;
                    } else {
                        return Err(stop(&self.target, &key.shown(), LossKind::HashFieldExpiry));
                    }
                }
            }
            other => {
                let what = key.value_type.map_or_else(String::new, |value_type| value_type.to_string());
                let name = format!("{other:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
                let text = format!("a {what} of more than 512 MB cannot be moved in pieces ({name})");
                return Err(Error::new(ErrorKind::Unsupported, text).at(key.shown()));
            }
        }
        if self.piece.len() >= PIECE || self.arguments >= PIECE_ELEMENTS {
            self.send(key, offset, out);
        }
        Ok(())
    }

    /// Whether expiry times of fields were left out.
    pub(super) fn lost_expiries(&self) -> bool {
        self.lost_expiries
    }

    pub(super) fn finish(mut self, key: &CurrentKey, offset: u64, out: &mut BatchBuilder) {
        self.send(key, offset, out);
        let (command, expect): (&[u8], _) = match self.on_conflict {
            OnConflict::Replace => (b"RENAME", Expect::Success),
            OnConflict::Fail => (b"RENAMENX", Expect::Created),
            OnConflict::Skip => (b"RENAMENX", Expect::CreatedOrKept),
        };
        // Where a key of the target's own may keep the name, the expiry has to come with the rename and not after it.
        let early = key.expire_at_ms.filter(|_| self.on_conflict == OnConflict::Skip);
        if let Some(time) = early {
            expire_at(&self.temporary, key.db, time, offset, out);
        }
        let arena = out.arena();
        encode::array_header(arena, 3);
        encode::bulk(arena, command);
        encode::bulk(arena, &self.temporary);
        let at = bulk_at(arena, &key.name);
        let may_expire = early.is_some() || self.fields_expire;
        out.commit(Mark::new(key.db, Kind::Snapshot).expect(expect).may_expire(may_expire).keys(1), Some(at), offset);
        match (self.on_conflict, key.expire_at_ms) {
            (OnConflict::Skip, _) => self.delete_temporary(key, offset, out),
            (_, Some(time)) => expire_at(&key.name, key.db, time, offset, out),
            (_, None) => {}
        }
    }

    fn push(&mut self, element: &Str<'_>) {
        match element {
            Str::Bytes(bytes) => encode::bulk(&mut self.piece, bytes),
            Str::Int(value) => encode::bulk_int(&mut self.piece, *value),
        }
        self.arguments += 1;
    }

    /// Sends what has come together.
    fn send(&mut self, key: &CurrentKey, offset: u64, out: &mut BatchBuilder) {
        if self.arguments > 0 {
            let arena = out.arena();
            encode::array_header(arena, 2 + self.arguments);
            encode::bulk(arena, self.command);
            let at = bulk_at(arena, &self.temporary);
            arena.extend_from_slice(&self.piece);
            out.commit(Mark::new(key.db, Kind::Snapshot), Some(at), offset);
            self.piece.clear();
            self.arguments = 0;
        }
        for (time, field) in self.expiries.drain(..) {
            let arena = out.arena();
            encode::array_header(arena, 6);
            encode::bulk(arena, b"HPEXPIREAT");
            let at = bulk_at(arena, &self.temporary);
            encode::bulk_int(arena, time);
            encode::bulk(arena, b"FIELDS");
            encode::bulk(arena, b"1");
            encode::bulk(arena, &field);
            out.commit(Mark::new(key.db, Kind::Snapshot), Some(at), offset);
        }
    }

    fn delete_temporary(&self, key: &CurrentKey, offset: u64, out: &mut BatchBuilder) {
        let arena = out.arena();
        encode::array_header(arena, 2);
        encode::bulk(arena, if self.target.unlink() { b"UNLINK" } else { b"DEL" });
        let at = bulk_at(arena, &self.temporary);
        out.commit(Mark::new(key.db, Kind::Snapshot), Some(at), offset);
    }
}

/// A name that is in the slot of `key`, and that no other key's temporary has. It is the same for every target.
pub(crate) fn temporary(key: &[u8]) -> Vec<u8> {
    let tag = slot::hash_tag(key);
    match tag.contains(&b'}') || tag.is_empty() {
        // The whole key decides about its slot, but would not between braces.
        true => [b"rdts:partial:{", slot::tag(slot::slot(key)).as_bytes(), b"}:", key].concat(),
        false if tag.len() == key.len() => [b"rdts:partial:{", key, b"}"].concat(),
        false => [b"rdts:partial:{", tag, b"}:", key].concat(),
    }
}

/// The key whose temporary has this name; `None` if it is no such name. Only for commands of the snapshot, since nobody keeps a user from
/// such names.
#[cfg_attr(not(feature = "codis"), allow(dead_code))]
pub(crate) fn of_temporary(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_prefix(b"rdts:partial:{")?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    match &rest[close + 1..] {
        [] => Some(&rest[..close]),
        [b':', key @ ..] => Some(key),
        _ => None,
    }
}

/// A score as every server reads it back to the same bits.
fn write_score(out: &mut Vec<u8>, score: f64) {
    if score == f64::INFINITY {
        out.extend_from_slice(b"inf");
    } else if score == f64::NEG_INFINITY {
        out.extend_from_slice(b"-inf");
    } else if score == 0.0 && score.is_sign_negative() {
        out.extend_from_slice(b"-0");
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(score).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporaries_are_in_the_slot_of_their_key_and_all_different() {
        let keys = [
            "k",
            "",
            "{t}k",
            "a{t}",
            "{t}",
            "t",
            "{}a",
            "foo{}{bar}",
            "a}b",
            "{a",
            "}",
            "{{t}}",
            "{t}:k",
            "k}:",
            "a{",
            "{}",
        ];
        for key in keys {
            assert_eq!(of_temporary(&temporary(key.as_bytes())), Some(key.as_bytes()));
        }
        let mut names: Vec<Vec<u8>> = keys.iter().map(|key| temporary(key.as_bytes())).collect();
        for (key, name) in keys.iter().zip(&names) {
            assert_eq!(slot::slot(name), slot::slot(key.as_bytes()), "{key}: {}", name.escape_ascii());
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), keys.len());
    }
}
