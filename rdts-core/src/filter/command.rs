//! A command of the stream under the rules.

use std::borrow::Cow;

use rdts_rdb::ValueKind;
use rdts_rdb::dump::Payload;

use super::Rules;
use super::effect::{Effect, effect, has_other_keys, is_script};
use crate::command::{Access, CommandInfo, Key, Sharding, keys_of, sharding};
use crate::error::{Error, ErrorKind, Result};
use crate::translate::outcome::{Out, Outcome, Why};

impl Rules {
    /// What becomes of a command for the source's database `db`, whose name is the first of `words`. `MULTI` and `EXEC` do not come here.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the rules cannot be kept exactly, naming the command, its keys and what to do.
    pub(crate) fn command<'c>(&self, db: u32, words: &[&'c [u8]]) -> Result<Outcome<'c>> {
        let name = words.first().copied().unwrap_or_default();
        if !self.takes_command(name) {
            return Ok(Outcome::Nothing(Why::Filtered));
        }
        if let Some(outcome) = self.between_databases(db, words)? {
            return Ok(outcome);
        }
        let Some(target_db) = self.db(db) else { return Ok(Outcome::Nothing(Why::OtherDb)) };
        if !self.by_key && !self.by_type {
            return Ok(Outcome::Verbatim);
        }
        let mut info = Self::info(name);
        if let (Some(command), Some(second)) = (info, words.get(1))
            && !command.subcommands().is_empty()
        {
            info = command.subcommand(second).map(|_| command);
        }
        Case { rules: self, db, target_db, words, info }.outcome()
    }
}

/// A command of a database that is wanted, under rules about keys or types.
pub(super) struct Case<'r, 'w, 'c> {
    pub(super) rules: &'r Rules,
    pub(super) db: u32,
    pub(super) target_db: u32,
    pub(super) words: &'w [&'c [u8]],
    pub(super) info: Option<&'static CommandInfo>,
}

impl<'c> Case<'_, '_, 'c> {
    fn outcome(&self) -> Result<Outcome<'c>> {
        let rules = self.rules;
        let Some(info) = self.info else { return self.unknown() };
        let name = info.name();
        if !info.is_write() && !is_script(name) && info.subcommands().is_empty() {
            // It changes nothing, whatever it names.
            return Ok(Outcome::Nothing(Why::Filtered));
        }
        if is_script(name) && (rules.by_type || !rules.spec.trust_named_keys) {
            return Err(self.refused(
                "a script may use keys that it does not name",
                "Have the source replicate what scripts do (Redis 5.0 and later; lua-replicate-commands before), leave them out \
                 (without_commands), or, under rules about names, trust the keys that they name (trust_named_keys)",
            ));
        }
        if has_other_keys(name) || (name == "SORT" && sharding(self.words)? == Sharding::Undeclared) {
            return Err(self.refused("it uses keys that cannot be told", LEAVE_IT_OUT));
        }
        let mut keys = keys_of(Some(info), self.words)?;
        let Some(first) = keys.next() else {
            return match is_script(name) || !info.subcommands().is_empty() {
                true => Ok(Outcome::Verbatim),
                false => Err(self.refused("it concerns keys that it does not name", LEAVE_IT_OUT)),
            };
        };
        if rules.by_type
            && let Some(outcome) = self.by_type(name)?
        {
            return Ok(outcome);
        }
        if keys.len() > 0 {
            return self.several(name);
        }
        Ok(match rules.name(self.words[first.index]) {
            None => Outcome::Nothing(Why::Filtered),
            Some(Cow::Borrowed(_)) => Outcome::Verbatim,
            Some(Cow::Owned(new)) => {
                let mut words = self.borrowed();
                words[first.index] = Cow::Owned(new);
                self.one(words)
            }
        })
    }

    /// A command that no known server has: its keys are a guess.
    fn unknown(&self) -> Result<Outcome<'c>> {
        if self.rules.by_type || !self.rules.spec.trust_named_keys {
            return Err(self.refused(
                "its keys are not known",
                "Leave it out (without_commands), or, under rules about names, trust that its first argument is its only key \
                 (trust_named_keys)",
            ));
        }
        let Some(key) = keys_of(None, self.words)?.next() else { return Ok(Outcome::Verbatim) };
        Ok(match self.rules.name(self.words[key.index]) {
            None => Outcome::Nothing(Why::Filtered),
            Some(Cow::Borrowed(_)) => Outcome::Verbatim,
            Some(new) => {
                let mut words = self.borrowed();
                words[key.index] = new;
                self.one(words)
            }
        })
    }

    /// What rules about types decide, if they do; otherwise names decide.
    fn by_type(&self, name: &str) -> Result<Option<Outcome<'c>>> {
        let takes = |kind| self.rules.takes(kind);
        let of = |wanted: bool, sources: &[ValueKind]| -> Result<Option<Outcome<'c>>> {
            if !wanted {
                return self.removed().map(Some);
            }
            match sources.iter().find(|kind| !takes(**kind)) {
                Some(kind) => Err(self.refused(
                    &format!("it may read a {kind}, which the target does not have"),
                    "Take that type as well, or leave the command out (without_commands)",
                )),
                None => Ok(None),
            }
        };
        match effect(name) {
            Effect::Any => Ok(None),
            Effect::On(kind) if takes(kind) => Ok(None),
            Effect::On(_) => Ok(Some(Outcome::Nothing(Why::Filtered))),
            Effect::Puts(kind) => of(takes(kind), &[]),
            Effect::PutsSorted => of(takes(ValueKind::List), &[ValueKind::Set, ValueKind::ZSet]),
            Effect::PutsUnited => of(takes(ValueKind::ZSet), &[ValueKind::Set]),
            Effect::Payload => {
                let payload = self.words.get(3).and_then(|payload| Payload::parse_unverified(payload).ok());
                let Some(payload) = payload else {
                    return Err(self.refused("its payload cannot be read", LEAVE_IT_OUT));
                };
                of(takes(payload.value_type.kind()), &[])
            }
            Effect::Rename => self.renamed_of_some_type().map(Some),
            Effect::Unknown => Err(self.refused("the type of its keys is not known", LEAVE_IT_OUT)),
        }
    }

    /// What it puts in place is not wanted: what was there goes.
    fn removed(&self) -> Result<Outcome<'c>> {
        let mut words: Vec<Cow<'c, [u8]>> = vec![Cow::Borrowed(b"DEL")];
        for key in keys_of(self.info, self.words)?.filter(|key| key.access != Access::Read) {
            words.extend(self.rules.name(self.words[key.index]));
        }
        // SORT or GEORADIUS without a destination puts nothing anywhere.
        Ok(if words.len() == 1 { Outcome::Nothing(Why::Filtered) } else { self.one(words) })
    }

    /// `RENAME` where the target may lack the key since its type is not wanted: `COPY` does nothing then, and is no error.
    fn renamed_of_some_type(&self) -> Result<Outcome<'c>> {
        let (Some(from), Some(to)) = (self.words.get(1), self.words.get(2)) else {
            return Err(Error::protocol("RENAME with too few arguments"));
        };
        let (Some(from), Some(to)) = (self.rules.name(from), self.rules.name(to)) else {
            return self.several("RENAME");
        };
        Ok(Outcome::Instead(vec![
            self.out(vec![Cow::Borrowed(b"DEL"), to.clone()]),
            self.out(vec![Cow::Borrowed(b"COPY"), from.clone(), to]),
            self.out(vec![Cow::Borrowed(b"DEL"), from]),
        ]))
    }

    pub(super) fn borrowed(&self) -> Vec<Cow<'c, [u8]>> {
        self.words.iter().copied().map(Cow::Borrowed).collect()
    }

    pub(super) fn out(&self, words: Vec<Cow<'c, [u8]>>) -> Out<'c> {
        Out { db: self.target_db, words }
    }

    pub(super) fn one(&self, words: Vec<Cow<'c, [u8]>>) -> Outcome<'c> {
        Outcome::Instead(vec![self.out(words)])
    }

    /// The error for a command that cannot be passed on exactly.
    pub(super) fn refused(&self, why: &str, remedy: &str) -> Error {
        let keys: Vec<Key> = keys_of(self.info, self.words).map(Iterator::collect).unwrap_or_default();
        let mut shown: Vec<String> = Vec::new();
        for key in keys.iter().take(SHOWN) {
            let name = self.words.get(key.index).copied().unwrap_or_default();
            let wanted = if self.rules.name(name).is_some() { "wanted" } else { "not wanted" };
            shown.push(format!("\"{}\" ({wanted})", name[..name.len().min(128)].escape_ascii()));
        }
        if keys.len() > SHOWN {
            shown.push(format!("{} more", keys.len() - SHOWN));
        }
        let keys = if shown.is_empty() { "no key".into() } else { shown.join(", ") };
        let name = self.words.first().copied().unwrap_or_default();
        let text = format!(
            "{} with {keys} of db {} cannot be passed on exactly under the rules: {why}. {remedy}",
            name[..name.len().min(64)].escape_ascii(),
            self.db
        );
        Error::new(ErrorKind::Unsupported, text)
    }
}

/// So many keys are named in an error.
const SHOWN: usize = 8;

pub(super) const LEAVE_IT_OUT: &str = "Take everything, or leave the command out (without_commands)";
