//! Commands whose keys are in different slots, executed exactly as one server would.
//!
//! A cluster refuses `RENAME a b` when `a` and `b` are in different slots; a source that is one server has executed it.
//! [`execute`] has the same effect in several steps, each for one slot: values, expiry and reply are those that one
//! server would give, and so is the error when it would give one. [`transaction`] does that with the commands of a
//! `MULTI` … `EXEC`.
//!
//! The caller sees to it that everything before is applied, and that nobody else writes to the command's keys in the
//! meantime. While it is under way, readers of the target can see it half done.
//!
//! # Means
//!
//! - `RENAME`, `RENAMENX`, `COPY`: the value travels as `DUMP` and `RESTORE`.
//! - `SMOVE`, `LMOVE` and their kin: one element is added there and removed here; the values stay where they are.
//! - `MSETNX`, `MSETEX NX|XX`: the condition is asked of each key, then each slot gets its part. `LMPOP`, `ZMPOP`: key
//!   by key, until one gives something.
//! - All others (`SUNIONSTORE`, `ZRANGESTORE`, `BITOP`, `PFMERGE`, `SORT … STORE`, `LMOVEM`, …): the keys of other
//!   slots are copied by `DUMP` and `RESTORE` to temporary keys in the slot of the destination; the command runs there
//!   with its keys replaced; what it changed of the copies goes back in the same way, with its old expiry; the
//!   temporary keys are removed. They are called `rdts:tmp:{TAG}:…`, and expire after an hour if nobody is left to
//!   remove them.
//!
//! A value travels through this process's memory whole, and can have at most 512 MiB (a limit of servers). How long it
//! was idle, which matters for eviction alone, it forgets.
//!
//! # When it fails in the middle
//!
//! Steps that add come before steps that remove, so that nothing is ever lost: `RENAME` restores the destination, then
//! deletes the source; `LMOVE` pushes, then pops. So a failure leaves something twice, or a part of the keys written.
//! To do it again from the beginning is exact for `RENAME`, `COPY REPLACE`, `SMOVE`, and for what replaces its
//! destination without reading it; it is not for `RENAMENX`, `COPY`, `MSETNX` and `MSETEX NX|XX` (they find what they
//! wrote), `LMOVE`, `LMPOP` and `ZMPOP` (they move another element), nor where the destination is read too
//! (`ZUNIONSTORE a 2 a b`).
//!
//! # What cannot be done
//!
//! Some commands do not tell what they use ([`Refusal`]). Nothing of them, or of a transaction with one of them, is
//! executed.

mod copy;
mod elements;
mod gather;
mod parts;
mod value;

use std::fmt;
use std::future::Future;

use rdts_core::command::{Sharding, keys, lookup, sharding};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::slot;
use rdts_core::translate::Target;
use rdts_resp::Reply;

/// What the names of temporary keys begin with.
pub(crate) const TEMPORARY: &[u8] = b"rdts:tmp:";

/// A target whose keys are spread over nodes by slots.
pub trait Nodes: Send {
    /// What the nodes are.
    fn target(&self) -> Target;

    /// Executes a command on the node that has the slot of `key`, in database `db`, and gives its reply, which may be
    /// an error. Redirections are followed. With an empty `key` any node will do.
    ///
    /// # Errors
    /// If there is no reply.
    fn call(&mut self, key: &[u8], db: u32, args: &[&[u8]]) -> impl Future<Output = Result<Reply>> + Send;

    /// Executes a command on every node that has slots, and gives an error among the replies if there is one, otherwise
    /// any of them.
    ///
    /// # Errors
    /// If there is a reply missing.
    fn call_all(&mut self, db: u32, args: &[&[u8]]) -> impl Future<Output = Result<Reply>> + Send;

    /// The slot of a key: that of a cluster, unless the target has other rules.
    fn slot(&self, key: &[u8]) -> u16 {
        slot::slot(key)
    }

    /// A text that is in the slot when it is a hash tag.
    fn tag(&self, slot: u16) -> &'static str {
        slot::tag(slot)
    }
}

/// What became of a command.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Crossing {
    /// It was executed, and one server would have given this reply. It may be an error.
    Done(Reply),
    /// It cannot be executed exactly. Nothing was.
    Refused(Refusal),
}

/// Why a command cannot be executed exactly.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A script or function whose keys are in different slots: it may do anything with them.
    Script,
    /// A script or function that declares no key.
    Undeclared,
    /// `SORT` with `BY` or `GET` patterns, which lead to keys that it does not name.
    Patterns,
    /// A command with keys in different slots that there is no rule for: of a module, or a blocking one.
    Keys,
    /// It concerns the server as a whole, or its slots: `SWAPDB`, `MIGRATE`, `CLUSTER`, …
    Server,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Script => "a script whose keys are in different slots",
            Self::Undeclared => "a script that does not declare its keys",
            Self::Patterns => "a sort by patterns, whose keys may be in any slot",
            Self::Keys => "its keys are in different slots, and it cannot be taken apart",
            Self::Server => "it concerns a whole server, and a target with slots has several",
        })
    }
}

/// Whether and why a command cannot be executed exactly on these nodes.
///
/// # Errors
/// As [`keys`](fn@keys).
pub fn refusal(nodes: &impl Nodes, args: &[&[u8]]) -> Result<Option<Refusal>> {
    Ok(match sharding(args)? {
        Sharding::Refused => Some(Refusal::Server),
        Sharding::Undeclared if args[0].eq_ignore_ascii_case(b"SORT") => Some(Refusal::Patterns),
        Sharding::Undeclared => Some(Refusal::Undeclared),
        Sharding::Together if !in_one_slot(nodes, args)? => Some(match args[0].to_ascii_uppercase().as_slice() {
            b"EVAL" | b"EVALSHA" | b"FCALL" => Refusal::Script,
            _ => Refusal::Keys,
        }),
        _ => None,
    })
}

/// Executes any write command exactly, also if its keys are in different slots; `args` begins with its name.
///
/// # Errors
/// Those of [`Nodes::call`]; [`Rejected`](ErrorKind::Rejected) if a node refuses a step that one server would not have
/// needed, such as `RESTORE` when it is out of memory; [`Limit`](ErrorKind::Limit) if a value is too big to travel;
/// [`Protocol`](ErrorKind::Protocol) for a command that no server can have executed.
pub async fn execute(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Crossing> {
    match refusal(nodes, args)? {
        Some(refusal) => Ok(Crossing::Refused(refusal)),
        None => apply(nodes, db, args).await.map(Crossing::Done),
    }
}

/// Executes the commands of a transaction one after the other, each with its database; the reply is that of `EXEC`, an
/// array of theirs. It is not atomic for those who read meanwhile, and is refused as a whole if one of them is.
///
/// # Errors
/// As [`execute`]; the commands before the one that failed are executed then.
pub async fn transaction(nodes: &mut impl Nodes, commands: &[(u32, Vec<&[u8]>)]) -> Result<Crossing> {
    for (_, args) in commands {
        if let Some(refusal) = refusal(nodes, args)? {
            return Ok(Crossing::Refused(refusal));
        }
    }
    let mut replies = Vec::with_capacity(commands.len());
    for (db, args) in commands {
        replies.push(apply(nodes, *db, args).await?);
    }
    Ok(Crossing::Done(Reply::Array(replies)))
}

async fn apply(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    check_arity(args)?;
    let how = sharding(args)?;
    if how == Sharding::Broadcast {
        return nodes.call_all(db, args).await;
    }
    let unblocked = unblocked(args);
    let args = unblocked.as_deref().unwrap_or(args);
    if in_one_slot(nodes, args)? {
        let key = keys(args)?.next().map_or(&b""[..], |key| args[key.index]);
        return nodes.call(key, db, args).await;
    }
    match args[0].to_ascii_uppercase().as_slice() {
        b"RENAME" => copy::rename(nodes, db, args).await,
        b"RENAMENX" => copy::rename_nx(nodes, db, args).await,
        b"COPY" => copy::copy(nodes, db, args).await,
        b"SMOVE" => elements::smove(nodes, db, args).await,
        b"RPOPLPUSH" | b"LMOVE" => elements::list_move(nodes, db, args).await,
        b"LMPOP" | b"ZMPOP" => elements::pop(nodes, db, args).await,
        b"MSETNX" => parts::mset_nx(nodes, db, args).await,
        b"MSETEX" if how == Sharding::Cross => parts::mset_ex(nodes, db, args).await,
        _ if how == Sharding::Split => parts::in_parts(nodes, db, args).await,
        _ => gather::run(nodes, db, args).await,
    }
}

/// Commands that wait for an element, as a transaction executes them: in a stream there is one, so none of them has
/// waited.
fn unblocked<'a>(args: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let (name, timeout): (&[u8], usize) = match args[0].to_ascii_uppercase().as_slice() {
        b"BRPOPLPUSH" => (b"RPOPLPUSH", 3),
        b"BLMOVE" => (b"LMOVE", 5),
        b"BLMOVEM" => (b"LMOVEM", 5),
        _ => return None,
    };
    Some([&[name], &args[1..timeout], &args[timeout + 1..]].concat())
}

fn in_one_slot(nodes: &impl Nodes, args: &[&[u8]]) -> Result<bool> {
    let mut slots = keys(args)?.map(|key| nodes.slot(args[key.index]));
    let first = slots.next();
    Ok(slots.all(|slot| Some(slot) == first))
}

/// The steps below look for arguments where a command that was executed has them.
fn check_arity(args: &[&[u8]]) -> Result<()> {
    let Some(info) = args.first().and_then(|name| lookup(name)) else { return Ok(()) };
    let needed = usize::from(info.arity().unsigned_abs());
    if args.len() >= needed {
        return Ok(());
    }
    Err(impossible(format!("{} with {} arguments: it has at least {needed}", info.name(), args.len())))
}

/// The error for a step that one server would not have needed.
fn step_failed(args: &[&[u8]], step: &str, key: &[u8], reply: &Reply) -> Error {
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(200)].escape_ascii().to_string();
    let answer = reply.as_error().map_or_else(|| format!("{reply:?}"), |error| format!("'{}'", shown(error)));
    let text =
        format!("{} over several slots: {step} of \"{}\" was answered with {answer}", shown(args[0]), shown(key));
    Error::new(ErrorKind::Rejected, text)
}

/// The error for a command that no server can have executed.
fn impossible(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Protocol, text)
}

fn error_reply(text: &'static str) -> Reply {
    Reply::Error(text.as_bytes().into())
}
