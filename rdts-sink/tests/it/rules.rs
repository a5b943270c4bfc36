//! Rules give the same from a snapshot as from the stream, and what an independent oracle says.

mod history;
mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdts_core::filter::{Pattern, Rules};
use rdts_core::source::{AofOptions, AofSource, RdbSource, Source};
use rdts_core::translate::TranslateOptions;
use rdts_core::{ErrorKind, Pipeline, Result, Sink};
use rdts_rdb::ValueKind;
use rdts_sink::MemorySink;
use rdts_sink::memory::{Entry, MemoryStore};
use rdts_testkit::{Rng, Server};

use history::{DBS, FAMILIES, History};

type Data = BTreeMap<(u32, Vec<u8>), Entry>;

fn data(store: &MemoryStore) -> Data {
    let of = |db: u32| store.entries(db).map(move |(key, entry)| ((db, key.to_vec()), entry.clone()));
    store.databases().flat_map(of).collect()
}

/// What comes of a source in an empty memory.
async fn loaded(source: impl Source, sink: MemorySink) -> Result<Data> {
    let store = sink.store();
    let finished = Pipeline::new(source, sink).run().await;
    finished.result?;
    assert!(finished.report.ledger.is_balanced(), "{:?}", finished.report.ledger);
    let store = store.lock().unwrap();
    Ok(data(&store))
}

/// The files that a server has left behind: all that it holds, and all that was written to it.
struct Files {
    rdb: PathBuf,
    aof: PathBuf,
}

impl Files {
    fn of(server: &Server) -> Self {
        let folder = server.dir();
        let multi_part = folder.join("appendonlydir");
        let aof = if multi_part.is_dir() { multi_part } else { folder.join("appendonly.aof") };
        Self { rdb: folder.join("dump.rdb"), aof }
    }

    async fn snapshot(&self, rules: Rules) -> Result<Data> {
        let sink = MemorySink::new();
        let options = TranslateOptions::default().rules(rules);
        let source = RdbSource::open(&self.rdb, sink.capabilities().target, options).await?;
        loaded(source, sink).await
    }

    async fn stream(&self, rules: Rules) -> Result<Data> {
        let sink = MemorySink::new();
        let options = TranslateOptions::default().rules(rules);
        let options = AofOptions::default().translate(options).expiry_grace(Duration::ZERO);
        let source = AofSource::open(&self.aof, sink.capabilities().target, options).await?;
        loaded(source, sink).await
    }
}

/// Rules, and what they mean, said in another way.
#[derive(Debug)]
struct Meant {
    rules: Rules,
    families: BTreeSet<usize>,
    names: BTreeMap<usize, String>,
    dbs: BTreeMap<u32, u32>,
    without: BTreeSet<&'static str>,
}

const KINDS: [ValueKind; 6] =
    [ValueKind::String, ValueKind::List, ValueKind::Set, ValueKind::ZSet, ValueKind::Hash, ValueKind::Stream];

impl Meant {
    fn random(rng: &mut Rng) -> Self {
        let mut builder = Rules::builder().owns_target(true);
        // All of them, or the first ones: values go from earlier families to later ones.
        let count = if rng.one_in(3) { FAMILIES.len() } else { *rng.pick(&[1, 2, 3, 4]) };
        let families: BTreeSet<usize> = (0..count).collect();
        if count < FAMILIES.len() {
            match rng.below(3) {
                0 => {
                    let last = FAMILIES[count - 1].as_bytes()[0] as char;
                    builder = builder.only_keys(Pattern::regex(&format!("^[a-{last}]:")).unwrap());
                }
                1 => {
                    for family in &families {
                        builder = builder.only_keys(Pattern::glob(format!("{}*", FAMILIES[*family])));
                    }
                }
                _ => {
                    for family in &FAMILIES[count..] {
                        builder = builder.without_keys(Pattern::prefix(*family));
                    }
                }
            }
        }
        let mut names = BTreeMap::new();
        for (family, old) in FAMILIES.iter().enumerate() {
            let name = match rng.below(4) {
                // Longer, shorter, and of a key that is there: all of one letter.
                0 => format!("{old}n:"),
                1 => format!("new-{family}:"),
                _ => continue,
            };
            builder = builder.rename_prefix(*old, name.clone()).without_keys(Pattern::glob("new-*"));
            names.insert(family, name);
        }
        let mut dbs: BTreeMap<u32, u32> = (0..DBS).map(|db| (db, db)).collect();
        match rng.below(3) {
            0 => {
                // The last ones are left out, and the others change places.
                let count = *rng.pick(&[1, 2, 3, DBS]);
                dbs = (0..count).map(|db| (db, count - 1 - db)).collect();
                for (from, to) in &dbs {
                    builder = builder.only_db(*from).map_db(*from, *to);
                }
            }
            1 => {
                dbs.remove(&(DBS - 1));
                builder = builder.without_db(DBS - 1);
            }
            _ => {}
        }
        let mut without = BTreeSet::new();
        if rng.one_in(3) {
            for _ in 0..rng.between(1, 4) {
                let kind = *rng.pick(&KINDS);
                builder = builder.without_type(kind);
                without.insert(kind.name());
            }
        }
        Self { rules: builder.build().unwrap(), families, names, dbs, without }
    }

    /// The oracle: what is there of all that the source holds.
    fn of(&self, all: &Data) -> Data {
        let mut found = Data::new();
        for ((db, key), entry) in all {
            let family = FAMILIES.iter().position(|family| key.starts_with(family.as_bytes())).unwrap();
            let Some(to) = self.dbs.get(db) else { continue };
            if !self.families.contains(&family) || self.without.contains(entry.value.type_name()) {
                continue;
            }
            let name = self.names.get(&family).map_or(FAMILIES[family], |name| name);
            found.insert((*to, [name.as_bytes(), &key[2..]].concat()), entry.clone());
        }
        found
    }
}

fn assert_equal(what: &str, expected: &Data, found: &Data, meant: &Meant) {
    let differs = |key: &&(u32, Vec<u8>)| expected.get(*key) != found.get(*key);
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    if let Some(key) = keys.into_iter().find(differs) {
        let (one, two) = (expected.get(key), found.get(key));
        panic!("{what}: db {} {}: {one:?}, but {two:?}, by {meant:?}", key.0, key.1.escape_ascii());
    }
}

fn written(name: &str, seed: u64, ordered: bool, commands: usize) -> Server {
    let mut server = Server::builder(name).arg("appendonly", "yes").arg("appendfsync", "no");
    if server.version().has_redis(4, 0) {
        server = server.arg("aof-use-rdb-preamble", "no");
    }
    let server = server.start();
    History::new(&server, seed, ordered).run(commands);
    server.cmd(&["SAVE"]);
    server.stop();
    server
}

/// Holds random rules against what was written; says how many could be kept.
async fn kept(server: &Server, seed: u64, rounds: usize) -> usize {
    let files = Files::of(server);
    assert!(Path::new(&files.rdb).is_file() && files.aof.exists());
    let all = files.snapshot(Rules::builder().build().unwrap()).await.unwrap();
    assert!(all.len() > 30, "{}", all.len());
    let mut rng = Rng::new(seed);
    let mut kept = 0;
    for _ in 0..rounds {
        let meant = Meant::random(&mut rng);
        let expected = meant.of(&all);
        let snapshot = files.snapshot(meant.rules.clone()).await.unwrap();
        assert_equal("the snapshot", &expected, &snapshot, &meant);
        match files.stream(meant.rules.clone()).await {
            Ok(stream) => {
                assert_equal("the stream", &expected, &stream, &meant);
                kept += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}, by {meant:?}");
                assert!(error.to_string().contains("without_commands"), "{error}");
            }
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_stream_give_the_same_by_random_rules() {
    for (name, seed) in [("redis-7.0", 1), ("redis-4.0", 2), ("valkey-9.1", 3)] {
        let server = written(name, seed, true, 2500);
        let kept = kept(&server, seed, 40).await;
        eprintln!("{name}: {kept} of 40 rules were kept");
        assert!(kept >= 15, "{name}: only {kept} of 40 rules could be kept");
    }
}

/// Where values go any way, most rules cannot be kept: that is said, and never the data wrong.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused() {
    let server = written("redis-7.0", 7, false, 1500);
    let kept = kept(&server, 8, 40).await;
    eprintln!("{kept} of 40 rules were kept");
    assert!(kept < 40, "nothing was refused");
}
