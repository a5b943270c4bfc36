//! One numbered database: keys and their entries.

use std::collections::HashMap;

use super::error::{CommandError, Result};
use super::value::{Kind, Value};

/// A key's value and expiry.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// What the key holds.
    pub value: Value,
    /// When the key expires, in milliseconds since the Unix epoch.
    pub expires_at: Option<i64>,
}

impl Entry {
    pub(super) fn new(value: Value) -> Self {
        Self { value, expires_at: None }
    }

    /// Whether the key is logically gone at `now_ms`: a server would not show it any more. It stays in the store until the source
    /// deletes it, since only the source decides that.
    #[must_use]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at.is_some_and(|at| at <= now_ms)
    }
}

/// The keys of one database.
#[derive(Debug, Clone, Default)]
pub(super) struct Database {
    pub(super) entries: HashMap<Vec<u8>, Entry>,
}

impl Database {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn entry_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.entries.remove(key)
    }

    /// Sets value and expiry, whatever was there.
    pub(super) fn put(&mut self, key: &[u8], entry: Entry) {
        if let Some(slot) = self.entries.get_mut(key) {
            *slot = entry;
        } else {
            self.entries.insert(key.to_vec(), entry);
        }
    }

    /// The key's value, if there is one; another type is an error.
    pub(super) fn get<T: Kind>(&self, key: &[u8]) -> Result<Option<&T>> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(entry) => T::from_ref(&entry.value).map(Some).ok_or_else(CommandError::wrong_type),
        }
    }

    pub(super) fn get_mut<T: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut T>> {
        match self.entries.get_mut(key) {
            None => Ok(None),
            Some(entry) => T::from_mut(&mut entry.value).map(Some).ok_or_else(CommandError::wrong_type),
        }
    }

    /// The key's value, made empty and without expiry where there is none. The caller puts something in it, or calls
    /// [`Database::tidy`].
    pub(super) fn make<T: Kind>(&mut self, key: &[u8]) -> Result<&mut T> {
        if !self.entries.contains_key(key) {
            self.entries.insert(key.to_vec(), Entry::new(T::default().into_value()));
        }
        self.get_mut(key)?.ok_or_else(CommandError::no_such_key)
    }

    /// Removes the key if its aggregate is empty.
    pub(super) fn tidy<T: Kind>(&mut self, key: &[u8]) {
        let gone = self.entries.get(key).and_then(|entry| T::from_ref(&entry.value)).is_some_and(Kind::is_gone);
        if gone {
            self.entries.remove(key);
        }
    }

    /// What a `…STORE` command does with its result: replace the key, or delete it when the result is empty.
    pub(super) fn store<T: Kind>(&mut self, key: &[u8], value: T) {
        if value.is_gone() {
            self.entries.remove(key);
        } else {
            self.put(key, Entry::new(value.into_value()));
        }
    }
}
