//! Hashes, without the expiry of fields (see `hash_expire`).

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::long_double::LongDouble;
use super::number;
use super::reply::Reply;
use super::value::{Hash, HashField};

/// `HSET key field value …`: the number of new fields. A field's expiry goes with its old value.
pub(super) fn hset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    put_all(cx, args).map(Reply::count)
}

/// `HMSET key field value …`
pub(super) fn hmset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    put_all(cx, args).map(|_| Reply::OK)
}

fn put_all(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<usize> {
    let key = args.next()?;
    let (pairs, rest) = args.rest().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::arity(args.name()));
    }
    let hash = cx.db().make::<Hash>(key)?;
    Ok(pairs.iter().filter(|[field, value]| hash.insert(field.to_vec(), HashField::new(*value)).is_none()).count())
}

/// `HSETNX key field value`
pub(super) fn hsetnx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, field, value) = (args.next()?, args.next()?, args.next()?);
    let hash = cx.db().make::<Hash>(key)?;
    let missing = !hash.contains_key(field);
    if missing {
        hash.insert(field.to_vec(), HashField::new(value));
    }
    Ok(Reply::flag(missing))
}

/// `HDEL key field …`
pub(super) fn hdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let Some(hash) = cx.db().get_mut::<Hash>(key)? else {
        return Ok(Reply::Integer(0));
    };
    let removed = args.rest().iter().filter(|field| hash.remove(**field).is_some()).count();
    cx.db().tidy::<Hash>(key);
    Ok(Reply::count(removed))
}

/// `HINCRBY key field n`: the field's expiry stays.
pub(super) fn hincrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, field, by) = (args.next()?, args.next()?, args.integer()?);
    let old = match cx.db().get::<Hash>(key)?.and_then(|hash| hash.get(field)) {
        None => 0,
        Some(old) => {
            number::integer(&old.value).ok_or_else(|| CommandError::invalid("ERR hash value is not an integer"))?
        }
    };
    let overflow = || CommandError::invalid("ERR increment or decrement would overflow");
    let sum = old.checked_add(by).ok_or_else(overflow)?;
    replace(cx, key, field, sum.to_string().into_bytes())?;
    Ok(Reply::Integer(sum))
}

/// `HINCRBYFLOAT key field n`. Primaries put an `HSET` in the stream instead.
pub(super) fn hincrbyfloat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, field, by) = (args.next()?, args.next()?, args.next()?);
    let by = LongDouble::parse(by).ok_or_else(CommandError::not_a_float)?;
    let old = match cx.db().get::<Hash>(key)?.and_then(|hash| hash.get(field)) {
        None => LongDouble::ZERO,
        Some(old) => {
            LongDouble::parse(&old.value).ok_or_else(|| CommandError::invalid("ERR hash value is not a float"))?
        }
    };
    let sum = old.add(by).text().into_bytes();
    replace(cx, key, field, sum.clone())?;
    Ok(Reply::Bulk(sum))
}

/// Gives a field a new value and leaves its expiry.
fn replace(cx: &mut Context<'_>, key: &[u8], field: &[u8], value: Vec<u8>) -> Result<()> {
    let hash = cx.db().make::<Hash>(key)?;
    match hash.get_mut(field) {
        Some(slot) => slot.value = value,
        None => {
            hash.insert(field.to_vec(), HashField::new(value));
        }
    }
    Ok(())
}
