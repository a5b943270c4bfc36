//! What is known of commands: which keys one names, since when servers have it, and what becomes of it on a target
//! whose keys are spread over slots.
//!
//! [`lookup`] finds a command by name, [`keys`] the keys of a concrete command, [`sharding`] how it is brought to a
//! target with slots, [`split`] makes one for each slot of it where that is the same. [`first_key`] is for the hot path
//! of a stream, where nearly every command has one key.
//!
//! The knowledge is what 17 servers from Redis 2.8 to 8.10, Valkey 8.1 to 9.1 and Codis answer to `COMMAND`, and rules
//! by hand where keys follow a keyword.
//!
//! ```
//! use rdts_core::command::{Access, Sharding, keys, lookup, sharding};
//! use rdts_core::translate::Family;
//!
//! let command: [&[u8]; 6] = [b"ZUNIONSTORE", b"all", b"2", b"a", b"b", b"WEIGHTS"];
//! let found: Vec<_> = keys(&command)?.map(|key| (command[key.index], key.access)).collect();
//! assert_eq!(found, [(&b"all"[..], Access::Overwrite), (b"a", Access::Read), (b"b", Access::Read)]);
//! assert_eq!(sharding(&command)?, Sharding::Cross);
//!
//! assert_eq!(lookup(b"hexpire").unwrap().since(Family::Valkey), Some((9, 0, 0)));
//! # Ok::<(), rdts_core::Error>(())
//! ```

mod first_key;
mod info;
mod keys;
mod sharding;
mod split;
mod table;

pub use first_key::first_key;
pub(crate) use info::index;
pub use info::{Access, CommandInfo, commands, lookup};
pub(crate) use keys::keys_of;
pub use keys::{Key, Keys, keys};
pub use sharding::{Sharding, sharding};
pub use split::{Part, split};
