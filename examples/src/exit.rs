//! The exit statuses of the programs; scripts depend on them.

/// All went well.
pub const SUCCESS: u8 = 0;
/// The command line cannot be used.
pub const USAGE: u8 = 2;
/// Something that was looked at before the start forbids it; nothing was written.
pub const PRECHECK: u8 = 3;
/// The work itself failed, or a file is damaged.
pub const FAILED: u8 = 4;
/// Two sides that should be equal are not.
pub const DIFFERENT: u8 = 5;
/// A deadline passed.
pub const TIMEOUT: u8 = 6;
