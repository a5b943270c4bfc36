//! Lists.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::number;
use super::reply::Reply;
use super::value::List;

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl End {
    fn parse(args: &mut Args<'_>) -> Result<Self> {
        if args.keyword("LEFT") {
            Ok(Self::Left)
        } else if args.keyword("RIGHT") {
            Ok(Self::Right)
        } else {
            Err(CommandError::syntax())
        }
    }

    fn push(self, list: &mut List, element: Vec<u8>) {
        match self {
            Self::Left => list.push_front(element),
            Self::Right => list.push_back(element),
        }
    }

    fn pop(self, list: &mut List) -> Option<Vec<u8>> {
        match self {
            Self::Left => list.pop_front(),
            Self::Right => list.pop_back(),
        }
    }
}

/// `LPUSH key element …`
pub(super) fn lpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    push(cx, args, End::Left, true)
}

/// `RPUSH key element …`
pub(super) fn rpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    push(cx, args, End::Right, true)
}

/// `LPUSHX key element …`
pub(super) fn lpushx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    push(cx, args, End::Left, false)
}

/// `RPUSHX key element …`
pub(super) fn rpushx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    push(cx, args, End::Right, false)
}

fn push(cx: &mut Context<'_>, args: &mut Args<'_>, end: End, create: bool) -> Result<Reply> {
    let key = args.next()?;
    if !create && !cx.db().contains(key) {
        return Ok(Reply::Integer(0));
    }
    let list = cx.db().make::<List>(key)?;
    for element in args.rest() {
        end.push(list, element.to_vec());
    }
    Ok(Reply::count(list.len()))
}

/// `LPOP key [count]`
pub(super) fn lpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop(cx, args, End::Left)
}

/// `RPOP key [count]`
pub(super) fn rpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop(cx, args, End::Right)
}

fn pop(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Reply> {
    let key = args.next()?;
    let count = if args.left() > 0 { Some(args.natural()?) } else { None };
    let Some(list) = cx.db().get_mut::<List>(key)? else {
        return Ok(Reply::Nil);
    };
    let reply = match count {
        None => Reply::bulk_or_nil(end.pop(list)),
        Some(count) => pop_many(list, end, count),
    };
    cx.db().tidy::<List>(key);
    Ok(reply)
}

fn pop_many(list: &mut List, end: End, count: usize) -> Reply {
    let count = count.min(list.len());
    Reply::Array((0..count).filter_map(|_| end.pop(list)).map(Reply::Bulk).collect())
}

/// `LMPOP numkeys key … LEFT|RIGHT [COUNT n]`
pub(super) fn lmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let keys = args.counted("ERR numkeys should be greater than 0")?;
    let end = End::parse(args)?;
    let count = count_option(args)?;
    for key in keys {
        if let Some(list) = cx.db().get_mut::<List>(key)? {
            let elements = pop_many(list, end, count);
            cx.db().tidy::<List>(key);
            return Ok(Reply::Array(vec![Reply::bulk(*key), elements]));
        }
    }
    Ok(Reply::Nil)
}

/// `[COUNT n]`, 1 without it.
pub(super) fn count_option(args: &mut Args<'_>) -> Result<usize> {
    let count = if args.keyword("COUNT") { args.integer()? } else { 1 };
    args.end()?;
    usize::try_from(count)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| CommandError::invalid("ERR count should be greater than 0"))
}

/// `BLMPOP timeout numkeys key … LEFT|RIGHT [COUNT n]`, as if the timeout were over at once.
pub(super) fn blmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    timeout(args.next()?)?;
    lmpop(cx, args)
}

/// `BLPOP key … timeout`, as if the timeout were over at once.
pub(super) fn blpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop_first_of(cx, args, End::Left)
}

/// `BRPOP key … timeout`, as if the timeout were over at once.
pub(super) fn brpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop_first_of(cx, args, End::Right)
}

fn pop_first_of(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Reply> {
    timeout(args.last()?)?;
    for key in args.rest() {
        if let Some(list) = cx.db().get_mut::<List>(key)? {
            let element = Reply::bulk_or_nil(end.pop(list));
            cx.db().tidy::<List>(key);
            return Ok(Reply::Array(vec![Reply::bulk(*key), element]));
        }
    }
    Ok(Reply::Nil)
}

/// A timeout must be a number that is not negative; its value does not matter here, since nothing blocks.
pub(super) fn timeout(text: &[u8]) -> Result<()> {
    let seconds =
        number::double(text).ok_or_else(|| CommandError::invalid("ERR timeout is not a float or out of range"))?;
    if seconds < 0.0 {
        return Err(CommandError::invalid("ERR timeout is negative"));
    }
    Ok(())
}

/// `LSET key index element`
pub(super) fn lset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let list = cx.db().get_mut::<List>(key)?.ok_or_else(CommandError::no_such_key)?;
    let (index, element) = (args.integer()?, args.next()?);
    let slot = from_end(index, list.len()).and_then(|index| list.get_mut(index));
    *slot.ok_or_else(|| CommandError::invalid("ERR index out of range"))? = element.to_vec();
    Ok(Reply::OK)
}

/// A negative index counts from the end.
fn from_end(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok()
    } else {
        length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    }
}

/// `start..end` of an inclusive range in which negative numbers count from the end; empty when nothing is in it.
pub(super) fn index_range(start: i64, stop: i64, length: usize) -> std::ops::Range<usize> {
    let start =
        if start < 0 { from_end(start, length).unwrap_or(0) } else { usize::try_from(start).unwrap_or(usize::MAX) };
    let end = if stop < 0 {
        from_end(stop, length).map_or(0, |stop| stop + 1)
    } else {
        usize::try_from(stop).unwrap_or(usize::MAX).saturating_add(1)
    };
    let end = end.min(length);
    start.min(end)..end
}

/// `LINSERT key BEFORE|AFTER pivot element`
pub(super) fn linsert(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let after = args.keyword("AFTER");
    if !after && !args.keyword("BEFORE") {
        return Err(CommandError::syntax());
    }
    let (pivot, element) = (args.next()?, args.next()?);
    let Some(list) = cx.db().get_mut::<List>(key)? else {
        return Ok(Reply::Integer(0));
    };
    let Some(position) = list.iter().position(|element| element == pivot) else {
        return Ok(Reply::Integer(-1));
    };
    list.insert(position + usize::from(after), element.to_vec());
    Ok(Reply::count(list.len()))
}

/// `LREM key count element`: the first ones, the last ones (negative), or all (0).
pub(super) fn lrem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, count, unwanted) = (args.next()?, args.integer()?, args.next()?);
    let Some(list) = cx.db().get_mut::<List>(key)? else {
        return Ok(Reply::Integer(0));
    };
    let before = list.len();
    let mut left = match count {
        0 => usize::MAX,
        n => usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let mut keep = |element: &[u8]| {
        let remove = left > 0 && element == unwanted;
        left -= usize::from(remove);
        !remove
    };
    if count >= 0 {
        list.retain(|element| keep(element));
    } else {
        list.make_contiguous().reverse();
        list.retain(|element| keep(element));
        list.make_contiguous().reverse();
    }
    let removed = before - list.len();
    cx.db().tidy::<List>(key);
    Ok(Reply::count(removed))
}

/// `LTRIM key start stop`
pub(super) fn ltrim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, start, stop) = (args.next()?, args.integer()?, args.integer()?);
    let Some(list) = cx.db().get_mut::<List>(key)? else {
        return Ok(Reply::OK);
    };
    let range = index_range(start, stop, list.len());
    list.truncate(range.end);
    list.drain(..range.start);
    cx.db().tidy::<List>(key);
    Ok(Reply::OK)
}

/// `RPOPLPUSH source destination`
pub(super) fn rpoplpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (from, to) = (args.next()?, args.next()?);
    transfer(cx, from, End::Right, to, End::Left)
}

/// `BRPOPLPUSH source destination timeout`, as if the timeout were over at once.
pub(super) fn brpoplpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    timeout(args.last()?)?;
    rpoplpush(cx, args)
}

/// `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`
pub(super) fn lmove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (from, to) = (args.next()?, args.next()?);
    let (take, put) = (End::parse(args)?, End::parse(args)?);
    transfer(cx, from, take, to, put)
}

/// `BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout`, as if the timeout were over at once.
pub(super) fn blmove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    timeout(args.last()?)?;
    lmove(cx, args)
}

fn transfer(cx: &mut Context<'_>, from: &[u8], take: End, to: &[u8], put: End) -> Result<Reply> {
    let db = cx.db();
    if db.get::<List>(from)?.is_none() {
        return Ok(Reply::Nil);
    }
    db.get::<List>(to)?; // the type of both is checked before anything moves
    let Some(element) = db.get_mut::<List>(from)?.and_then(|list| take.pop(list)) else {
        return Ok(Reply::Nil);
    };
    put.push(db.make::<List>(to)?, element.clone());
    db.tidy::<List>(from);
    Ok(Reply::Bulk(element))
}
