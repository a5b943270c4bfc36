//! One migration between two servers.

use std::collections::BTreeSet;
use std::fmt;

use rdts_testkit::{
    Difference, DifferenceKind, FillOptions, Load, LoadOptions, Server, Signal, Version, compare, digest, fill,
    wait_until,
};

use crate::support::{LONG, ends, migrate, summary, wait_until_live};

/// What came of it: how the two sides were found equal, and what the target cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// By the servers' own digests as well, not only key by key.
    by_digest: bool,
    lost: BTreeSet<&'static str>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.by_digest { "D" } else { "K" })?;
        self.lost.iter().try_for_each(|kind| write!(f, " {}", super::doc::letter(kind)))
    }
}

fn has_field_expiry(version: Version) -> bool {
    match version.is_valkey() {
        true => version.has_valkey(9, 0),
        false => version.has_redis(7, 4),
    }
}

/// The kinds of data that servers of one version have and those of another do not, by the names of `--drop`.
fn lost(from: Version, to: Version) -> BTreeSet<&'static str> {
    let kinds: [(&str, &dyn Fn(Version) -> bool); 3] = [
        ("streams", &|version| version.has_redis(5, 0)),
        ("functions", &|version| version.has_redis(7, 0)),
        ("hash-field-expiry", &has_field_expiry),
    ];
    kinds.into_iter().filter(|(_, has)| has(from) && !has(to)).map(|(name, _)| name).collect()
}

/// Fills a server with all the types that it has, migrates it while a load writes everything that it knows, and compares.
pub(super) fn migrates(from: &str, to: &str) -> Outcome {
    let source = Server::start(from);
    let target = Server::start(to);
    fill(&source, &FillOptions::mixed(600));
    let lost = lost(source.version(), target.version());
    let drop: Vec<&str> = lost.iter().copied().collect();
    let (drop, from_url, to_url) = (drop.join(","), source.url(), target.url());
    let mut args = vec!["--from", &from_url, "--to", &to_url];
    if !drop.is_empty() {
        args.extend(["--drop", &drop]);
    }
    let mut options = LoadOptions::default();
    options.without = unsayable(target.version());
    let load = Load::start(&source, options);
    load.wait_for(300, LONG);
    let program = migrate(&args);
    wait_until_live(&program);
    load.wait_for(2_500, LONG);
    load.stop();
    program.signal(Signal::Int);
    let summary = summary(&ends(program, 0));
    assert_eq!((&summary["failed"], &summary["status"]), (&0.into(), &0.into()), "{from} to {to}: {summary}");
    assert_eq!(summary["ledger"]["balanced"], true, "{from} to {to}: {summary}");
    let differences = compare(&source, &target);
    let (expected, others): (Vec<_>, Vec<_>) = differences.iter().partition(|difference| is_lost(difference, &lost));
    let shown: Vec<String> = others.iter().take(20).map(ToString::to_string).collect();
    assert!(others.is_empty(), "{} differences from {from} to {to}:\n{}", others.len(), shown.join("\n"));
    // What is missing is what the ledger says, and nothing else is in it.
    let ledger = &summary["ledger"]["lost"];
    let recorded: BTreeSet<&str> = ledger.as_object().into_iter().flatten().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(recorded, lost, "{from} to {to}: {ledger}");
    let counted = |kind: &str, what: &str| ledger[kind][what].as_u64().unwrap_or_default();
    if lost.contains("streams") {
        // Each of them was in the snapshot, or was written later.
        let (keys, missing) = (counted("streams", "keys"), expected.len() as u64);
        assert!(
            missing > 0 && keys > 0 && keys + counted("streams", "commands") >= missing,
            "{from} to {to}: {ledger}"
        );
    }
    Outcome { by_digest: lost.is_empty() && digests_agree(&source, &target), lost }
}

/// What a target of this version cannot be told in any words, so that a run ends with an error that says so.
fn unsayable(to: Version) -> Vec<&'static str> {
    let since = [("swapdb", (4, 0)), ("bitfield", (3, 2)), ("georadius", (3, 2)), ("geosearchstore", (3, 2))];
    // The release candidate of 4.0 has its commands.
    let has = |(major, minor)| to.has_redis(major, minor) || (major == 4 && to.number() >= (3, 9, 100));
    since.into_iter().filter(|(_, since)| !has(*since)).map(|(command, _)| command).collect()
}

/// Whether a difference is one that has to be, since the target has no such type.
fn is_lost(difference: &Difference, lost: &BTreeSet<&str>) -> bool {
    let stream = difference.kind == DifferenceKind::Missing && difference.detail.starts_with("a stream ");
    // A field that has expired is told of when the server removes it, which may be after the run.
    let field =
        difference.kind != DifferenceKind::Missing && difference.key.windows(10).any(|part| part == b":fleeting:");
    (stream && lost.contains("streams")) || (field && lost.contains("hash-field-expiry"))
}

/// Whether the digests of the two can be compared; where they can they have to be equal.
fn digests_agree(source: &Server, target: &Server) -> bool {
    let (from, to) = (source.version(), target.version());
    // HyperLogLogs had other forms before 5.0.
    let same_forms = (from.has_redis(5, 0) && to.has_redis(5, 0)) || from == to;
    // The families put the expiry of fields into their digests in different ways.
    let same_fields = from.is_valkey() == to.is_valkey() || !has_field_expiry(from) || !has_field_expiry(to);
    let comparable = from.digests_like(to) && same_forms && same_fields;
    if comparable {
        // A key that has expired counts until the server's own cycle removes it.
        wait_until("the digests to be equal", LONG, || digest(source) == digest(target));
    }
    comparable
}
