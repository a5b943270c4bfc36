//! Sets.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::reply::Reply;
use super::value::Set;

/// `SADD key member …`
pub(super) fn sadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let set = cx.db().make::<Set>(key)?;
    let before = set.len();
    set.extend(args.rest().iter().map(|member| member.to_vec()));
    Ok(Reply::count(set.len() - before))
}

/// `SREM key member …`
pub(super) fn srem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let Some(set) = cx.db().get_mut::<Set>(key)? else {
        return Ok(Reply::Integer(0));
    };
    let removed = args.rest().iter().filter(|member| set.remove(**member)).count();
    cx.db().tidy::<Set>(key);
    Ok(Reply::count(removed))
}

/// `SPOP key [count]`, where chance has no say: nothing to take, or everything. Primaries put `SREM` in the stream.
pub(super) fn spop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let count = if args.left() > 0 { Some(args.natural()?) } else { None };
    let empty = || if count.is_some() { Reply::Array(Vec::new()) } else { Reply::Nil };
    let Some(set) = cx.db().get_mut::<Set>(key)? else {
        return Ok(empty());
    };
    match count {
        Some(0) => Ok(empty()),
        _ if set.len() <= count.unwrap_or(1) => {
            let mut members: Vec<Reply> = set.drain().map(Reply::Bulk).collect();
            cx.db().tidy::<Set>(key);
            Ok(if count.is_some() { Reply::Array(members) } else { members.pop().unwrap_or(Reply::Nil) })
        }
        _ => Err(CommandError::unsupported(args.name(), "the members are chosen at random; the stream says SREM")),
    }
}

/// `SMOVE source destination member`
pub(super) fn smove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (from, to, member) = (args.next()?, args.next()?, args.next()?);
    let db = cx.db();
    let Some(source) = db.get::<Set>(from)? else {
        return Ok(Reply::flag(false));
    };
    let present = source.contains(member);
    db.get::<Set>(to)?;
    if present && from != to {
        if let Some(source) = db.get_mut::<Set>(from)? {
            source.remove(member);
        }
        db.make::<Set>(to)?.insert(member.to_vec());
        db.tidy::<Set>(from);
    }
    Ok(Reply::flag(present))
}

/// `SINTERSTORE destination key …`
pub(super) fn sinterstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    combine(cx, args, |mut all, set| {
        all.retain(|member| set.is_some_and(|set| set.contains(member)));
        all
    })
}

/// `SUNIONSTORE destination key …`
pub(super) fn sunionstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    combine(cx, args, |mut all, set| {
        all.extend(set.into_iter().flatten().cloned());
        all
    })
}

/// `SDIFFSTORE destination key …`
pub(super) fn sdiffstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    combine(cx, args, |mut all, set| {
        all.retain(|member| !set.is_some_and(|set| set.contains(member)));
        all
    })
}

fn combine(cx: &mut Context<'_>, args: &mut Args<'_>, step: impl Fn(Set, Option<&Set>) -> Set) -> Result<Reply> {
    let destination = args.next()?;
    let first = args.next()?;
    let db = cx.db();
    let mut all = db.get::<Set>(first)?.cloned().unwrap_or_default();
    for key in args.rest() {
        all = step(all, db.get::<Set>(key)?);
    }
    let count = all.len();
    db.store(destination, all);
    Ok(Reply::count(count))
}
