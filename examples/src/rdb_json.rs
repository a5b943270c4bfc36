//! RDB events as JSON lines: what `rdb_to_json` and `rdb_tool to-json` print.

use std::io::{self, Read, Write};

use rdts_rdb::{Event, ReadError, Reader};
use rdts_sink::file::JsonEntries;

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
    let mut json = JsonEntries::new(out);
    let result = convert_events(reader, &mut json);
    if result.is_err() && json.is_open() {
        json.get_mut().write_all(b"\n")?;
    }
    result
}

fn convert_events<W: Write>(reader: &mut Reader<impl Read>, json: &mut JsonEntries<W>) -> Result<(), Failure> {
    let mut db = 0;
    while let Some(event) = reader.next_event()? {
        match event {
            Event::SelectDb(number) => db = number,
            Event::Key(header) => json.key(db, &header, None)?,
            Event::ValueEnd => json.end()?,
            event if json.is_open() => json.event(&event)?,
            _ => {}
        }
    }
    Ok(())
}
