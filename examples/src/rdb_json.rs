//! RDB events as JSON lines: what `rdb_to_json` and `rdb_tool to-json` print.

use std::io::{self, Read, Write};

use rdts_rdb::{ArrayValue, Event, IntBuffer, KeyHeader, ModuleItem, ReadError, Reader, Str, ValueKind};

/// Why a file could not be written as JSON.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing to it but reading and writing")]
pub enum Failure {
    /// Reading it failed, or it is damaged.
    Input(ReadError),
    /// Writing failed.
    Output(io::Error),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Input(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Writes the keys that `reader` delivers as JSON, one object a line, in the order of the file. `rdb_to_json --help` describes the objects. Memory does
/// not depend on the size of the file or of its values.
///
/// # Errors
/// Reading or writing failed. What came before is written; a line that is cut short by damage is no JSON, but it ends.
pub fn write(reader: &mut Reader<impl Read>, out: &mut impl Write) -> Result<(), Failure> {
    let mut json = Json { out, open: Vec::new() };
    let result = convert_events(reader, &mut json);
    if result.is_err() && !json.open.is_empty() {
        json.out.write_all(b"\n")?;
    }
    result
}

fn convert_events<W: Write>(reader: &mut Reader<impl Read>, json: &mut Json<'_, W>) -> Result<(), Failure> {
    let mut db = 0;
    while let Some(event) = reader.next_event()? {
        match event {
            Event::SelectDb(number) => db = number,
            Event::Key(header) => json.key(db, &header)?,
            Event::ValueEnd => json.end()?,
            event => json.value(&event)?,
        }
    }
    Ok(())
}

/// JSON that is written as it comes: what was opened and has to be closed.
struct Json<'o, W> {
    out: &'o mut W,
    /// What closes each scope, innermost last, and whether something is in it already.
    open: Vec<(&'static str, bool)>,
}

impl<W: Write> Json<'_, W> {
    fn key(&mut self, db: u64, header: &KeyHeader<'_>) -> io::Result<()> {
        write!(self.out, "{{\"db\":{db},\"key\":\"")?;
        escaped(self.out, header.key)?;
        write!(self.out, "\",\"type\":\"{}\",\"encoding\":\"{}\"", header.value_type.kind(), header.value_type)?;
        match header.expire_at_ms {
            Some(ms) => write!(self.out, ",\"expire_at_ms\":{ms}")?,
            None => write!(self.out, ",\"expire_at_ms\":null")?,
        }
        if let Some(seconds) = header.idle_seconds {
            write!(self.out, ",\"idle_seconds\":{seconds}")?;
        }
        if let Some(frequency) = header.lfu_frequency {
            write!(self.out, ",\"lfu_frequency\":{frequency}")?;
        }
        self.begin(",\"value\":", "}\n")?;
        match header.value_type.kind() {
            ValueKind::String => self.begin("\"", "\""),
            ValueKind::List | ValueKind::Set | ValueKind::ZSet | ValueKind::Hash => self.begin("[", "]"),
            ValueKind::Stream => {
                self.begin("{", "}")?;
                self.begin("\"entries\":[", "]")
            }
            _ => self.begin("{", "}"),
        }
    }

    fn begin(&mut self, text: &str, close: &'static str) -> io::Result<()> {
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

    fn end(&mut self) -> io::Result<()> {
        self.close(0)
    }

    /// Begins the next item of the innermost list.
    fn item(&mut self) -> io::Result<()> {
        let Some((_, started)) = self.open.last_mut() else { return Ok(()) };
        if std::mem::replace(started, true) { self.out.write_all(b",") } else { Ok(()) }
    }

    fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(b"\"")?;
        escaped(self.out, bytes)?;
        self.out.write_all(b"\"")
    }

    fn str(&mut self, s: Str<'_>) -> io::Result<()> {
        self.string(s.as_bytes(&mut IntBuffer::new()))
    }

    fn double(&mut self, value: f64) -> io::Result<()> {
        if value.is_finite() { write!(self.out, "{value}") } else { write!(self.out, "\"{value}\"") }
    }

    fn value(&mut self, event: &Event<'_>) -> io::Result<()> {
        match event {
            Event::String(piece) => escaped(self.out, piece.data),
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
                self.begin("\"items\":[", "]")
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
                self.begin("\"items\":[", "]")
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
                self.begin("\"keys\":[", "]")
            }
            Event::CronKey(key) => {
                self.item()?;
                self.str(*key)
            }
            Event::CronArg(arg) => {
                if self.open.last() != Some(&("] ", true)) {
                    self.close(2)?;
                    self.begin(",\"args\":[", "] ")?;
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
                self.begin(",[", "]]")?;
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
                self.begin(",\"groups\":[", "]")
            }
            Event::StreamGroup(group) => {
                self.close(3)?;
                self.item()?;
                self.begin("{\"name\":", "}")?;
                self.string(group.name)?;
                write!(self.out, ",\"last_id\":\"{}\"", group.last_id)?;
                if let Some(read) = group.entries_read {
                    write!(self.out, ",\"entries_read\":{read}")?;
                }
                self.begin(",\"pending\":[", "]")
            }
            Event::StreamPending(row) => {
                self.item()?;
                write!(self.out, "[\"{}\",{},{}]", row.id, row.delivery_time_ms, row.delivery_count)
            }
            Event::StreamConsumer(consumer) => {
                // The first one ends the list of pending entries; the others stand in the list of consumers.
                if self.open.len() == 5 {
                    self.close(4)?;
                    self.begin(",\"consumers\":[", "]")?;
                }
                self.close(5)?;
                self.item()?;
                self.begin("{\"name\":", "}")?;
                self.string(consumer.name)?;
                write!(self.out, ",\"seen_time_ms\":{}", consumer.seen_time_ms)?;
                if let Some(active) = consumer.active_time_ms {
                    write!(self.out, ",\"active_time_ms\":{active}")?;
                }
                self.begin(",\"pending\":[", "]")
            }
            Event::StreamConsumerPending(id) => {
                self.item()?;
                write!(self.out, "\"{id}\"")
            }
            Event::StreamNacked(id) => {
                if self.open.last().is_none_or(|(close, _)| *close != "] ") {
                    self.close(4)?;
                    self.begin(",\"nacked\":[", "] ")?;
                }
                self.item()?;
                write!(self.out, "\"{id}\"")
            }
            Event::StreamIdempotency { duration_s, max_entries } => {
                self.close(2)?;
                self.begin(",\"idempotency\":{", "}")?;
                write!(self.out, "\"duration_s\":{duration_s},\"max_entries\":{max_entries}")?;
                self.begin(",\"producers\":[", "]")
            }
            Event::StreamProducer { id, .. } => {
                self.close(4)?;
                self.item()?;
                self.begin("{\"id\":", "}")?;
                self.string(id)?;
                self.begin(",\"iids\":[", "]")
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
