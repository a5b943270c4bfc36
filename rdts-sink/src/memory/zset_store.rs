//! Sorted sets made of others: `ZUNIONSTORE`, `ZINTERSTORE`, `ZDIFFSTORE`, `ZRANGESTORE`.

use super::args::Args;
use super::context::Context;
use super::database::Database;
use super::error::{CommandError, Result};
use super::number;
use super::reply::Reply;
use super::value::Value;
use super::zset::SortedSet;
use super::zset_range::Range;

#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs would give NaN, which no score may be.
            Self::Sum if (a + b).is_nan() => 0.0,
            Self::Sum => a + b,
            Self::Min if b < a => b,
            Self::Max if b > a => b,
            Self::Min | Self::Max => a,
        }
    }
}

/// One input: a sorted set, or a set whose members all score 1. A missing key is empty.
struct Input {
    members: SortedSet,
    weight: f64,
}

impl Input {
    fn weighted(&self, score: f64) -> f64 {
        let weighted = self.weight * score;
        if weighted.is_nan() { 0.0 } else { weighted }
    }
}

fn read(db: &Database, key: &[u8]) -> Result<SortedSet> {
    match db.entry(key).map(|entry| &entry.value) {
        None => Ok(SortedSet::default()),
        Some(Value::ZSet(zset)) => Ok(zset.clone()),
        Some(Value::Set(set)) => {
            let mut zset = SortedSet::default();
            for member in set {
                zset.insert(member, 1.0);
            }
            Ok(zset)
        }
        Some(_) => Err(CommandError::wrong_type()),
    }
}

/// `numkeys key … [WEIGHTS w …] [AGGREGATE SUM|MIN|MAX]`. The inputs come back with the smallest first: servers work in that order,
/// and the order decides how sums of doubles round.
fn inputs(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<(Vec<Input>, Aggregate)> {
    let keys = args.counted("ERR at least 1 input key is needed for this command")?;
    let db = cx.db();
    let mut inputs = Vec::with_capacity(keys.len());
    for key in keys {
        inputs.push(Input { members: read(db, key)?, weight: 1.0 });
    }
    let mut aggregate = Aggregate::Sum;
    while args.left() > 0 {
        if args.keyword("WEIGHTS") {
            for (input, weight) in inputs.iter_mut().zip(args.take(keys.len())?) {
                input.weight =
                    number::double(weight).ok_or_else(|| CommandError::invalid("ERR weight value is not a float"))?;
            }
        } else if args.keyword("AGGREGATE") {
            aggregate = if args.keyword("SUM") {
                Aggregate::Sum
            } else if args.keyword("MIN") {
                Aggregate::Min
            } else if args.keyword("MAX") {
                Aggregate::Max
            } else if args.keyword("COUNT") {
                return Err(CommandError::unsupported(b"AGGREGATE COUNT", "it is not known here"));
            } else {
                return Err(CommandError::syntax());
            };
        } else {
            return Err(CommandError::syntax());
        }
    }
    inputs.sort_by_key(|input| input.members.len());
    Ok((inputs, aggregate))
}

/// `ZUNIONSTORE destination numkeys key … [WEIGHTS w …] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zunionstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let destination = args.next()?;
    let (inputs, aggregate) = inputs(cx, args)?;
    let mut union = SortedSet::default();
    for input in &inputs {
        for (member, score) in input.members.iter() {
            let score = input.weighted(score);
            let score = union.score(member).map_or(score, |so_far| aggregate.of(so_far, score));
            union.insert(member, score);
        }
    }
    Ok(store(cx, destination, union))
}

/// `ZINTERSTORE destination numkeys key … [WEIGHTS w …] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zinterstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let destination = args.next()?;
    let (inputs, aggregate) = inputs(cx, args)?;
    let mut intersection = SortedSet::default();
    if let Some((smallest, others)) = inputs.split_first() {
        for (member, score) in smallest.members.iter() {
            let score = others.iter().try_fold(smallest.weighted(score), |so_far, other| {
                // Unlike a union's, a weighted score that is NaN goes into the sum, which becomes 0.
                other.members.score(member).map(|score| aggregate.of(so_far, other.weight * score))
            });
            if let Some(score) = score {
                intersection.insert(member, score);
            }
        }
    }
    Ok(store(cx, destination, intersection))
}

/// `ZDIFFSTORE destination numkeys key …`
pub(super) fn zdiffstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let destination = args.next()?;
    let keys = args.counted("ERR at least 1 input key is needed for this command")?;
    args.end()?;
    let mut difference = SortedSet::default();
    for (index, key) in keys.iter().enumerate() {
        let members = read(cx.db(), key)?;
        if index == 0 {
            difference = members;
        } else {
            for (member, _) in members.iter() {
                difference.remove(member);
            }
        }
    }
    Ok(store(cx, destination, difference))
}

fn store(cx: &mut Context<'_>, destination: &[u8], zset: SortedSet) -> Reply {
    let count = zset.len();
    cx.db().store(destination, zset);
    Reply::count(count)
}

/// `ZRANGESTORE destination source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]`
pub(super) fn zrangestore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (destination, source, first, second) = (args.next()?, args.next()?, args.next()?, args.next()?);
    let (mut by_score, mut by_lex, mut reverse, mut limit) = (false, false, false, None);
    while args.left() > 0 {
        if args.keyword("BYSCORE") {
            by_score = true;
        } else if args.keyword("BYLEX") {
            by_lex = true;
        } else if args.keyword("REV") {
            reverse = true;
        } else if args.keyword("LIMIT") {
            limit = Some((args.integer()?, args.integer()?));
        } else {
            return Err(CommandError::syntax());
        }
    }
    let by_rank = !by_score && !by_lex;
    // By rank a limit makes no sense; servers do not notice one without a count.
    let limited = limit.is_some_and(|(_, count)| count != -1);
    if by_score && by_lex || by_rank && limited {
        return Err(CommandError::syntax());
    }
    let (low, high) = if reverse { (second, first) } else { (first, second) };
    let range = if by_score {
        Range::by_score(low, high)?
    } else if by_lex {
        Range::by_lex(low, high)?
    } else {
        Range::by_rank(first, second)?
    };
    let mut selected = match cx.db().get::<SortedSet>(source)? {
        Some(zset) => range.select(zset, reverse),
        None => Vec::new(),
    };
    if let Some((offset, count)) = limit.filter(|_| !by_rank) {
        let undefined = "what a negative offset selects depends on the server";
        let offset = usize::try_from(offset).map_err(|_| CommandError::unsupported(b"ZRANGESTORE LIMIT", undefined))?;
        let offset = offset.min(selected.len());
        selected.drain(..offset);
        // A negative count means all.
        selected.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    let mut result = SortedSet::default();
    for (member, score) in selected {
        result.insert(&member, score);
    }
    Ok(store(cx, destination, result))
}
