//! What a target cannot hold, and what is to become of it.

use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that some servers have and others do not.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossKind {
    /// Streams: Redis 5.0 and later, Valkey.
    Streams,
    /// Pending entries of a stream that no consumer owns (`XNACK`): Redis 8.8 and later.
    StreamNacks,
    /// Idempotent producers of a stream (`XADD … IDMP`, `XCFGSET`): Redis 8.6 and later.
    StreamProducers,
    /// Expiry times of the fields of a hash: Redis 7.4, Valkey 9.0 and later.
    HashFieldExpiry,
    /// Values and commands of modules (`JSON.SET`, `BF.ADD`, …), which only a server with the module knows.
    Modules,
    /// Function libraries: Redis 7.0 and later, Valkey.
    Functions,
    /// Vector sets: Redis 8.0 and later.
    VectorSets,
    /// Arrays: Redis 8.8 and later.
    Arrays,
    /// Commands that are in no table of ours: of a fork, or of a later version.
    UnknownCommands,
}

impl LossKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Streams,
        Self::StreamNacks,
        Self::StreamProducers,
        Self::HashFieldExpiry,
        Self::Modules,
        Self::Functions,
        Self::VectorSets,
        Self::Arrays,
        Self::UnknownCommands,
    ];

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::StreamNacks => "stream-nacks",
            Self::StreamProducers => "stream-producers",
            Self::HashFieldExpiry => "hash-field-expiry",
            Self::Modules => "modules",
            Self::Functions => "functions",
            Self::VectorSets => "vector-sets",
            Self::Arrays => "arrays",
            Self::UnknownCommands => "unknown-commands",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it is, for a message.
    pub fn described(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::StreamNacks => "pending entries of a stream that no consumer owns",
            Self::StreamProducers => "idempotent producers of a stream",
            Self::HashFieldExpiry => "expiry times of the fields of a hash",
            Self::Modules => "values of modules",
            Self::Functions => "functions",
            Self::VectorSets => "vector sets",
            Self::Arrays => "arrays",
            Self::UnknownCommands => "commands that are not known",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is done where the target cannot hold something.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnLoss {
    /// Stop, with an error that names the key and the remedy.
    #[default]
    Stop,
    /// Leave it out, and count it.
    Drop,
    /// Hand it to the target as it is, which may know it after all. What it refuses stops the run.
    Pass,
}

/// How many examples of each kind are kept.
const EXAMPLES: usize = 10;
/// How many bytes of a key are kept.
const LONGEST_EXAMPLE: usize = 128;

/// What is to become of what the target cannot hold, by kind; the same in the snapshot and in the stream.
///
/// By default everything stops the run, but for modules, which a target may have: see [`OnLoss::Pass`]. Clones share one record of
/// [examples](Self::examples), so whoever keeps one can read there what all that were made of it have left out.
///
/// ```
/// use rdts_core::translate::{LossKind, Losses, OnLoss};
///
/// let losses = Losses::default().on(LossKind::Streams, OnLoss::Drop);
/// assert_eq!(losses.policy(LossKind::Streams), OnLoss::Drop);
/// assert_eq!(losses.policy(LossKind::Functions), OnLoss::Stop);
/// ```
#[derive(Debug, Clone)]
pub struct Losses {
    policies: [OnLoss; LossKind::ALL.len()],
    examples: Arc<Mutex<Vec<LossExample>>>,
}

/// Something that was left out.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossExample {
    /// Its kind.
    pub kind: LossKind,
    /// The key, or the command if it has none, as `redis-cli` prints it and cut to a length.
    pub what: String,
}

impl Default for Losses {
    fn default() -> Self {
        let mut policies = [OnLoss::Stop; LossKind::ALL.len()];
        policies[LossKind::Modules.index()] = OnLoss::Pass;
        Self { policies, examples: Arc::default() }
    }
}

/// Whether the policies are the same.
impl PartialEq for Losses {
    fn eq(&self, other: &Self) -> bool {
        self.policies == other.policies
    }
}

impl Eq for Losses {}

impl Losses {
    /// Sets what is done about one kind.
    #[must_use]
    pub fn on(mut self, kind: LossKind, policy: OnLoss) -> Self {
        self.policies[kind.index()] = policy;
        self
    }

    /// What is done about one kind.
    pub fn policy(&self, kind: LossKind) -> OnLoss {
        self.policies[kind.index()]
    }

    /// The first things of each kind that were left out, 10 of a kind at most, by whatever shares this record.
    pub fn examples(&self) -> Vec<LossExample> {
        self.examples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether anything may be left out as a whole, so that later commands may not find a key which the source has.
    pub(crate) fn drops_keys(&self) -> bool {
        [LossKind::Streams, LossKind::Modules, LossKind::VectorSets, LossKind::Arrays, LossKind::UnknownCommands]
            .into_iter()
            .any(|kind| self.policy(kind) == OnLoss::Drop)
    }

    /// Remembers an example, unless there are enough.
    pub(crate) fn remember(&self, kind: LossKind, what: &[u8]) {
        let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        let what = what[..what.len().min(LONGEST_EXAMPLE)].escape_ascii().to_string();
        let example = LossExample { kind, what };
        if examples.iter().filter(|known| known.kind == kind).count() < EXAMPLES && !examples.contains(&example) {
            tracing::warn!(kind = kind.name(), what = example.what, "left out, since the target cannot hold it");
            examples.push(example);
        }
    }
}

/// How much was left out since the target cannot hold it, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    kinds: [LostOfKind; LossKind::ALL.len()],
}

/// How much of one kind was left out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LostOfKind {
    /// Keys of the snapshot that are not in the target.
    pub keys: u64,
    /// Commands of the stream that did not go to the target.
    pub commands: u64,
    /// Keys of the snapshot, function libraries and commands of the stream of which a part was left out.
    pub parts: u64,
}

impl Lost {
    /// How much of this kind.
    pub fn of(&self, kind: LossKind) -> LostOfKind {
        self.kinds[kind.index()]
    }

    /// The keys of the snapshot that were left out, of all kinds.
    pub fn keys(&self) -> u64 {
        self.kinds.iter().map(|lost| lost.keys).sum()
    }

    /// The commands of the stream that were left out, of all kinds.
    pub fn commands(&self) -> u64 {
        self.kinds.iter().map(|lost| lost.commands).sum()
    }

    /// The keys and commands that went to the target without a part, of all kinds.
    pub fn parts(&self) -> u64 {
        self.kinds.iter().map(|lost| lost.parts).sum()
    }

    pub(crate) fn of_mut(&mut self, kind: LossKind) -> &mut LostOfKind {
        &mut self.kinds[kind.index()]
    }
}

impl AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        for (one, other) in self.kinds.iter_mut().zip(other.kinds) {
            one.keys += other.keys;
            one.commands += other.commands;
            one.parts += other.parts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_and_places_of_their_own() {
        for (index, kind) in LossKind::ALL.into_iter().enumerate() {
            assert_eq!((kind.index(), LossKind::from_name(kind.name())), (index, Some(kind)));
        }
    }

    #[test]
    fn examples_are_few_and_shared() {
        let losses = Losses::default();
        let clone = losses.clone().on(LossKind::Arrays, OnLoss::Drop);
        for index in 0..100 {
            clone.remember(LossKind::Arrays, format!("key {index}").as_bytes());
            clone.remember(LossKind::Streams, b"the same");
        }
        clone.remember(LossKind::Streams, &[0xFF; 1000]);
        let examples = losses.examples();
        assert_eq!(examples.len(), EXAMPLES + 2);
        assert!(examples.iter().all(|example| example.what.len() <= 4 * LONGEST_EXAMPLE));
        assert!(clone.drops_keys() && !losses.drops_keys());
    }
}
