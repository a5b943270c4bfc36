//! Canonical digests: equal for equal contents, whatever the encoding, the version of the file and the order in it.

use std::fmt;

use crate::event::{ArrayValue, Event};
use crate::module::ModuleItem;
use crate::str::{IntBuffer, Str};
use crate::stream::StreamId;
use crate::value_type::ValueKind;

/// 128 bits that stand for the contents of a value or a key. Stable: the same in every process and version of this crate that has the same
/// major version. Not meant to resist somebody who makes collisions on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest(u128);

impl Digest {
    /// The bits.
    #[must_use]
    pub const fn value(self) -> u128 {
        self.0
    }

    /// The digest of several things in any order.
    #[must_use]
    pub const fn combine(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SipHash-2-4 with 128 bits of output and a fixed key.
#[derive(Debug, Clone, Copy)]
struct Sip {
    v: [u64; 4],
    tail: u64,
    len: u64,
}

impl Sip {
    fn new(domain: u8) -> Self {
        let (k0, k1) = (0x7264_7473_2d72_6462, u64::from(domain));
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            len: 0,
        }
    }

    #[inline]
    fn rounds<const N: usize>(&mut self) {
        let [v0, v1, v2, v3] = &mut self.v;
        for _ in 0..N {
            *v0 = v0.wrapping_add(*v1);
            *v1 = v1.rotate_left(13) ^ *v0;
            *v0 = v0.rotate_left(32);
            *v2 = v2.wrapping_add(*v3);
            *v3 = v3.rotate_left(16) ^ *v2;
            *v0 = v0.wrapping_add(*v3);
            *v3 = v3.rotate_left(21) ^ *v0;
            *v2 = v2.wrapping_add(*v1);
            *v1 = v1.rotate_left(17) ^ *v2;
            *v2 = v2.rotate_left(32);
        }
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.rounds::<2>();
        self.v[0] ^= word;
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !self.len.is_multiple_of(8)
            && let Some((&b, rest)) = bytes.split_first()
        {
            self.tail |= u64::from(b) << (8 * (self.len % 8));
            self.len += 1;
            bytes = rest;
            if self.len.is_multiple_of(8) {
                self.word(self.tail);
                self.tail = 0;
            }
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        self.len += 8 * words.len() as u64;
        for &b in rest {
            self.tail |= u64::from(b) << (8 * (self.len % 8));
            self.len += 1;
        }
    }

    fn number(&mut self, n: u64) {
        self.write(&n.to_le_bytes());
    }

    /// A string of which something follows.
    fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.write(bytes);
    }

    fn str(&mut self, s: Str<'_>) {
        self.part(s.as_bytes(&mut IntBuffer::new()));
    }

    fn id(&mut self, id: StreamId) {
        self.number(id.ms);
        self.number(id.seq);
    }

    fn finish(mut self) -> Digest {
        self.word(self.tail | self.len << 56);
        self.v[2] ^= 0xee;
        self.rounds::<4>();
        let low = self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3];
        self.v[1] ^= 0xdd;
        self.rounds::<4>();
        let high = self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3];
        Digest(u128::from(high) << 64 | u128::from(low))
    }
}

/// Makes the digest of a value out of its events, in bounded memory.
///
/// What counts: of strings, lists and modules everything in order; of sets, sorted sets and hashes everything in any order (a score of -0 is 0,
/// since servers from 7.0 on store it so); of streams entries, last id, groups with their names, last ids, pending entries and owners. Not
/// what versions disagree about: a stream's counters, times of consumers, consumers that own nothing, idempotent producers.
///
/// ```
/// use rdts_rdb::{Digester, Event, Reader};
///
/// let digest = |file: &[u8]| {
///     let mut reader = Reader::new(file);
///     let mut digester = None;
///     while let Some(event) = reader.next_event()? {
///         match event {
///             Event::Key(header) => digester = Some(Digester::new(header.value_type.kind())),
///             Event::ValueEnd => return Ok(digester.take().map(Digester::finish)),
///             event => {
///                 if let Some(digester) = &mut digester {
///                     digester.event(&event);
///                 }
///             }
///         }
///     }
///     Ok::<_, rdts_rdb::ReadError>(None)
/// };
/// // A set of two integers: as strings, and as an intset.
/// let plain = digest(b"REDIS0003\x02\x01s\x02\x012\x011\xFF")?;
/// let intset = digest(b"REDIS0003\x0B\x01s\x0C\x02\0\0\0\x02\0\0\0\x01\0\x02\0\xFF")?;
/// assert_eq!(plain, intset);
/// # Ok::<(), rdts_rdb::ReadError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Digester {
    kind: ValueKind,
    /// What has an order.
    ordered: Sip,
    /// What has none.
    sum: Digest,
    /// The current group of a stream, and its current consumer.
    group: Vec<u8>,
    consumer: Vec<u8>,
}

impl Digester {
    /// For a value of this kind.
    #[must_use]
    pub fn new(kind: ValueKind) -> Self {
        let mut ordered = Sip::new(1);
        ordered.part(kind.name().as_bytes());
        Self { kind, ordered, sum: Digest::default(), group: Vec::new(), consumer: Vec::new() }
    }

    fn add(&mut self, element: Sip) {
        self.sum = self.sum.combine(element.finish());
    }

    /// Takes an event of the value; others are ignored. Raw events are none that it could take: the value must be decoded.
    pub fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::String(piece) => self.ordered.write(piece.data),
            Event::ListItem(item) => self.ordered.str(*item),
            Event::SetMember(member) => {
                let mut element = Sip::new(2);
                element.str(*member);
                self.add(element);
            }
            Event::ZSetMember { member, score } => {
                let mut element = Sip::new(3);
                element.str(*member);
                element.number((score + 0.0).to_bits());
                self.add(element);
            }
            Event::HashField { field, value, expire_at_ms } => {
                let mut element = Sip::new(4);
                element.str(*field);
                element.str(*value);
                if let Some(ms) = expire_at_ms {
                    element.number(ms.cast_unsigned());
                }
                self.add(element);
            }
            Event::ArrayHeader { insert_index, .. } => {
                let mut element = Sip::new(5);
                element.number(insert_index.map_or(0, |index| index.wrapping_add(1)));
                self.add(element);
            }
            Event::ArrayItem { index, value } => {
                self.ordered.number(*index);
                match value {
                    ArrayValue::Str(s) => self.ordered.str(*s),
                    ArrayValue::Int(i) => self.ordered.str(Str::Int(*i)),
                    ArrayValue::Double(d) => self.ordered.number(d.to_bits()),
                }
            }
            Event::Module(id) => self.ordered.number(id.raw()),
            Event::ModuleItem(item) => match item {
                ModuleItem::Signed(i) => self.ordered.number(i.cast_unsigned()),
                ModuleItem::Unsigned(u) => self.ordered.number(*u),
                ModuleItem::Float(f) => self.ordered.number(u64::from(f.to_bits())),
                ModuleItem::Double(d) => self.ordered.number(d.to_bits()),
                ModuleItem::Str(s) => self.ordered.str(*s),
            },
            Event::Cron { script, start, interval } => {
                self.ordered.part(script);
                self.ordered.number(*start);
                self.ordered.number(*interval);
            }
            Event::CronKey(s) | Event::CronArg(s) => self.ordered.str(*s),
            event => self.stream(event),
        }
    }

    fn stream(&mut self, event: &Event<'_>) {
        match event {
            Event::StreamEntry(entry) => {
                self.ordered.id(entry.id);
                self.ordered.number(entry.fields.len() as u64);
                for (field, value) in entry.fields {
                    self.ordered.str(field);
                    self.ordered.str(value);
                }
            }
            Event::StreamMeta(meta) => self.ordered.id(meta.last_id),
            Event::StreamGroup(group) => {
                self.group.clear();
                self.group.extend_from_slice(group.name);
                let mut element = Sip::new(6);
                element.part(group.name);
                element.id(group.last_id);
                self.add(element);
            }
            Event::StreamPending(row) => {
                let mut element = Sip::new(7);
                element.part(&self.group);
                element.id(row.id);
                element.number(row.delivery_time_ms.cast_unsigned());
                element.number(row.delivery_count);
                self.add(element);
            }
            Event::StreamConsumer(consumer) => {
                self.consumer.clear();
                self.consumer.extend_from_slice(consumer.name);
            }
            Event::StreamConsumerPending(id) => {
                let mut element = Sip::new(8);
                element.part(&self.group);
                element.part(&self.consumer);
                element.id(*id);
                self.add(element);
            }
            _ => {}
        }
    }

    /// The digest of the value.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        let sum = self.sum.0.to_le_bytes();
        self.ordered.write(&sum);
        self.ordered.finish()
    }

    /// The digest of a key with the value: where it is, when it expires, and what it contains.
    #[must_use]
    pub fn finish_key(self, db: u64, key: &[u8], expire_at_ms: Option<i64>) -> Digest {
        let kind = self.kind;
        let value = self.finish();
        let mut sip = Sip::new(9);
        sip.number(db);
        sip.part(key);
        sip.part(kind.name().as_bytes());
        if let Some(ms) = expire_at_ms {
            sip.number(ms.cast_unsigned());
        }
        sip.write(&value.0.to_le_bytes());
        sip.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_only_where_there_is_one() {
        let digest = |kind, events: &[Event<'_>]| {
            let mut digester = Digester::new(kind);
            events.iter().for_each(|event| digester.event(event));
            digester.finish()
        };
        let (a, b) = (Str::Bytes(b"a"), Str::Int(7));
        let set = |x, y| digest(ValueKind::Set, &[Event::SetMember(x), Event::SetMember(y)]);
        let list = |x, y| digest(ValueKind::List, &[Event::ListItem(x), Event::ListItem(y)]);
        assert_eq!(set(a, b), set(b, a));
        assert_eq!(set(a, b), set(Str::Bytes(b"7"), a), "an integer is its text");
        assert_ne!(list(a, b), list(b, a));
        assert_ne!(set(a, b), list(a, b));
        assert_ne!(set(a, a), set(b, b), "what occurs twice is not cancelled");
        assert_ne!(list(Str::Bytes(b"ab"), Str::Bytes(b"c")), list(Str::Bytes(b"a"), Str::Bytes(b"bc")));
        let zset = |score| digest(ValueKind::ZSet, &[Event::ZSetMember { member: a, score }]);
        assert_eq!(zset(0.0), zset(-0.0));
        let expiring = |ms| digest(ValueKind::Hash, &[Event::HashField { field: a, value: b, expire_at_ms: ms }]);
        assert_ne!(expiring(None), expiring(Some(0)));
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let data: Vec<u8> = (0..100).collect();
        let mut whole = Sip::new(0);
        whole.write(&data);
        for cut in 0..100 {
            let mut pieces = Sip::new(0);
            pieces.write(&data[..cut]);
            pieces.write(&data[cut..cut + (100 - cut) / 2]);
            pieces.write(&data[cut + (100 - cut) / 2..]);
            assert_eq!(pieces.finish(), whole.finish());
        }
    }
}
