//! Ranges of a sorted set: by rank, by score, by member.

use std::ops::Bound;

use super::error::{CommandError, Result};
use super::list::index_range;
use super::number;
use super::zset::{Scored, SortedSet};

/// Which members of a sorted set.
#[derive(Debug, Clone)]
pub(super) enum Range<'a> {
    /// Positions, inclusive; negative ones count from the end.
    Rank(i64, i64),
    Score(Bound<f64>, Bound<f64>),
    Lex(LexBound<'a>, LexBound<'a>),
}

/// An end of a range by member.
#[derive(Debug, Clone, Copy)]
pub(super) enum LexBound<'a> {
    First,
    Last,
    Included(&'a [u8]),
    Excluded(&'a [u8]),
}

impl<'a> LexBound<'a> {
    fn parse(text: &'a [u8]) -> Result<Self> {
        match text {
            b"-" => Ok(Self::First),
            b"+" => Ok(Self::Last),
            [b'[', member @ ..] => Ok(Self::Included(member)),
            [b'(', member @ ..] => Ok(Self::Excluded(member)),
            _ => Err(CommandError::invalid("ERR min or max not valid string range item")),
        }
    }

    fn is_below(self, member: &[u8]) -> bool {
        match self {
            Self::First => true,
            Self::Last => false,
            Self::Included(bound) => member >= bound,
            Self::Excluded(bound) => member > bound,
        }
    }

    fn is_above(self, member: &[u8]) -> bool {
        match self {
            Self::First => false,
            Self::Last => true,
            Self::Included(bound) => member <= bound,
            Self::Excluded(bound) => member < bound,
        }
    }
}

fn score_bound(text: &[u8]) -> Result<Bound<f64>> {
    let (text, excluded) = match text {
        [b'(', rest @ ..] => (rest, true),
        _ => (text, false),
    };
    // Servers take an empty bound for 0, as strtod does.
    let score = if text.is_empty() { Some(0.0) } else { number::double(text) };
    let score = score.ok_or_else(|| CommandError::invalid("ERR min or max is not a float"))?;
    Ok(if excluded { Bound::Excluded(score) } else { Bound::Included(score) })
}

fn is_within(score: f64, max: Bound<f64>) -> bool {
    match max {
        Bound::Included(max) => score <= max,
        Bound::Excluded(max) => score < max,
        Bound::Unbounded => true,
    }
}

impl<'a> Range<'a> {
    pub(super) fn by_rank(min: &[u8], max: &[u8]) -> Result<Self> {
        let rank = |text| number::integer(text).ok_or_else(CommandError::not_an_integer);
        Ok(Self::Rank(rank(min)?, rank(max)?))
    }

    pub(super) fn by_score(min: &[u8], max: &[u8]) -> Result<Self> {
        Ok(Self::Score(score_bound(min)?, score_bound(max)?))
    }

    pub(super) fn by_lex(min: &'a [u8], max: &'a [u8]) -> Result<Self> {
        Ok(Self::Lex(LexBound::parse(min)?, LexBound::parse(max)?))
    }

    /// The members of the range, from the lowest or, `reverse`, from the highest; a rank counts from that end too.
    pub(super) fn select(&self, zset: &SortedSet, reverse: bool) -> Vec<Scored> {
        let mut selected: Vec<Scored> = match self {
            Self::Rank(start, stop) => {
                let range = index_range(*start, *stop, zset.len());
                return if reverse {
                    zset.scored().rev().skip(range.start).take(range.len()).collect()
                } else {
                    zset.scored().skip(range.start).take(range.len()).collect()
                };
            }
            Self::Score(min, max) => zset.starting_at(*min).take_while(|(_, score)| is_within(*score, *max)).collect(),
            Self::Lex(min, max) if reverse => {
                return lexical(zset.scored().rev(), |m| max.is_above(m), |m| min.is_below(m));
            }
            Self::Lex(min, max) => return lexical(zset.scored(), |m| min.is_below(m), |m| max.is_above(m)),
        };
        if reverse {
            selected.reverse();
        }
        selected
    }
}

/// The run that a server finds by walking: it begins with the first member past one bound and ends at the first beyond the other. When
/// all scores are equal, as ranges by member demand, that is simply everything between the bounds.
fn lexical(
    members: impl Iterator<Item = Scored>,
    begins: impl Fn(&[u8]) -> bool,
    goes_on: impl Fn(&[u8]) -> bool,
) -> Vec<Scored> {
    members.skip_while(|(member, _)| !begins(member)).take_while(|(member, _)| goes_on(member)).collect()
}
