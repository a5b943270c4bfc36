//! Commands with several keys, of which some are wanted.

use std::borrow::Cow;

use super::command::Case;
use crate::command::{Access, keys_of};
use crate::error::{Error, Result};
use crate::translate::outcome::{Outcome, Why};

const TOGETHER: &str = "Have the rules take all of these keys or none, or leave the command out (without_commands)";

impl<'c> Case<'_, '_, 'c> {
    /// A command with several keys.
    pub(super) fn several(&self, name: &str) -> Result<Outcome<'c>> {
        let (mut wanted, mut unwanted, mut renamed, mut changes_wanted) = (0, 0, false, false);
        for key in keys_of(self.info, self.words)? {
            match self.rules.name(self.words[key.index]) {
                Some(new) => {
                    wanted += 1;
                    renamed |= matches!(new, Cow::Owned(_));
                    // Reading as a member of a group is writing, too.
                    changes_wanted |= key.access != Access::Read || name == "XREADGROUP";
                }
                None => unwanted += 1,
            }
        }
        if unwanted == 0 && !renamed {
            return Ok(Outcome::Verbatim);
        }
        if wanted == 0 || !changes_wanted {
            return Ok(Outcome::Nothing(Why::Filtered));
        }
        if unwanted == 0 {
            let mut words = self.borrowed();
            for key in keys_of(self.info, self.words)? {
                if let Some(new) = self.rules.name(self.words[key.index]) {
                    words[key.index] = new;
                }
            }
            return Ok(self.one(words));
        }
        self.some(name)
    }

    /// Some of its keys are wanted, and one that it changes is among them.
    fn some(&self, name: &str) -> Result<Outcome<'c>> {
        let one = |words: Vec<Cow<'c, [u8]>>| Ok(self.one(words));
        let word = |index: usize| self.words.get(index).copied().map(Cow::Borrowed);
        match name {
            "DEL" | "UNLINK" | "MSET" | "MSETNX" | "MSETEX" | "JSON.MSET" | "TS.MADD" => self.split(),
            // Of several keys it only reads.
            "PFCOUNT" => Ok(Outcome::Nothing(Why::Filtered)),
            "RENAME" | "RENAMENX" | "SMOVE" | "RPOPLPUSH" | "BRPOPLPUSH" | "LMOVE" | "BLMOVE" => {
                let (Some(from), Some(to)) = (self.words.get(1), self.words.get(2)) else {
                    return Err(Error::protocol(format!("{name} with too few arguments")));
                };
                match (name, self.rules.name(from), self.rules.name(to)) {
                    ("RENAME" | "RENAMENX", Some(from), None) => one(vec![Cow::Borrowed(b"DEL"), from]),
                    ("SMOVE", Some(from), None) => {
                        one([Some(Cow::Borrowed(&b"SREM"[..])), Some(from), word(3)].into_iter().flatten().collect())
                    }
                    // It is in the stream only if the member was there.
                    ("SMOVE", None, Some(to)) => {
                        one([Some(Cow::Borrowed(&b"SADD"[..])), Some(to), word(3)].into_iter().flatten().collect())
                    }
                    ("RPOPLPUSH" | "BRPOPLPUSH", Some(from), None) => one(vec![Cow::Borrowed(b"RPOP"), from]),
                    ("LMOVE" | "BLMOVE", Some(from), None) => {
                        let left = self.words.get(3).is_some_and(|side| side.eq_ignore_ascii_case(b"LEFT"));
                        one(vec![Cow::Borrowed(if left { b"LPOP" } else { b"RPOP" }), from])
                    }
                    _ => {
                        Err(self.refused("what it takes from a key that is not wanted is not in the target", TOGETHER))
                    }
                }
            }
            _ => Err(self.refused("it takes keys together of which only some are in the target", TOGETHER)),
        }
    }

    /// The same command for the keys that are wanted, with what belongs to each.
    fn split(&self) -> Result<Outcome<'c>> {
        let keys = keys_of(self.info, self.words)?;
        let step = keys.step();
        let first = keys.clone().next().map_or(self.words.len(), |key| key.index);
        let behind = first + keys.len() * step;
        let mut words: Vec<Cow<'c, [u8]>> = self.words[..first].iter().copied().map(Cow::Borrowed).collect();
        let mut count = 0;
        for key in keys {
            let Some([name, rest @ ..]) = self.words.get(key.index..key.index + step) else {
                let name = self.words[0].escape_ascii();
                return Err(Error::protocol(format!("{name} ends before the value of its last key")));
            };
            if let Some(name) = self.rules.name(name) {
                count += 1;
                words.push(name);
                words.extend(rest.iter().copied().map(Cow::Borrowed));
            }
        }
        // The number of keys, of the one command that tells it.
        if first == 2 {
            words[1] = Cow::Owned(count.to_string().into_bytes());
        }
        words.extend(self.words.get(behind..).unwrap_or_default().iter().copied().map(Cow::Borrowed));
        Ok(self.one(words))
    }
}
