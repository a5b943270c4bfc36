//! Keys with their values as JSON.

use std::io::{self, Write};

use rdts_rdb::{ArrayValue, Event, IntBuffer, KeyHeader, ModuleItem, Str, ValueKind};

/// Writes keys as JSON, one object a line, out of the events of an RDB, as they come: memory does not depend on a value's size.
///
/// An object has "db", "key", "type" (what the `TYPE` command says), "encoding" (how the file has the value), "expire_at_ms" (Unix time
/// in ms, null = never), "idle_seconds" or "lfu_frequency" where there is one, "offset" where that is known, and "value":
///
/// - string: a string; list, set: an array of strings; zset: an array of [member, score], infinite scores as "inf" and "-inf";
/// - hash: an array of [field, value], with the field's expiry as third if it has one;
/// - stream: entries as [id, [field, value, ...]], then what the stream knows about itself, and its groups;
/// - module: its type's name and version, and its items with their kinds; array: [index, element] of the slots that are set.
///
/// Strings are binary safe: each character U+0000 to U+00FF stands for the byte of that number, so that encoding a string as Latin-1 gives
/// its bytes.
///
/// ```
/// use rdts_rdb::{Event, KeyHeader, Str, ValueType};
/// use rdts_sink::file::JsonEntries;
///
/// let mut json = JsonEntries::new(Vec::new());
/// json.key(0, &KeyHeader::new(b"k", ValueType::List), None)?;
/// json.event(&Event::ListItem(Str::Bytes(b"a\xff")))?;
/// json.end()?;
/// let line = "{\"db\":0,\"key\":\"k\",\"type\":\"list\",\"encoding\":\"list\",\"expire_at_ms\":null,\"value\":[\"a\\u00ff\"]}\n";
/// assert_eq!(json.into_inner(), line.as_bytes());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonEntries<W> {
    out: W,
    /// What closes each scope, innermost last, and whether something is in it already.
    open: Vec<(&'static str, bool)>,
}

impl<W> JsonEntries<W> {
    /// Writes to `out`, in small pieces: it should have a buffer.
    pub fn new(out: W) -> Self {
        Self { out, open: Vec::new() }
    }

    /// Whether an object is open: its line has no end yet.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// What is written to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Gives back what is written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> JsonEntries<W> {
    /// Begins a key; events of its value and [`end`](Self::end) follow. `offset` is where the source is after it.
    ///
    /// # Errors
    /// Writing failed, here and below.
    pub fn key(&mut self, db: u64, header: &KeyHeader<'_>, offset: Option<u64>) -> io::Result<()> {
        write!(self.out, "{{\"db\":{db},\"key\":\"")?;
        escaped(&mut self.out, header.key)?;
        write!(self.out, "\",\"type\":\"{}\",\"encoding\":\"{}\"", header.value_type.kind(), header.value_type)?;
        self.expiry(header.expire_at_ms)?;
        if let Some(seconds) = header.idle_seconds {
            write!(self.out, ",\"idle_seconds\":{seconds}")?;
        }
        if let Some(frequency) = header.lfu_frequency {
            write!(self.out, ",\"lfu_frequency\":{frequency}")?;
        }
        if let Some(offset) = offset {
            write!(self.out, ",\"offset\":{offset}")?;
        }
        self.open_value(header.value_type.kind())
    }

    /// Begins a value whose key and expiry are known at its end: they stand there, in [`end_with`](Self::end_with).
    pub(super) fn begin(&mut self, db: u32, offset: u64, kind: ValueKind) -> io::Result<()> {
        write!(self.out, "{{\"db\":{db},\"type\":\"{kind}\",\"offset\":{offset}")?;
        self.open_value(kind)
    }

    /// Ends what [`begin`](Self::begin) began.
    pub(super) fn end_with(&mut self, key: &[u8], expire_at_ms: Option<i64>) -> io::Result<()> {
        self.close(1)?;
        self.out.write_all(b",\"key\":")?;
        self.string(key)?;
        self.expiry(expire_at_ms)?;
        self.end()
    }

    /// A command as an object: "db", "offset", "key" (its first one, or null) and "command", an array of its words.
    pub(super) fn command(
        &mut self,
        db: u32,
        offset: u64,
        key: Option<&[u8]>,
        words: impl Iterator<Item: AsRef<[u8]>>,
    ) -> io::Result<()> {
        write!(self.out, "{{\"db\":{db},\"offset\":{offset},\"key\":")?;
        match key {
            Some(key) => self.string(key)?,
            None => self.out.write_all(b"null")?,
        }
        self.open(",\"command\":[", "]}\n")?;
        for word in words {
            self.item()?;
            self.string(word.as_ref())?;
        }
        self.end()
    }

    fn expiry(&mut self, expire_at_ms: Option<i64>) -> io::Result<()> {
        match expire_at_ms {
            Some(ms) => write!(self.out, ",\"expire_at_ms\":{ms}"),
            None => write!(self.out, ",\"expire_at_ms\":null"),
        }
    }

    fn open_value(&mut self, kind: ValueKind) -> io::Result<()> {
        self.open(",\"value\":", "}\n")?;
        match kind {
            ValueKind::String => self.open("\"", "\""),
            ValueKind::List | ValueKind::Set | ValueKind::ZSet | ValueKind::Hash => self.open("[", "]"),
            ValueKind::Stream => {
                self.open("{", "}")?;
                self.open("\"entries\":[", "]")
            }
            _ => self.open("{", "}"),
        }
    }

    fn open(&mut self, text: &str, close: &'static str) -> io::Result<()> {
        self.open.push((close, false));
        self.out.write_all(text.as_bytes())
    }

    /// Closes scopes until so many are open.
    fn close(&mut self, open: usize) -> io::Result<()> {
        while self.open.len() > open {
            if let Some((close, _)) = self.open.pop() {
                self.out.write_all(close.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Ends the object and its line.
    ///
    /// # Errors
    /// Writing failed.
    pub fn end(&mut self) -> io::Result<()> {
        self.close(0)
    }

    /// Begins the next item of the innermost list.
    fn item(&mut self) -> io::Result<()> {
        let Some((_, started)) = self.open.last_mut() else { return Ok(()) };
        if std::mem::replace(started, true) { self.out.write_all(b",") } else { Ok(()) }
    }

    fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(b"\"")?;
        escaped(&mut self.out, bytes)?;
        self.out.write_all(b"\"")
    }

    fn str(&mut self, s: Str<'_>) -> io::Result<()> {
        self.string(s.as_bytes(&mut IntBuffer::new()))
    }

    fn double(&mut self, value: f64) -> io::Result<()> {
        if value.is_finite() { write!(self.out, "{value}") } else { write!(self.out, "\"{value}\"") }
    }

    /// A piece of a string.
    pub(super) fn string_piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        escaped(&mut self.out, bytes)
    }

    /// The next event of the value.
    ///
    /// # Errors
    /// Writing failed.
    pub fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        match event {
            Event::String(piece) => self.string_piece(piece.data),
            Event::ListItem(item) | Event::SetMember(item) => {
                self.item()?;
                self.str(*item)
            }
            Event::ZSetMember { member, score } => {
                self.item()?;
                self.out.write_all(b"[")?;
                self.str(*member)?;
                self.out.write_all(b",")?;
                self.double(*score)?;
                self.out.write_all(b"]")
            }
            Event::HashField { field, value, expire_at_ms } => {
                self.item()?;
                self.out.write_all(b"[")?;
                self.str(*field)?;
                self.out.write_all(b",")?;
                self.str(*value)?;
                if let Some(ms) = expire_at_ms {
                    write!(self.out, ",{ms}")?;
                }
                self.out.write_all(b"]")
            }
            Event::ArrayHeader { insert_index, .. } => {
                if let Some(index) = insert_index {
                    write!(self.out, "\"insert_index\":{index},")?;
                }
                self.open("\"items\":[", "]")
            }
            Event::ArrayItem { index, value } => {
                self.item()?;
                write!(self.out, "[{index},")?;
                match value {
                    ArrayValue::Str(s) => self.str(*s)?,
                    ArrayValue::Int(i) => write!(self.out, "{i}")?,
                    ArrayValue::Double(d) => self.double(*d)?,
                    other => write!(self.out, "\"{other:?}\"")?,
                }
                self.out.write_all(b"]")
            }
            Event::Module(id) => {
                write!(self.out, "\"module\":\"{}\",\"version\":{},", id.name(), id.encoding_version())?;
                self.open("\"items\":[", "]")
            }
            Event::ModuleItem(item) => {
                self.item()?;
                match item {
                    ModuleItem::Signed(i) => write!(self.out, "[\"signed\",{i}")?,
                    ModuleItem::Unsigned(u) => write!(self.out, "[\"unsigned\",{u}")?,
                    ModuleItem::Float(f) => {
                        self.out.write_all(b"[\"float\",")?;
                        self.double(f64::from(*f))?;
                    }
                    ModuleItem::Double(d) => {
                        self.out.write_all(b"[\"double\",")?;
                        self.double(*d)?;
                    }
                    ModuleItem::Str(s) => {
                        self.out.write_all(b"[\"string\",")?;
                        self.str(*s)?;
                    }
                    other => write!(self.out, "[\"{other:?}\"")?,
                }
                self.out.write_all(b"]")
            }
            Event::Cron { script, start, interval } => {
                self.out.write_all(b"\"script\":")?;
                self.string(script)?;
                write!(self.out, ",\"start\":{start},\"interval\":{interval},")?;
                self.open("\"keys\":[", "]")
            }
            Event::CronKey(key) => {
                self.item()?;
                self.str(*key)
            }
            Event::CronArg(arg) => {
                if self.open.last() != Some(&("] ", true)) {
                    self.close(2)?;
                    self.open(",\"args\":[", "] ")?;
                }
                self.item()?;
                self.str(*arg)
            }
            event => self.stream(event),
        }
    }

    /// Scopes of a stream: 1 the line, 2 the stream, 3 a list of entries or groups, 4 a group, 5 a list in it, 6 a consumer, 7 its list.
    fn stream(&mut self, event: &Event<'_>) -> io::Result<()> {
        match event {
            Event::StreamEntry(entry) => {
                self.item()?;
                write!(self.out, "[\"{}\"", entry.id)?;
                self.open(",[", "]]")?;
                for (field, value) in entry.fields {
                    self.item()?;
                    self.str(field)?;
                    self.item()?;
                    self.str(value)?;
                }
                self.close(3)
            }
            Event::StreamMeta(meta) => {
                self.close(2)?;
                write!(self.out, ",\"length\":{},\"last_id\":\"{}\"", meta.length, meta.last_id)?;
                if let (Some(first), Some(deleted), Some(added)) =
                    (meta.first_id, meta.max_deleted_id, meta.entries_added)
                {
                    write!(
                        self.out,
                        ",\"first_id\":\"{first}\",\"max_deleted_id\":\"{deleted}\",\"entries_added\":{added}"
                    )?;
                }
                self.open(",\"groups\":[", "]")
            }
            Event::StreamGroup(group) => {
                self.close(3)?;
                self.item()?;
                self.open("{\"name\":", "}")?;
                self.string(group.name)?;
                write!(self.out, ",\"last_id\":\"{}\"", group.last_id)?;
                if let Some(read) = group.entries_read {
                    write!(self.out, ",\"entries_read\":{read}")?;
                }
                self.open(",\"pending\":[", "]")
            }
            Event::StreamPending(row) => {
                self.item()?;
                write!(self.out, "[\"{}\",{},{}]", row.id, row.delivery_time_ms, row.delivery_count)
            }
            Event::StreamConsumer(consumer) => {
                // The first one ends the list of pending entries; the others stand in the list of consumers.
                if self.open.len() == 5 {
                    self.close(4)?;
                    self.open(",\"consumers\":[", "]")?;
                }
                self.close(5)?;
                self.item()?;
                self.open("{\"name\":", "}")?;
                self.string(consumer.name)?;
                write!(self.out, ",\"seen_time_ms\":{}", consumer.seen_time_ms)?;
                if let Some(active) = consumer.active_time_ms {
                    write!(self.out, ",\"active_time_ms\":{active}")?;
                }
                self.open(",\"pending\":[", "]")
            }
            Event::StreamConsumerPending(id) => {
                self.item()?;
                write!(self.out, "\"{id}\"")
            }
            Event::StreamNacked(id) => {
                if self.open.last().is_none_or(|(close, _)| *close != "] ") {
                    self.close(4)?;
                    self.open(",\"nacked\":[", "] ")?;
                }
                self.item()?;
                write!(self.out, "\"{id}\"")
            }
            Event::StreamIdempotency { duration_s, max_entries } => {
                self.close(2)?;
                self.open(",\"idempotency\":{", "}")?;
                write!(self.out, "\"duration_s\":{duration_s},\"max_entries\":{max_entries}")?;
                self.open(",\"producers\":[", "]")
            }
            Event::StreamProducer { id, .. } => {
                self.close(4)?;
                self.item()?;
                self.open("{\"id\":", "}")?;
                self.string(id)?;
                self.open(",\"iids\":[", "]")
            }
            Event::StreamProducerId { iid, id } => {
                self.item()?;
                self.out.write_all(b"[")?;
                self.string(iid)?;
                write!(self.out, ",\"{id}\"]")
            }
            Event::StreamIdempotencyStats { added, duplicates } => {
                self.close(3)?;
                write!(self.out, ",\"added\":{added},\"duplicates\":{duplicates}")
            }
            _ => Ok(()),
        }
    }
}

/// The inside of a JSON string whose characters U+0000 to U+00FF are the bytes.
fn escaped(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut plain = 0;
    for (i, &b) in bytes.iter().enumerate() {
        if matches!(b, b' '..=b'~') && b != b'"' && b != b'\\' {
            continue;
        }
        out.write_all(&bytes[plain..i])?;
        plain = i + 1;
        match b {
            b'"' => out.write_all(b"\\\"")?,
            b'\\' => out.write_all(b"\\\\")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            b'\t' => out.write_all(b"\\t")?,
            b => write!(out, "\\u{b:04x}")?,
        }
    }
    out.write_all(&bytes[plain..])
}
