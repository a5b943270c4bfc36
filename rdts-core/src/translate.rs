//! Turns what a source says into commands that the target's version understands.
//!
//! [`SnapshotTranslator`] takes the events of an RDB parser, [`StreamTranslator`] the commands of a replication stream; both
//! append to a [`BatchBuilder`](crate::record::BatchBuilder).

mod big_value;
mod group;
mod losses;
pub(crate) mod outcome;
mod payload;
mod rewrite;
mod slots_restore;
mod snapshot;
mod stream;
mod target;

use std::sync::Arc;

use crate::filter::Rules;

#[cfg_attr(not(feature = "codis"), allow(unused_imports))]
pub(crate) use big_value::of_temporary;
#[cfg(feature = "conformance")]
pub(crate) use big_value::temporary;
pub use losses::{LossExample, LossKind, Losses, Lost, LostOfKind, OnLoss};
pub use rewrite::{Rule, rules};
pub use snapshot::SnapshotTranslator;
pub use stream::{StreamTranslator, Translated};
pub use target::{Family, Target};

/// What to do with a key of the snapshot that the target has already.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnConflict {
    /// Stop: nobody else should write there.
    #[default]
    Fail,
    /// Put the source's key in its place.
    Replace,
    /// Leave the target's key alone, and count it.
    Skip,
}

/// How snapshot and stream are translated.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslateOptions {
    /// What to do with keys that are there. Default: [`OnConflict::Fail`].
    pub on_conflict: OnConflict,
    /// What is wanted of the source, and under which name it goes to the target. Default: everything as it is.
    pub rules: Option<Arc<Rules>>,
    /// Put strings of the snapshot that do not expire in place many at a time, by `MSET` or `MSETNX`: about a quarter less work for
    /// the target. Only for a target whose keys all live together, and where nothing between source and sink decides by single
    /// keys. Without effect with [`OnConflict::Skip`]. Default: no.
    pub group_strings: bool,
    /// Pass on what nodes of a cluster say of slots that move, as [`Kind::Move`](crate::record::Kind::Move), to somebody who
    /// understands it: a [`fleet`](crate::fleet) does. Default: no, leave it out.
    pub slot_moves: bool,
    /// Up to how many bytes of RDB a list, set, zset or hash is converted as a whole if the target's `RESTORE` does not know its encoding; it
    /// is in memory decoded for that. Bigger ones are built piece by piece under a temporary name. Default: 1 MiB.
    pub convert_up_to: usize,
    /// What is to become of what the target cannot hold. Default: it stops the run, but for modules.
    pub losses: Losses,
}

impl Default for TranslateOptions {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::default(),
            rules: None,
            group_strings: false,
            slot_moves: false,
            convert_up_to: 1 << 20,
            losses: Losses::default(),
        }
    }
}

impl TranslateOptions {
    /// Sets [`on_conflict`](Self::on_conflict).
    #[must_use]
    pub fn on_conflict(mut self, policy: OnConflict) -> Self {
        self.on_conflict = policy;
        self
    }

    /// Sets [`rules`](Self::rules).
    #[must_use]
    pub fn rules(mut self, rules: impl Into<Arc<Rules>>) -> Self {
        self.rules = Some(rules.into());
        self
    }

    /// Sets [`group_strings`](Self::group_strings).
    #[must_use]
    pub fn group_strings(mut self, group: bool) -> Self {
        self.group_strings = group;
        self
    }

    /// Sets [`convert_up_to`](Self::convert_up_to).
    #[must_use]
    pub fn convert_up_to(mut self, bytes: usize) -> Self {
        self.convert_up_to = bytes;
        self
    }

    /// Sets [`losses`](Self::losses).
    #[must_use]
    pub fn losses(mut self, losses: Losses) -> Self {
        self.losses = losses;
        self
    }

    /// Sets [`slot_moves`](Self::slot_moves).
    #[must_use]
    pub fn slot_moves(mut self, pass_on: bool) -> Self {
        self.slot_moves = pass_on;
        self
    }

    /// Where keys of the source's database `db` go; `None` if they are not wanted.
    pub(crate) fn map_db(&self, db: u32) -> Option<u32> {
        self.rules.as_ref().map_or(Some(db), |rules| rules.db(db))
    }
}

/// Values up to so many bytes of RDB go as one `RESTORE`: a fraction of the work of element commands on both sides. Bigger ones
/// are built piece by piece, so that neither side holds one in memory twice nor blocks for long.
pub(crate) const WHOLE_VALUE: usize = 8 << 20;
/// Bytes of one command that adds elements to a value that is built piece by piece.
pub(crate) const PIECE: usize = 64 << 10;
/// Elements of such a command: servers handle each element in their one thread.
pub(crate) const PIECE_ELEMENTS: usize = 1024;
