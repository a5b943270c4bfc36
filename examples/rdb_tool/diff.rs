//! `diff`: what two files do not have in common.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rdts_rdb::{Digest, Digester, Event, ParserOptions, Str, ValueKind, ValueMode};

use crate::copy::show_key;
use crate::failure::Failure;
use crate::function;
use crate::input::{Input, is_standard};
use crate::keys::{AsItIs, KeyId, KeyIds};

/// Compares what two files hold, whatever their versions, encodings and order.
///
/// Each difference is a line: "missing" (only in A), "extra" (only in B), "value", "expiry" or "function", and the key;
/// the last line counts them. Values are compared by a digest of 128 bits. Not compared: access times and counters; of
/// streams what versions disagree about (counters, times of consumers, consumers that own nothing, idempotent
/// producers); aux fields, and data of modules outside of keys.
///
/// Memory: 40 bytes per key of one file, 50 to 95 with the table that they are in, and half as much again while that
/// grows. That file is read a second time if there are missing keys to be named, so at least one of the two has to be a
/// regular file for that.
///
/// Exit status: 0 no difference, 5 differences.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A file; "-" reads standard input
    a: PathBuf,
    /// Another one
    b: PathBuf,
    /// How many differences are listed; all are counted
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// By how many milliseconds the times may differ at which keys expire
    #[arg(long, value_name = "MS", default_value_t = 0)]
    ttl_tolerance: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if is_standard(&args.a) && is_standard(&args.b) {
        return Err(Failure::usage("standard input can be read only once"));
    }
    // The one that is remembered is the one that can be read again.
    let swapped = !is_regular(&args.a) && is_regular(&args.b);
    let (base, other) = if swapped { (&args.b, &args.a) } else { (&args.a, &args.b) };
    let [missing, extra] = if swapped { [EXTRA, MISSING] } else { [MISSING, EXTRA] };
    let mut out = Differences {
        out: BufWriter::new(io::stdout().lock()),
        left: args.limit,
        counts: [0; KINDS.len()],
        tolerance: args.ttl_tolerance,
    };

    let (mut base_input, mut other_input) = (open(base)?, open(other)?);
    let ids = KeyIds::default();
    let mut keys: HashMap<KeyId, Remembered, AsItIs> = HashMap::default();
    let base_name = base_input.name.clone();
    let (mut base_keys, mut other_keys) = (0u64, 0u64);
    let base_functions = scan(&mut base_input, &mut |found| {
        base_keys += 1;
        match keys.insert(ids.of(found.db, &found.key), Remembered::of(found)) {
            None => Ok(()),
            Some(_) => {
                let key = show_key(found.db, &found.key);
                Err(Failure::Input(format!("{base_name}: duplicate: {key} is there twice")))
            }
        }
    })?;
    base_input.finish();

    let other_functions = scan(&mut other_input, &mut |found| {
        other_keys += 1;
        match keys.remove(&ids.of(found.db, &found.key)) {
            None => out.tell(extra, found, ""),
            Some(base) => {
                let other = Remembered::of(found);
                let [a, b] = if swapped { [&other, &base] } else { [&base, &other] };
                out.compare(found, a, b)
            }
        }
    })?;
    other_input.finish();

    if !keys.is_empty() {
        name(base, &ids, &keys, missing, &mut out)?;
    }
    let [a, b] = if swapped { [&other_functions, &base_functions] } else { [&base_functions, &other_functions] };
    out.functions(a, b)?;
    let [a_keys, b_keys] = if swapped { [other_keys, base_keys] } else { [base_keys, other_keys] };
    out.summary(a_keys, b_keys)
}

fn open(path: &Path) -> Result<Input, Failure> {
    Input::open(path, ParserOptions::new())
}

fn is_regular(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// A key as the parser has delivered it.
struct Found {
    db: u64,
    key: Vec<u8>,
    kind: ValueKind,
    expire_at_ms: Option<i64>,
    digest: Digest,
}

/// What is kept of a key: it has to be small.
struct Remembered {
    digest: [u64; 2],
    /// [`NEVER`] if it does not expire.
    expire_at_ms: i64,
}

const NEVER: i64 = i64::MIN;

impl Remembered {
    fn of(found: &Found) -> Self {
        let digest = found.digest.value();
        #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
        let digest = [(digest >> 64) as u64, digest as u64];
        Self { digest, expire_at_ms: found.expire_at_ms.unwrap_or(NEVER) }
    }

    fn expiry(&self) -> String {
        if self.expire_at_ms == NEVER { "never".into() } else { self.expire_at_ms.to_string() }
    }
}

/// Function libraries: name and code.
type Functions = HashMap<Vec<u8>, Vec<u8>>;

/// Gives each key of a file to `each`; the result is its functions.
fn scan(input: &mut Input, each: &mut dyn FnMut(&Found) -> Result<(), Failure>) -> Result<Functions, Failure> {
    let mut functions = Functions::new();
    let mut found =
        Found { db: 0, key: Vec::new(), kind: ValueKind::String, expire_at_ms: None, digest: Digest::default() };
    let mut complete = false;
    let mut digester = None;
    let mut db = 0;
    while let Some(event) = input.next()? {
        match event {
            Event::Key(header) => {
                // Not before the next key: something that belongs to it may have followed its value.
                if complete {
                    each(&found)?;
                    complete = false;
                }
                found.db = db;
                found.key.clear();
                found.key.extend_from_slice(header.key);
                found.kind = header.value_type.kind();
                found.expire_at_ms = header.expire_at_ms;
                digester = Some(Digester::new(found.kind));
            }
            Event::ValueEnd => {
                if let Some(digester) = digester.take() {
                    found.digest = digester.finish();
                    complete = true;
                }
            }
            Event::SubkeyExpire { member, expire_at_ms } => {
                let mut expiry = Digester::new(ValueKind::Hash);
                let (field, value) = (Str::Bytes(member), Str::Bytes(b""));
                expiry.event(&Event::HashField { field, value, expire_at_ms: Some(expire_at_ms) });
                found.digest = found.digest.combine(expiry.finish());
            }
            Event::SelectDb(number) => db = number,
            Event::Function(library) => {
                let code = library.loadable();
                functions.insert(function::name(&code).to_vec(), code.into_owned());
            }
            event => {
                if let Some(digester) = &mut digester {
                    digester.event(&event);
                }
            }
        }
    }
    if complete {
        each(&found)?;
    }
    Ok(functions)
}

/// Tells the names of the keys that are left in `keys`, by reading their file again.
fn name(
    path: &Path,
    ids: &KeyIds,
    keys: &HashMap<KeyId, Remembered, AsItIs>,
    kind: usize,
    out: &mut Differences<impl Write>,
) -> Result<(), Failure> {
    let unnamed = keys.len() as u64;
    if !is_regular(path) {
        eprintln!("rdb_tool: {}: cannot be read twice to name {unnamed} keys that only it has", path.display());
        out.counts[kind] += unnamed;
        return Ok(());
    }
    let options = ParserOptions::new().value_mode(ValueMode::Skip);
    let mut input = Input::open(path, options)?;
    let mut db = 0;
    let mut left = unnamed;
    while left > 0 && out.left > 0 {
        match input.next()? {
            Some(Event::SelectDb(number)) => db = number,
            Some(Event::Key(header)) if keys.contains_key(&ids.of(db, header.key)) => {
                out.line(kind, header.value_type.kind(), db, header.key, "")?;
                left -= 1;
            }
            Some(_) => {}
            None => break,
        }
    }
    out.counts[kind] += left;
    Ok(())
}

const KINDS: [&str; 5] = ["missing", "extra", "value", "expiry", "function"];
const MISSING: usize = 0;
const EXTRA: usize = 1;
const VALUE: usize = 2;
const EXPIRY: usize = 3;
const FUNCTION: usize = 4;

/// Lists and counts differences.
struct Differences<W: Write> {
    out: W,
    /// How many are still listed.
    left: u64,
    counts: [u64; KINDS.len()],
    tolerance: u64,
}

impl<W: Write> Differences<W> {
    fn compare(&mut self, found: &Found, a: &Remembered, b: &Remembered) -> Result<(), Failure> {
        if a.digest != b.digest {
            return self.tell(VALUE, found, "");
        }
        let never = (a.expire_at_ms == NEVER) != (b.expire_at_ms == NEVER);
        if never || a.expire_at_ms.abs_diff(b.expire_at_ms) > self.tolerance {
            return self.tell(EXPIRY, found, &format!(": expires {} / {}", a.expiry(), b.expiry()));
        }
        Ok(())
    }

    fn tell(&mut self, kind: usize, found: &Found, detail: &str) -> Result<(), Failure> {
        self.line(kind, found.kind, found.db, &found.key, detail)
    }

    fn line(&mut self, kind: usize, value: ValueKind, db: u64, key: &[u8], detail: &str) -> Result<(), Failure> {
        self.counts[kind] += 1;
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        let result = writeln!(self.out, "{:<8} {value} {}{detail}", KINDS[kind], show_key(db, key));
        result.map_err(|error| Failure::writing("standard output", &error))
    }

    fn functions(&mut self, a: &Functions, b: &Functions) -> Result<(), Failure> {
        let mut names: Vec<_> = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))).collect();
        names.sort_unstable();
        for name in names {
            let what = match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) if a == b => continue,
                (Some(_), Some(_)) => "has different code",
                (Some(_), None) => "is missing",
                _ => "is extra",
            };
            self.counts[FUNCTION] += 1;
            if self.left > 0 {
                self.left -= 1;
                let result = writeln!(self.out, "{:<8} library {} {what}", KINDS[FUNCTION], name.escape_ascii());
                result.map_err(|error| Failure::writing("standard output", &error))?;
            }
        }
        Ok(())
    }

    /// The last line; differences are no success.
    fn summary(mut self, a_keys: u64, b_keys: u64) -> Result<(), Failure> {
        let total: u64 = self.counts.iter().sum();
        let mut text = format!("{a_keys} keys and {b_keys} keys: ");
        if total == 0 {
            text += "no difference";
        } else {
            text += &format!("{total} differences");
            for (kind, count) in KINDS.iter().zip(self.counts).filter(|(_, count)| *count > 0) {
                text += &format!(", {count} {kind}");
            }
        }
        let result = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        result.map_err(|error| Failure::writing("standard output", &error))?;
        if total == 0 { Ok(()) } else { Err(Failure::Different) }
    }
}
