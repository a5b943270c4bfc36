//! Choosing by key.

use std::fmt;

use crate::event::{Event, KeyHeader};
use crate::options::ValueMode;

/// Decides, from what is known before a value is read, how the value is taken. [`Reader::with_filter`](crate::Reader::with_filter) and
/// [`AsyncReader::with_filter`](crate::AsyncReader::with_filter) ask it for every key.
///
/// Closures are filters:
///
/// ```
/// use rdts_rdb::{Event, KeyHeader, Reader, ValueMode};
///
/// let file = &b"REDIS0003\x00\x03a:1\x01x\x00\x03b:1\x01y\xFF"[..];
/// let mut reader = Reader::new(file).with_filter(|_db: u64, header: &KeyHeader<'_>| {
///     if header.key.starts_with(b"a:") { ValueMode::Decode } else { ValueMode::Skip }
/// });
/// let mut values = 0;
/// while let Some(event) = reader.next_event()? {
///     values += usize::from(matches!(event, Event::String(_)));
/// }
/// assert_eq!(values, 1);
/// # Ok::<(), rdts_rdb::ReadError>(())
/// ```
pub trait KeyFilter: Send {
    /// How the value of this key is taken.
    fn mode(&mut self, db: u64, header: &KeyHeader<'_>) -> ValueMode;
}

impl<F: FnMut(u64, &KeyHeader<'_>) -> ValueMode + Send> KeyFilter for F {
    fn mode(&mut self, db: u64, header: &KeyHeader<'_>) -> ValueMode {
        self(db, header)
    }
}

/// A reader's filter, if it has one, and what it has to know.
#[derive(Default)]
pub(crate) struct Choice {
    filter: Option<Box<dyn KeyFilter>>,
    db: u64,
}

impl Choice {
    pub(crate) fn by(filter: impl KeyFilter + 'static) -> Self {
        Self { filter: Some(Box::new(filter)), db: 0 }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.filter.is_none()
    }

    /// What the filter says to an event.
    pub(crate) fn mode(&mut self, event: &Event<'_>) -> Option<ValueMode> {
        match event {
            Event::SelectDb(db) => {
                self.db = *db;
                None
            }
            Event::Key(header) => self.filter.as_mut().map(|filter| filter.mode(self.db, header)),
            _ => None,
        }
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "no filter" } else { "a filter" })
    }
}
