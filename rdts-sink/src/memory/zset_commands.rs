//! Sorted sets: changing members, removing ranges, popping.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::list::{count_option, timeout};
use super::number;
use super::reply::Reply;
use super::zset::{Scored, SortedSet};
use super::zset_range::Range;

/// `ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member …`
pub(super) fn zadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let mut options = AddOptions::default();
    while options.accept(args) {}
    let (pairs, rest) = args.rest().as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(CommandError::syntax());
    }
    options.check(pairs.len())?;
    let score = |text: &[u8]| number::double(text).ok_or_else(CommandError::not_a_float);
    let scored: Vec<(f64, &[u8])> =
        pairs.iter().map(|[text, member]| Ok((score(text)?, *member))).collect::<Result<_>>()?;

    if cx.db().get::<SortedSet>(key)?.is_none() && options.present {
        return Ok(if options.increment { Reply::Nil } else { Reply::Integer(0) });
    }
    let zset = cx.db().make::<SortedSet>(key)?;
    let (mut added, mut updated, mut last) = (0, 0, Ok(None));
    for (score, member) in scored {
        let before = zset.score(member);
        last = options.add(zset, member, score);
        match (&last, before) {
            (Ok(Some(_)), None) => added += 1,
            (Ok(Some(after)), Some(before)) => updated += usize::from(*after != before),
            (Ok(None), _) => {}
            (Err(_), _) => break,
        }
    }
    cx.db().tidy::<SortedSet>(key);
    let last = last?;
    Ok(if options.increment {
        last.map_or(Reply::Nil, Reply::Double)
    } else {
        Reply::count(added + if options.changed { updated } else { 0 })
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct AddOptions {
    missing: bool,
    present: bool,
    greater: bool,
    less: bool,
    changed: bool,
    increment: bool,
}

impl AddOptions {
    fn accept(&mut self, args: &mut Args<'_>) -> bool {
        let flags = [
            ("NX", &mut self.missing),
            ("XX", &mut self.present),
            ("GT", &mut self.greater),
            ("LT", &mut self.less),
            ("CH", &mut self.changed),
            ("INCR", &mut self.increment),
        ];
        for (keyword, flag) in flags {
            if args.keyword(keyword) {
                *flag = true;
                return true;
            }
        }
        false
    }

    fn check(self, pairs: usize) -> Result<()> {
        if self.missing && self.present {
            return Err(CommandError::invalid("ERR XX and NX options at the same time are not compatible"));
        }
        if u8::from(self.greater) + u8::from(self.less) + u8::from(self.missing) > 1 {
            return Err(CommandError::invalid("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.increment && pairs > 1 {
            return Err(CommandError::invalid("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The member's score afterwards; `None` when the options forbade the change.
    fn add(self, zset: &mut SortedSet, member: &[u8], score: f64) -> Result<Option<f64>> {
        let old = zset.score(member);
        if self.missing && old.is_some() || self.present && old.is_none() {
            return Ok(None);
        }
        let score = if self.increment { score + old.unwrap_or(0.0) } else { score };
        if score.is_nan() {
            return Err(CommandError::invalid("ERR resulting score is not a number (NaN)"));
        }
        if old.is_some_and(|old| self.greater && score <= old || self.less && score >= old) {
            return Ok(None);
        }
        zset.insert(member, score);
        Ok(Some(score))
    }
}

/// `ZINCRBY key increment member`
pub(super) fn zincrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, by, member) = (args.next()?, args.double()?, args.next()?);
    let options = AddOptions { increment: true, ..AddOptions::default() };
    let sum = options.add(cx.db().make::<SortedSet>(key)?, member, by);
    cx.db().tidy::<SortedSet>(key);
    Ok(sum?.map_or(Reply::Nil, Reply::Double))
}

/// `ZREM key member …`
pub(super) fn zrem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let Some(zset) = cx.db().get_mut::<SortedSet>(key)? else {
        return Ok(Reply::Integer(0));
    };
    let removed = args.rest().iter().filter(|member| zset.remove(member).is_some()).count();
    cx.db().tidy::<SortedSet>(key);
    Ok(Reply::count(removed))
}

/// `ZREMRANGEBYRANK key start stop`
pub(super) fn zremrangebyrank(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, range) = (args.next()?, Range::by_rank(args.next()?, args.next()?)?);
    remove_range(cx, key, &range)
}

/// `ZREMRANGEBYSCORE key min max`
pub(super) fn zremrangebyscore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, range) = (args.next()?, Range::by_score(args.next()?, args.next()?)?);
    remove_range(cx, key, &range)
}

/// `ZREMRANGEBYLEX key min max`
pub(super) fn zremrangebylex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, range) = (args.next()?, Range::by_lex(args.next()?, args.next()?)?);
    remove_range(cx, key, &range)
}

fn remove_range(cx: &mut Context<'_>, key: &[u8], range: &Range<'_>) -> Result<Reply> {
    let Some(zset) = cx.db().get_mut::<SortedSet>(key)? else {
        return Ok(Reply::Integer(0));
    };
    let members = range.select(zset, false);
    for (member, _) in &members {
        zset.remove(member);
    }
    cx.db().tidy::<SortedSet>(key);
    Ok(Reply::count(members.len()))
}

/// `ZPOPMIN key [count]`
pub(super) fn zpopmin(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop(cx, args, false)
}

/// `ZPOPMAX key [count]`
pub(super) fn zpopmax(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop(cx, args, true)
}

fn pop(cx: &mut Context<'_>, args: &mut Args<'_>, highest: bool) -> Result<Reply> {
    let key = args.next()?;
    let count = if args.left() > 0 { args.natural()? } else { 1 };
    let popped = pop_many(cx, key, highest, count)?.unwrap_or_default();
    Ok(Reply::Array(popped.into_iter().flat_map(member_and_score).collect()))
}

fn member_and_score((member, score): Scored) -> [Reply; 2] {
    [Reply::bulk(&*member), Reply::Double(score)]
}

fn pop_many(cx: &mut Context<'_>, key: &[u8], highest: bool, count: usize) -> Result<Option<Vec<Scored>>> {
    let Some(zset) = cx.db().get_mut::<SortedSet>(key)? else {
        return Ok(None);
    };
    let popped = (0..count.min(zset.len())).filter_map(|_| zset.pop(highest)).collect();
    cx.db().tidy::<SortedSet>(key);
    Ok(Some(popped))
}

/// `ZMPOP numkeys key … MIN|MAX [COUNT n]`
pub(super) fn zmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let keys = args.counted("ERR numkeys should be greater than 0")?;
    let highest = args.keyword("MAX");
    if !highest && !args.keyword("MIN") {
        return Err(CommandError::syntax());
    }
    let count = count_option(args)?;
    for key in keys {
        if let Some(popped) = pop_many(cx, key, highest, count)? {
            let popped = popped.into_iter().map(|scored| Reply::Array(member_and_score(scored).to_vec()));
            return Ok(Reply::Array(vec![Reply::bulk(*key), Reply::Array(popped.collect())]));
        }
    }
    Ok(Reply::Nil)
}

/// `BZMPOP timeout numkeys key … MIN|MAX [COUNT n]`, as if the timeout were over at once.
pub(super) fn bzmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    timeout(args.next()?)?;
    zmpop(cx, args)
}

/// `BZPOPMIN key … timeout`, as if the timeout were over at once.
pub(super) fn bzpopmin(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop_first_of(cx, args, false)
}

/// `BZPOPMAX key … timeout`, as if the timeout were over at once.
pub(super) fn bzpopmax(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    pop_first_of(cx, args, true)
}

fn pop_first_of(cx: &mut Context<'_>, args: &mut Args<'_>, highest: bool) -> Result<Reply> {
    timeout(args.last()?)?;
    for key in args.rest() {
        if let Some(popped) = pop_many(cx, key, highest, 1)? {
            let mut reply = vec![Reply::bulk(*key)];
            reply.extend(popped.into_iter().flat_map(member_and_score));
            return Ok(Reply::Array(reply));
        }
    }
    Ok(Reply::Nil)
}
