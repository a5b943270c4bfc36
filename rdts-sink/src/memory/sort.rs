//! `SORT … STORE`, which primaries put in the stream as it was sent.

use std::cmp::Ordering;

use super::args::Args;
use super::context::Context;
use super::database::Database;
use super::error::{CommandError, Result};
use super::number;
use super::reply::Reply;
use super::value::{Kind, List, Value};

#[derive(Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    gets: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Self> {
        let mut options = Self::default();
        while args.left() > 0 {
            if args.keyword("ASC") {
                options.descending = false;
            } else if args.keyword("DESC") {
                options.descending = true;
            } else if args.keyword("ALPHA") {
                options.alpha = true;
            } else if args.keyword("LIMIT") {
                options.limit = Some((args.integer()?, args.integer()?));
            } else if args.keyword("STORE") {
                options.store = Some(args.next()?);
            } else if args.keyword("BY") {
                options.by = Some(args.next()?);
            } else if args.keyword("GET") {
                options.gets.push(args.next()?);
            } else {
                return Err(CommandError::syntax());
            }
        }
        Ok(options)
    }

    /// The part of `length` elements that `LIMIT` keeps.
    fn window(&self, length: usize) -> std::ops::Range<usize> {
        let Some((offset, count)) = self.limit else {
            return 0..length;
        };
        let start = usize::try_from(offset).unwrap_or(0).min(length);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(length)
    }
}

/// What an element is ordered by.
enum Weight {
    Number(f64),
    /// The value behind the `BY` pattern; none comes first.
    Text(Option<Vec<u8>>),
    /// The element itself.
    Element,
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC | DESC] [ALPHA] STORE destination`
pub(super) fn sort(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let options = Options::parse(args)?;
    let Some(destination) = options.store else {
        return Err(CommandError::unsupported(b"SORT without STORE", "it changes nothing"));
    };
    let db = cx.db();
    let source = db.entry(key).map(|entry| &entry.value);
    let (is_list, is_set) = (matches!(source, Some(Value::List(_))), matches!(source, Some(Value::Set(_))));
    let mut elements: Vec<Vec<u8>> = match source {
        None => Vec::new(),
        Some(Value::List(list)) => list.iter().cloned().collect(),
        Some(Value::Set(set)) => set.iter().cloned().collect(),
        Some(Value::ZSet(zset)) => zset.iter().map(|(member, _)| member.to_vec()).collect(),
        Some(_) => return Err(CommandError::wrong_type()),
    };
    let unsorted = options.by.is_some_and(|pattern| !pattern.contains(&b'*'));
    if !unsorted {
        elements = sorted(db, elements, &options, options.by)?;
    } else if is_set {
        // A set has no order to keep; servers sort it by member so that all replicas store the same list.
        elements =
            sorted(db, elements, &Options { alpha: true, descending: options.descending, ..Options::default() }, None)?;
    } else if options.descending && is_list {
        return Err(CommandError::unsupported(
            b"SORT list BY nosort DESC",
            "Redis 8 reverses the list and others do not",
        ));
    } else if options.descending {
        elements.reverse();
    }

    let window = options.window(elements.len());
    let mut result = List::new();
    for element in &elements[window] {
        if options.gets.is_empty() {
            result.push_back(element.clone());
        }
        for pattern in &options.gets {
            result.push_back(follow(db, pattern, element).unwrap_or_default());
        }
    }
    let count = result.len();
    db.store(destination, result);
    Ok(Reply::count(count))
}

fn sorted(db: &Database, elements: Vec<Vec<u8>>, options: &Options<'_>, by: Option<&[u8]>) -> Result<Vec<Vec<u8>>> {
    let mut weighted = Vec::with_capacity(elements.len());
    for element in elements {
        let looked_up = by.map(|pattern| follow(db, pattern, &element));
        let weight = match (options.alpha, looked_up) {
            (true, None) => Weight::Element,
            (true, Some(text)) => Weight::Text(text),
            (false, None) => Weight::Number(score(&element)?),
            (false, Some(text)) => Weight::Number(text.map_or(Ok(0.0), |text| score(&text))?),
        };
        weighted.push((weight, element));
    }
    weighted.sort_by(|a, b| {
        let order = compare(a, b);
        if options.descending { order.reverse() } else { order }
    });
    let ambiguous =
        |pair: &[(Weight, Vec<u8>)]| compare(&pair[0], &pair[1]) == Ordering::Equal && pair[0].1 != pair[1].1;
    if weighted.windows(2).any(ambiguous) {
        return Err(CommandError::unsupported(b"SORT ALPHA BY", "elements with equal weights have no defined order"));
    }
    Ok(weighted.into_iter().map(|(_, element)| element).collect())
}

fn compare(a: &(Weight, Vec<u8>), b: &(Weight, Vec<u8>)) -> Ordering {
    match (&a.0, &b.0) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
        }
        (Weight::Text(x), Weight::Text(y)) => x.cmp(y),
        _ => a.1.cmp(&b.1),
    }
}

/// What C's `strtod` makes of a string: it ends at the first zero byte, blanks in front do not count, and nothing is 0.
fn score(text: &[u8]) -> Result<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii_start();
    if text.is_empty() {
        return Ok(0.0);
    }
    number::double(text).ok_or_else(|| CommandError::invalid("ERR One or more scores can't be converted into double"))
}

/// The string at the key (`pattern*`), or in the field of the hash (`pattern*->field`), that the pattern gives for an element; `#` is the
/// element itself.
fn follow(db: &Database, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let tail = &pattern[star + 1..];
    let arrow = tail.windows(2).position(|pair| pair == b"->").filter(|at| at + 2 < tail.len());
    let (suffix, field) = match arrow {
        Some(at) => (&tail[..at], Some(&tail[at + 2..])),
        None => (tail, None),
    };
    let key = [&pattern[..star], element, suffix].concat();
    let value = &db.entry(&key)?.value;
    match (field, value) {
        (None, value) => Vec::<u8>::from_ref(value).cloned(),
        (Some(field), Value::Hash(hash)) => hash.get(field).map(|field| field.value.clone()),
        (Some(_), _) => None,
    }
}
