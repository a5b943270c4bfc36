//! What was copied, on disk.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Remembers of every key a digest of its value and its expiry, and in which pass it was seen.
///
/// A hash table in a file with 48 bytes for each slot, at most six in ten of them taken, and a list of the keys' names in another: the
/// process's memory does not grow with the number of keys, the operating system keeps in its cache what it has room for. Keys are told apart by
/// 128 bits of a keyed hash, values by 64.
#[derive(Debug)]
pub(super) struct Table {
    slots: Temporary,
    names: Temporary,
    names_length: u64,
    /// A power of two.
    capacity: u64,
    /// Slots that are taken, those of forgotten keys as well.
    taken: u64,
    live: u64,
    hashers: [RandomState; 2],
}

/// What is known of a key that was seen again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was not there before.
    New,
    /// It was there, with other contents or another expiry.
    Changed,
    /// Nothing is new about it.
    Same,
    /// It was seen in this pass already, with other contents.
    ChangedInPass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    hash: u128,
    digest: u64,
    expire_at_ms: i64,
    name_at: u64,
    pass: u32,
    state: u32,
}

const SLOT: usize = 48;
const EMPTY: u32 = 0;
const LIVE: u32 = 1;
const FORGOTTEN: u32 = 2;
const SMALLEST: u64 = 1 << 12;
/// The expiry of a key that has none.
const NEVER: i64 = i64::MAX;

/// Database and key.
pub(super) type Name = (u32, Vec<u8>);

/// A file that vanishes with its owner.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn create(folder: &Path, what: &str) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("rdts-scan-{}-{number}.{what}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path })
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(bytes)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(bytes)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Slot {
    fn to_bytes(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..16].copy_from_slice(&self.hash.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.digest.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.expire_at_ms.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.name_at.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.pass.to_le_bytes());
        bytes[44..].copy_from_slice(&self.state.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; SLOT]) -> Self {
        fn part<const N: usize>(bytes: &[u8; SLOT], at: usize) -> [u8; N] {
            std::array::from_fn(|index| bytes[at + index])
        }
        Self {
            hash: u128::from_le_bytes(part(bytes, 0)),
            digest: u64::from_le_bytes(part(bytes, 16)),
            expire_at_ms: i64::from_le_bytes(part(bytes, 24)),
            name_at: u64::from_le_bytes(part(bytes, 32)),
            pass: u32::from_le_bytes(part(bytes, 40)),
            state: u32::from_le_bytes(part(bytes, 44)),
        }
    }
}

impl Table {
    /// An empty table, whose files are made in `folder`.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let slots = Temporary::create(folder, "slots")?;
        slots.file.set_len(SMALLEST * SLOT as u64)?;
        Ok(Self {
            slots,
            names: Temporary::create(folder, "names")?,
            names_length: 0,
            capacity: SMALLEST,
            taken: 0,
            live: 0,
            hashers: [RandomState::new(), RandomState::new()],
        })
    }

    /// A digest of a value, good for as long as this table.
    pub(super) fn digest(&self, value: &[u8]) -> u64 {
        self.hashers[0].hash_one(value)
    }

    fn hash(&self, db: u32, key: &[u8]) -> u128 {
        let half = |hasher: &RandomState| u128::from(hasher.hash_one((db, key)));
        half(&self.hashers[0]) << 64 | half(&self.hashers[1])
    }

    fn slot(&mut self, index: u64) -> io::Result<Slot> {
        let mut bytes = [0; SLOT];
        self.slots.read(index * SLOT as u64, &mut bytes)?;
        Ok(Slot::from_bytes(&bytes))
    }

    fn put(&mut self, index: u64, slot: Slot) -> io::Result<()> {
        self.slots.write(index * SLOT as u64, &slot.to_bytes())
    }

    /// Where the key is, or the empty slot where it could be.
    fn find(&mut self, hash: u128) -> io::Result<(u64, Option<Slot>)> {
        #[allow(clippy::cast_possible_truncation)]
        let mut index = hash as u64 & (self.capacity - 1);
        loop {
            let slot = self.slot(index)?;
            if slot.state == EMPTY {
                return Ok((index, None));
            }
            if slot.hash == hash {
                return Ok((index, Some(slot)));
            }
            index = (index + 1) & (self.capacity - 1);
        }
    }

    /// Notes that a key was seen in `pass`. Expiries that differ by no more than `tolerance_ms` are the same.
    pub(super) fn see(
        &mut self,
        (db, key): (u32, &[u8]),
        digest: u64,
        expire_at_ms: Option<i64>,
        pass: u32,
        tolerance_ms: u64,
    ) -> io::Result<Seen> {
        let hash = self.hash(db, key);
        let expire_at_ms = expire_at_ms.unwrap_or(NEVER);
        let (index, found) = self.find(hash)?;
        let Some(old) = found else {
            let name_at = self.append_name(db, key)?;
            self.put(index, Slot { hash, digest, expire_at_ms, name_at, pass, state: LIVE })?;
            self.taken += 1;
            self.live += 1;
            if self.taken * 10 > self.capacity * 6 {
                self.rebuild()?;
            }
            return Ok(Seen::New);
        };
        let same_time = old.expire_at_ms == expire_at_ms
            || (old.expire_at_ms != NEVER
                && expire_at_ms != NEVER
                && old.expire_at_ms.abs_diff(expire_at_ms) <= tolerance_ms);
        let seen = match old.state {
            FORGOTTEN => Seen::New,
            _ if old.digest == digest && same_time => Seen::Same,
            _ if old.pass == pass => Seen::ChangedInPass,
            _ => Seen::Changed,
        };
        self.live += u64::from(seen == Seen::New);
        // A time that is taken for the same stays, so that small differences do not add up.
        let expire_at_ms = if seen == Seen::Same { old.expire_at_ms } else { expire_at_ms };
        let slot = Slot { digest, expire_at_ms, pass, state: LIVE, ..old };
        if slot != old {
            self.put(index, slot)?;
        }
        Ok(seen)
    }

    /// Forgets a key. Says whether it was known.
    pub(super) fn forget(&mut self, db: u32, key: &[u8]) -> io::Result<bool> {
        let hash = self.hash(db, key);
        let (index, Some(slot)) = self.find(hash)? else { return Ok(false) };
        if slot.state != LIVE {
            return Ok(false);
        }
        self.live -= 1;
        self.put(index, Slot { state: FORGOTTEN, ..slot })?;
        Ok(true)
    }

    /// Keys that were not seen in `pass`, at most about `most` of them, from the slot `from` on. The second value is where to go on; `None`
    /// at the end.
    pub(super) fn unseen(&mut self, pass: u32, from: u64, most: usize) -> io::Result<(Vec<Name>, Option<u64>)> {
        let mut keys = Vec::new();
        let mut index = from;
        let mut block = vec![0; SLOT * 1024];
        while index < self.capacity && keys.len() < most {
            // The capacity is a multiple of the block's slots.
            let here = index / 1024 * 1024;
            self.slots.read(here * SLOT as u64, &mut block)?;
            let (slots, _) = block.as_chunks::<SLOT>();
            let skip = usize::try_from(index - here).unwrap_or(0);
            let unseen = slots.iter().skip(skip).map(Slot::from_bytes);
            for slot in unseen.filter(|slot| slot.state == LIVE && slot.pass != pass) {
                keys.push(self.name(slot.name_at)?);
            }
            index = here + 1024;
        }
        Ok((keys, (index < self.capacity).then_some(index)))
    }

    fn append_name(&mut self, db: u32, key: &[u8]) -> io::Result<u64> {
        let at = self.names_length;
        let mut record = Vec::with_capacity(key.len() + 12);
        record.extend(db.to_le_bytes());
        record.extend((key.len() as u64).to_le_bytes());
        record.extend_from_slice(key);
        self.names.write(at, &record)?;
        self.names_length += record.len() as u64;
        Ok(at)
    }

    fn name(&mut self, at: u64) -> io::Result<Name> {
        let (mut db, mut length) = ([0; 4], [0; 8]);
        self.names.read(at, &mut db)?;
        self.names.file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        let mut key = Vec::new();
        (&mut self.names.file).take(length).read_to_end(&mut key)?;
        Ok((u32::from_le_bytes(db), key))
    }

    /// Moves everything that is live to a table with room.
    fn rebuild(&mut self) -> io::Result<()> {
        let folder = self.slots.path.parent().unwrap_or(Path::new(".")).to_owned();
        let old_capacity = self.capacity;
        let mut old = std::mem::replace(&mut self.slots, Temporary::create(&folder, "slots")?);
        while self.live * 10 > self.capacity * 3 {
            self.capacity *= 2;
        }
        self.slots.file.set_len(self.capacity * SLOT as u64)?;
        self.taken = self.live;
        let mut block = vec![0; SLOT * 1024];
        for start in (0..old_capacity).step_by(1024) {
            old.read(start * SLOT as u64, &mut block)?;
            let (slots, _) = block.as_chunks::<SLOT>();
            for slot in slots.iter().map(Slot::from_bytes).filter(|slot| slot.state == LIVE) {
                let (index, _) = self.find(slot.hash)?;
                self.put(index, slot)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_key_is_remembered_forgotten_and_found_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::create(folder.path()).unwrap();
        let mut model = BTreeMap::new();
        for number in 0..9000u32 {
            let key = number.to_string().into_bytes();
            let seen = table.see((number % 3, &key), u64::from(number), None, 1, 0).unwrap();
            assert_eq!(seen, Seen::New);
            model.insert((number % 3, key), ());
        }
        for number in (0..9000u32).step_by(3) {
            assert!(table.forget(number % 3, number.to_string().as_bytes()).unwrap());
            assert!(!table.forget(number % 3, number.to_string().as_bytes()).unwrap());
            model.remove(&(number % 3, number.to_string().into_bytes()));
        }
        for number in (0..9000u32).filter(|number| number % 3 == 1) {
            let key = number.to_string().into_bytes();
            assert_eq!(table.see((number % 3, &key), u64::from(number), None, 2, 0).unwrap(), Seen::Same);
            model.remove(&(number % 3, key));
        }
        assert_eq!(table.see((0, b"0"), 0, None, 2, 0).unwrap(), Seen::New, "a forgotten key is new");
        let (mut found, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let (keys, next) = table.unseen(2, at, 10).unwrap();
            found.extend(keys);
            from = next;
        }
        found.sort();
        assert_eq!(found, model.into_keys().collect::<Vec<_>>());
        drop(table);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn times_may_tremble_but_not_wander() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::create(folder.path()).unwrap();
        let mut see = |time, pass| table.see((0, b"k"), 1, time, pass, 10).unwrap();
        assert_eq!(see(Some(1000), 1), Seen::New);
        assert_eq!(see(Some(1009), 2), Seen::Same);
        assert_eq!(see(Some(1018), 3), Seen::Changed);
        assert_eq!(see(None, 4), Seen::Changed);
        assert_eq!(see(None, 4), Seen::Same);
        assert_eq!(see(Some(5), 4), Seen::ChangedInPass);
    }
}
