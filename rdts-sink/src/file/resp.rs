//! Commands as RESP.

use std::io::{BufWriter, Write};
use std::path::Path;

use rdts_core::error::Result;
use rdts_core::ledger::Counts;
use rdts_core::record::{Batch, Kind};
use rdts_resp::encode;

use super::output::{Output, Remains};
use super::{FileOptions, Format, failed};

/// The commands as they are, with a `SELECT` wherever the database changes.
pub(super) struct RespFile {
    out: BufWriter<Output>,
    db: Option<u32>,
}

impl RespFile {
    pub(super) fn create(path: &Path, options: FileOptions) -> Result<Self> {
        let out = Output::create(path, options, Remains::Kept)?;
        Ok(Self { out: BufWriter::with_capacity(128 << 10, out), db: None })
    }
}

impl Format for RespFile {
    fn write(&mut self, batch: &Batch) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut select = Vec::new();
        for command in batch.commands() {
            // The frame of a transaction belongs to no database.
            if !matches!(command.kind(), Kind::Multi | Kind::Exec)
                && self.db.replace(command.db()) != Some(command.db())
            {
                select.clear();
                encode::command(&mut select, ["SELECT", &command.db().to_string()]);
                self.out.write_all(&select).map_err(failed)?;
            }
            self.out.write_all(command.raw()).map_err(failed)?;
            counts.commands += 1;
            counts.bytes += command.raw().len() as u64;
            counts.keys += u64::from(command.mark().keys);
        }
        self.out.flush().map_err(failed)?;
        Ok(counts)
    }

    fn sync(&mut self) -> Result<()> {
        self.out.get_mut().sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.out.into_inner().map_err(|error| failed(error.into_error()))?.finish()
    }
}
