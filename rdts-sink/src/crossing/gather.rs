//! The keys of a command, brought together in one slot.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdts_core::command::{Access, keys};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_resp::Reply;

use super::value::{Expiry, Value, read, remove, write};
use super::{Nodes, TEMPORARY, impossible, step_failed};

/// How long a temporary key lives if it is not removed, and how long the command may take at most, so that it finds
/// them all.
const LIFETIME: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(1800);

/// A copy of a key of another slot.
struct Copy<'a> {
    original: &'a [u8],
    temporary: Vec<u8>,
    /// The original as it was.
    value: Option<Value>,
    /// Whether the command may change it.
    written: bool,
}

/// Runs the command in the slot of the last key that it changes, on copies of its other keys, and puts back what it
/// changed of those.
pub(super) async fn run(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let started = Instant::now();
    let found: Vec<_> = keys(args)?.collect();
    let home = found.iter().rev().find(|key| key.access != Access::Read).or(found.last());
    let Some(home) = home.map(|key| args[key.index]) else {
        return Err(impossible(format!("{} has no key to go to", args[0].escape_ascii())));
    };
    let slot = nodes.slot(home);
    let names = Names::new(nodes.tag(slot));
    let mut copies: Vec<Copy<'_>> = Vec::new();
    let mut replaced: Vec<usize> = (0..args.len()).map(|_| usize::MAX).collect();
    for key in &found {
        let original = args[key.index];
        if nodes.slot(original) == slot {
            continue;
        }
        let at = copies.iter().position(|copy| copy.original == original).unwrap_or_else(|| {
            let temporary = names.name(copies.len());
            copies.push(Copy { original, temporary, value: None, written: false });
            copies.len() - 1
        });
        copies[at].written |= key.access != Access::Read;
        replaced[key.index] = at;
    }
    let lifetime = Expiry::After(u32::try_from(LIFETIME.as_millis()).unwrap_or(u32::MAX));
    for copy in &mut copies {
        copy.value = read(nodes, db, copy.original, args).await?;
        if let Some(value) = &copy.value {
            write(nodes, db, &copy.temporary, &value.payload, lifetime, true, args).await?;
        }
    }
    if started.elapsed() > LONGEST {
        let text = format!("{}: bringing its keys together took longer than {LONGEST:?}", args[0].escape_ascii());
        return Err(Error::new(ErrorKind::Timeout, text));
    }
    let command: Vec<&[u8]> = args
        .iter()
        .zip(&replaced)
        .map(|(arg, at)| copies.get(*at).map_or(*arg, |copy| copy.temporary.as_slice()))
        .collect();
    let reply = nodes.call(home, db, &command).await?;
    if !reply.is_error() {
        for copy in copies.iter().filter(|copy| copy.written) {
            put_back(nodes, db, copy, args).await?;
        }
    }
    clean(nodes, db, home, &copies, args).await?;
    Ok(reply)
}

/// Brings what the command made of a copy to where it belongs. What it was before the command still has its expiry.
async fn put_back(nodes: &mut impl Nodes, db: u32, copy: &Copy<'_>, args: &[&[u8]]) -> Result<()> {
    let changed = read(nodes, db, &copy.temporary, args).await?;
    match (&copy.value, changed) {
        (Some(before), Some(after)) if before.payload == after.payload => Ok(()),
        (before, Some(after)) => {
            let expiry = Expiry::At(before.as_ref().and_then(|before| before.expires_at));
            write(nodes, db, copy.original, &after.payload, expiry, true, args).await.map(|_| ())
        }
        (Some(_), None) => remove(nodes, db, copy.original, args).await,
        (None, None) => Ok(()),
    }
}

async fn clean(nodes: &mut impl Nodes, db: u32, home: &[u8], copies: &[Copy<'_>], args: &[&[u8]]) -> Result<()> {
    let made = copies.iter().filter(|copy| copy.value.is_some()).map(|copy| copy.temporary.as_slice());
    let mut command: Vec<&[u8]> = vec![if nodes.target().unlink() { b"UNLINK" } else { b"DEL" }];
    command.extend(made);
    if command.len() == 1 {
        return Ok(());
    }
    let reply = nodes.call(home, db, &command).await?;
    if reply.is_error() { Err(step_failed(args, "removing temporary keys", home, &reply)) } else { Ok(()) }
}

/// Names that nobody else uses: another instance may be at work in the same slot, for another source shard.
struct Names {
    prefix: String,
}

impl Names {
    fn new(tag: &str) -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let all = TEMPORARY.escape_ascii();
        Self { prefix: format!("{all}{{{tag}}}:{:x}:{number}:", *PROCESS) }
    }

    fn name(&self, at: usize) -> Vec<u8> {
        format!("{}{at}", self.prefix).into_bytes()
    }
}
