//! From the URL of a source to the shards that are read.

use std::path::{Path, PathBuf};

use rdts_core::codis::{CodisWatch, Dashboard, WatchOptions};
use rdts_core::endpoint::NodeAddress;
use rdts_core::fleet::{ShardSource, Shards};
use rdts_core::replica::LinkConfig;
use rdts_core::source::{
    AofOptions, AofSource, Durable, FileKind, RdbSource, Reconnect, ReplicaOptions, ScanChanges, ScanHandle,
    ScanOptions, ScanSource, detect,
};
use rdts_core::translate::{Target, TranslateOptions};
use rdts_core::{Endpoint, Error, ErrorKind, Result};
use rdts_sink::FileFormat;

use super::job::Job;
use super::observer::Observer;
use super::precheck;
use super::state::State;

/// What a migration reads.
pub(super) struct Opened {
    pub shards: Vec<ShardSource>,
    /// How it comes to an end.
    pub end: End,
    /// A Codis whose slots must not move meanwhile.
    pub codis: Option<CodisWatch>,
}

/// How reading comes to an end.
pub(super) enum End {
    /// By itself: a file, or a snapshot.
    Itself,
    /// At the offset that each shard's server has when asked.
    Offsets,
    /// After a round that begins when asked: servers that are read by `SCAN`.
    Rounds(Vec<ScanHandle>),
    /// At once: a server that counts no offsets.
    Now,
}

/// What a migration reads, found and not opened yet.
pub(super) enum Found {
    Live(Shards),
    File(PathBuf),
    Codis(CodisWatch),
}

/// Finds what `job` reads; a run that is resumed needs it as it was.
pub(super) async fn find(job: &Job, state: Option<&State>) -> Result<Found> {
    Ok(match &job.from {
        Endpoint::File(path) => {
            refuse_writes(job, path).await?;
            Found::File(path.clone())
        }
        Endpoint::Codis { dashboard } => {
            let dashboard = Dashboard::new(dashboard.clone(), job.deadlines);
            Found::Codis(CodisWatch::start(dashboard, WatchOptions::default()).await?)
        }
        live => {
            let shards = Shards::find(live, job.deadlines).await?;
            if let Some(layout) = state.and_then(State::layout) {
                shards.check_layout(layout)?;
            }
            Found::Live(shards)
        }
    })
}

impl Found {
    /// The servers, as far as they can be asked.
    pub(super) async fn primaries(&self) -> Result<Vec<NodeAddress>> {
        match self {
            Self::Live(shards) => shards.addresses().await,
            Self::File(_) => Ok(Vec::new()),
            Self::Codis(watch) => Ok(precheck::primaries(watch.topology())),
        }
    }

    /// How many shards there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Live(shards) => shards.count(),
            Self::File(_) => 1,
            Self::Codis(watch) => watch.topology().shards().count(),
        }
    }

    /// See [`Shards::layout`].
    pub(super) fn layout(&self) -> Option<String> {
        match self {
            Self::Live(shards) => shards.layout(),
            _ => None,
        }
    }

    /// Opens it, translating for `target`. Nothing is written before.
    pub(super) async fn open(
        self,
        job: &Job,
        target: Target,
        multi_key: bool,
        durables: Vec<Durable>,
        output: &mut dyn Observer,
    ) -> Result<Opened> {
        let translate = job.translation(multi_key);
        let options = ReplicaOptions::default()
            .link(LinkConfig::default().deadlines(job.deadlines))
            .translate(translate.clone())
            .snapshot_only(job.full)
            .reconnect(Reconnect::default().within(job.deadlines.ready));
        let mut codis = None;
        let shards = match self {
            Self::File(path) => {
                let shards = vec![file(&path, target, translate).await?];
                return Ok(Opened { shards, end: End::Itself, codis });
            }
            Self::Codis(watch) => codis.insert(watch).open_shards(target, options).await,
            Self::Live(shards) => shards.resume(target, options, durables).await,
        };
        match shards {
            Ok(shards) => {
                let offsets = shards.iter().all(ShardSource::has_offsets);
                if (job.until_caught_up || job.state.is_some() && !job.full) && !offsets {
                    let text = "this source only knows SYNC and counts no offsets";
                    let option = if job.until_caught_up { "--until caught-up" } else { "--state" };
                    return Err(Error::new(ErrorKind::Unsupported, text).at(option));
                }
                let end = match offsets {
                    _ if job.full => End::Itself,
                    true => End::Offsets,
                    false => End::Now,
                };
                Ok(Opened { shards, end, codis })
            }
            Err(error) if error.kind() == ErrorKind::ReplicationForbidden && job.state.is_none() => {
                scan(job, target, translate, error, output).await
            }
            Err(error) => Err(error),
        }
    }
}

/// An RDB file as target takes no writes, and an AOF consists of them.
async fn refuse_writes(job: &Job, path: &Path) -> Result<()> {
    let rdb = matches!(&job.to, Endpoint::File(to) if FileFormat::of(to)? == FileFormat::Rdb);
    if rdb && detect(path).await? == FileKind::Aof {
        let text =
            "an AOF consists of writes, which an RDB file cannot take: let a server load it, and copy from there";
        return Err(Error::new(ErrorKind::Unsupported, text).at(path.display()));
    }
    Ok(())
}

async fn file(path: &Path, target: Target, translate: TranslateOptions) -> Result<ShardSource> {
    let name = path.display().to_string();
    Ok(match detect(path).await? {
        FileKind::Aof => {
            let source = AofSource::open(path, target, AofOptions::default().translate(translate)).await?;
            let length = source.snapshot_len();
            ShardSource::new(name, source).with_snapshot_len(length)
        }
        _ => {
            let source = RdbSource::open(path, target, translate).await?;
            let length = source.snapshot_len();
            ShardSource::new(name, source).with_snapshot_len(length)
        }
    })
}

/// The servers that do not let themselves be replicated, read by `SCAN`.
async fn scan(
    job: &Job,
    target: Target,
    translate: TranslateOptions,
    error: Error,
    output: &mut dyn Observer,
) -> Result<Opened> {
    let addresses: Vec<NodeAddress> = match &job.from {
        Endpoint::Node { address, .. } => vec![address.clone()],
        Endpoint::Shards(addresses) => addresses.clone(),
        Endpoint::Sentinel { .. } => vec![precheck::sentinel(&job.from, job.deadlines)?.primary().await?],
        // Keys that move from node to node meanwhile would be missed.
        _ => return Err(error),
    };
    output.warn(&format!(
        "{error}\nThe keys are read by SCAN instead. That is no replica: keys are copied as they are when they are read, so that there is \
         no order between them and no transactions; what changes meanwhile is found by notifications or by reading all again; once \
         nobody writes any more and all was read again, both sides are equal"
    ));
    let changes = if job.full { ScanChanges::None } else { ScanChanges::Auto };
    let options = ScanOptions::default().deadlines(job.deadlines).translate(translate).changes(changes);
    let (mut shards, mut handles) = (Vec::new(), Vec::new());
    for address in addresses {
        let source = ScanSource::open(&address, target, options.clone()).await?;
        handles.push(source.handle());
        shards.push(ShardSource::new(address.to_string(), source));
    }
    let end = if job.full { End::Itself } else { End::Rounds(handles) };
    Ok(Opened { shards, end, codis: None })
}
