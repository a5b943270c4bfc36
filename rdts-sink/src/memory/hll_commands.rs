//! `PFADD`, `PFMERGE` and `PFCOUNT`, which appear in a stream as they were sent.

use super::args::Args;
use super::context::Context;
use super::error::Result;
use super::hyperloglog::{self, HyperLogLog};
use super::reply::Reply;

/// The string behind the key, made empty where there is none.
fn open<'c>(cx: &'c mut Context<'_>, key: &[u8]) -> Result<HyperLogLog<'c>> {
    let string = cx.db().make::<Vec<u8>>(key)?;
    if string.is_empty() {
        *string = hyperloglog::empty();
    }
    Ok(HyperLogLog::new(string))
}

/// `PFADD key [element …]`
pub(super) fn pfadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let existing = cx.db().get::<Vec<u8>>(key)?;
    let mut changed = existing.is_none();
    existing.map_or(Ok(()), |string| hyperloglog::check(string))?;
    let mut hll = open(cx, key)?;
    for element in args.rest() {
        changed |= hll.add(element)?;
    }
    if changed {
        hll.invalidate();
    }
    Ok(Reply::flag(changed))
}

/// The highest value of each register over these keys, and whether one of them is dense.
fn union(cx: &mut Context<'_>, keys: &[&[u8]]) -> Result<(Vec<u8>, bool)> {
    let mut highest = hyperloglog::registers(&hyperloglog::empty())?;
    let mut dense = false;
    for key in keys {
        if let Some(string) = cx.db().get::<Vec<u8>>(key)? {
            hyperloglog::check(string)?;
            dense |= hyperloglog::is_dense(string);
            for (slot, value) in highest.iter_mut().zip(hyperloglog::registers(string)?) {
                *slot = value.max(*slot);
            }
        }
    }
    Ok((highest, dense))
}

/// `PFMERGE destination [source …]`
pub(super) fn pfmerge(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (highest, dense) = union(cx, args.rest())?;
    let mut hll = open(cx, args.next()?)?;
    if dense {
        hll.make_dense()?;
    }
    for (index, value) in highest.into_iter().enumerate().filter(|(_, value)| *value > 0) {
        hll.raise(index, value)?;
    }
    hll.invalidate();
    Ok(Reply::OK)
}

/// `PFCOUNT key …`: with one key it renews the cached cardinality in the string, so servers replicate it.
pub(super) fn pfcount(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let count = if let [key] = args.rest() {
        match cx.db().get_mut::<Vec<u8>>(key)? {
            None => 0,
            Some(string) => {
                hyperloglog::check(string)?;
                HyperLogLog::new(string).count()?
            }
        }
    } else {
        hyperloglog::estimate(&union(cx, args.rest())?.0)
    };
    Ok(Reply::Integer(count.cast_signed()))
}
