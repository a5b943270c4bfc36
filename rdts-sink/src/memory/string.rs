//! Strings: `SET` and its relatives, `APPEND`, `SETRANGE`, counters.

use super::args::Args;
use super::context::Context;
use super::database::Entry;
use super::error::{CommandError, Result};
use super::long_double::LongDouble;
use super::number;
use super::reply::Reply;
use super::value::Value;

/// The longest string that a server accepts by default (`proto-max-bulk-len`), so that one offset cannot allocate without limit.
pub(super) const MAX_STRING: usize = 512 * 1024 * 1024;

/// What must hold for `SET` to happen.
enum Condition<'a> {
    Always,
    Missing,
    Present,
    Equal(&'a [u8]),
    NotEqual(&'a [u8]),
}

fn put_string(cx: &mut Context<'_>, key: &[u8], value: &[u8], expires_at: Option<i64>) {
    cx.db().put(key, Entry { value: Value::String(value.to_vec()), expires_at });
}

fn current(cx: &mut Context<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(cx.db().get::<Vec<u8>>(key)?.cloned())
}

/// `SET key value [NX | XX | IFEQ v | IFNE v] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, value) = (args.next()?, args.next()?);
    let mut condition = Condition::Always;
    let (mut get, mut keep_ttl, mut expires_at) = (false, false, None);
    while args.left() > 0 {
        let unconditional = matches!(condition, Condition::Always);
        if args.keyword("GET") {
            get = true;
        } else if unconditional && args.keyword("NX") {
            condition = Condition::Missing;
        } else if unconditional && args.keyword("XX") {
            condition = Condition::Present;
        } else if unconditional && args.keyword("IFEQ") {
            condition = Condition::Equal(args.next()?);
        } else if unconditional && args.keyword("IFNE") {
            condition = Condition::NotEqual(args.next()?);
        } else if args.keyword("IFDEQ") || args.keyword("IFDNE") {
            return Err(CommandError::unsupported(b"SET IFDEQ/IFDNE", "it compares with a digest"));
        } else if expires_at.is_none() && args.keyword("KEEPTTL") {
            keep_ttl = true;
        } else {
            match args.expiry(cx.now, 1)? {
                Some(at) if !keep_ttl && expires_at.is_none() => expires_at = Some(at),
                _ => return Err(CommandError::syntax()),
            }
        }
    }

    let old =
        if get || matches!(condition, Condition::Equal(_) | Condition::NotEqual(_)) { current(cx, key)? } else { None };
    let met = match condition {
        Condition::Always => true,
        Condition::Missing => !cx.db().contains(key),
        Condition::Present => cx.db().contains(key),
        Condition::Equal(wanted) => old.as_deref() == Some(wanted),
        Condition::NotEqual(unwanted) => old.as_deref() != Some(unwanted),
    };
    if met {
        if keep_ttl {
            expires_at = cx.db().entry(key).and_then(|entry| entry.expires_at);
        }
        put_string(cx, key, value, expires_at);
    }
    Ok(match (get, met) {
        (true, _) => Reply::bulk_or_nil(old),
        (false, true) => Reply::OK,
        (false, false) => Reply::Nil,
    })
}

/// `SETNX key value`
pub(super) fn setnx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, value) = (args.next()?, args.next()?);
    let missing = !cx.db().contains(key);
    if missing {
        put_string(cx, key, value, None);
    }
    Ok(Reply::flag(missing))
}

/// `SETEX key seconds value`
pub(super) fn setex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    set_for(cx, args, 1000)
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    set_for(cx, args, 1)
}

fn set_for(cx: &mut Context<'_>, args: &mut Args<'_>, unit_ms: i64) -> Result<Reply> {
    let key = args.next()?;
    let amount = args.integer()?;
    if amount <= 0 {
        return Err(args.invalid_expire_time());
    }
    let expires_at = args.time(amount, unit_ms, cx.now)?;
    put_string(cx, key, args.next()?, Some(expires_at));
    Ok(Reply::OK)
}

/// `GETSET key value`
pub(super) fn getset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, value) = (args.next()?, args.next()?);
    let old = current(cx, key)?;
    put_string(cx, key, value, None);
    Ok(Reply::bulk_or_nil(old))
}

/// `GETDEL key`
pub(super) fn getdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let old = current(cx, key)?;
    cx.db().remove(key);
    Ok(Reply::bulk_or_nil(old))
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let Some(value) = current(cx, key)? else {
        return Ok(Reply::Nil);
    };
    let persist = args.keyword("PERSIST");
    let expires_at = if persist { None } else { args.expiry(cx.now, 1)? };
    args.end()?;
    if let Some(entry) = cx.db().entry_mut(key)
        && (persist || expires_at.is_some())
    {
        entry.expires_at = expires_at;
    }
    Ok(Reply::Bulk(value))
}

/// `MSET key value …`
pub(super) fn mset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (pairs, rest) = args.rest().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::arity(args.name()));
    }
    for [key, value] in pairs {
        put_string(cx, key, value, None);
    }
    Ok(Reply::OK)
}

/// `MSETNX key value …`: all or nothing.
pub(super) fn msetnx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (pairs, rest) = args.rest().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::arity(args.name()));
    }
    let all_missing = pairs.iter().all(|[key, _]| !cx.db().contains(key));
    if all_missing {
        for [key, value] in pairs {
            put_string(cx, key, value, None);
        }
    }
    Ok(Reply::flag(all_missing))
}

/// `MSETEX numkeys key value … [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]` (Redis 8.4, Valkey 9.1)
pub(super) fn msetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let count = args.integer()?;
    let count = usize::try_from(count).ok().filter(|n| *n > 0).and_then(|n| n.checked_mul(2));
    let count = count.ok_or_else(|| CommandError::invalid("ERR invalid numkeys value"))?;
    let (pairs, _) = args.take(count)?.as_chunks::<2>();
    let (mut only_if_present, mut keep_ttl, mut expires_at) = (None, false, None);
    while args.left() > 0 {
        if only_if_present.is_none() && args.keyword("NX") {
            only_if_present = Some(false);
        } else if only_if_present.is_none() && args.keyword("XX") {
            only_if_present = Some(true);
        } else if expires_at.is_none() && args.keyword("KEEPTTL") {
            keep_ttl = true;
        } else {
            match args.expiry(cx.now, 1)? {
                Some(at) if !keep_ttl && expires_at.is_none() => expires_at = Some(at),
                _ => return Err(CommandError::syntax()),
            }
        }
    }
    let met = only_if_present.is_none_or(|wanted| pairs.iter().all(|[key, _]| cx.db().contains(key) == wanted));
    if met {
        for [key, value] in pairs {
            let kept = cx.db().entry(key).and_then(|entry| entry.expires_at);
            put_string(cx, key, value, if keep_ttl { kept } else { expires_at });
        }
    }
    Ok(Reply::flag(met))
}

/// `DELIFEQ key value` (Valkey 9.0)
pub(super) fn delifeq(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, wanted) = (args.next()?, args.next()?);
    let equal = cx.db().get::<Vec<u8>>(key)?.is_some_and(|value| value == wanted);
    if equal {
        cx.db().remove(key);
    }
    Ok(Reply::flag(equal))
}

/// `DELEX key [IFEQ value | IFNE value]` (Redis 8.4)
pub(super) fn delex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    if args.left() == 0 {
        return Ok(Reply::flag(cx.db().remove(key).is_some()));
    }
    let equal = args.keyword("IFEQ");
    if !equal && !args.keyword("IFNE") {
        return Err(CommandError::unsupported(b"DELEX IFDEQ/IFDNE", "it compares with a digest"));
    }
    let wanted = args.next()?;
    args.end()?;
    let met = cx.db().get::<Vec<u8>>(key)?.is_some_and(|value| (value == wanted) == equal);
    if met {
        cx.db().remove(key);
    }
    Ok(Reply::flag(met))
}

/// `APPEND key value`
pub(super) fn append(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, tail) = (args.next()?, args.next()?);
    let length = cx.db().get::<Vec<u8>>(key)?.map_or(0, Vec::len);
    check_length(length.saturating_add(tail.len()))?;
    let value = cx.db().make::<Vec<u8>>(key)?;
    value.extend_from_slice(tail);
    Ok(Reply::count(value.len()))
}

/// `SETRANGE key offset value`
pub(super) fn setrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, offset, patch) = (args.next()?, args.integer()?, args.next()?);
    let offset = usize::try_from(offset).map_err(|_| CommandError::invalid("ERR offset is out of range"))?;
    let length = cx.db().get::<Vec<u8>>(key)?.map_or(0, Vec::len);
    if patch.is_empty() {
        return Ok(Reply::count(length));
    }
    let end = offset.saturating_add(patch.len());
    check_length(end)?;
    let value = cx.db().make::<Vec<u8>>(key)?;
    if value.len() < end {
        value.resize(end, 0);
    }
    value[offset..end].copy_from_slice(patch);
    Ok(Reply::count(value.len()))
}

pub(super) fn check_length(length: usize) -> Result<()> {
    if length > MAX_STRING {
        return Err(CommandError::invalid("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    Ok(())
}

/// `INCR key`
pub(super) fn incr(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    add(cx, args.next()?, 1)
}

/// `DECR key`
pub(super) fn decr(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    add(cx, args.next()?, -1)
}

/// `INCRBY key n`
pub(super) fn incrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, by) = (args.next()?, args.integer()?);
    add(cx, key, by)
}

/// `DECRBY key n`
pub(super) fn decrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, by) = (args.next()?, args.integer()?);
    add(cx, key, by.checked_neg().ok_or_else(|| CommandError::invalid("ERR decrement would overflow"))?)
}

fn add(cx: &mut Context<'_>, key: &[u8], by: i64) -> Result<Reply> {
    let old = match cx.db().get::<Vec<u8>>(key)? {
        None => 0,
        Some(text) => number::integer(text).ok_or_else(CommandError::not_an_integer)?,
    };
    let sum = old.checked_add(by).ok_or_else(|| CommandError::invalid("ERR increment or decrement would overflow"))?;
    *cx.db().make::<Vec<u8>>(key)? = sum.to_string().into_bytes();
    Ok(Reply::Integer(sum))
}

/// `INCRBYFLOAT key n`. Primaries put a `SET` in the stream instead.
pub(super) fn incrbyfloat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, by) = (args.next()?, args.next()?);
    let old = cx.db().get::<Vec<u8>>(key)?.map_or(Some(LongDouble::ZERO), |text| LongDouble::parse(text));
    let (Some(old), Some(by)) = (old, LongDouble::parse(by)) else {
        return Err(CommandError::not_a_float());
    };
    let sum = old.add(by).text().into_bytes();
    cx.db().make::<Vec<u8>>(key)?.clone_from(&sum);
    Ok(Reply::Bulk(sum))
}
