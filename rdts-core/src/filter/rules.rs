//! The rules themselves.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use rdts_rdb::ValueKind;

use super::{RulesBuilder, glob};
use crate::command::{CommandInfo, lookup};
use crate::error::{Error, ErrorKind, Result};
use crate::slot::slot;

/// What is wanted of a source, and under which name it goes to the target.
///
/// ```
/// use rdts_core::filter::{Pattern, Rules};
///
/// let rules = Rules::builder()
///     .only_db(3)
///     .map_db(3, 0)
///     .only_keys(Pattern::prefix("user:"))
///     .without_keys(Pattern::glob("user:*:tmp"))
///     .rename_prefix("user:", "customer:")
///     .build()?;
/// assert_eq!(rules.db(3), Some(0));
/// assert_eq!(rules.key(3, b"user:1").as_deref(), Some(&b"customer:1"[..]));
/// assert_eq!(rules.key(3, b"user:1:tmp"), None);
/// assert_eq!(rules.key(0, b"user:1"), None);
/// # Ok::<(), rdts_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub(super) spec: RulesBuilder,
    /// Longest first.
    renames: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether names decide about anything.
    pub(super) by_key: bool,
    pub(super) by_type: bool,
}

impl Rules {
    /// Rules that take everything as it is, until they are told otherwise.
    pub fn builder() -> RulesBuilder {
        RulesBuilder::default()
    }

    pub(super) fn new(mut spec: RulesBuilder) -> Result<Self> {
        super::check::check(&spec)?;
        spec.renames.retain(|(from, to)| from != to);
        let mut renames = spec.renames.clone();
        renames.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        let by_key = !(renames.is_empty()
            && spec.only_keys.is_empty()
            && spec.without_keys.is_empty()
            && spec.only_slots.is_empty()
            && spec.without_slots.is_empty());
        let by_type = !(spec.only_types.is_empty() && spec.without_types.is_empty());
        Ok(Self { renames, by_key, by_type, spec })
    }

    /// Only the source's database `source`, whose keys go into the target's database `target`.
    pub fn one_db(source: u32, target: u32) -> Self {
        let spec = Self::builder().only_db(source).map_db(source, target);
        Self { spec, renames: Vec::new(), by_key: false, by_type: false }
    }

    /// The target's database for keys of the source's database `db`; `None` if they are not wanted.
    #[inline]
    pub fn db(&self, db: u32) -> Option<u32> {
        let spec = &self.spec;
        let wanted = (spec.only_dbs.is_empty() || spec.only_dbs.contains(&db)) && !spec.without_dbs.contains(&db);
        wanted.then(|| spec.db_map.get(&db).copied().unwrap_or(db))
    }

    /// The only databases that are wanted, if not all but some.
    pub(crate) fn only_dbs(&self) -> Option<Vec<u32>> {
        let spec = &self.spec;
        let only = || spec.only_dbs.difference(&spec.without_dbs).copied().collect();
        (!spec.only_dbs.is_empty()).then(only)
    }

    /// The target's databases, if it can be said which.
    pub(super) fn target_dbs(&self) -> Option<BTreeSet<u32>> {
        Some(self.only_dbs()?.into_iter().filter_map(|db| self.db(db)).collect())
    }

    /// Whether every database keeps its number.
    pub(super) fn keeps_dbs(&self) -> bool {
        let spec = &self.spec;
        spec.only_dbs.is_empty() && spec.without_dbs.is_empty() && spec.db_map.iter().all(|(from, to)| from == to)
    }

    /// Where goes what belongs to no database.
    pub(crate) fn home(&self) -> u32 {
        let only = self.spec.only_dbs.iter().find_map(|db| self.db(*db));
        only.or_else(|| self.db(0)).unwrap_or_default()
    }

    /// The name in the target of a key of the source's database `db`; `None` if it is not wanted.
    pub fn key<'k>(&self, db: u32, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        self.db(db)?;
        self.name(key)
    }

    /// The same for a database that is wanted.
    #[inline]
    pub(super) fn name<'k>(&self, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        if !self.by_key {
            return Some(Cow::Borrowed(key));
        }
        let spec = &self.spec;
        if !spec.only_keys.is_empty() && !spec.only_keys.iter().any(|pattern| pattern.matches(key)) {
            return None;
        }
        if spec.without_keys.iter().any(|pattern| pattern.matches(key)) {
            return None;
        }
        if !spec.only_slots.is_empty() || !spec.without_slots.is_empty() {
            let slot = slot(key);
            let wanted = spec.only_slots.is_empty() || spec.only_slots.iter().any(|slots| slots.contains(&slot));
            if !wanted || spec.without_slots.iter().any(|slots| slots.contains(&slot)) {
                return None;
            }
        }
        let found = self.renames.iter().find_map(|(from, to)| Some((key.strip_prefix(&from[..])?, to)));
        Some(found.map_or(Cow::Borrowed(key), |(rest, to)| Cow::Owned([to, rest].concat())))
    }

    /// Whether values of this type are wanted.
    #[inline]
    pub fn takes(&self, kind: ValueKind) -> bool {
        let spec = &self.spec;
        (spec.only_types.is_empty() || spec.only_types.contains(&kind)) && !spec.without_types.contains(&kind)
    }

    /// Whether keys get other names.
    pub fn renames(&self) -> bool {
        !self.renames.is_empty()
    }

    /// Whether names or types decide about anything.
    pub(crate) fn choose_keys(&self) -> bool {
        self.by_key || self.by_type
    }

    /// Whether types decide about anything.
    pub fn chooses_types(&self) -> bool {
        self.by_type
    }

    /// Refuses to rename keys of a source that is read slot by slot: to which slot a command belongs is told by the key that it has in the
    /// target.
    pub(crate) fn refuse_renames(rules: Option<&Arc<Self>>, source: &str) -> Result<()> {
        if rules.is_some_and(|rules| rules.renames()) {
            let text = format!(
                "keys of {source} cannot be renamed: its slots are told by the names of keys. Take the rule out (rename_prefix), or rename \
                 in a second run"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(())
    }

    /// Whether commands of this name are wanted.
    pub(super) fn takes_command(&self, name: &[u8]) -> bool {
        let spec = &self.spec;
        if spec.only_commands.is_empty() && spec.without_commands.is_empty() {
            return true;
        }
        let upper = name.to_ascii_uppercase();
        let meant = |globs: &[Vec<u8>]| globs.iter().any(|pattern| glob::matches(pattern, &upper));
        (spec.only_commands.is_empty() || meant(&spec.only_commands)) && !meant(&spec.without_commands)
    }

    /// What is known of a command.
    pub(super) fn info(name: &[u8]) -> Option<&'static CommandInfo> {
        lookup(name)
    }
}
