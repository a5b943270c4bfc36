//! How far a lane or a slot has come in the source's history, and the text of that in the target.

use std::fmt;
use std::str::FromStr;

use rdts_core::record::{Kind, Position};
use rdts_core::slot::SLOTS;

/// The place of a command, or of its part for one slot, in the order in which a source gives them: the same in every run that reads
/// this history, however its batches are cut and whatever the cluster looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Place {
    /// The command's offset; that of the stream comes after all of the snapshot.
    pub(super) at: u64,
    /// Which of those with this offset it is, from 1 on.
    pub(super) nth: u32,
}

impl Place {
    /// Before everything.
    pub(super) const START: Self = Self { at: 0, nth: 0 };
    const STREAM: u64 = 1 << 63;

    /// The offset of a command in the order of all.
    pub(super) fn offset(kind: Kind, offset: u64) -> u64 {
        if matches!(kind, Kind::Snapshot | Kind::Code) { offset } else { offset | Self::STREAM }
    }
}

/// 24 hexadecimal digits, so that texts are ordered as places are.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:08x}", self.at, self.nth)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 24 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let at = u64::from_str_radix(&text[..16], 16).map_err(|_| ())?;
        let nth = u32::from_str_radix(&text[16..], 16).map_err(|_| ())?;
        Ok(Self { at, nth })
    }
}

/// Gives every command its place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counter(pub(super) Place);

impl Counter {
    /// The next place at this offset, and `more` behind it.
    pub(super) fn next(&mut self, at: u64, more: u32) -> Place {
        let nth = if self.0.at == at { self.0.nth } else { 0 };
        self.0 = Place { at, nth: nth.saturating_add(1).saturating_add(more) };
        Place { at, nth: nth.saturating_add(1) }
    }
}

/// What is applied up to a place, and from where the source can be read to get all that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reached {
    /// Everything up to here is applied, nothing beyond.
    pub(super) place: Place,
    /// A boundary of batches that is not behind `place`; `None` if none was ever told.
    pub(super) position: Option<Position>,
}

impl Reached {
    /// The later place, and the later position: both are true.
    pub(super) fn or_later(self, other: Self) -> Self {
        let position = if order(other.position) > order(self.position) { other.position } else { self.position };
        Self { place: self.place.max(other.place), position }
    }
}

/// Positions in the order of the source.
pub(super) fn order(position: Option<Position>) -> (u8, u64) {
    match position {
        Some(Position::Snapshot { rdb_bytes, .. }) => (1, rdb_bytes),
        Some(position) => (2, position.offset()),
        None => (0, 0),
    }
}

/// `PLACE POSITION`, or `PLACE -`.
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{} {position}", self.place),
            None => write!(f, "{} -", self.place),
        }
    }
}

impl FromStr for Reached {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (place, position) = text.split_once(' ').ok_or(())?;
        let position = if position == "-" { None } else { Some(position.parse().map_err(|_| ())?) };
        Ok(Self { place: place.parse()?, position })
    }
}

/// A set of slots.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Slots(Box<[u64; SLOTS as usize / 64]>);

impl Default for Slots {
    fn default() -> Self {
        Self(Box::new([0; SLOTS as usize / 64]))
    }
}

impl Slots {
    pub(super) fn insert(&mut self, slot: u16) {
        self.0[usize::from(slot % SLOTS) / 64] |= 1 << (slot % 64);
    }

    pub(super) fn contains(&self, slot: u16) -> bool {
        self.0[usize::from(slot % SLOTS) / 64] >> (slot % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..SLOTS).filter(|slot| self.contains(*slot))
    }

    /// Those that are not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        self.iter().filter(|slot| !other.contains(*slot)).collect()
    }
}

impl FromIterator<u16> for Slots {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut set = Self::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

/// `0-5460,5500`, or `-` for none.
impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slots = self.iter().peekable();
        if slots.peek().is_none() {
            return f.write_str("-");
        }
        let mut comma = "";
        while let Some(first) = slots.next() {
            let mut last = first;
            while slots.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Slots {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut set = Self::default();
        if text == "-" {
            return Ok(set);
        }
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u16, u16) = (first.parse().map_err(|_| ())?, last.parse().map_err(|_| ())?);
            if first > last || last >= SLOTS {
                return Err(());
            }
            (first..=last).for_each(|slot| set.insert(slot));
        }
        Ok(set)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdts_core::record::ReplicationId;

    use super::*;

    #[test]
    fn texts_are_read_back() {
        for text in ["-", "0", "0-16383", "0-5,7,9-10", "16383"] {
            assert_eq!(text.parse::<Slots>().unwrap().to_string(), text);
        }
        for text in ["", "5-3", "16384", "1,", "a", "1-", "-1"] {
            assert!(text.parse::<Slots>().is_err(), "{text}");
        }
        let position = Position::stream(ReplicationId::NONE, 77, 3);
        for position in [None, Some(position)] {
            let reached = Reached { place: Place { at: u64::MAX, nth: 5 }, position };
            assert_eq!(reached.to_string().parse::<Reached>().unwrap(), reached);
        }
        for text in ["", "0 -", &format!("{} ", Place::START), &format!("{} x", Place::START)] {
            assert!(text.parse::<Reached>().is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_in_the_order_of_the_source_and_so_are_their_texts() {
        let mut counter = Counter::default();
        let snapshot = |offset| Place::offset(Kind::Snapshot, offset);
        let stream = |offset| Place::offset(Kind::Write, offset);
        let places = [
            counter.next(snapshot(9), 0),
            counter.next(snapshot(9), 2),
            counter.next(snapshot(9), 0),
            counter.next(snapshot(10), 0),
            counter.next(stream(3), 0),
            counter.next(stream(3), 0),
        ];
        assert_eq!(places.map(|place| place.nth), [1, 2, 5, 1, 1, 2]);
        assert!(places.windows(2).all(|pair| pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string()));
        assert!(Place::START < places[0]);
    }
}
