//! Streams: adding, deleting, trimming entries.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::number;
use super::reply::Reply;
use super::stream::{References, Stream, StreamId, bad_id, parse_id};

/// How far a stream is cut at its old end.
#[derive(Debug, Clone, Copy)]
enum Threshold {
    Length(usize),
    Id(StreamId),
}

#[derive(Debug, Clone, Copy)]
struct Trim {
    threshold: Threshold,
    approximate: bool,
}

impl Trim {
    /// `MAXLEN|MINID [= | ~] threshold [LIMIT n]`, if it comes next.
    fn parse(args: &mut Args<'_>) -> Result<Option<Self>> {
        let by_length = args.keyword("MAXLEN");
        if !by_length && !args.keyword("MINID") {
            return Ok(None);
        }
        let approximate = args.keyword("~");
        if !approximate {
            args.keyword("=");
        }
        let threshold = if by_length {
            let length = args.integer()?;
            let bad = || CommandError::invalid("ERR The MAXLEN argument must be >= 0.");
            Threshold::Length(usize::try_from(length).map_err(|_| bad())?)
        } else {
            Threshold::Id(args.stream_id(0)?)
        };
        if args.keyword("LIMIT") {
            args.natural()?;
            if !approximate {
                return Err(CommandError::invalid(
                    "ERR syntax error, LIMIT cannot be used without the special ~ option",
                ));
            }
        }
        Ok(Some(Self { threshold, approximate }))
    }

    fn wants(self, stream: &Stream, id: StreamId) -> bool {
        match self.threshold {
            Threshold::Length(length) => stream.entries.len() > length,
            Threshold::Id(min) => id < min,
        }
    }

    /// How many entries went.
    fn apply(self, stream: &mut Stream, references: References) -> usize {
        let mut trimmed = 0;
        let mut after = None;
        loop {
            let next = match after {
                None => stream.entries.keys().next(),
                Some(id) => stream
                    .entries
                    .range((std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded))
                    .next()
                    .map(|(id, _)| id),
            };
            let Some(id) = next.copied().filter(|id| self.wants(stream, *id)) else {
                return trimmed;
            };
            after = Some(id);
            if references == References::Acknowledged && stream.is_referenced(id) {
                continue;
            }
            stream.entries.remove(&id);
            trimmed += 1;
            if references == References::Delete {
                stream.unreference(id);
            }
        }
    }

    /// Where an approximate trim stops depends on how a server packs entries. Primaries put the exact threshold in the stream.
    fn check(self, stream: &Stream, adding: usize, command: &[u8]) -> Result<()> {
        let trims = match self.threshold {
            Threshold::Length(length) => stream.entries.len() + adding > length,
            Threshold::Id(min) => stream.entries.keys().next().is_some_and(|id| *id < min),
        };
        if self.approximate && trims {
            return Err(CommandError::unsupported(
                command,
                "`~` trims as the server packs entries; the stream says `=`",
            ));
        }
        Ok(())
    }
}

/// `KEEPREF`, `DELREF` or `ACKED`, if one of them comes next.
pub(super) fn references(args: &mut Args<'_>) -> Option<References> {
    if args.keyword("KEEPREF") {
        Some(References::Keep)
    } else if args.keyword("DELREF") {
        Some(References::Delete)
    } else if args.keyword("ACKED") {
        Some(References::Acknowledged)
    } else {
        None
    }
}

/// `XADD key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [MAXLEN|MINID [=] threshold] id field value …`, with the id that the source gave.
pub(super) fn xadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let (mut create, mut policy, mut trim) = (true, None, None);
    loop {
        if args.keyword("NOMKSTREAM") {
            create = false;
        } else if args
            .peek()
            .is_some_and(|arg| arg.eq_ignore_ascii_case(b"IDMP") || arg.eq_ignore_ascii_case(b"IDMPAUTO"))
        {
            return Err(CommandError::unsupported(b"XADD IDMP", "idempotent producers are not kept"));
        } else if let Some(references) = references(args) {
            policy = Some(references);
        } else if let Some(parsed) = Trim::parse(args)? {
            if trim.replace(parsed).is_some() {
                return Err(CommandError::syntax());
            }
        } else {
            break;
        }
    }
    let id_text = args.next()?;
    let (pairs, rest) = args.rest().as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(CommandError::arity(args.name()));
    }
    if id_text == b"*" {
        return Err(CommandError::unsupported(b"XADD *", "the id is the server's choice; the stream says which"));
    }
    // `ms-*` takes the next sequence number in that millisecond.
    let (id, next_in_ms) = match id_text.strip_suffix(b"-*") {
        Some(ms) => (StreamId::new(number::unsigned(ms).ok_or_else(bad_id)?, 0), true),
        None => (parse_id(id_text, 0)?, false),
    };
    if id == StreamId::ZERO && !next_in_ms {
        return Err(CommandError::invalid("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let existing = cx.db().get::<Stream>(key)?;
    if existing.is_none() && !create {
        return Ok(Reply::Nil);
    }
    let last_id = existing.map_or(StreamId::ZERO, |stream| stream.last_id);
    let id = if next_in_ms && id.ms == last_id.ms {
        StreamId::new(id.ms, last_id.seq.checked_add(1).ok_or_else(too_small)?)
    } else {
        id
    };
    if id <= last_id {
        return Err(too_small());
    }
    if let (Some(trim), Some(stream)) = (trim, existing) {
        trim.check(stream, 1, args.name())?;
    }
    let stream = cx.db().make::<Stream>(key)?;
    stream.entries.insert(id, pairs.iter().map(|[field, value]| (field.to_vec(), value.to_vec())).collect());
    stream.last_id = id;
    stream.entries_added += 1;
    if let Some(trim) = trim {
        trim.apply(stream, policy.unwrap_or_default());
    }
    Ok(Reply::bulk(id.to_string()))
}

fn too_small() -> CommandError {
    CommandError::invalid("ERR The ID specified in XADD is equal or smaller than the target stream top item")
}

/// `XTRIM key MAXLEN|MINID [=] threshold [KEEPREF | DELREF | ACKED]`
pub(super) fn xtrim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let before = references(args);
    let trim = Trim::parse(args)?.ok_or_else(CommandError::syntax)?;
    let policy = before.or_else(|| references(args)).unwrap_or_default();
    args.end()?;
    let Some(stream) = cx.db().get_mut::<Stream>(key)? else {
        return Ok(Reply::Integer(0));
    };
    trim.check(stream, 0, args.name())?;
    Ok(Reply::count(trim.apply(stream, policy)))
}

/// `XDEL key id …`
pub(super) fn xdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    if cx.db().get::<Stream>(key)?.is_none() {
        return Ok(Reply::Integer(0));
    }
    let ids = ids(args.rest())?;
    let Some(stream) = cx.db().get_mut::<Stream>(key)? else {
        return Ok(Reply::Integer(0));
    };
    Ok(Reply::count(ids.into_iter().filter(|id| stream.delete(*id)).count()))
}

pub(super) fn ids(texts: &[&[u8]]) -> Result<Vec<StreamId>> {
    texts.iter().map(|text| parse_id(text, 0)).collect()
}

/// `IDS n id …`
pub(super) fn counted_ids<'a>(args: &mut Args<'a>) -> Result<&'a [&'a [u8]]> {
    if !args.keyword("IDS") {
        return Err(CommandError::syntax());
    }
    let texts = args.counted("ERR Number of IDs must be a positive integer")?;
    args.end()?;
    Ok(texts)
}

/// What became of an entry, as `XDELEX` and `XACKDEL` answer it.
pub(super) const NOT_FOUND: i64 = -1;
pub(super) const DELETED: i64 = 1;
pub(super) const STILL_REFERENCED: i64 = 2;

/// Deletes an entry as the policy says.
pub(super) fn delete(stream: &mut Stream, id: StreamId, policy: References) -> i64 {
    if policy == References::Acknowledged && stream.is_referenced(id) {
        return STILL_REFERENCED;
    }
    if !stream.delete(id) {
        return NOT_FOUND;
    }
    if policy == References::Delete {
        stream.unreference(id);
    }
    DELETED
}

/// `XDELEX key [KEEPREF | DELREF | ACKED] IDS n id …` (Redis 8.2)
pub(super) fn xdelex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let policy = references(args).unwrap_or_default();
    let texts = counted_ids(args)?;
    let Some(stream) = cx.db().get_mut::<Stream>(key)? else {
        return Ok(Reply::Array(vec![Reply::Integer(NOT_FOUND); texts.len()]));
    };
    let answers = ids(texts)?.into_iter().map(|id| Reply::Integer(delete(stream, id, policy)));
    Ok(Reply::Array(answers.collect()))
}

/// `XSETID key last-id [ENTRIESADDED n] [MAXDELETEDID id]`
pub(super) fn xsetid(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, last_id) = (args.next()?, args.stream_id(0)?);
    let (mut entries_added, mut max_deleted_id) = (None, None);
    while args.left() > 0 {
        if args.keyword("ENTRIESADDED") {
            let negative = || CommandError::invalid("ERR entries_added must be positive");
            entries_added = Some(u64::try_from(args.integer()?).map_err(|_| negative())?);
        } else if args.keyword("MAXDELETEDID") {
            let id = args.stream_id(0)?;
            if id > last_id {
                return Err(CommandError::invalid(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            max_deleted_id = Some(id);
        } else {
            return Err(CommandError::syntax());
        }
    }
    let stream = cx.db().get_mut::<Stream>(key)?.ok_or_else(CommandError::no_such_key)?;
    if stream.entries.last_key_value().is_some_and(|(top, _)| last_id < *top) {
        return Err(CommandError::invalid("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if entries_added.is_some_and(|added| added < stream.entries.len() as u64) {
        return Err(CommandError::invalid(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    stream.last_id = last_id;
    stream.entries_added = entries_added.unwrap_or(stream.entries_added);
    if let Some(id) = max_deleted_id.filter(|id| *id != StreamId::ZERO) {
        stream.max_deleted_id = id;
    }
    Ok(Reply::OK)
}
