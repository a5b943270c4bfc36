//! The expiry of a hash's fields (Redis 7.4, Valkey 9.0).
//!
//! Like a key, a field whose time has come stays until the source deletes it (`HDEL` in the stream).

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::expire::Condition;
use super::reply::Reply;
use super::value::{Hash, HashField};

const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;

/// `HEXPIRE key seconds [NX | XX | GT | LT] FIELDS n field …`
pub(super) fn hexpire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let now = cx.now;
    set(cx, args, 1000, now)
}

/// `HPEXPIRE key milliseconds [NX | XX | GT | LT] FIELDS n field …`
pub(super) fn hpexpire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let now = cx.now;
    set(cx, args, 1, now)
}

/// `HEXPIREAT key unix-seconds [NX | XX | GT | LT] FIELDS n field …`
pub(super) fn hexpireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    set(cx, args, 1000, 0)
}

/// `HPEXPIREAT key unix-milliseconds [NX | XX | GT | LT] FIELDS n field …`
pub(super) fn hpexpireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    set(cx, args, 1, 0)
}

fn set(cx: &mut Context<'_>, args: &mut Args<'_>, unit_ms: i64, base_ms: i64) -> Result<Reply> {
    let key = args.next()?;
    cx.db().get::<Hash>(key)?; // the type comes first
    let amount = args.integer()?;
    if amount < 0 {
        return Err(args.invalid_expire_time());
    }
    let at = args.time(amount, unit_ms, base_ms)?;
    let mut condition = Condition::default();
    condition.accept(args);
    let names = fields(args)?;
    args.end()?;
    each_field(cx, key, names, |field| {
        let Some(field) = field else { return NO_FIELD };
        let allowed = condition.allows(field.expires_at, at);
        if allowed {
            field.expires_at = Some(at);
        }
        i64::from(allowed)
    })
}

/// `HPERSIST key FIELDS n field …`
pub(super) fn hpersist(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let names = fields(args)?;
    args.end()?;
    each_field(cx, key, names, |field| match field {
        None => NO_FIELD,
        Some(field) => {
            if field.expires_at.take().is_some() {
                1
            } else {
                NO_EXPIRY
            }
        }
    })
}

/// `FIELDS n field …`
fn fields<'a>(args: &mut Args<'a>) -> Result<&'a [&'a [u8]]> {
    if !args.keyword("FIELDS") {
        return Err(CommandError::invalid("ERR Mandatory argument FIELDS is missing or not at the right position"));
    }
    args.counted("ERR Number of fields must be a positive integer")
}

fn each_field(
    cx: &mut Context<'_>,
    key: &[u8],
    names: &[&[u8]],
    mut change: impl FnMut(Option<&mut HashField>) -> i64,
) -> Result<Reply> {
    let mut hash = cx.db().get_mut::<Hash>(key)?;
    let answer = |name: &&[u8]| Reply::Integer(change(hash.as_mut().and_then(|hash| hash.get_mut(*name))));
    Ok(Reply::Array(names.iter().map(answer).collect()))
}

/// `HGETDEL key FIELDS n field …`
pub(super) fn hgetdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let names = fields(args)?;
    args.end()?;
    let mut hash = cx.db().get_mut::<Hash>(key)?;
    let mut take = |name: &&[u8]| hash.as_mut().and_then(|hash| hash.remove(*name)).map(|field| field.value);
    let values = names.iter().map(|name| Reply::bulk_or_nil(take(name))).collect();
    cx.db().tidy::<Hash>(key);
    Ok(Reply::Array(values))
}

/// `HGETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] FIELDS n field …`
pub(super) fn hgetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let persist = args.keyword("PERSIST");
    let expires_at = if persist { None } else { args.expiry(cx.now, 0)? };
    let names = fields(args)?;
    args.end()?;
    let mut hash = cx.db().get_mut::<Hash>(key)?;
    let mut values = Vec::with_capacity(names.len());
    for name in names {
        let field = hash.as_mut().and_then(|hash| hash.get_mut(*name));
        values.push(Reply::bulk_or_nil(field.map(|field| {
            if persist || expires_at.is_some() {
                field.expires_at = expires_at;
            }
            field.value.clone()
        })));
    }
    Ok(Reply::Array(values))
}

/// `HSETEX key [NX | XX] [FNX | FXX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] FIELDS n field value …`
pub(super) fn hsetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    cx.db().get::<Hash>(key)?; // the type comes first
    let (mut key_present, mut fields_present) = (None, None);
    let (mut keep_ttl, mut expires_at) = (false, None);
    while !args.keyword("FIELDS") {
        if key_present.is_none() && args.keyword("NX") {
            key_present = Some(false);
        } else if key_present.is_none() && args.keyword("XX") {
            key_present = Some(true);
        } else if fields_present.is_none() && args.keyword("FNX") {
            fields_present = Some(false);
        } else if fields_present.is_none() && args.keyword("FXX") {
            fields_present = Some(true);
        } else if expires_at.is_none() && args.keyword("KEEPTTL") {
            keep_ttl = true;
        } else {
            match args.expiry(cx.now, 0)? {
                Some(at) if !keep_ttl && expires_at.is_none() => expires_at = Some(at),
                _ => return Err(CommandError::syntax()),
            }
        }
    }
    let count = args.integer()?;
    let count = usize::try_from(count).ok().filter(|n| *n > 0).and_then(|n| n.checked_mul(2));
    let count = count.ok_or_else(|| CommandError::invalid("ERR invalid number of fields"))?;
    let (pairs, _) = args.take(count)?.as_chunks::<2>();
    args.end()?;

    let hash = cx.db().get::<Hash>(key)?;
    let key_allows = key_present.is_none_or(|wanted| hash.is_some() == wanted);
    let has = |field: &[u8]| hash.is_some_and(|hash| hash.contains_key(field));
    let fields_allow = fields_present.is_none_or(|wanted| pairs.iter().all(|[field, _]| has(field) == wanted));
    let allowed = key_allows && fields_allow;
    if allowed {
        let hash = cx.db().make::<Hash>(key)?;
        for [field, value] in pairs {
            let kept = hash.get(*field).and_then(|field| field.expires_at);
            let expires_at = if keep_ttl { kept } else { expires_at };
            hash.insert(field.to_vec(), HashField { value: value.to_vec(), expires_at });
        }
    }
    Ok(Reply::flag(allowed))
}
