//! Events → counts.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use rdts_rdb::{ArrayValue, Event, KeyHeader, ModuleId, ModuleItem, ValueKind, ValueType};

use super::Args;
use super::expiry::Expiry;
use super::prefixes::Prefixes;
use super::report::{BigKey, OtherPrefixes, Report, Rows, Tally, number};
use super::top::Top;
use crate::failure::Failure;
use crate::input::Input;

/// Databases and encodings that are told apart; a hostile file may name any number.
const MOST_ROWS: usize = 1024;
/// Aux fields that are kept, and their longest value: bodies of scripts are aux fields too.
const MOST_AUX: usize = 64;
const LONGEST_AUX: usize = 256;

/// The counts while a file is read.
pub(super) struct Collector {
    version: String,
    aux: Vec<(Vec<u8>, Vec<u8>)>,
    now_ms: i64,
    db: u64,
    /// Where in the file the record began that is being read.
    start: u64,
    record: Record,
    total: Tally,
    expiring_fields: u64,
    functions: u64,
    module_aux: u64,
    databases: Capped<u64>,
    types: BTreeMap<ValueKind, Tally>,
    encodings: Capped<Encoding>,
    expiry: Expiry,
    sizes: [Tally; SIZES.len()],
    prefixes: Prefixes,
    top: usize,
    by_bytes: Top<BigKey>,
    by_elements: Top<BigKey>,
}

/// The key that is being read, and then is complete.
#[derive(Debug, Default)]
pub(super) struct Record {
    db: u64,
    key: Vec<u8>,
    value_type: Option<ValueType>,
    encoding: Encoding,
    expire_at_ms: Option<i64>,
    /// Where in the file its value starts.
    value_start: u64,
    bytes: u64,
    elements: u64,
    longest: u64,
}

/// How the file has a value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
enum Encoding {
    #[default]
    None,
    Type(ValueType),
    IntString,
    CompressedString,
    Module(ModuleId),
}

impl Encoding {
    fn name(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Type(value_type) => value_type.name().to_owned(),
            Self::IntString => "string-int".to_owned(),
            Self::CompressedString => "string-lzf".to_owned(),
            Self::Module(id) => format!("module {id}"),
        }
    }
}

/// Upper ends of the classes of sizes, in bytes.
const SIZES: [(&str, u64); 11] = [
    ("< 64 B", 64),
    ("< 256 B", 256),
    ("< 1 KiB", 1 << 10),
    ("< 4 KiB", 4 << 10),
    ("< 16 KiB", 16 << 10),
    ("< 64 KiB", 64 << 10),
    ("< 256 KiB", 256 << 10),
    ("< 1 MiB", 1 << 20),
    ("< 16 MiB", 16 << 20),
    ("< 256 MiB", 256 << 20),
    ("bigger", u64::MAX),
];

impl Collector {
    pub(super) fn new(args: &Args) -> Self {
        Self {
            version: String::new(),
            aux: Vec::new(),
            now_ms: now_ms(),
            db: 0,
            start: 0,
            record: Record::default(),
            total: Tally::default(),
            expiring_fields: 0,
            functions: 0,
            module_aux: 0,
            databases: Capped::default(),
            types: BTreeMap::new(),
            encodings: Capped::default(),
            expiry: Expiry::default(),
            sizes: [Tally::default(); SIZES.len()],
            prefixes: Prefixes::new(&args.separator, args.depth, args.max_prefixes as usize),
            top: args.top,
            by_bytes: Top::new(args.top),
            by_elements: Top::new(args.top),
        }
    }

    /// Reads until a key is complete and counted, and gives it; `None` at the end of the file.
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<&Record>, Failure> {
        let mut in_value = false;
        loop {
            let start = input.offset();
            let Some(event) = input.next()? else { return Ok(None) };
            match event {
                Event::Key(header) => {
                    self.start = start;
                    self.begin(&header);
                    in_value = true;
                    self.record.value_start = input.offset();
                }
                Event::ValueEnd if in_value => {
                    self.count(input.offset());
                    return Ok(Some(&self.record));
                }
                event if in_value => self.element(&event),
                event => self.other(&event),
            }
        }
    }

    fn begin(&mut self, header: &KeyHeader<'_>) {
        let record = &mut self.record;
        record.db = self.db;
        record.key.clear();
        record.key.extend_from_slice(header.key);
        record.value_type = Some(header.value_type);
        record.encoding = Encoding::Type(header.value_type);
        record.expire_at_ms = header.expire_at_ms;
        record.elements = 0;
        record.longest = 0;
    }

    fn element(&mut self, event: &Event<'_>) {
        let record = &mut self.record;
        let length = match event {
            Event::String(piece) => {
                if piece.offset > 0 {
                    return;
                }
                if piece.int.is_some() {
                    record.encoding = Encoding::IntString;
                }
                piece.total_len
            }
            Event::ListItem(item) | Event::SetMember(item) | Event::ZSetMember { member: item, .. } => {
                item.len() as u64
            }
            Event::HashField { field, value, expire_at_ms } => {
                self.expiring_fields += u64::from(expire_at_ms.is_some());
                field.len().max(value.len()) as u64
            }
            Event::ArrayItem { value, .. } => match value {
                ArrayValue::Str(text) => text.len() as u64,
                _ => 8,
            },
            Event::StreamEntry(entry) => entry.fields.map(|(field, value)| (field.len() + value.len()) as u64).sum(),
            Event::ModuleItem(item) => match item {
                ModuleItem::Str(text) => text.len() as u64,
                _ => 8,
            },
            Event::Module(id) => {
                record.encoding = Encoding::Module(*id);
                return;
            }
            // What a stream knows about itself, and the like.
            _ => return,
        };
        record.elements += 1;
        record.longest = record.longest.max(length);
    }

    fn count(&mut self, end: u64) {
        let record = &mut self.record;
        record.bytes = end - self.start;
        if record.encoding == Encoding::Type(ValueType::String) && end - record.value_start < record.longest {
            record.encoding = Encoding::CompressedString;
        }
        let expiring = u64::from(record.expire_at_ms.is_some());
        let tally = Tally { keys: 1, bytes: record.bytes, elements: record.elements, expiring };
        self.total.add(&tally);
        self.databases.count(record.db, &tally);
        let kind = record.value_type.map_or(ValueKind::String, ValueType::kind);
        self.types.entry(kind).or_default().add(&tally);
        self.encodings.count(record.encoding, &tally);
        self.expiry.count(record.expire_at_ms, self.now_ms, &tally);
        let size = SIZES.iter().position(|(_, end)| record.bytes < *end).unwrap_or(SIZES.len() - 1);
        self.sizes[size].add(&tally);
        self.prefixes.count(&record.key, &tally);
        self.by_bytes.offer(record.bytes, || record.big_key());
        // A string is one element however long it is.
        if kind != ValueKind::String {
            self.by_elements.offer(record.elements, || record.big_key());
        }
    }

    fn other(&mut self, event: &Event<'_>) {
        match event {
            Event::Header(version) => self.version = version.to_string(),
            Event::Aux { name, value } if *name != b"lua" => {
                if self.aux.len() < MOST_AUX && name.len() + value.len() <= LONGEST_AUX {
                    self.aux.push((name.to_vec(), value.to_vec()));
                }
                if *name == b"ctime"
                    && let Some(seconds) = number(value)
                {
                    self.now_ms = seconds.saturating_mul(1000);
                }
            }
            Event::SelectDb(db) => self.db = *db,
            Event::Function(_) => self.functions += 1,
            Event::ModuleAux { .. } => self.module_aux += 1,
            Event::SubkeyExpire { .. } => self.expiring_fields += 1,
            _ => {}
        }
    }

    /// All that was counted, of the file called `file` that was read up to `file_bytes`.
    pub(super) fn finish(self, file: &str, file_bytes: u64) -> Report {
        let (prefixes, hidden, tally) = self.prefixes.biggest(self.top);
        let (given_up, may_lack) = (self.prefixes.given_up, self.prefixes.may_lack);
        let mut types: Rows = self.types.into_iter().map(|(kind, tally)| (kind.name().to_owned(), tally)).collect();
        by_bytes(&mut types);
        let mut encodings = self.encodings.rows(Encoding::name);
        by_bytes(&mut encodings);
        let mut databases: Vec<_> = self.databases.rows.into_iter().collect();
        databases.sort_unstable_by_key(|(db, _)| *db);
        let mut databases: Rows = databases.into_iter().map(|(db, tally)| (db.to_string(), tally)).collect();
        if self.databases.other.keys > 0 {
            databases.push(("other".to_owned(), self.databases.other));
        }
        Report {
            file: file.to_owned(),
            version: self.version,
            aux: self.aux,
            now_ms: self.now_ms,
            file_bytes,
            total: self.total,
            expiring_fields: self.expiring_fields,
            functions: self.functions,
            module_aux: self.module_aux,
            databases,
            types,
            encodings,
            expiry: self.expiry.buckets(),
            sizes: SIZES.iter().zip(self.sizes).map(|((name, _), tally)| ((*name).to_owned(), tally)).collect(),
            prefixes,
            other: OtherPrefixes { tally, hidden, given_up, may_lack },
            by_bytes: self.by_bytes.into_sorted(),
            by_elements: self.by_elements.into_sorted(),
        }
    }
}

fn by_bytes(rows: &mut Rows) {
    rows.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.bytes));
}

/// Tallies of what hardly any file has many of.
#[derive(Debug)]
struct Capped<K> {
    rows: HashMap<K, Tally>,
    other: Tally,
}

impl<K> Default for Capped<K> {
    fn default() -> Self {
        Self { rows: HashMap::new(), other: Tally::default() }
    }
}

impl<K: Eq + Hash> Capped<K> {
    fn count(&mut self, name: K, tally: &Tally) {
        if self.rows.len() < MOST_ROWS {
            self.rows.entry(name).or_default().add(tally);
        } else {
            self.rows.get_mut(&name).unwrap_or(&mut self.other).add(tally);
        }
    }

    fn rows(self, name: impl Fn(K) -> String) -> Rows {
        let mut rows: Rows = self.rows.into_iter().map(|(key, tally)| (name(key), tally)).collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if self.other.keys > 0 {
            rows.push(("other".to_owned(), self.other));
        }
        rows
    }
}

/// The first line of the list of all keys.
pub(super) const CSV_HEAD: &[u8] =
    b"database,type,key,size_in_bytes,encoding,num_elements,len_largest_element,expiry_ms\n";

impl Record {
    fn kind(&self) -> &'static str {
        self.value_type.map_or("", |value_type| value_type.kind().name())
    }

    fn big_key(&self) -> BigKey {
        BigKey {
            db: self.db,
            key: self.key[..self.key.len().min(BigKey::SHOWN)].to_vec(),
            key_len: self.key.len(),
            kind: self.kind().to_owned(),
            encoding: self.encoding.name(),
            bytes: self.bytes,
            elements: self.elements,
            longest: self.longest,
            expire_at_ms: self.expire_at_ms,
        }
    }

    /// A line of the list of all keys.
    pub(super) fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{},{},\"", self.db, self.kind())?;
        for &byte in &self.key {
            match byte {
                b'"' => out.write_all(b"\"\"")?,
                byte => write!(out, "{}", byte.escape_ascii())?,
            }
        }
        write!(out, "\",{},{},{},{},", self.bytes, self.encoding.name(), self.elements, self.longest)?;
        match self.expire_at_ms {
            Some(time) => writeln!(out, "{time}"),
            None => writeln!(out),
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
