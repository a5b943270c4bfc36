//! The end of a spool that is written to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::format::{FilePlace, Header, Kind, MAX_PAYLOAD, encode_head};
use super::mark::Mark;
use super::point;
use super::segment::Segment;
use super::shared::{Piece, Shared};
use super::{At, Contents, History, SpoolOptions, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::Framing;

/// Appends to a spool. Every call blocks.
#[derive(Debug)]
pub(crate) struct Writer {
    options: SpoolOptions,
    contents: Contents,
    shared: Arc<Shared>,
    mark: Option<Mark>,
    file: Arc<File>,
    place: FilePlace,
    end: At,
    scratch: Vec<u8>,
    /// Files that are written, and not yet known to be safe.
    unsynced: Vec<Arc<File>>,
    synced: FilePlace,
    /// The warning was given.
    warned: bool,
    /// Fails as a full disk does once so many bytes are written.
    #[cfg(test)]
    pub(super) quota: Option<u64>,
}

/// Payloads up to this size are copied behind their headers, so that a record is one write.
const SMALL: usize = 64 << 10;

impl Writer {
    /// Goes on behind the last of the segments in `shared`, whose file is `file`.
    pub(super) fn new(options: SpoolOptions, contents: Contents, shared: Arc<Shared>, file: File) -> Self {
        let (place, end) = {
            let state = shared.state();
            (state.last(), state.end)
        };
        let mark = match contents.framing {
            Some(Framing::Delimiter(delimiter)) => Some(Mark::new(delimiter)),
            _ => None,
        };
        Self {
            options,
            contents,
            shared,
            mark,
            file: Arc::new(file),
            place,
            end,
            scratch: Vec::new(),
            unsynced: Vec::new(),
            synced: FilePlace::default(),
            warned: false,
            #[cfg(test)]
            quota: None,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn options(&self) -> &SpoolOptions {
        &self.options
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Takes what the source sent next, at `arrived` (ms since 1970). Says whether the snapshot has ended in it.
    ///
    /// After an error only the segments that are there can be read.
    pub(crate) fn append(&mut self, mut bytes: Bytes, arrived: u64) -> Result<bool> {
        // A segment that is small does not become many times its size.
        let longest = MAX_PAYLOAD.min(usize::try_from(self.options.segment).unwrap_or(MAX_PAYLOAD));
        let mut over = false;
        while !bytes.is_empty() {
            let ends = self.snapshot_end(&bytes);
            let mut part = bytes.split_to(ends.unwrap_or(bytes.len()));
            while !part.is_empty() {
                self.write(part.split_to(part.len().min(longest)), arrived)?;
            }
            if ends.is_some() {
                self.begin_stream()?;
                over = true;
            }
        }
        Ok(over)
    }

    /// How many of `bytes` are of the snapshot, if it ends in them.
    fn snapshot_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let At::Snapshot(at) = self.end else { return None };
        match (self.contents.framing, &mut self.mark) {
            (Some(Framing::Length(length)), _) => usize::try_from(length - at).ok().filter(|left| *left <= bytes.len()),
            (_, Some(mark)) => mark.find(bytes),
            _ => None,
        }
    }

    /// The snapshot is whole.
    pub(super) fn begin_stream(&mut self) -> Result<()> {
        self.end = self.contents.stream_start();
        self.roll()
    }

    /// From here on the history has another name; it goes on at `history.from`.
    pub(crate) fn rename(&mut self, history: History) -> Result<()> {
        self.contents.rename(history);
        self.end = At::Stream(history.from);
        self.roll()?;
        self.shared.wrote(self.place, self.end, Some(Piece::Renamed(history)));
        Ok(())
    }

    fn write(&mut self, bytes: Bytes, arrived: u64) -> Result<()> {
        if u64::from(self.place.byte) >= self.options.segment {
            self.roll()?;
        }
        let at = self.end;
        self.record(Kind::Data, &bytes, arrived)?;
        self.end = at.plus(bytes.len() as u64);
        self.shared.wrote(self.place, self.end, Some(Piece::Data { at, bytes, arrived }));
        Ok(())
    }

    /// Begins the next segment.
    fn roll(&mut self) -> Result<()> {
        let segment = Segment::new(&self.shared.directory.path, self.place.segment + 1, self.end);
        let file = create(&segment)?;
        self.unsynced.push(std::mem::replace(&mut self.file, Arc::new(file)));
        self.place = FilePlace { segment: segment.number, byte: 0 };
        self.shared.state().segments.push_back(segment);
        self.head()
    }

    /// Writes the first record of a segment.
    pub(super) fn head(&mut self) -> Result<()> {
        let head = encode_head(&self.contents, self.end);
        self.record(Kind::Head, &head, 0)?;
        self.shared.wrote(self.place, self.end, None);
        Ok(())
    }

    fn record(&mut self, kind: Kind, payload: &[u8], arrived: u64) -> Result<()> {
        let header = Header::of(kind, payload, self.end.number(), arrived, self.synced).encode();
        let written = if payload.len() <= SMALL {
            self.scratch.clear();
            self.scratch.extend_from_slice(&header);
            self.scratch.extend_from_slice(payload);
            self.put(&self.scratch)
        } else {
            self.put(&header).and_then(|()| self.put(payload))
        };
        written.map_err(|error| failed("the spool cannot be written", &self.path(), error))?;
        let len = u32::try_from(header.len() + payload.len()).unwrap_or(u32::MAX);
        self.place.byte = self.place.byte.checked_add(len).ok_or_else(|| {
            // Segments are at most 256 MiB and records 4 MiB.
            Error::new(ErrorKind::Spool, "a segment of more than 4 GiB").at(self.path().display())
        })?;
        #[cfg(test)]
        if let Some(quota) = &mut self.quota {
            *quota = quota.saturating_sub(u64::from(len));
        }
        Ok(())
    }

    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if let Some(quota) = self.quota
            && (bytes.len() as u64) > quota
        {
            // What a disk does that becomes full: it takes a part.
            (&*self.file).write_all(&bytes[..usize::try_from(quota).unwrap_or(0)])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        (&*self.file).write_all(bytes)
    }

    fn path(&self) -> PathBuf {
        self.shared.state().segments.back().map_or_else(PathBuf::new, |segment| segment.path.clone())
    }

    /// Removes what nobody needs any more, and says whether there is room to read on.
    ///
    /// There is none when the limit is reached, and whoever reads has not got everything: he will get further without more.
    ///
    /// # Errors
    /// Where the snapshot can be gone on with cannot be written; then nothing is removed.
    pub(crate) fn make_room(&mut self) -> Result<bool> {
        let limit = self.options.limit;
        let snapshot = self.contents.first();
        let (count, point) = {
            let mut state = self.shared.state();
            // What is kept for a target that loses writes must not be all that there is room for.
            let keep = if state.disk() >= limit { self.options.keep.min(limit / 4) } else { self.options.keep };
            state.removable(keep, snapshot.from)
        };
        if let Some(point) = point.filter(|_| count > 0) {
            point::write(&self.shared.directory.path, &snapshot, &point)?;
        }
        let (removed, disk, starving) = {
            let mut state = self.shared.state();
            let removed: Vec<Segment> = state.segments.drain(..count).collect();
            (removed, state.disk(), state.starving)
        };
        self.warn(disk);
        for segment in removed {
            // What cannot be removed now is found and removed by the next run.
            if let Err(error) = fs::remove_file(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "a segment of the spool cannot be removed");
            }
        }
        Ok(disk < limit || starving)
    }

    fn warn(&mut self, disk: u64) {
        let limit = self.options.limit;
        if disk >= limit / 10 * 8 && !self.warned {
            self.warned = true;
            let text = "the spool is filling up, since the target is slower than the source; when it is full, the source has to buffer and \
                        will cut us off (client-output-buffer-limit): give the spool more room, or the target";
            tracing::warn!(bytes = disk, limit, directory = %self.shared.directory.path.display(), "{text}");
        } else if disk < limit / 10 * 6 {
            self.warned = false;
        }
    }

    /// What has to be made safe, and what is once that is done; `None` if there is nothing.
    pub(super) fn unsynced(&mut self) -> Option<(Vec<Arc<File>>, FilePlace)> {
        if self.synced == self.place {
            return None;
        }
        let mut files = std::mem::take(&mut self.unsynced);
        files.push(self.file.clone());
        Some((files, self.place))
    }

    pub(super) fn set_synced(&mut self, place: FilePlace) {
        self.synced = place;
    }

    pub(super) fn directory(&self) -> &Path {
        &self.shared.directory.path
    }
}

/// The file of a segment that begins.
pub(super) fn create(segment: &Segment) -> Result<File> {
    let created = File::options().create_new(true).append(true).open(&segment.path);
    created.map_err(|error| failed("a file of the spool cannot be created", &segment.path, error))
}
