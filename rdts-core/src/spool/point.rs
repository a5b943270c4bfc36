//! Where a snapshot can be gone on with whose beginning is no longer there.

use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Write};
use std::path::Path;

use rdts_rdb::ResumePoint;

use super::format::crc;
use super::{History, damaged, failed};
use crate::error::Result;

/// There is one at a time: what is before it is not needed any more.
const NAME: &str = "snapshot.point";
const FORM: &str = "rdts-spool-point 1";

/// In front of the point itself: of which snapshot it is.
fn head(snapshot: &History) -> String {
    format!("{FORM}\nsnapshot {} {}\n", snapshot.replid, snapshot.from)
}

/// Replaces the point that is kept. It is on the disk when this returns. Blocks.
pub(super) fn write(directory: &Path, snapshot: &History, point: &ResumePoint) -> Result<()> {
    let (path, new) = (directory.join(NAME), directory.join(format!("{NAME}.new")));
    let mut bytes = head(snapshot).into_bytes();
    bytes.extend_from_slice(&point.to_bytes());
    bytes.extend_from_slice(&crc(&bytes).to_le_bytes());
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&new, &path)?;
        // Not every system lets a directory be synced.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    });
    written.map_err(|error| failed("where the snapshot can be gone on with cannot be written", &path, error))
}

/// The point that is kept for this snapshot, if there is one. Blocks.
pub(super) fn read(directory: &Path, snapshot: &History) -> Result<Option<ResumePoint>> {
    let path = directory.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("the spool cannot be read", &path, error)),
    };
    let nonsense = || damaged(&path, 0, "no place where a snapshot can be gone on with");
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or_else(nonsense)?;
    if u32::from_le_bytes(*checksum) != crc(content) {
        return Err(nonsense());
    }
    match content.strip_prefix(head(snapshot).as_bytes()) {
        Some(point) => ResumePoint::from_bytes(point).map(Some).map_err(|_| nonsense()),
        // Of a snapshot that was here before.
        None => Ok(None),
    }
}

/// Forgets it. Blocks.
pub(super) fn remove(directory: &Path) -> Result<()> {
    let path = directory.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != IoKind::NotFound => Err(failed("a file cannot be removed", &path, error)),
        _ => Ok(()),
    }
}
