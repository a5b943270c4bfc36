//! Consumer groups of streams.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, CommandErrorKind, Result};
use super::reply::Reply;
use super::stream::{ConsumerGroup, PendingEntry, References, Stream, StreamId, parse_id};
use super::stream_commands::{NOT_FOUND, STILL_REFERENCED, counted_ids, delete, ids, references};

fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    CommandError::new(
        CommandErrorKind::NotFound,
        format!("NOGROUP No such key '{}' or consumer group '{}'", key.escape_ascii(), group.escape_ascii()),
    )
}

/// `XGROUP CREATE | SETID | DESTROY | CREATECONSUMER | DELCONSUMER key group …`
pub(super) fn xgroup(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let subcommand = args.next()?.to_ascii_uppercase();
    let (key, name) = (args.next()?, args.next()?);
    cx.db().get::<Stream>(key)?; // the type comes first
    match subcommand.as_slice() {
        b"CREATE" => return create(cx, args, key, name),
        b"DESTROY" => {
            args.end()?;
            return Ok(Reply::flag(stream_for_group(cx, key)?.groups.remove(name).is_some()));
        }
        b"SETID" | b"CREATECONSUMER" | b"DELCONSUMER" => {}
        _ => return Err(CommandError::unsupported(&subcommand, "it is no subcommand of XGROUP that is known here")),
    }
    let stream = stream_for_group(cx, key)?;
    let stream_last_id = stream.last_id;
    let group = stream.groups.get_mut(name).ok_or_else(|| no_group(key, name))?;
    if subcommand == b"SETID" {
        let position = Position::parse(args, false)?;
        group.last_id = position.id.unwrap_or(stream_last_id);
        group.entries_read = position.entries_read;
        return Ok(Reply::OK);
    }
    let consumer = args.next()?;
    args.end()?;
    if subcommand == b"CREATECONSUMER" {
        return Ok(Reply::flag(group.consumers.insert(consumer.to_vec())));
    }
    group.consumers.remove(consumer);
    let before = group.pending.len();
    group.pending.retain(|_, pending| pending.consumer.as_deref() != Some(consumer));
    Ok(Reply::count(before - group.pending.len()))
}

fn stream_for_group<'c>(cx: &'c mut Context<'_>, key: &[u8]) -> Result<&'c mut Stream> {
    let missing = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
                   MKSTREAM option to create an empty stream automatically.";
    cx.db().get_mut::<Stream>(key)?.ok_or_else(|| CommandError::new(CommandErrorKind::NotFound, missing))
}

/// `id | $ [MKSTREAM] [ENTRIESREAD n]`
struct Position {
    id: Option<StreamId>,
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Position {
    fn parse(args: &mut Args<'_>, may_make: bool) -> Result<Self> {
        let id = if args.keyword("$") { None } else { Some(args.stream_id(0)?) };
        let (mut make_stream, mut entries_read) = (false, None);
        while args.left() > 0 {
            if may_make && args.keyword("MKSTREAM") {
                make_stream = true;
            } else if args.keyword("ENTRIESREAD") {
                let n = args.integer()?;
                if n < -1 {
                    return Err(CommandError::invalid("ERR value for ENTRIESREAD must be positive or -1"));
                }
                entries_read = u64::try_from(n).ok();
            } else {
                return Err(CommandError::syntax());
            }
        }
        Ok(Self { id, make_stream, entries_read })
    }
}

fn create(cx: &mut Context<'_>, args: &mut Args<'_>, key: &[u8], name: &[u8]) -> Result<Reply> {
    let position = Position::parse(args, true)?;
    let stream = if position.make_stream { cx.db().make::<Stream>(key)? } else { stream_for_group(cx, key)? };
    if stream.groups.contains_key(name) {
        return Err(CommandError::new(CommandErrorKind::Exists, "BUSYGROUP Consumer Group name already exists"));
    }
    let last_id = position.id.unwrap_or(stream.last_id);
    stream.groups.insert(
        name.to_vec(),
        ConsumerGroup { last_id, entries_read: position.entries_read, ..ConsumerGroup::default() },
    );
    Ok(Reply::OK)
}

fn group<'c>(cx: &'c mut Context<'_>, key: &[u8], name: &[u8]) -> Result<Option<&'c mut ConsumerGroup>> {
    Ok(cx.db().get_mut::<Stream>(key)?.and_then(|stream| stream.groups.get_mut(name)))
}

/// `XACK key group id …`
pub(super) fn xack(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, name) = (args.next()?, args.next()?);
    if group(cx, key, name)?.is_none() {
        return Ok(Reply::Integer(0));
    }
    let ids = ids(args.rest())?;
    let acknowledged =
        group(cx, key, name)?.map_or(0, |group| ids.iter().filter(|id| group.pending.remove(id).is_some()).count());
    Ok(Reply::count(acknowledged))
}

/// `XACKDEL key group [KEEPREF | DELREF | ACKED] IDS n id …` (Redis 8.2)
pub(super) fn xackdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, name) = (args.next()?, args.next()?);
    let policy = references(args).unwrap_or_default();
    let texts = counted_ids(args)?;
    let stream = cx.db().get_mut::<Stream>(key)?;
    let Some(stream) = stream.filter(|stream| stream.groups.contains_key(name)) else {
        return Ok(Reply::Array(vec![Reply::Integer(NOT_FOUND); texts.len()]));
    };
    let mut replies = Vec::with_capacity(texts.len());
    for id in ids(texts)? {
        let acknowledged = stream.groups.get_mut(name).is_some_and(|group| group.pending.remove(&id).is_some());
        let answer = if !acknowledged {
            NOT_FOUND
        } else if delete(stream, id, policy) == STILL_REFERENCED && policy == References::Acknowledged {
            STILL_REFERENCED
        } else {
            super::stream_commands::DELETED
        };
        replies.push(Reply::Integer(answer));
    }
    Ok(Reply::Array(replies))
}

/// `XCLAIM key group consumer min-idle-ms id … [IDLE ms] [TIME ms] [RETRYCOUNT n] [FORCE] [JUSTID] [LASTID id]`
pub(super) fn xclaim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, name, consumer) = (args.next()?, args.next()?, args.next()?);
    if group(cx, key, name)?.is_none() {
        return Err(no_group(key, name));
    }
    let min_idle = args.integer()?.max(0);
    let mut ids = vec![args.stream_id(0)?];
    while let Some(id) = args.peek().and_then(|text| parse_id(text, 0).ok()) {
        ids.push(id);
        args.next()?;
    }
    let (mut delivered_at, mut deliveries, mut force, mut just_id, mut last_id) =
        (cx.now, None, false, false, StreamId::ZERO);
    while args.left() > 0 {
        if args.keyword("FORCE") {
            force = true;
        } else if args.keyword("JUSTID") {
            just_id = true;
        } else if args.keyword("IDLE") {
            delivered_at = cx.now.saturating_sub(args.integer()?);
        } else if args.keyword("TIME") {
            delivered_at = args.integer()?;
        } else if args.keyword("RETRYCOUNT") {
            deliveries = Some(u64::try_from(args.integer()?).map_err(|_| CommandError::not_an_integer())?);
        } else if args.keyword("LASTID") {
            last_id = args.stream_id(0)?;
        } else {
            return Err(CommandError::invalid("ERR Unrecognized XCLAIM option"));
        }
    }
    // A time ahead of ours is not cut: it is the source's, whose clock decides.
    let delivered_at = if delivered_at < 0 { cx.now } else { delivered_at };
    let claim = Claim { consumer, min_idle, now: cx.now, delivered_at, deliveries, just_id };
    let stream = cx.db().get_mut::<Stream>(key)?.ok_or_else(CommandError::no_such_key)?;
    let group = stream.groups.get_mut(name).ok_or_else(|| no_group(key, name))?;
    group.last_id = group.last_id.max(last_id);
    let mut replies = Vec::new();
    for id in ids {
        let Some(entry) = stream.entries.get(&id) else {
            group.pending.remove(&id); // since 7.0, whose streams then say so too
            continue;
        };
        if claim.take(group, id, force) {
            replies.push(if just_id { Reply::bulk(id.to_string()) } else { entry_reply(id, entry) });
        }
    }
    Ok(Reply::Array(replies))
}

/// What a pending entry becomes.
struct Claim<'a> {
    consumer: &'a [u8],
    min_idle: i64,
    now: i64,
    delivered_at: i64,
    deliveries: Option<u64>,
    just_id: bool,
}

impl Claim<'_> {
    /// Whether the entry was pending, or is made so, and has been idle for long enough. A consumer who gets nothing is not created: since 7.2
    /// primaries do that, and say so with a command of its own in the stream.
    fn take(&self, group: &mut ConsumerGroup, id: StreamId, force: bool) -> bool {
        let pending = match group.pending.get_mut(&id) {
            Some(pending) if self.min_idle > 0 && self.now.saturating_sub(pending.delivered_at) < self.min_idle => {
                return false;
            }
            Some(pending) => pending,
            None if !force => return false,
            None => group.pending.entry(id).or_insert(PendingEntry { consumer: None, delivered_at: 0, deliveries: 1 }),
        };
        pending.consumer = Some(self.consumer.to_vec());
        pending.delivered_at = self.delivered_at;
        pending.deliveries = self.deliveries.unwrap_or(pending.deliveries.saturating_add(u64::from(!self.just_id)));
        group.consumers.insert(self.consumer.to_vec());
        true
    }
}

fn entry_reply(id: StreamId, fields: &[(Vec<u8>, Vec<u8>)]) -> Reply {
    let flat = fields.iter().flat_map(|(field, value)| [Reply::bulk(field.clone()), Reply::bulk(value.clone())]);
    Reply::Array(vec![Reply::bulk(id.to_string()), Reply::Array(flat.collect())])
}

/// `XAUTOCLAIM key group consumer min-idle-ms start [COUNT n] [JUSTID]`. Primaries put an `XCLAIM` per entry in the stream.
pub(super) fn xautoclaim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (key, name, consumer) = (args.next()?, args.next()?, args.next()?);
    let min_idle = args.integer()?.max(0);
    let mut start = if args.keyword("-") { StreamId::ZERO } else { args.stream_id(0)? };
    let (mut count, mut just_id) = (100, false);
    while args.left() > 0 {
        if args.keyword("COUNT") {
            count = args.natural()?;
            if count == 0 {
                return Err(CommandError::invalid("ERR COUNT must be > 0"));
            }
        } else if args.keyword("JUSTID") {
            just_id = true;
        } else {
            return Err(CommandError::syntax());
        }
    }
    let now = cx.now;
    if group(cx, key, name)?.is_none() {
        return Err(no_group(key, name));
    }
    let stream = cx.db().get_mut::<Stream>(key)?.ok_or_else(CommandError::no_such_key)?;
    let group = stream.groups.get_mut(name).ok_or_else(|| no_group(key, name))?;
    let claim = Claim { consumer, min_idle, now, delivered_at: now, deliveries: None, just_id };
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    let mut attempts = count.saturating_mul(10);
    loop {
        let Some(id) = group.pending.range(start..).next().map(|(id, _)| *id) else {
            start = StreamId::ZERO;
            break;
        };
        if attempts == 0 || claimed.len() + deleted.len() == count {
            start = id;
            break;
        }
        attempts -= 1;
        start = if id.seq == u64::MAX {
            StreamId::new(id.ms.saturating_add(1), 0)
        } else {
            StreamId::new(id.ms, id.seq + 1)
        };
        match stream.entries.get(&id) {
            None => {
                group.pending.remove(&id);
                deleted.push(Reply::bulk(id.to_string()));
            }
            Some(entry) if claim.take(group, id, false) => {
                claimed.push(if just_id { Reply::bulk(id.to_string()) } else { entry_reply(id, entry) });
            }
            Some(_) => {}
        }
    }
    Ok(Reply::Array(vec![Reply::bulk(start.to_string()), Reply::Array(claimed), Reply::Array(deleted)]))
}
