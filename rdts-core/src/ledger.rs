//! What became of every key and command.

use std::ops::AddAssign;

use crate::record::Mark;
use crate::translate::Lost;

/// What a sink did with the commands that it was given.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Keys of the snapshot that are in place in the target.
    pub keys: u64,
    /// Commands that the target took; several may make one key, and one several.
    pub commands: u64,
    /// Bytes of those commands.
    pub bytes: u64,
    /// Keys that were in the target before and were left alone, as the conflict policy says.
    pub kept: u64,
    /// Scripts of the stream that ended in an error, as they did in the source.
    pub script_errors: u64,
    /// Commands that a target whose keys are spread over nodes cannot execute, left out because the sink was told to.
    pub impossible: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.keys += other.keys;
        self.commands += other.commands;
        self.bytes += other.bytes;
        self.kept += other.kept;
        self.script_errors += other.script_errors;
        self.impossible += other.impossible;
    }
}

/// What a source has read, and what of it is in no batch, for a stated reason.
///
/// Everything that is read is accounted for: see [`Ledger`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intake {
    /// Keys of the snapshot that were read.
    pub keys: u64,
    /// Commands of the stream that were read, but for those that concern the link alone (`PING`, `SELECT`, `REPLCONF`).
    pub commands: u64,
    /// Those that go to the target as other commands, since it does not have them.
    pub rewritten: u64,
    /// Keys whose expiry time is zero or negative: no server could hold them.
    pub expired: u64,
    /// Keys whose value has no elements, as damaged servers have written them: no server loads them.
    pub empty: u64,
    /// Keys in databases that are not wanted.
    pub keys_of_other_dbs: u64,
    /// Commands for databases that are not wanted.
    pub commands_of_other_dbs: u64,
    /// Keys that a filter left out.
    pub filtered_keys: u64,
    /// Commands that a filter left out.
    pub filtered_commands: u64,
    /// Function libraries of the snapshot, for a target without functions (before Redis 7.0), or that it has from another shard.
    pub functions: u64,
    /// Changes of functions in the stream, for the same reasons.
    pub function_changes: u64,
    /// Data of modules that belongs to no key: no command can restore it.
    pub module_aux: u64,
    /// Published messages: subscribers of the target did not ask for them.
    pub messages: u64,
    /// What cluster nodes tell their replicas about slots.
    pub cluster: u64,
    /// Commands for keys that are not in the shard to which their slot belongs: left-overs of moves, which no client sees there.
    pub elsewhere: u64,
    /// The same for keys of the snapshot.
    pub keys_elsewhere: u64,
    /// Commands that do nothing in a server like the target: they only concern what it has nothing of.
    pub without_effect: u64,
    /// What the target cannot hold, and was left out as the policies say.
    pub lost: Lost,
}

impl Intake {
    /// The keys of the snapshot that are in no batch.
    pub fn skipped_keys(&self) -> u64 {
        self.expired + self.empty + self.keys_of_other_dbs + self.filtered_keys + self.keys_elsewhere + self.lost.keys()
    }

    /// The commands of the stream that are in no batch.
    pub fn skipped_commands(&self) -> u64 {
        self.commands_of_other_dbs
            + self.filtered_commands
            + self.function_changes
            + self.messages
            + self.cluster
            + self.elsewhere
            + self.without_effect
            + self.lost.commands()
    }

    /// Everything that was left out.
    pub fn skipped(&self) -> u64 {
        self.skipped_keys() + self.skipped_commands() + self.functions + self.module_aux
    }

    /// Counts a command that is taken out of a batch since its key belongs to another shard.
    #[cfg_attr(not(feature = "codis"), allow(dead_code))]
    pub(crate) fn take_elsewhere(&mut self, mark: &Mark) {
        self.keys_elsewhere += u64::from(mark.keys);
        self.elsewhere += u64::from(mark.writes);
    }

    /// The same for what nodes of a cluster do to move slots.
    pub(crate) fn take_move(&mut self, mark: &Mark) {
        self.keys_elsewhere += u64::from(mark.keys);
        self.cluster += u64::from(mark.writes);
    }

    /// The same for functions that another shard brings.
    pub(crate) fn take_functions(&mut self, mark: &Mark) {
        match mark.writes {
            0 => self.functions += 1,
            writes => self.function_changes += u64::from(writes),
        }
    }

    /// Counts a command that is taken out of a batch as left out by a filter.
    pub(crate) fn filter(&mut self, mark: &Mark) {
        self.filtered_keys += u64::from(mark.keys);
        self.filtered_commands += u64::from(mark.writes);
    }
}

impl AddAssign for Intake {
    fn add_assign(&mut self, other: Self) {
        self.keys += other.keys;
        self.commands += other.commands;
        self.rewritten += other.rewritten;
        self.expired += other.expired;
        self.empty += other.empty;
        self.keys_of_other_dbs += other.keys_of_other_dbs;
        self.commands_of_other_dbs += other.commands_of_other_dbs;
        self.filtered_keys += other.filtered_keys;
        self.filtered_commands += other.filtered_commands;
        self.functions += other.functions;
        self.function_changes += other.function_changes;
        self.module_aux += other.module_aux;
        self.messages += other.messages;
        self.cluster += other.cluster;
        self.elsewhere += other.elsewhere;
        self.keys_elsewhere += other.keys_elsewhere;
        self.without_effect += other.without_effect;
        self.lost += other.lost;
    }
}

/// What became of all that a run has read: the accounts of its source and its sink, and whether they agree.
///
/// | read | is |
/// |---|---|
/// | [`keys`](Intake::keys) | [done](Ledger::keys) (in place, or [kept](Counts::kept)), [left out](Intake::skipped_keys), or [on its way](Ledger::keys_on_their_way) |
/// | [`commands`](Intake::commands) | [done](Ledger::writes) (applied, or [impossible](Counts::impossible)), [left out](Intake::skipped_commands), or [on its way](Ledger::commands_on_their_way) |
///
/// Once a run has ended as it should, nothing is on its way; otherwise something was lost, and the ledger shows it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// What was read, and what of it was left out.
    pub intake: Intake,
    /// What the sink did.
    pub counts: Counts,
    /// Keys of the snapshot that the sink is through with.
    pub keys: u64,
    /// Commands of the stream that the sink is through with.
    pub writes: u64,
}

impl Ledger {
    /// Keys of the snapshot that were read, and of which nothing else is known yet. Negative if more are done than were read.
    pub fn keys_on_their_way(&self) -> i64 {
        difference(self.intake.keys, self.keys + self.intake.skipped_keys())
    }

    /// Commands of the stream that were read, and of which nothing else is known yet. Negative if more are done than were read.
    pub fn commands_on_their_way(&self) -> i64 {
        difference(self.intake.commands, self.writes + self.intake.skipped_commands())
    }

    /// Whether everything that was read is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.keys_on_their_way() == 0 && self.commands_on_their_way() == 0
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.intake += other.intake;
        self.counts += other.counts;
        self.keys += other.keys;
        self.writes += other.writes;
    }
}

fn difference(one: u64, other: u64) -> i64 {
    one.wrapping_sub(other).cast_signed()
}
