//! What a run before has left.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;

use super::format::{FilePlace, HEADER, Header, Kind, MAGIC, decode_head, is_version_1};
use super::segment::Segment;
use super::{At, Contents, damaged, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::Framing;

/// The segments of a directory that can be relied on.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) contents: Contents,
    pub(super) segments: VecDeque<Segment>,
    pub(super) end: At,
}

/// What a walk through a segment has found.
#[derive(Debug)]
struct Walk {
    head: Option<Contents>,
    /// The length of what is whole, and where its last byte belongs.
    len: u32,
    end: At,
    /// The last bytes of data.
    tail: Vec<u8>,
    /// Records that say more than that are behind something damaged.
    damage: Option<u32>,
    synced: FilePlace,
}

/// Looks through a directory. What was cut off by a crash is removed. Blocks.
pub(super) fn recover(directory: &Path) -> Result<Option<Recovered>> {
    let mut segments = Segment::list(directory)?;
    // From the last one back to where everything was safe on the disk: only there may something be cut off.
    let mut walks: Vec<Walk> = Vec::new();
    let mut synced = FilePlace::default();
    for segment in segments.iter().rev() {
        if segment.number < synced.segment {
            break;
        }
        let walk = walk(segment)?;
        synced = synced.max(walk.synced);
        walks.push(walk);
    }
    walks.reverse();
    let first = segments.len() - walks.len();
    let mut end = None;
    for (index, walk) in walks.into_iter().enumerate() {
        let segment = &mut segments[first + index];
        let whole = walk.len == segment.len;
        if !whole && (FilePlace { segment: segment.number, byte: walk.len }) < synced {
            return Err(damaged(&segment.path, walk.len.into(), "what was written is damaged"));
        }
        let headless = walk.head.is_none();
        segment.len = walk.len;
        if let Some(contents) = walk.head {
            end = Some((contents, walk.end, walk.tail));
        }
        if !whole || headless {
            let keep = first + index + usize::from(!headless);
            tracing::info!(path = %segment.path.display(), byte = walk.len, damage = walk.damage, "the spool ends here: what follows was cut off");
            cut(&mut segments, keep)?;
            break;
        }
    }
    // Without a head there was no record that says what is safe, so that all segments were looked at, and are gone.
    let Some((contents, mut end, tail)) = end else { return Ok(None) };
    // The process may have died between the last byte of the snapshot and the segment that follows.
    let whole = match (contents.framing, end) {
        (Some(Framing::Length(length)), At::Snapshot(at)) => at == length,
        (Some(Framing::Delimiter(delimiter)), At::Snapshot(_)) => tail == delimiter,
        _ => false,
    };
    if whole {
        end = contents.stream_start();
    }
    Ok(Some(Recovered { contents, segments: segments.into(), end }))
}

/// Removes all but the first `keep` segments, and what the last of these has beyond its length.
fn cut(segments: &mut Vec<Segment>, keep: usize) -> Result<()> {
    while segments.len() > keep {
        let Some(segment) = segments.pop() else { break };
        fs::remove_file(&segment.path).map_err(|error| failed("a file cannot be removed", &segment.path, error))?;
    }
    if let Some(last) = segments.last() {
        let file = File::options().write(true).open(&last.path);
        let shortened = file.and_then(|file| file.set_len(last.len.into()));
        shortened.map_err(|error| failed("a file cannot be shortened", &last.path, error))?;
    }
    Ok(())
}

fn walk(segment: &Segment) -> Result<Walk> {
    let bytes = fs::read(&segment.path).map_err(|error| failed("the spool cannot be read", &segment.path, error))?;
    let mut walk =
        Walk { head: None, len: 0, end: segment.start, tail: Vec::new(), damage: None, synced: FilePlace::default() };
    let mut at = 0;
    if is_version_1(&bytes) {
        let text = "this spool is of an earlier version, which this one cannot read: end the copy with that version, or remove the spool's \
                    directory and run again";
        return Err(Error::new(ErrorKind::Unsupported, text).at(segment.path.display()));
    }
    while let Some((header, payload)) = record(&bytes[at..]) {
        match (header.kind, &walk.head) {
            (Kind::Head, None) => match decode_head(payload) {
                Some((contents, start)) if start == segment.start => walk.head = Some(contents),
                _ => return Err(damaged(&segment.path, 0, "a head that does not belong there")),
            },
            (Kind::Data, Some(_)) if header.at == walk.end.number() => {
                walk.end = walk.end.plus(payload.len() as u64);
                walk.tail.extend_from_slice(&payload[payload.len().saturating_sub(40)..]);
                let surplus = walk.tail.len().saturating_sub(40);
                walk.tail.drain(..surplus);
            }
            _ => return Err(damaged(&segment.path, at as u64, "a record that does not belong there")),
        }
        walk.synced = walk.synced.max(header.synced);
        at += HEADER + payload.len();
    }
    walk.len = u32::try_from(at).unwrap_or(u32::MAX);
    // What follows may be cut off, or damaged: records behind it know what was safe.
    let mut rest = &bytes[at..];
    while let Some(next) = memchr::memmem::find(rest.get(1..).unwrap_or_default(), &MAGIC) {
        rest = &rest[1 + next..];
        if let Some(header) = Header::decode(rest) {
            walk.damage = Some(walk.len);
            walk.synced = walk.synced.max(header.synced);
        }
    }
    Ok(walk)
}

/// The whole record that `bytes` begin with, if they do.
fn record(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let header = Header::decode(bytes)?;
    let payload = bytes.get(HEADER..HEADER + header.len)?;
    header.fits(payload).then_some((header, payload))
}
