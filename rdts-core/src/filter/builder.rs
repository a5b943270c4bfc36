//! Putting rules together.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rdts_rdb::ValueKind;

use super::{Pattern, Rules};
use crate::error::Result;

/// Puts [`Rules`] together. Nothing is left out until a rule says so.
///
/// `only_…` rules of one kind are alternatives; a key has to satisfy every kind that is given, and none of the `without_…` rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulesBuilder {
    pub(super) only_dbs: BTreeSet<u32>,
    pub(super) without_dbs: BTreeSet<u32>,
    pub(super) db_map: BTreeMap<u32, u32>,
    pub(super) only_keys: Vec<Pattern>,
    pub(super) without_keys: Vec<Pattern>,
    pub(super) only_types: Vec<ValueKind>,
    pub(super) without_types: Vec<ValueKind>,
    pub(super) only_slots: Vec<RangeInclusive<u16>>,
    pub(super) without_slots: Vec<RangeInclusive<u16>>,
    pub(super) only_commands: Vec<Vec<u8>>,
    pub(super) without_commands: Vec<Vec<u8>>,
    pub(super) renames: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) trust_named_keys: bool,
    pub(super) owns_target: bool,
}

impl RulesBuilder {
    /// Takes this database of the source, and others only if they are named, too.
    #[must_use]
    pub fn only_db(mut self, db: u32) -> Self {
        self.only_dbs.insert(db);
        self
    }

    /// Leaves this database of the source out.
    #[must_use]
    pub fn without_db(mut self, db: u32) -> Self {
        self.without_dbs.insert(db);
        self
    }

    /// Puts the keys of the source's database `source` into the target's database `target`; the others keep their number.
    #[must_use]
    pub fn map_db(mut self, source: u32, target: u32) -> Self {
        self.db_map.insert(source, target);
        self
    }

    /// Takes keys with such names.
    #[must_use]
    pub fn only_keys(mut self, pattern: Pattern) -> Self {
        self.only_keys.push(pattern);
        self
    }

    /// Leaves keys with such names out.
    #[must_use]
    pub fn without_keys(mut self, pattern: Pattern) -> Self {
        self.without_keys.push(pattern);
        self
    }

    /// Takes values of this type.
    #[must_use]
    pub fn only_type(mut self, kind: ValueKind) -> Self {
        self.only_types.push(kind);
        self
    }

    /// Leaves values of this type out.
    #[must_use]
    pub fn without_type(mut self, kind: ValueKind) -> Self {
        self.without_types.push(kind);
        self
    }

    /// Takes keys whose name in the source is in these [slots](crate::slot::slot()) of a cluster, whether the source is one or not.
    #[must_use]
    pub fn only_slots(mut self, slots: RangeInclusive<u16>) -> Self {
        self.only_slots.push(slots);
        self
    }

    /// Leaves keys of these slots out.
    #[must_use]
    pub fn without_slots(mut self, slots: RangeInclusive<u16>) -> Self {
        self.without_slots.push(slots);
        self
    }

    /// Takes commands of the stream with this name, which may be a glob (`BF.*`). Case does not matter.
    ///
    /// This is no rule about data: a key that such a command would have changed is different in the target from then on, and what else
    /// the source does with it may fail there. The snapshot is not concerned.
    #[must_use]
    pub fn only_commands(mut self, name: &str) -> Self {
        self.only_commands.push(name.to_ascii_uppercase().into());
        self
    }

    /// Leaves commands of the stream with this name out, with the same caution: `FLUSHALL` and `FLUSHDB` are what one may want to keep
    /// away from a target.
    #[must_use]
    pub fn without_commands(mut self, name: &str) -> Self {
        self.without_commands.push(name.to_ascii_uppercase().into());
        self
    }

    /// Gives keys whose name begins with `from` one that begins with `to` instead. Of several such rules the one with the longest `from`
    /// holds. Filters are about names in the source.
    #[must_use]
    pub fn rename_prefix(mut self, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        self.renames.push((from.into(), to.into()));
        self
    }

    /// Takes the keys that a script or a command of no known server names for all that it uses. Without this, such commands are an error
    /// under rules about keys: a script may make up names, and a command of a module may have keys that nobody knows of. One that names no
    /// key goes as it is. Default: no.
    #[must_use]
    pub fn trust_named_keys(mut self, trust: bool) -> Self {
        self.trust_named_keys = trust;
        self
    }

    /// The target's databases hold nothing but what comes from this source: then `FLUSHDB`, `FLUSHALL` and `SWAPDB` may go there under rules
    /// about keys, too, which are an error otherwise, since they would do to all keys there what the source did to its own. Default: no.
    #[must_use]
    pub fn owns_target(mut self, owns: bool) -> Self {
        self.owns_target = owns;
        self
    }

    /// The rules.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) if they contradict each other, or would give two keys the same name;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if they put several databases into one.
    pub fn build(self) -> Result<Rules> {
        Rules::new(self)
    }
}
