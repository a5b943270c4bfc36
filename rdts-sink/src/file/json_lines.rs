//! Keys and commands as JSON, one object a line.

use std::io::{BufWriter, Write};
use std::path::Path;

use rdts_core::error::Result;
use rdts_core::ledger::Counts;
use rdts_core::record::{Batch, Kind};
use rdts_core::translate::Target;
use rdts_rdb::{Event, ParserOptions, Str, ValueKind};

use super::entries::{Entries, Item, Visit, broken};
use super::json::JsonEntries;
use super::output::{Output, Remains};
use super::{FileOptions, Format, failed};

/// The newest there is: nothing needs to be taken apart for it.
pub(super) const TARGET: Target = Target::redis(8, 10, 0);

pub(super) struct JsonFile {
    entries: Entries,
    writer: JsonWriter,
}

struct JsonWriter {
    json: JsonEntries<BufWriter<Output>>,
    /// Of a value that comes in pieces.
    kind: ValueKind,
    /// Fields that came last: their expiry may follow.
    fields: Vec<(Vec<u8>, Vec<u8>, Option<i64>)>,
}

impl JsonFile {
    pub(super) fn create(path: &Path, options: FileOptions) -> Result<Self> {
        let out = BufWriter::with_capacity(128 << 10, Output::create(path, options, Remains::Kept)?);
        let writer = JsonWriter { json: JsonEntries::new(out), kind: ValueKind::String, fields: Vec::new() };
        Ok(Self { entries: Entries::default(), writer })
    }
}

impl Format for JsonFile {
    fn write(&mut self, batch: &Batch) -> Result<Counts> {
        let mut counts = Counts::default();
        for command in batch.commands() {
            counts.commands += 1;
            counts.bytes += command.raw().len() as u64;
            counts.keys += u64::from(command.mark().keys);
            if matches!(command.kind(), Kind::Snapshot) && self.entries.command(&command, &mut self.writer)? {
                continue;
            }
            self.entries.end(&mut self.writer)?;
            let (db, offset) = (command.db(), command.offset());
            self.writer.json.command(db, offset, command.key(), command.args()).map_err(failed)?;
        }
        self.entries.end(&mut self.writer)?;
        self.writer.json.get_mut().flush().map_err(failed)?;
        Ok(counts)
    }

    fn sync(&mut self) -> Result<()> {
        self.writer.json.get_mut().get_mut().sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let out = self.writer.json.into_inner().into_inner();
        out.map_err(|error| failed(error.into_error()))?.finish()
    }
}

impl JsonWriter {
    fn settle_fields(&mut self) -> Result<()> {
        for (field, value, expire_at_ms) in self.fields.drain(..) {
            let event = Event::HashField { field: Str::Bytes(&field), value: Str::Bytes(&value), expire_at_ms };
            self.json.event(&event).map_err(failed)?;
        }
        Ok(())
    }

    fn pieces(&mut self, pieces: &[&[u8]]) -> Result<()> {
        self.settle_fields()?;
        match self.kind {
            ValueKind::Hash => {
                self.fields.extend(pieces.chunks_exact(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec(), None)));
            }
            ValueKind::ZSet => {
                for pair in pieces.chunks_exact(2) {
                    let score =
                        std::str::from_utf8(pair[0]).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
                    let event = Event::ZSetMember { member: Str::Bytes(pair[1]), score };
                    self.json.event(&event).map_err(failed)?;
                }
            }
            ValueKind::String => {
                for piece in pieces {
                    self.json.string_piece(piece).map_err(failed)?;
                }
            }
            _ => {
                for piece in pieces {
                    self.json.event(&Event::ListItem(Str::Bytes(piece))).map_err(failed)?;
                }
            }
        }
        Ok(())
    }
}

impl Visit for JsonWriter {
    fn item(&mut self, db: u32, offset: u64, item: Item<'_>) -> Result<()> {
        match item {
            Item::String { header, value } => {
                self.json.key(db.into(), &header, Some(offset)).map_err(failed)?;
                self.json.string_piece(value).map_err(failed)?;
                self.json.end().map_err(failed)
            }
            Item::Value { header, payload } => {
                self.json.key(db.into(), &header, Some(offset)).map_err(failed)?;
                let mut events = payload.events(ParserOptions::default());
                while let Some(event) = events.next_event().map_err(|error| broken(header.key, error))? {
                    if !matches!(event, Event::ValueEnd) {
                        self.json.event(&event).map_err(failed)?;
                    }
                }
                self.json.end().map_err(failed)
            }
            Item::Begin(kind) => {
                self.kind = kind;
                self.json.begin(db, offset, kind).map_err(failed)
            }
            Item::Pieces(pieces) => self.pieces(pieces),
            Item::FieldExpiry { field, at_ms } => {
                if let Some((_, _, expiry)) = self.fields.iter_mut().find(|(name, _, _)| name == field) {
                    *expiry = Some(at_ms);
                }
                Ok(())
            }
            Item::End { key, expire_at_ms } => {
                self.settle_fields()?;
                self.json.end_with(key, expire_at_ms).map_err(failed)
            }
            // Only snapshot commands are looked at here.
            Item::Function(_) | Item::Script(_) => Ok(()),
        }
    }
}
