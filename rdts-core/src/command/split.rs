//! One command for several keys → one for each slot.

use std::borrow::Cow;

use super::keys::keys;
use super::sharding::{Sharding, sharding};
use crate::error::{Error, ErrorKind, Result};

/// What a command does with the keys of one slot.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// The slot.
    pub slot: u16,
    /// The command for the keys in it, its name first.
    pub args: Vec<Cow<'a, [u8]>>,
}

/// Splits a command that is [`Sharding::Split`] into one for each slot, in the order of each slot's first key; within
/// one the keys keep their order. All of them together have its effect.
///
/// ```
/// use rdts_core::command::split;
/// use rdts_core::slot::slot;
///
/// let parts = split(&[b"MSET", b"{a}1", b"x", b"{b}", b"y", b"{a}2", b"z"], slot)?;
/// assert_eq!(parts.len(), 2);
/// assert_eq!(parts[0].args, [&b"MSET"[..], b"{a}1", b"x", b"{a}2", b"z"]);
/// # Ok::<(), rdts_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Unsupported`] if the command is something else, [`ErrorKind::Protocol`] if an argument of its last key
/// is missing, and as [`keys`].
pub fn split<'a>(args: &[&'a [u8]], slot: impl Fn(&[u8]) -> u16) -> Result<Vec<Part<'a>>> {
    if sharding(args)? != Sharding::Split {
        let name = args.first().map_or_else(String::new, |name| name.escape_ascii().to_string());
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{name} cannot be split into commands for single keys"),
        ));
    }
    let found = keys(args)?;
    let step = found.step();
    let first = found.clone().next().map_or(args.len(), |key| key.index);
    let behind = first + found.len() * step;
    let mut parts: Vec<Part<'a>> = Vec::new();
    for key in found {
        let Some(unit) = args.get(key.index..key.index + step) else {
            let name = args[0].escape_ascii();
            return Err(Error::protocol(format!("{name} ends before the value of its last key")));
        };
        let slot = slot(unit[0]);
        let at = parts.iter().position(|part| part.slot == slot).unwrap_or_else(|| {
            parts.push(Part { slot, args: args[..first].iter().copied().map(Cow::Borrowed).collect() });
            parts.len() - 1
        });
        parts[at].args.extend(unit.iter().copied().map(Cow::Borrowed));
    }
    for part in &mut parts {
        // The number of keys, of the one command that tells it.
        if first == 2 {
            let count = (part.args.len() - first) / step;
            part.args[1] = Cow::Owned(count.to_string().into_bytes());
        }
        part.args.extend(args.get(behind..).unwrap_or_default().iter().copied().map(Cow::Borrowed));
    }
    Ok(parts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<String>> {
        let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        // By the first letter of a key.
        let parts = split(&args, |key| u16::from(key[0]))?;
        let shown =
            |part: &Part<'_>| part.args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" ");
        Ok(parts.iter().map(shown).collect())
    }

    #[test]
    fn each_slot_has_its_keys_with_all_that_belongs_to_them() {
        assert_eq!(of("DEL b1 a1 b2").unwrap(), ["DEL b1 b2", "DEL a1"]);
        assert_eq!(of("mset b1 1 a1 2 b1 3").unwrap(), ["mset b1 1 b1 3", "mset a1 2"]);
        assert_eq!(of("MSETEX 3 b1 1 a1 2 b2 3 EX 5").unwrap(), ["MSETEX 2 b1 1 b2 3 EX 5", "MSETEX 1 a1 2 EX 5"]);
        assert_eq!(of("SLOTSRESTORE b1 0 x a1 5 y").unwrap(), ["SLOTSRESTORE b1 0 x", "SLOTSRESTORE a1 5 y"]);
        assert_eq!(of("DEL a1 a2 a1").unwrap(), ["DEL a1 a2 a1"]);
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        assert_eq!(of("RENAME a b").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(of("MSETEX 2 a 1 b 2 NX").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(of("MSET a 1 b").unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(of("SLOTSRESTORE a 1 x b 2").unwrap_err().kind(), ErrorKind::Protocol);
    }
}
