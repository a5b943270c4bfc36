//! Records of files → files.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use rdts_rdb::encode::{
    ConvertError, EncodeError, EncodeErrorKind, EncodeOptions, Loss, WriteError, Writer, convert, encode_value,
};
use rdts_rdb::value::HashField;
use rdts_rdb::{Dialect, Event, Function, KeyExtras, KeyHeader, Value, ValueMode, ValueType, Version};

use crate::failure::Failure;
use crate::function;
use crate::input::Input;
use crate::output::Output;

/// How files are written.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct WriteArgs {
    /// RDB version of what is written: 1 to 15, or 80 for Valkey 9. Default: that of what is read
    #[arg(long, value_name = "N", value_parser = version)]
    pub(crate) rdb_version: Option<Version>,
    /// Leave out what that version cannot express (expiries of fields, functions, …) instead of stopping; what was left
    /// out is counted
    #[arg(long)]
    pub(crate) lossy: bool,
}

fn version(text: &str) -> Result<Version, String> {
    let version = Version::from_number(text.parse().map_err(|_| "not a number".to_owned())?);
    if version.is_supported() { Ok(version) } else { Err("RDB versions are 1 to 15, and 80 for Valkey 9".into()) }
}

impl WriteArgs {
    /// Settings of a writer, for input of `version`.
    pub(crate) fn options(&self, version: Version) -> EncodeOptions {
        let loss = if self.lossy { Loss::Drop } else { Loss::Refuse };
        EncodeOptions::new(self.rdb_version.unwrap_or(version)).loss(loss)
    }
}

/// To which of the files a key goes, if to any.
pub(crate) type Choose<'c> = dyn FnMut(u64, &KeyHeader<'_>) -> Result<Option<usize>, Failure> + 'c;

/// Copies the records of inputs to one or several files.
///
/// What is no key (aux fields, functions, data of modules) goes to every file, of aux fields only those of the first
/// input. Hints about sizes and slots are left out, since they would be wrong, and so is where in a replication stream
/// the file belongs: a part of a file belongs nowhere.
///
/// Values are copied as they are, in pieces, when input and output have the same version, or when their encoding is one
/// of the plainest. Others are held in memory and converted.
pub(crate) struct Copier {
    files: Vec<RdbFile>,
    options: EncodeOptions,
    /// Whether the current input has the version that is written.
    same: bool,
    first_input: bool,
    db: u64,
    key: CurrentKey,
    /// Where the current key goes; also what belongs to it and follows its value.
    to: Option<usize>,
    taking: Taking,
    fields: Vec<HashField>,
    hasher: RandomState,
    /// Function libraries that were written: the hash of the name, and that of the code.
    libraries: HashMap<u64, u64>,
    pub(crate) report: CopyReport,
}

/// What became of what was read.
#[derive(Debug, Default)]
pub(crate) struct CopyReport {
    pub(crate) read: u64,
    /// Left out for what the version cannot express.
    lost: BTreeMap<&'static str, u64>,
    empty: u64,
}

struct RdbFile {
    name: String,
    writer: Writer<Output>,
    keys: u64,
}

impl RdbFile {
    fn put<E: Into<WriteError>>(
        &mut self,
        write: impl FnOnce(&mut Writer<Output>) -> Result<(), E>,
    ) -> Result<(), Failure> {
        write(&mut self.writer).map_err(|error| match error.into() {
            WriteError::Io(error) => Failure::writing(&self.name, &error),
            error => Failure::Work(format!("{}: {error}", self.name)),
        })
    }
}

/// A key while its value is read.
#[derive(Default)]
struct CurrentKey {
    name: Vec<u8>,
    value_type: Option<ValueType>,
    expire_at_ms: Option<i64>,
    idle_seconds: Option<u64>,
    lfu_frequency: Option<u8>,
    extras: Option<KeyExtras>,
}

impl CurrentKey {
    fn set(&mut self, header: &KeyHeader<'_>) {
        self.name.clear();
        self.name.extend_from_slice(header.key);
        self.value_type = Some(header.value_type);
        self.expire_at_ms = header.expire_at_ms;
        self.idle_seconds = header.idle_seconds;
        self.lfu_frequency = header.lfu_frequency;
        self.extras = header.extras.cloned();
    }

    fn header(&self, value_type: ValueType) -> KeyHeader<'_> {
        let mut header = KeyHeader::new(&self.name, value_type);
        header.expire_at_ms = self.expire_at_ms;
        header.idle_seconds = self.idle_seconds;
        header.lfu_frequency = self.lfu_frequency;
        header.extras = self.extras.as_ref();
        header
    }
}

/// A value for a version, or why there is none.
type Encoded<T> = Result<T, EncodeError>;

/// What is done with the pieces of the value that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taking {
    /// There is none, or it is skipped.
    Nothing,
    /// Its bytes are written as they come.
    Pieces,
    /// It comes whole, or as the fields of a hash, and is converted.
    Whole,
    /// Data of a module that goes to all files.
    ModuleAux,
}

/// What the aux fields of these names say is not true of a part of a file.
const NOT_COPIED: [&[u8]; 5] = [b"repl-stream-db", b"repl-id", b"repl-offset", b"aof-base", b"aof-preamble"];

impl Copier {
    /// Begins a file at each of `paths`.
    pub(crate) fn new(paths: &[&Path], options: EncodeOptions) -> Result<Self, Failure> {
        let mut files = Vec::new();
        for path in paths {
            let output = Output::create(path)?;
            let name = output.name.clone();
            let writer = Writer::with_options(output, options).map_err(|error| Failure::writing(&name, &error))?;
            files.push(RdbFile { name, writer, keys: 0 });
        }
        Ok(Self {
            files,
            options,
            same: false,
            first_input: true,
            db: 0,
            key: CurrentKey::default(),
            to: None,
            taking: Taking::Nothing,
            fields: Vec::new(),
            hasher: RandomState::new(),
            libraries: HashMap::new(),
            report: CopyReport::default(),
        })
    }

    /// Copies the rest of `input`, whose version is known already.
    pub(crate) fn copy(&mut self, mut input: Input, version: Version, choose: &mut Choose<'_>) -> Result<(), Failure> {
        self.same = version == self.options.version;
        self.db = 0;
        self.to = None;
        while let Some(event) = input.next()? {
            if let Some(mode) = self.event(&event, choose)? {
                input.set_value_mode(mode);
            }
        }
        self.first_input = false;
        input.finish();
        Ok(())
    }

    /// Writes the ends of the files, and only then gives them their names; the result is how many keys each has.
    pub(crate) fn finish(self) -> Result<(Vec<(String, u64)>, CopyReport), Failure> {
        let mut outputs = Vec::new();
        for file in self.files {
            let output = file.writer.finish().map_err(|error| Failure::writing(&file.name, &error))?;
            outputs.push((output, file.name, file.keys));
        }
        let mut written = Vec::new();
        for (output, name, keys) in outputs {
            output.commit()?;
            written.push((name, keys));
        }
        Ok((written, self.report))
    }

    fn event(&mut self, event: &Event<'_>, choose: &mut Choose<'_>) -> Result<Option<ValueMode>, Failure> {
        match event {
            Event::Key(header) => return self.begin(header, choose).map(Some),
            Event::RawChunk { data, last } => {
                match (self.taking, self.to) {
                    (Taking::Pieces, Some(to)) => self.files[to].put(|writer| writer.raw(data))?,
                    (Taking::ModuleAux, _) => self.all(|writer| writer.raw(data))?,
                    _ => {}
                }
                if *last {
                    self.taking = Taking::Nothing;
                }
            }
            Event::Raw(raw) => self.converted(raw)?,
            Event::HashField { field, value, expire_at_ms } if self.taking == Taking::Whole => {
                let mut owned = HashField::new(field.to_vec(), value.to_vec());
                owned.expire_at_ms = *expire_at_ms;
                self.fields.push(owned);
            }
            Event::ValueEnd => {
                if self.taking == Taking::Whole {
                    self.hash()?;
                }
                self.taking = Taking::Nothing;
            }
            Event::SelectDb(db) => self.db = *db,
            Event::Aux { name, value } => self.aux(name, value)?,
            Event::Function(function) => self.function(function)?,
            Event::ModuleAux { module, when } => {
                if !self.first_input {
                    eprintln!(
                        "rdb_tool: note: data of module {module} outside of keys is taken from the first file only"
                    );
                    return Ok(None);
                }
                if self.options.version.number < 9 {
                    return self.lose("data of modules outside of keys", "the file").map(|()| None);
                }
                self.all(|writer| writer.module_aux(*module, *when))?;
                self.taking = Taking::ModuleAux;
                return Ok(Some(ValueMode::Raw));
            }
            Event::SubkeyExpire { member, expire_at_ms } => self.subkey_expire(member, *expire_at_ms)?,
            _ => {}
        }
        Ok(None)
    }

    fn begin(&mut self, header: &KeyHeader<'_>, choose: &mut Choose<'_>) -> Result<ValueMode, Failure> {
        self.report.read += 1;
        self.taking = Taking::Nothing;
        self.to = choose(self.db, header)?;
        let Some(to) = self.to else { return Ok(ValueMode::Skip) };
        self.key.set(header);
        let version = self.options.version;
        let meta = header.extras.is_some_and(|extras| !extras.key_meta.is_empty());
        if meta && (version.dialect != Dialect::Redis || version.number < 13) {
            self.lose("metadata of keys", &self.shown())?;
        }
        let value_type = header.value_type;
        if !value_type.is_file_only() && (self.same || is_plain(value_type, version)) {
            let db = self.db;
            let file = &mut self.files[to];
            file.put(|writer| writer.select_db(db))?;
            file.put(|writer| writer.key(header))?;
            file.keys += 1;
            self.taking = Taking::Pieces;
            return Ok(ValueMode::Raw);
        }
        self.taking = Taking::Whole;
        self.fields.clear();
        Ok(ValueMode::RawOrDecode { limit: usize::MAX })
    }

    /// Takes a value that came whole.
    fn converted(&mut self, raw: &[u8]) -> Result<(), Failure> {
        self.taking = Taking::Nothing;
        let Some(value_type) = self.key.value_type else { return Ok(()) };
        let converted = self.encoded(|options| match convert(value_type, raw, options) {
            Ok(converted) => Ok(Ok(converted)),
            Err(ConvertError::Encode(error)) => Ok(Err(error)),
            Err(error) => Err(error.to_string()),
        })?;
        converted.map_or(Ok(()), |converted| self.put(converted.value_type, &converted.raw))
    }

    /// Takes a hash that came as fields: one that refers to a template of its file.
    fn hash(&mut self) -> Result<(), Failure> {
        let fields = std::mem::take(&mut self.fields);
        if fields.is_empty() {
            self.report.empty += 1;
            return Ok(());
        }
        let value = Value::Hash(fields);
        let mut raw = Vec::new();
        let value_type = self.encoded(|options| Ok(encode_value(&mut raw, &value, options)))?;
        value_type.map_or(Ok(()), |value_type| self.put(value_type, &raw))
    }

    /// Encodes the current value with `encode`: without a loss; if that cannot be and it is permitted, with one, that
    /// is counted. `None`: not at all.
    fn encoded<T>(
        &mut self,
        mut encode: impl FnMut(&EncodeOptions) -> Result<Encoded<T>, String>,
    ) -> Result<Option<T>, Failure> {
        let mut options = self.options.loss(Loss::Refuse);
        loop {
            let encoded = encode(&options).map_err(|error| self.cannot(&error))?;
            let error = match encoded {
                Ok(value) => return Ok(Some(value)),
                Err(error) => error,
            };
            match error.kind() {
                EncodeErrorKind::WouldLose(what) if options.loss == Loss::Refuse => {
                    self.lose(what, &self.shown())?;
                    options = options.loss(Loss::Drop);
                }
                EncodeErrorKind::NeedsNewerVersion(what) => {
                    self.lose(what, &self.shown())?;
                    return Ok(None);
                }
                EncodeErrorKind::Empty => {
                    self.report.empty += 1;
                    return Ok(None);
                }
                _ => return Err(self.cannot(&error)),
            }
        }
    }

    fn put(&mut self, value_type: ValueType, raw: &[u8]) -> Result<(), Failure> {
        let Some(to) = self.to else { return Ok(()) };
        let (db, header) = (self.db, self.key.header(value_type));
        let file = &mut self.files[to];
        file.keys += 1;
        file.put(|writer| {
            writer.select_db(db)?;
            writer.key(&header)?;
            Ok::<_, WriteError>(writer.raw(raw)?)
        })
    }

    fn all<E: Into<WriteError>>(
        &mut self,
        write: impl Fn(&mut Writer<Output>) -> Result<(), E>,
    ) -> Result<(), Failure> {
        self.files.iter_mut().try_for_each(|file| file.put(&write))
    }

    fn aux(&mut self, name: &[u8], value: &[u8]) -> Result<(), Failure> {
        let script = name == b"lua";
        if NOT_COPIED.contains(&name) || !(self.first_input || script) {
            return Ok(());
        }
        if script && self.options.version.number < 7 {
            return self.lose("cached scripts", "the file");
        }
        self.all(|writer| writer.aux(name, value))
    }

    fn function(&mut self, library: &Function<'_>) -> Result<(), Failure> {
        let code = library.loadable();
        if self.options.version.number < 10 {
            return self.lose("function libraries", "the file");
        }
        let name = function::name(&code);
        let (name_hash, code_hash) = (self.hasher.hash_one(name), self.hasher.hash_one(&code));
        match self.libraries.insert(name_hash, code_hash) {
            Some(before) if before == code_hash => return Ok(()),
            Some(_) => {
                let name = name.escape_ascii();
                return Err(Failure::Work(format!("function library {name} is there twice, with different code")));
            }
            None => {}
        }
        self.all(|writer| writer.function(&code))
    }

    /// KeyDB's expiry of a member of the key before.
    fn subkey_expire(&mut self, member: &[u8], expire_at_ms: i64) -> Result<(), Failure> {
        let Some(to) = self.to else { return Ok(()) };
        if self.options.version != Version::redis(9) {
            return self.lose("expiries of members (KeyDB)", &self.shown());
        }
        self.files[to].put(|writer| {
            writer.aux(b"keydb-subexpire-key", member)?;
            writer.aux(b"keydb-subexpire-when", expire_at_ms.to_string().as_bytes())
        })
    }

    /// The version that is written cannot express `what`: that is counted, if it is permitted.
    fn lose(&mut self, what: &'static str, place: &str) -> Result<(), Failure> {
        if self.options.loss == Loss::Drop {
            *self.report.lost.entry(what).or_default() += 1;
            return Ok(());
        }
        let version = self.options.version;
        Err(Failure::Work(format!("{place}: {version} cannot express {what}; --lossy leaves that out")))
    }

    fn cannot(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::Work(format!("{}: {error}", self.shown()))
    }

    /// The current key, for a message.
    fn shown(&self) -> String {
        show_key(self.db, &self.key.name)
    }
}

impl CopyReport {
    /// Tells what was left out.
    pub(crate) fn print(&self) {
        for (what, count) in &self.lost {
            eprintln!("rdb_tool: left out, since the version written cannot express it: {what} ({count} times)");
        }
        if self.empty > 0 {
            eprintln!("rdb_tool: left out {} keys without elements, which no server can hold", self.empty);
        }
    }
}

/// A key as redis-cli prints it, bounded, for a message.
pub(crate) fn show_key(db: u64, key: &[u8]) -> String {
    let cut = if key.len() > 128 { "…" } else { "" };
    format!("key \"{}\"{cut} of db {db}", key[..key.len().min(128)].escape_ascii())
}

/// Whether every reader of the version knows the type, and reads the same in it.
fn is_plain(value_type: ValueType, version: Version) -> bool {
    match value_type {
        ValueType::String | ValueType::List | ValueType::Set | ValueType::ZSet | ValueType::Hash => true,
        ValueType::ZSet2 => version.number >= 8,
        _ => false,
    }
}
