//! What is wanted of a source, on the command line of the programs.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use clap::{Args, Parser};
use rdts_core::filter::{Pattern, Rules};
use rdts_core::{Error, ErrorKind, Result};
use rdts_rdb::ValueKind;

/// Options that select keys, and say where they go: see docs/filters.md.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What is taken, and where it goes")]
pub struct Selection {
    /// Takes only keys with such names: a glob, prefix:TEXT, or regex:EXPRESSION; may be given several times
    #[arg(long, value_name = "PATTERN")]
    only_key: Vec<String>,
    /// Leaves keys with such names out
    #[arg(long, value_name = "PATTERN")]
    without_key: Vec<String>,
    /// Takes only values of these types: string, list, set, zset, hash, stream, …
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    only_type: Vec<String>,
    /// Leaves values of these types out
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    without_type: Vec<String>,
    /// Takes only these databases of the source
    #[arg(long, value_name = "DB", value_delimiter = ',')]
    only_db: Vec<u32>,
    /// Leaves these databases of the source out
    #[arg(long, value_name = "DB", value_delimiter = ',')]
    without_db: Vec<u32>,
    /// Puts keys of one database into another: 0=3,1=4
    #[arg(long, value_name = "FROM=TO", value_delimiter = ',')]
    map_db: Vec<Pair<u32>>,
    /// Takes only keys whose names are in these slots of a cluster: 0-100,7000
    #[arg(long, value_name = "SLOTS", value_delimiter = ',')]
    only_slots: Vec<Slots>,
    /// Leaves keys of these slots out
    #[arg(long, value_name = "SLOTS", value_delimiter = ',')]
    without_slots: Vec<Slots>,
    /// Gives keys whose name begins with FROM one that begins with TO instead; may be given several times
    #[arg(long, value_name = "FROM=TO")]
    rename_prefix: Vec<Pair<String>>,
    /// Takes only these commands of the stream (a glob): not a rule about data, see docs/filters.md
    #[arg(long, value_name = "COMMAND", value_delimiter = ',')]
    only_command: Vec<String>,
    /// Leaves these commands of the stream out, with the same caution: FLUSHALL, FLUSHDB
    #[arg(long, value_name = "COMMAND", value_delimiter = ',')]
    without_command: Vec<String>,
    /// Takes the keys that scripts and unknown commands name for all that they use, instead of stopping at them
    #[arg(long)]
    trust_named_keys: bool,
}

/// The options by themselves.
#[derive(Debug, Parser)]
struct Alone {
    #[command(flatten)]
    selection: Selection,
}

impl Selection {
    /// What options of these names (without `--`) and values say.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for what is no such option.
    pub fn from_options<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let args = options.into_iter().map(|(name, value)| match (name, value) {
            ("trust-named-keys", "yes") => format!("--{name}"),
            _ => format!("--{name}={value}"),
        });
        let parsed = Alone::try_parse_from(std::iter::once(String::new()).chain(args));
        let wrong = |error: clap::Error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Error::new(ErrorKind::Config, format!("no option of a migration: {first}"))
        };
        parsed.map(|alone| alone.selection).map_err(wrong)
    }

    /// The rules; `None` if everything is wanted as it is. Of the source only database `from_db`, and all of it to database `to_db`, if they are
    /// given. `owns_target`: the target holds nothing else.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for what is no pattern, type or slot, and as [`RulesBuilder::build`](rdts_core::filter::RulesBuilder::build).
    pub fn rules(&self, from_db: Option<u32>, to_db: Option<u32>, owns_target: bool) -> Result<Option<Arc<Rules>>> {
        let everything = Rules::builder().trust_named_keys(self.trust_named_keys).owns_target(owns_target);
        let mut rules = everything.clone();
        for text in &self.only_key {
            rules = rules.only_keys(pattern(text)?);
        }
        for text in &self.without_key {
            rules = rules.without_keys(pattern(text)?);
        }
        for text in &self.only_type {
            rules = rules.only_type(kind(text)?);
        }
        for text in &self.without_type {
            rules = rules.without_type(kind(text)?);
        }
        if from_db.is_some() && !self.only_db.is_empty() {
            return Err(Error::new(ErrorKind::Config, "the URL names a database of the source: leave --only-db out"));
        }
        for db in self.only_db.iter().chain(&from_db) {
            rules = rules.only_db(*db);
        }
        for db in &self.without_db {
            rules = rules.without_db(*db);
        }
        let mut mapped = BTreeSet::new();
        for Pair { from, to } in &self.map_db {
            if !mapped.insert(from) {
                let text = format!("--map-db names database {from} twice");
                return Err(Error::new(ErrorKind::Config, text));
            }
            rules = rules.map_db(*from, *to);
        }
        match (from_db, to_db) {
            (Some(from), Some(to)) if !mapped.contains(&from) => rules = rules.map_db(from, to),
            _ => {}
        }
        for slots in &self.only_slots {
            rules = rules.only_slots(slots.0.clone());
        }
        for slots in &self.without_slots {
            rules = rules.without_slots(slots.0.clone());
        }
        for Pair { from, to } in &self.rename_prefix {
            rules = rules.rename_prefix(from.as_str(), to.as_str());
        }
        for name in &self.only_command {
            rules = rules.only_commands(name);
        }
        for name in &self.without_command {
            rules = rules.without_commands(name);
        }
        if rules == everything {
            return Ok(None);
        }
        Ok(Some(Arc::new(rules.build()?)))
    }
}

fn pattern(text: &str) -> Result<Pattern> {
    match text.split_once(':') {
        Some(("regex", expression)) => Pattern::regex(expression),
        Some(("prefix", prefix)) => Ok(Pattern::prefix(prefix)),
        _ => Ok(Pattern::glob(text)),
    }
}

fn kind(text: &str) -> Result<ValueKind> {
    use ValueKind::{Array, Hash, List, Module, Set, Stream, String, ZSet};
    let known = [String, List, Set, ZSet, Hash, Stream, Module, Array];
    known.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names: Vec<_> = known.map(ValueKind::name).into_iter().collect();
        Error::new(ErrorKind::Config, format!("'{text}' is no type; types are {}", names.join(", ")))
    })
}

/// `FROM=TO`
#[derive(Debug, Clone)]
struct Pair<T> {
    from: T,
    to: T,
}

impl<T: FromStr> FromStr for Pair<T> {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (from, to) = text.split_once('=').ok_or("expected FROM=TO")?;
        let part = |part: &str| part.parse().map_err(|_| format!("'{part}' is not what is expected there"));
        Ok(Self { from: part(from)?, to: part(to)? })
    }
}

/// `SLOT` or `FIRST-LAST`
#[derive(Debug, Clone)]
struct Slots(RangeInclusive<u16>);

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let slot = |text: &str| text.parse().ok().filter(|slot| *slot < 16384).ok_or(format!("'{text}' is no slot"));
        let (first, last) = (slot(first)?, slot(last)?);
        if first > last {
            return Err(format!("slot {first} is behind slot {last}"));
        }
        Ok(Self(first..=last))
    }
}
