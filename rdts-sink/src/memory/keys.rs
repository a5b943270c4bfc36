//! Commands that work on keys of any type, and on whole databases.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::reply::Reply;

/// `DEL key …`, `UNLINK key …`
pub(super) fn del(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let db = cx.db();
    Ok(Reply::count(args.rest().iter().filter(|key| db.remove(key).is_some()).count()))
}

/// `RENAME key newkey`
pub(super) fn rename(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (from, to) = (args.next()?, args.next()?);
    let db = cx.db();
    let entry = db.remove(from).ok_or_else(CommandError::no_such_key)?;
    db.put(to, entry);
    Ok(Reply::OK)
}

/// `RENAMENX key newkey`
pub(super) fn renamenx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (from, to) = (args.next()?, args.next()?);
    let db = cx.db();
    if !db.contains(from) {
        return Err(CommandError::no_such_key());
    }
    if db.contains(to) {
        return Ok(Reply::flag(false));
    }
    if let Some(entry) = db.remove(from) {
        db.put(to, entry);
    }
    Ok(Reply::flag(true))
}

fn same_object() -> CommandError {
    CommandError::invalid("ERR source and destination objects are the same")
}

/// `MOVE key db`
pub(super) fn r#move(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, to) = (args.next()?, args.database()?);
    if to == cx.index {
        return Err(same_object());
    }
    if cx.database(to).contains(key) {
        return Ok(Reply::flag(false));
    }
    let Some(entry) = cx.db().remove(key) else {
        return Ok(Reply::flag(false));
    };
    cx.database(to).put(key, entry);
    Ok(Reply::flag(true))
}

/// `COPY source destination [DB n] [REPLACE]`
pub(super) fn copy(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (from, to) = (args.next()?, args.next()?);
    let (mut index, mut replace) = (cx.index, false);
    while args.left() > 0 {
        if args.keyword("REPLACE") {
            replace = true;
        } else if args.keyword("DB") {
            index = args.database()?;
        } else {
            return Err(CommandError::syntax());
        }
    }
    if index == cx.index && from == to {
        return Err(same_object());
    }
    let Some(entry) = cx.db().entry(from).cloned() else {
        return Ok(Reply::flag(false));
    };
    let target = cx.database(index);
    let copied = replace || !target.contains(to);
    if copied {
        target.put(to, entry);
    }
    Ok(Reply::flag(copied))
}

/// `SWAPDB a b`
pub(super) fn swapdb(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (a, b) = (args.database()?, args.database()?);
    let first = std::mem::take(cx.database(a));
    let second = std::mem::replace(cx.database(b), first);
    *cx.database(a) = second;
    Ok(Reply::OK)
}

fn flush_mode(args: &mut Args<'_>) -> Result<()> {
    let _ = args.keyword("ASYNC") || args.keyword("SYNC");
    args.end()
}

/// `FLUSHDB [ASYNC | SYNC]`
pub(super) fn flushdb(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    flush_mode(args)?;
    cx.store.databases.remove(&cx.index);
    Ok(Reply::OK)
}

/// `FLUSHALL [ASYNC | SYNC]`: all databases; functions and scripts stay.
pub(super) fn flushall(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    flush_mode(args)?;
    cx.store.databases.clear();
    Ok(Reply::OK)
}
