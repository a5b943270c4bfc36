//! What became of every key and command.

use std::ops::AddAssign;

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

/// What was read and, for a stated reason, not sent to the target.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skipped {
    /// Keys whose expiry time is zero or negative: no server could hold them.
    pub expired: u64,
    /// Keys whose value has no elements, as damaged servers have written them: no server loads them.
    pub empty: u64,
    /// Function libraries, for a target without functions (before Redis 7.0).
    pub functions: u64,
    /// Data of modules that belongs to no key: no command can restore it.
    pub module_aux: u64,
    /// Published messages: subscribers of the target did not ask for them.
    pub messages: u64,
    /// What cluster nodes tell their replicas about slots.
    pub cluster: u64,
    /// Commands for keys that are not in the shard to which their slot belongs: left-overs of moves, which no client sees there.
    pub elsewhere: u64,
}

impl Skipped {
    /// The sum.
    pub fn total(&self) -> u64 {
        let Self { expired, empty, functions, module_aux, messages, cluster, elsewhere } = self;
        expired + empty + functions + module_aux + messages + cluster + elsewhere
    }
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        self.expired += other.expired;
        self.empty += other.empty;
        self.functions += other.functions;
        self.module_aux += other.module_aux;
        self.messages += other.messages;
        self.cluster += other.cluster;
        self.elsewhere += other.elsewhere;
    }
}
