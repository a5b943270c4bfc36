//! Commands that concern whole databases, or two of them.

use std::borrow::Cow;

use super::Rules;
use super::command::Case;
use crate::error::{Error, ErrorKind, Result};
use crate::translate::outcome::{Out, Outcome, Why};

impl Rules {
    /// What becomes of `FLUSHALL`, `FLUSHDB`, `SWAPDB`, `MOVE` and `COPY`; `None` for all others.
    pub(super) fn between_databases<'c>(&self, db: u32, words: &[&'c [u8]]) -> Result<Option<Outcome<'c>>> {
        let name = words.first().copied().unwrap_or_default();
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            4 if is(b"MOVE") => self.moved(db, words).map(Some),
            4 if is(b"COPY") => self.copied(db, words).map(Some),
            6 if is(b"SWAPDB") => self.swapped(words).map(Some),
            7 if is(b"FLUSHDB") => {
                if self.db(db).is_none() {
                    return Ok(Some(Outcome::Nothing(Why::OtherDb)));
                }
                self.may_reach_all(name)?;
                Ok(Some(Outcome::Verbatim))
            }
            8 if is(b"FLUSHALL") => self.all_flushed(words).map(Some),
            _ => Ok(None),
        }
    }

    /// Under rules about keys, the target's databases may hold what is not ours.
    fn may_reach_all(&self, name: &[u8]) -> Result<()> {
        if (self.by_key || self.by_type) && !self.spec.owns_target {
            let text = format!(
                "{} cannot be passed on exactly under rules about keys: the target may hold keys that are not from this source. Say that \
                 it holds nothing else (owns_target), or leave the command out (without_commands)",
                name.escape_ascii()
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(())
    }

    fn all_flushed<'c>(&self, words: &[&'c [u8]]) -> Result<Outcome<'c>> {
        self.may_reach_all(words[0])?;
        if self.keeps_dbs() {
            return Ok(Outcome::Verbatim);
        }
        let Some(dbs) = self.target_dbs() else {
            let text = "FLUSHALL cannot be passed on exactly where some databases are left out or get another number and any others are \
                        wanted: name those that are (only_db), or leave the command out (without_commands)";
            return Err(Error::new(ErrorKind::Unsupported, text));
        };
        let command = |db| {
            let name = Cow::Borrowed(&b"FLUSHDB"[..]);
            Out { db, words: std::iter::once(name).chain(words[1..].iter().copied().map(Cow::Borrowed)).collect() }
        };
        Ok(Outcome::Instead(dbs.into_iter().map(command).collect()))
    }

    fn swapped<'c>(&self, words: &[&'c [u8]]) -> Result<Outcome<'c>> {
        let (one, two) = (number(words, 1)?, number(words, 2)?);
        match (self.db(one), self.db(two)) {
            (None, None) => Ok(Outcome::Nothing(Why::OtherDb)),
            (Some(to_one), Some(to_two)) => {
                self.may_reach_all(words[0])?;
                let word = |db: u32| Cow::Owned(db.to_string().into_bytes());
                let words = vec![Cow::Borrowed(words[0]), word(to_one), word(to_two)];
                Ok(Outcome::Instead(vec![Out { db: to_one, words }]))
            }
            _ => {
                let text = format!(
                    "SWAPDB {one} {two} cannot be passed on exactly: only one of these databases is wanted, and what comes into it is not \
                     in the target. Take both or neither, or leave the command out (without_commands)"
                );
                Err(Error::new(ErrorKind::Unsupported, text))
            }
        }
    }

    /// `MOVE key db`
    fn moved<'c>(&self, db: u32, words: &[&'c [u8]]) -> Result<Outcome<'c>> {
        let to = number(words, 2)?;
        let case = self.case(db, words);
        let Some(key) = self.name(words[1]) else { return Ok(Outcome::Nothing(Why::Filtered)) };
        match (self.db(db), self.db(to)) {
            (None, None) => Ok(Outcome::Nothing(Why::OtherDb)),
            (Some(_), None) => Ok(case.one(vec![Cow::Borrowed(b"DEL"), key])),
            (Some(_), Some(same)) if same == to && matches!(key, Cow::Borrowed(_)) => Ok(Outcome::Verbatim),
            (Some(_), Some(to)) => {
                Ok(case.one(vec![Cow::Borrowed(words[0]), key, Cow::Owned(to.to_string().into_bytes())]))
            }
            (None, Some(_)) => {
                Err(case.refused(&format!("it comes from db {db} into {to}, and only that is wanted"), BOTH))
            }
        }
    }

    /// `COPY source destination [DB db] [REPLACE]`
    fn copied<'c>(&self, db: u32, words: &[&'c [u8]]) -> Result<Outcome<'c>> {
        let [_, from, to, options @ ..] = words else { return Err(Error::protocol("COPY with too few arguments")) };
        let (mut to_db, mut at_db, mut replace, mut at) = (db, None, false, 0);
        while let Some(option) = options.get(at) {
            if option.eq_ignore_ascii_case(b"DB") {
                to_db = number(words, at + 4)?;
                at_db = Some(at + 4);
                at += 1;
            }
            replace |= option.eq_ignore_ascii_case(b"REPLACE");
            at += 1;
        }
        let case = self.case(db, words);
        let Some(target_db) = self.db(to_db) else { return Ok(Outcome::Nothing(Why::OtherDb)) };
        let Some(to) = self.name(to) else { return Ok(Outcome::Nothing(Why::Filtered)) };
        let (Some(_), Some(from)) = (self.db(db), self.name(from)) else {
            return Err(case.refused("what it copies is not in the target", BOTH));
        };
        let mut out = case.borrowed();
        let unchanged = matches!((&from, &to), (Cow::Borrowed(_), Cow::Borrowed(_)));
        let removed = Out { db: target_db, words: vec![Cow::Borrowed(b"DEL"), to.clone()] };
        (out[1], out[2]) = (from, to);
        if let Some(at) = at_db {
            out[at] = Cow::Owned(target_db.to_string().into_bytes());
        }
        Ok(match replace && self.by_type {
            // It copies nothing if the key is not in the target since its type is not wanted, and then the copy is not, either.
            true => Outcome::Instead(vec![removed, case.out(out)]),
            false if unchanged && at_db.is_none() => Outcome::Verbatim,
            false => case.one(out),
        })
    }

    fn case<'r, 'w, 'c>(&'r self, db: u32, words: &'w [&'c [u8]]) -> Case<'r, 'w, 'c> {
        let target_db = self.db(db).unwrap_or_default();
        Case { rules: self, db, target_db, words, info: Self::info(words[0]) }
    }
}

const BOTH: &str =
    "Have the rules take both keys and databases or neither, or leave the command out (without_commands)";

fn number(words: &[&[u8]], index: usize) -> Result<u32> {
    let word = words.get(index).copied().unwrap_or_default();
    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let name = words.first().copied().unwrap_or_default();
        Error::protocol(format!("{} with '{}' for a database", name.escape_ascii(), word.escape_ascii()))
    })
}
