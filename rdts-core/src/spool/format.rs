//! Records and the head of a segment, as bytes.

use crc_fast::{CrcAlgorithm, checksum};

use super::{At, Contents, History};
use crate::record::ReplicationId;
use crate::replica::Framing;

/// Bytes in front of a record's payload.
pub(super) const HEADER: usize = 44;
/// A payload is never longer: what claims to be is no record.
pub(super) const MAX_PAYLOAD: usize = 4 << 20;
pub(super) const MAGIC: [u8; 4] = *b"RDTS";
const VERSION: &str = "rdts-spool 2";
/// Byte 5 of a header. Version 1 had 0 there, and no time.
const FORMAT: u8 = 2;
const HEADER_1: usize = 36;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first record of a segment: what the spool holds.
    Head,
    /// Bytes of the source.
    Data,
}

/// A place in a file of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct FilePlace {
    /// Number of the segment.
    pub(crate) segment: u32,
    /// Byte in it.
    pub(crate) byte: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) len: usize,
    /// Where the payload begins: a byte of the snapshot's transfer, or a replication offset, as the segment's name says.
    pub(super) at: u64,
    /// What was known to be safe on the disk when this was written.
    pub(super) synced: FilePlace,
    /// When the payload came from the source, in ms since 1970.
    pub(super) arrived: u64,
    checksum: u32,
}

pub(super) fn crc(bytes: &[u8]) -> u32 {
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(u32::MAX)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

impl Header {
    /// The header of a record with this payload.
    pub(super) fn of(kind: Kind, payload: &[u8], at: u64, arrived: u64, synced: FilePlace) -> Self {
        Self { kind, len: payload.len(), at, synced, arrived, checksum: crc(payload) }
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = match self.kind {
            Kind::Head => b'H',
            Kind::Data => b'D',
        };
        bytes[5] = FORMAT;
        let len = u32::try_from(self.len).expect("payloads are cut to 4 MiB before they are written");
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.at.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.synced.segment.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.synced.byte.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.arrived.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.checksum.to_le_bytes());
        let own = crc(&bytes[..40]);
        bytes[40..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    /// The header that `bytes` begin with, if they do.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        if !bytes.starts_with(&MAGIC) || word(bytes, 40) != crc(&bytes[..40]) || bytes[5..8] != [FORMAT, 0, 0] {
            return None;
        }
        let kind = match bytes[4] {
            b'H' => Kind::Head,
            b'D' => Kind::Data,
            _ => return None,
        };
        let len = usize::try_from(word(bytes, 8)).ok().filter(|len| *len <= MAX_PAYLOAD)?;
        let long = |at| u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32;
        let synced = FilePlace { segment: word(bytes, 20), byte: word(bytes, 24) };
        Some(Self { kind, len, at: long(12), synced, arrived: long(28), checksum: word(bytes, 36) })
    }

    /// Whether this is the payload that was written.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.len && crc(payload) == self.checksum
    }
}

/// Whether `bytes` begin with a record of the version before, which had no times.
pub(super) fn is_version_1(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
        && bytes.get(5) == Some(&0)
        && bytes.get(..HEADER_1).is_some_and(|header| word(header, 32) == crc(&header[..32]))
}

/// The payload of a segment's first record.
pub(super) fn encode_head(contents: &Contents, start: At) -> Vec<u8> {
    let framing = match contents.framing {
        None => "none".to_owned(),
        Some(Framing::Length(length)) => format!("length {length}"),
        Some(Framing::Delimiter(delimiter)) => format!("delimiter {}", delimiter.escape_ascii()),
    };
    let mut text = format!("{VERSION}\nsegment {start}\nsnapshot {framing}\n");
    for history in &contents.histories {
        let rewound = history.rewound.map_or_else(|| "-".to_owned(), |db| db.to_string());
        text.push_str(&format!("history {} {} {rewound}\n", history.replid, history.from));
    }
    text.into_bytes()
}

/// The same back; `None` if it is nothing that this version writes.
pub(super) fn decode_head(payload: &[u8]) -> Option<(Contents, At)> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut lines = text.lines();
    (lines.next()? == VERSION).then_some(())?;
    let start = lines.next()?.strip_prefix("segment ")?.parse().ok()?;
    let framing = match lines.next()?.strip_prefix("snapshot ")?.split_once(' ') {
        None => None,
        Some(("length", length)) => Some(Framing::Length(length.parse().ok()?)),
        Some(("delimiter", delimiter)) => Some(Framing::Delimiter(delimiter.as_bytes().try_into().ok()?)),
        Some(_) => return None,
    };
    let history = |line: &str| {
        let mut words = line.strip_prefix("history ")?.split(' ');
        let replid: ReplicationId = words.next()?.parse().ok()?;
        let from = words.next()?.parse().ok()?;
        let rewound = match words.next()? {
            "-" => None,
            db => Some(db.parse().ok()?),
        };
        Some(History { replid, from, rewound })
    };
    let histories = lines.map(history).collect::<Option<Vec<_>>>()?;
    (!histories.is_empty()).then_some((Contents { framing, histories }, start))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_damaged_ones_do_not() {
        let synced = FilePlace { segment: 7, byte: u32::MAX };
        let header = Header::of(Kind::Data, b"payload", u64::MAX - 5, u64::MAX - 7, synced);
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        assert!(header.fits(b"payload") && !header.fits(b"paylaod") && !header.fits(b"payloa"));
        for at in 0..HEADER {
            for bit in 0..8 {
                let mut damaged = bytes;
                damaged[at] ^= 1 << bit;
                assert_eq!(Header::decode(&damaged), None, "byte {at}, bit {bit}");
            }
        }
        assert_eq!(Header::decode(&bytes[..HEADER - 1]), None);
    }

    #[test]
    fn heads_come_back() {
        let id = |c: &str| c.repeat(40).parse().unwrap();
        let histories = vec![
            History { replid: id("a"), from: 7, rewound: None },
            History { replid: id("b"), from: u64::MAX, rewound: Some(15) },
        ];
        for framing in [None, Some(Framing::Length(u64::MAX)), Some(Framing::Delimiter([b'5'; 40]))] {
            for start in [At::Snapshot(12), At::Stream(u64::MAX)] {
                let contents = Contents { framing, histories: histories.clone() };
                let payload = encode_head(&contents, start);
                assert_eq!(decode_head(&payload), Some((contents, start)));
            }
        }
        for text in ["", "rdts-spool 1\n", "rdts-spool 2\nsegment stream 1\nsnapshot none\n"] {
            assert_eq!(decode_head(text.as_bytes()), None);
        }
    }
}
