//! What one key holds, in a form in which equal means the same.

use super::{DifferenceKind, hll};
use crate::wire::show;

/// A key's state. Times are milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Entry {
    /// As `TYPE` says; `none` when there is no such key (any more).
    pub(super) kind: String,
    pub(super) expires: Option<i64>,
    /// How long it has to live.
    pub(super) ttl: Option<i64>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// There is no such key.
    None,
    /// A string, and the payload of a type that no command reads as a whole.
    Bytes(Vec<u8>),
    /// A list, in its order; a set, sorted.
    Items(Vec<Vec<u8>>),
    /// Sorted by member.
    Scores(Vec<(Vec<u8>, f64)>),
    /// Sorted by field.
    Fields(Vec<Field>),
    Stream(Stream),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) expires: Option<i64>,
    /// How long it has to live.
    pub(super) ttl: Option<i64>,
}

impl Field {
    fn is_dying(&self, tolerance: i64) -> bool {
        self.ttl.is_some_and(|ttl| ttl <= tolerance)
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    /// ID, then fields and values.
    pub(super) entries: Vec<Vec<Vec<u8>>>,
    /// What both servers say of the stream, its groups and their consumers, as text.
    pub(super) state: Vec<String>,
    pub(super) pending: Vec<Pending>,
}

#[derive(Debug)]
pub(super) struct Pending {
    /// Group, ID, consumer and count of deliveries.
    pub(super) what: String,
    pub(super) delivered: i64,
}

impl Entry {
    pub(super) fn difference(left: &Self, right: &Self, tolerance: i64) -> Option<(DifferenceKind, String)> {
        match (&left.content, &right.content) {
            (Content::None, Content::None) => return None,
            (Content::None, _) => return right.on_one_side_only(DifferenceKind::Extra, tolerance),
            (_, Content::None) => return left.on_one_side_only(DifferenceKind::Missing, tolerance),
            _ => {}
        }
        if left.kind != right.kind {
            return Some((DifferenceKind::Type, format!("{} and {}", left.kind, right.kind)));
        }
        if let Some(difference) = left.content.difference(&right.content, tolerance) {
            return Some(difference);
        }
        time_difference(left.expires, right.expires, tolerance).map(|detail| (DifferenceKind::Expiry, detail))
    }

    /// A key at the end of its life may be gone on one side already.
    fn on_one_side_only(&self, kind: DifferenceKind, tolerance: i64) -> Option<(DifferenceKind, String)> {
        let dying = match &self.content {
            Content::Fields(fields) if fields.iter().all(|field| field.is_dying(tolerance)) => true,
            _ => self.ttl.is_some_and(|ttl| ttl <= tolerance),
        };
        (!dying).then(|| (kind, format!("a {} on one side only, expiring {:?}", self.kind, self.expires)))
    }
}

impl Content {
    fn difference(&self, other: &Self, tolerance: i64) -> Option<(DifferenceKind, String)> {
        use DifferenceKind::Value;
        match (self, other) {
            (Self::Bytes(left), Self::Bytes(right)) => (left != right && !hll::count_the_same(left, right))
                .then(|| (Value, format!("{} and {}", show(left), show(right)))),
            (Self::Items(left), Self::Items(right)) => {
                first_difference(left, right, |item| show(item)).map(|detail| (Value, detail))
            }
            (Self::Scores(left), Self::Scores(right)) => {
                let shown = |(member, score): &(Vec<u8>, f64)| format!("{score} {}", show(member));
                first_difference(left, right, shown).map(|detail| (Value, detail))
            }
            (Self::Fields(left), Self::Fields(right)) => fields_difference(left, right, tolerance),
            (Self::Stream(left), Self::Stream(right)) => left.difference(right, tolerance),
            _ => Some((DifferenceKind::Type, format!("{self:?} and {other:?}"))),
        }
    }
}

impl Stream {
    fn difference(&self, other: &Self, tolerance: i64) -> Option<(DifferenceKind, String)> {
        let shown = |entry: &Vec<Vec<u8>>| entry.iter().map(|part| show(part)).collect::<Vec<_>>().join(" ");
        if let Some(detail) = first_difference(&self.entries, &other.entries, shown) {
            return Some((DifferenceKind::Value, detail));
        }
        let names = |pending: &[Pending]| -> Vec<String> { pending.iter().map(|entry| entry.what.clone()).collect() };
        let detail = first_difference(&self.state, &other.state, Clone::clone)
            .or_else(|| first_difference(&names(&self.pending), &names(&other.pending), Clone::clone))
            .or_else(|| {
                self.pending.iter().zip(&other.pending).find_map(|(left, right)| {
                    let detail = time_difference(Some(left.delivered), Some(right.delivered), tolerance)?;
                    Some(format!("{} delivered at {detail}", left.what))
                })
            });
        detail.map(|detail| (DifferenceKind::StreamState, detail))
    }
}

/// Two hashes, sorted by field. As with keys, a field at the end of its life may be gone on one side already.
fn fields_difference(left: &[Field], right: &[Field], tolerance: i64) -> Option<(DifferenceKind, String)> {
    let kept = |fields: &[Field], others: &[Field]| -> Vec<(Vec<u8>, Vec<u8>)> {
        let there = |field: &Field| others.binary_search_by(|other| other.name.cmp(&field.name)).is_ok();
        let kept = fields.iter().filter(|field| !field.is_dying(tolerance) || there(field));
        kept.map(|field| (field.name.clone(), field.value.clone())).collect()
    };
    let shown = |(name, value): &(Vec<u8>, Vec<u8>)| format!("{}: {}", show(name), show(value));
    if let Some(detail) = first_difference(&kept(left, right), &kept(right, left), shown) {
        return Some((DifferenceKind::Value, detail));
    }
    left.iter().find_map(|left| {
        let place = right.binary_search_by(|right| right.name.cmp(&left.name)).ok()?;
        let detail = time_difference(left.expires, right[place].expires, tolerance)?;
        Some((DifferenceKind::FieldExpiry, format!("field {}: {detail}", show(&left.name))))
    })
}

/// Describes the first place where two sequences differ.
fn first_difference<T: PartialEq>(left: &[T], right: &[T], show: impl Fn(&T) -> String) -> Option<String> {
    let place = left.iter().zip(right).position(|(left, right)| left != right);
    let place = place.or_else(|| (left.len() != right.len()).then(|| left.len().min(right.len())))?;
    let side = |items: &[T]| items.get(place).map_or_else(|| "nothing".to_owned(), &show);
    Some(format!("lengths {} and {}; at {place}: {} and {}", left.len(), right.len(), side(left), side(right)))
}

fn time_difference(left: Option<i64>, right: Option<i64>, tolerance: i64) -> Option<String> {
    let same = match (left, right) {
        (Some(left), Some(right)) => left.abs_diff(right) <= tolerance.unsigned_abs(),
        (left, right) => left == right,
    };
    let shown = |time: Option<i64>| time.map_or_else(|| "never".to_owned(), |time| format!("{time} ms"));
    (!same).then(|| format!("{} and {}", shown(left), shown(right)))
}
