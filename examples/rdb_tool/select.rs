//! Which keys are wanted.

use std::convert::Infallible;

use rdts_core::filter::Pattern;
use rdts_rdb::{KeyHeader, ValueKind};

/// A choice of keys. Rules of one kind are alternatives, a key must satisfy every kind that is given, and none of the
/// --not rules.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// Keys of this database; several may be named
    #[arg(long, value_name = "N", value_delimiter = ',')]
    db: Vec<u64>,
    /// Keys that match a pattern as of the KEYS command
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    key: Vec<Pattern>,
    /// Keys that start so; an alternative to --key
    #[arg(long, value_name = "TEXT")]
    prefix: Vec<String>,
    /// Keys of this type: string, list, set, zset, hash, stream, module, array
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = kind)]
    kind: Vec<ValueKind>,
    /// Keys that expire
    #[arg(long, conflicts_with = "persistent")]
    expiring: bool,
    /// Keys that do not expire
    #[arg(long)]
    persistent: bool,
    /// No keys of this database
    #[arg(long, value_name = "N", value_delimiter = ',')]
    not_db: Vec<u64>,
    /// No keys that match
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    not_key: Vec<Pattern>,
    /// No keys that start so
    #[arg(long, value_name = "TEXT")]
    not_prefix: Vec<String>,
    /// No keys of this type
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = kind)]
    not_type: Vec<ValueKind>,
}

fn kind(text: &str) -> Result<ValueKind, String> {
    use ValueKind as K;
    let all = [K::String, K::List, K::Set, K::ZSet, K::Hash, K::Stream, K::Module, K::Array, K::Cron];
    all.into_iter().find(|kind| kind.name() == text).ok_or_else(|| "no such type".into())
}

fn glob(text: &str) -> Result<Pattern, Infallible> {
    Ok(Pattern::glob(text))
}

impl Selection {
    /// Whether a key is wanted.
    pub(crate) fn wants(&self, db: u64, header: &KeyHeader<'_>) -> bool {
        let name = |globs: &[Pattern], prefixes: &[String]| {
            globs.iter().any(|glob| glob.matches(header.key))
                || prefixes.iter().any(|prefix| header.key.starts_with(prefix.as_bytes()))
        };
        let kind = header.value_type.kind();
        let expires = header.expire_at_ms.is_some();
        (self.db.is_empty() || self.db.contains(&db))
            && (self.key.is_empty() && self.prefix.is_empty() || name(&self.key, &self.prefix))
            && (self.kind.is_empty() || self.kind.contains(&kind))
            && (!self.expiring || expires)
            && (!self.persistent || !expires)
            && !self.not_db.contains(&db)
            && !name(&self.not_key, &self.not_prefix)
            && !self.not_type.contains(&kind)
    }
}
