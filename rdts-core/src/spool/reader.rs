//! Reads what was written back from the disk.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::format::{FilePlace, HEADER, Header, Kind, decode_head};
use super::segment::locate;
use super::shared::{Piece, Shared};
use super::{At, History, damaged, failed};
use crate::error::Result;

/// Reads the records of a spool in order, as far as they are written. Every call blocks.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    place: FilePlace,
    /// What is before that is not given out.
    from: Option<At>,
    open: Option<Open>,
    /// The name of the history that was given out or is known.
    history: Option<History>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    start: At,
}

/// So many bytes are read at once.
const ENOUGH: usize = 1 << 20;

impl Reader {
    /// From `place` on, but nothing that is before `from`.
    pub(super) fn new(shared: Arc<Shared>, place: FilePlace, from: Option<At>) -> Self {
        Self { shared, place, from, open: None, history: None }
    }

    /// From `at` on, which has to be in the spool.
    pub(crate) fn starting(shared: Arc<Shared>, at: At) -> Option<Self> {
        let place = locate(&shared.state().segments, at)?;
        Some(Self::new(shared, place, Some(at)))
    }

    pub(super) fn place(&self) -> FilePlace {
        self.place
    }

    /// The next pieces; none when everything was read that is written.
    pub(crate) fn read(&mut self) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut total = 0;
        while total < ENOUGH {
            let Some((segment, more)) = self.shared.state().segment(self.place.segment) else {
                let path = self.open.as_ref().map_or_else(PathBuf::new, |open| open.path.clone());
                return Err(damaged(&path, self.place.byte.into(), "the segment was removed before it was read"));
            };
            if self.place.byte < segment.len {
                if let Some(piece) = self.record(&segment.path, &mut pieces)? {
                    if let Piece::Data { bytes, .. } = &piece {
                        total += bytes.len();
                    }
                    pieces.push(piece);
                }
            } else if more {
                self.place = FilePlace { segment: self.place.segment + 1, byte: 0 };
                self.open = None;
            } else {
                break;
            }
        }
        Ok(pieces)
    }

    /// Opens the segment, whose head may say that the history has another name.
    fn enter(&mut self, path: &Path, pieces: &mut Vec<Piece>) -> Result<()> {
        let cannot = |error| failed("the spool cannot be read", path, error);
        let mut file = File::open(path).map_err(cannot)?;
        let (header, payload) = next(&mut file, path, 0)?;
        let head = Some(&payload).filter(|_| header.kind == Kind::Head).and_then(|payload| decode_head(payload));
        let Some((contents, start)) = head else { return Err(damaged(path, 0, "no head of a segment")) };
        let history = contents.last();
        if self.history.is_some_and(|known| known != history) {
            pieces.push(Piece::Renamed(history));
        }
        self.history = Some(history);
        let first = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
        self.place.byte = self.place.byte.max(first);
        file.seek(SeekFrom::Start(self.place.byte.into())).map_err(cannot)?;
        self.open = Some(Open { file, path: path.to_owned(), start });
        Ok(())
    }

    fn record(&mut self, path: &Path, pieces: &mut Vec<Piece>) -> Result<Option<Piece>> {
        let Some(open) = &mut self.open else {
            self.enter(path, pieces)?;
            return Ok(None);
        };
        let byte = self.place.byte;
        let (header, mut payload) = next(&mut open.file, path, byte.into())?;
        if header.kind != Kind::Data {
            return Err(damaged(path, byte.into(), "a second head"));
        }
        self.place.byte += u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
        let mut at = open.start.with(header.at);
        if let Some(from) = self.from {
            if at.plus(payload.len() as u64) <= from {
                return Ok(None);
            }
            if at < from {
                let skip = from.number() - at.number();
                payload.advance(usize::try_from(skip).unwrap_or(usize::MAX).min(payload.len()));
                at = from;
            }
            self.from = None;
        }
        Ok(Some(Piece::Data { at, bytes: payload, arrived: header.arrived }))
    }
}

/// The record at `byte` of a file, where its reading is.
pub(super) fn next(file: &mut File, path: &Path, byte: u64) -> Result<(Header, Bytes)> {
    let cannot = |error| failed("the spool cannot be read", path, error);
    let mut header = [0; HEADER];
    let got = read_up_to(file, &mut header).map_err(cannot)?;
    let Some(header) = Header::decode(&header[..got]) else { return Err(damaged(path, byte, "no record")) };
    // At most 4 MiB.
    let mut payload = vec![0; header.len];
    let got = read_up_to(file, &mut payload).map_err(cannot)?;
    if !header.fits(&payload[..got]) {
        return Err(damaged(path, byte, "a damaged record"));
    }
    Ok((header, payload.into()))
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
