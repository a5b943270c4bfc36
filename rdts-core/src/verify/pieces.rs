//! Values that are too big for one reply, piece by piece.

use rdts_rdb::{Digester, Event, Str, StringChunk, ValueKind};
use rdts_resp::Reply;

use super::face::{Face, Present, of_payload};
use super::reader::{Clock, is_moving, kind, length_command};
use super::side::About;
use super::wire::Wire;
use crate::error::Result;

/// Bytes of a string that are read at a time.
const STRING: u64 = 256 << 10;
/// Bytes that a reply with several elements is to have, about.
const PAGE: usize = 256 << 10;
/// The longest payload of a value of which there are no pieces.
const LONGEST_WHOLE: usize = 16 << 20;
const MOST_ELEMENTS: usize = 2000;

/// What a key is, before its value is read.
pub(super) struct Head {
    pub(super) kind: ValueKind,
    pub(super) len: u64,
    pub(super) expire_at: Option<i64>,
}

/// What can be found where a value was looked for.
pub(super) enum Found<T> {
    Missing,
    /// It cannot be read now: it is moving, or is being changed.
    Unsteady,
    Whole(T),
}

/// Takes the elements of a value.
pub(super) trait Take: Send {
    /// An element.
    fn event(&mut self, event: &Event<'_>) -> Result<()>;

    /// Some elements were taken, and nothing more is read before this has come back.
    fn page(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

impl Take for Digester {
    fn event(&mut self, event: &Event<'_>) -> Result<()> {
        Digester::event(self, event);
        Ok(())
    }
}

/// Reads the key, of which only a small part is in memory at any time.
pub(super) async fn read(wire: &mut Wire, about: &About, key: &[u8]) -> Result<Face> {
    let head = match head(wire, about, key).await? {
        Found::Missing => return Ok(Face::Missing),
        Found::Unsteady => return Ok(Face::Unknown),
        Found::Whole(head) => head,
    };
    if length_command(head.kind).is_none() {
        return Ok(match wire.call_long(LONGEST_WHOLE, [&b"DUMP"[..], key]).await? {
            Reply::Bulk(payload) => of_payload(&payload, head.expire_at),
            // Longer than is read at once, and nothing else tells what is in it.
            _ => Face::Unknown,
        });
    }
    let mut digester = Digester::new(head.kind);
    if !walk(wire, about, key, &head, &mut digester).await? {
        return Ok(Face::Unknown);
    }
    let digest = digester.finish().value();
    Ok(Face::Present(Present { kind: head.kind, len: head.len, digest, expire_at: head.expire_at }))
}

/// Type, length and expiry of a key.
pub(super) async fn head(wire: &mut Wire, about: &About, key: &[u8]) -> Result<Found<Head>> {
    let reply = wire.call([&b"TYPE"[..], key]).await?;
    let name = match reply.as_bytes() {
        Some(b"none") => return Ok(Found::Missing),
        Some(name) => name.to_vec(),
        None => return unsteady(wire, "TYPE", &reply),
    };
    let mut clock = Clock::ask(wire, about);
    wire.command([clock.command, key]);
    let mut time = None;
    wire.exchange(|number, answer| {
        if clock.take(number, &answer).is_some() {
            time = answer.reply().and_then(|reply| reply.as_integer());
        }
        Ok(())
    })
    .await?;
    let expire_at = match time {
        Some(-2) => return Ok(Found::Missing),
        Some(time) => clock.absolute(time),
        None => return Ok(Found::Unsteady),
    };
    let kind = kind(&name).unwrap_or(ValueKind::Module);
    let Some(len) = length(wire, kind, key).await? else { return Ok(Found::Unsteady) };
    Ok(Found::Whole(Head { kind, len, expire_at }))
}

fn unsteady<T>(wire: &Wire, command: &str, reply: &Reply) -> Result<Found<T>> {
    match reply.as_error() {
        Some(error) if !is_moving(error) && !error.starts_with(b"WRONGTYPE") => Err(wire.refusal(command, reply)),
        _ => Ok(Found::Unsteady),
    }
}

/// `None` if that is no longer its type.
async fn length(wire: &mut Wire, kind: ValueKind, key: &[u8]) -> Result<Option<u64>> {
    let Some(command) = length_command(kind) else { return Ok(Some(0)) };
    Ok(wire.call([command, key]).await?.as_integer().map(i64::unsigned_abs))
}

/// Hands all elements of the value to `take`. Whether they are those of one moment, as far as their number tells.
pub(super) async fn walk(
    wire: &mut Wire,
    about: &About,
    key: &[u8],
    head: &Head,
    take: &mut impl Take,
) -> Result<bool> {
    let counted = match head.kind {
        ValueKind::String => string(wire, key, head.len, take).await?,
        ValueKind::List => list(wire, key, head.len, take).await?,
        ValueKind::Set => scan(wire, about, b"SSCAN", key, take).await?,
        ValueKind::ZSet => scan(wire, about, b"ZSCAN", key, take).await?,
        ValueKind::Hash => scan(wire, about, b"HSCAN", key, take).await?,
        ValueKind::Stream => stream(wire, key, take).await?,
        _ => None,
    };
    // SCAN gives every element at least once: if it gave as many as there are, it gave each once.
    Ok(counted == Some(head.len) && length(wire, head.kind, key).await? == Some(head.len))
}

async fn string(wire: &mut Wire, key: &[u8], total: u64, take: &mut impl Take) -> Result<Option<u64>> {
    let mut at = 0;
    while at < total {
        let end = (at + STRING).min(total);
        let range = (at.to_string(), (end - 1).to_string());
        let reply = wire.call([&b"GETRANGE"[..], key, range.0.as_bytes(), range.1.as_bytes()]).await?;
        let Some(piece) = reply.as_bytes() else { return Ok(None) };
        if piece.len() as u64 != end - at {
            return Ok(None);
        }
        take.event(&Event::String(StringChunk::new(total, at, piece)))?;
        take.page().await?;
        at = end;
    }
    Ok(Some(at))
}

/// How many elements are asked for at a time, so that a reply has a bearable size.
struct Pace(usize);

impl Pace {
    const START: Self = Self(64);

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn got(&mut self, elements: usize, bytes: usize) {
        if bytes > PAGE {
            self.0 = (self.0 / 2).max(1);
        } else if bytes < PAGE / 2 && elements > 0 {
            self.0 = (self.0 * 2).min(MOST_ELEMENTS);
        }
    }
}

async fn list(wire: &mut Wire, key: &[u8], total: u64, take: &mut impl Take) -> Result<Option<u64>> {
    let (mut at, mut pace) = (0, Pace::START);
    while at < total {
        let end = (at + pace.0 as u64).min(total);
        let range = (at.to_string(), (end - 1).to_string());
        let reply = wire.call([&b"LRANGE"[..], key, range.0.as_bytes(), range.1.as_bytes()]).await?;
        let Some(items) = reply.as_array() else { return Ok(None) };
        if items.is_empty() {
            return Ok(None);
        }
        let mut bytes = 0;
        for item in items.iter().filter_map(Reply::as_bytes) {
            bytes += item.len();
            take.event(&Event::ListItem(Str::Bytes(item)))?;
        }
        take.page().await?;
        at += items.len() as u64;
        pace.got(items.len(), bytes);
    }
    Ok(Some(at))
}

async fn scan(wire: &mut Wire, about: &About, command: &[u8], key: &[u8], take: &mut impl Take) -> Result<Option<u64>> {
    let (mut cursor, mut pace, mut counted) = (b"0".to_vec(), Pace::START, 0);
    loop {
        let reply = wire.call([command, key, &cursor, b"COUNT", pace.text().as_bytes()]).await?;
        let page = reply.as_array().and_then(|page| Some((page.first()?.as_bytes()?, page.get(1)?.as_array()?)));
        let Some((next, items)) = page else { return Ok(None) };
        let items: Vec<&[u8]> = items.iter().filter_map(Reply::as_bytes).collect();
        match command {
            b"SSCAN" => {
                for member in &items {
                    take.event(&Event::SetMember(Str::Bytes(member)))?;
                }
                counted += items.len() as u64;
            }
            b"ZSCAN" => {
                for pair in items.chunks_exact(2) {
                    let score = std::str::from_utf8(pair[1]).ok().and_then(|text| text.parse().ok());
                    let Some(score) = score else { return Ok(None) };
                    take.event(&Event::ZSetMember { member: Str::Bytes(pair[0]), score })?;
                    counted += 1;
                }
            }
            _ => {
                let expiries = field_expiries(wire, about, key, &items).await?;
                for (pair, expire_at_ms) in items.chunks_exact(2).zip(expiries) {
                    let (field, value) = (Str::Bytes(pair[0]), Str::Bytes(pair[1]));
                    take.event(&Event::HashField { field, value, expire_at_ms })?;
                    counted += 1;
                }
            }
        }
        take.page().await?;
        pace.got(items.len(), items.iter().map(|item| item.len()).sum());
        if next == b"0" {
            return Ok(Some(counted));
        }
        cursor = next.to_vec();
    }
}

/// When each field of a page of fields and values expires.
async fn field_expiries(wire: &mut Wire, about: &About, key: &[u8], page: &[&[u8]]) -> Result<Vec<Option<i64>>> {
    let fields = page.len() / 2;
    if fields == 0 || !about.target.field_expiry() {
        return Ok(vec![None; fields]);
    }
    let number = fields.to_string();
    let mut words: Vec<&[u8]> = vec![b"HPEXPIRETIME", key, b"FIELDS", number.as_bytes()];
    words.extend(page.iter().step_by(2));
    let reply = wire.call(words.iter()).await?;
    match reply.as_array() {
        Some(times) => Ok(times.iter().map(|time| time.as_integer().filter(|time| *time >= 0)).collect()),
        // The key is gone by now: nobody counts on what was read of it.
        None if !reply.is_error() => Ok(vec![None; fields]),
        None => {
            unsteady::<()>(wire, "HPEXPIRETIME", &reply)?;
            Ok(vec![None; fields])
        }
    }
}

/// Entries, last id, groups, what is pending. As a list of texts: such a digest means something only beside another that was made like this.
/// When something was delivered is not in it, since servers tell only how long ago that was.
async fn stream(wire: &mut Wire, key: &[u8], take: &mut impl Take) -> Result<Option<u64>> {
    let (mut from, mut pace, mut counted) = (b"-".to_vec(), Pace::START, 0);
    loop {
        let reply = wire.call([&b"XRANGE"[..], key, &from, b"+", b"COUNT", pace.text().as_bytes()]).await?;
        let Some(entries) = reply.as_array() else { return Ok(None) };
        let Some(last) = entries.last() else { break };
        let mut bytes = 0;
        for entry in entries {
            bytes += texts(entry, take)?;
        }
        counted += entries.len() as u64;
        pace.got(entries.len(), bytes);
        let last = last.as_array().and_then(|entry| entry.first()).and_then(Reply::as_bytes);
        let Some(next) = last.and_then(next_id) else { break };
        from = next;
    }
    let info = wire.call([&b"XINFO"[..], b"STREAM", key]).await?;
    let Some(last) = info.get("last-generated-id") else { return Ok(None) };
    texts(last, take)?;
    let groups = wire.call([&b"XINFO"[..], b"GROUPS", key]).await?;
    let Some(groups) = groups.as_array() else { return Ok(None) };
    for group in groups {
        let (Some(name), Some(last)) = (group.get("name"), group.get("last-delivered-id")) else { return Ok(None) };
        let Some(group) = name.as_bytes() else { return Ok(None) };
        texts(name, take)?;
        texts(last, take)?;
        let mut from = b"-".to_vec();
        loop {
            let reply = wire.call([&b"XPENDING"[..], key, group, &from, b"+", b"1000"]).await?;
            let Some(rows) = reply.as_array() else { return Ok(None) };
            let mut last = None;
            for row in rows {
                let Some([id, consumer, _idle, count]) = row.as_array() else { return Ok(None) };
                for part in [id, consumer, count] {
                    texts(part, take)?;
                }
                last = id.as_bytes();
            }
            let Some(next) = last.and_then(next_id) else { break };
            from = next;
        }
    }
    Ok(Some(counted))
}

/// Hands over all texts and numbers in a reply, and tells how long they are.
fn texts(reply: &Reply, take: &mut impl Take) -> Result<usize> {
    if let Some(items) = reply.as_array() {
        // So that ["a", "b"], ["c"] is not ["a"], ["b", "c"].
        take.event(&Event::ListItem(Str::Int(i64::try_from(items.len()).unwrap_or(i64::MAX))))?;
        let mut bytes = 0;
        for item in items {
            bytes += texts(item, take)?;
        }
        return Ok(bytes);
    }
    let item = match (reply.as_bytes(), reply.as_integer()) {
        (Some(bytes), _) => Str::Bytes(bytes),
        (None, number) => Str::Int(number.unwrap_or(-1)),
    };
    take.event(&Event::ListItem(item))?;
    Ok(item.len())
}

/// The id after `id`, for servers before 6.2 have no other way to ask for what follows one.
fn next_id(id: &[u8]) -> Option<Vec<u8>> {
    let (ms, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    let (ms, seq): (u64, u64) = (ms.parse().ok()?, seq.parse().ok()?);
    let (ms, seq) = match seq.checked_add(1) {
        Some(seq) => (ms, seq),
        None => (ms.checked_add(1)?, 0),
    };
    Some(format!("{ms}-{seq}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_after_an_id() {
        assert_eq!(next_id(b"5-9").as_deref(), Some(&b"5-10"[..]));
        assert_eq!(next_id(b"5-18446744073709551615").as_deref(), Some(&b"6-0"[..]));
        assert_eq!(next_id(b"18446744073709551615-18446744073709551615"), None);
        assert_eq!(next_id(b"nonsense"), None);
    }

    #[test]
    fn the_pace_follows_the_size_of_replies() {
        let mut pace = Pace::START;
        pace.got(64, 100);
        assert_eq!(pace.0, 128);
        pace.got(128, PAGE + 1);
        pace.got(64, PAGE * 100);
        assert_eq!(pace.0, 32);
        for _ in 0..10 {
            pace.got(1, PAGE * 2);
        }
        assert_eq!(pace.0, 1);
    }
}
