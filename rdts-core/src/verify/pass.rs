//! Going through all keys of one side.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rdts_resp::ReplyRef;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::Context;
use super::face::{Face, Verdict};
use super::keys::{Keys, is_own, shown};
use super::pair::{Names, Pair};
use super::reader::Depth;
use super::side::Side;
use super::wire::{Wire, refusal};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::net::Connection;

/// A key that may differ, and what was seen of it.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) db: u32,
    pub(super) key: Box<[u8]>,
    pub(super) target_db: u32,
    pub(super) target_key: Box<[u8]>,
    pub(super) source: Face,
    pub(super) target: Face,
}

impl Candidate {
    /// Bytes that it takes in memory, about.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.target_key.len() + 64
    }
}

/// Which side's keys are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// All of the source: each is compared.
    Forward,
    /// All of the target: is it in the source?
    Back,
}

/// Some keys of one database of one node.
struct Page {
    node: usize,
    db: u32,
    keys: Keys,
    target_db: u32,
    target_keys: Keys,
}

type Pages = Arc<Mutex<mpsc::Receiver<Page>>>;

/// Goes through all keys of one side and sends those that may differ.
pub(super) async fn run(context: &Arc<Context>, direction: Direction, found: &mpsc::Sender<Candidate>) -> Result<()> {
    let side = match direction {
        Direction::Forward => context.source(),
        Direction::Back => context.target(),
    };
    let (pages, taken) = mpsc::channel(2);
    let taken: Pages = Arc::new(Mutex::new(taken));
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for node in 0..side.nodes.len() {
        let (context, side, pages) = (Arc::clone(context), Arc::clone(&side), pages.clone());
        tasks.spawn(async move { scan(&context, direction, &side, node, &pages).await });
    }
    drop(pages);
    for _ in 0..context.options.connections.max(1) {
        let (context, taken, found) = (Arc::clone(context), Arc::clone(&taken), found.clone());
        tasks.spawn(async move { compare(&context, direction, &taken, &found).await });
    }
    drop(taken);
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Interrupted, "a part of the comparison was aborted").with_source(error))
        });
        if let Err(error) = ended {
            // The others can come to no good end; what they say of that is of no interest.
            tasks.abort_all();
            result = result.and(Err(error));
        }
    }
    result
}

/// The databases of a node that have keys.
pub(super) async fn databases(connection: &mut Connection) -> Result<Vec<u32>> {
    let info = connection.info("keyspace").await?;
    Ok(info.lines().filter_map(|line| line.strip_prefix("db")?.split_once(':')?.0.parse().ok()).collect())
}

async fn scan(
    context: &Context,
    direction: Direction,
    side: &Side,
    node: usize,
    pages: &mpsc::Sender<Page>,
) -> Result<()> {
    let address = &side.nodes[node].address;
    let deadlines = context.options.deadlines;
    let mut connection = Connection::open(address, deadlines).await?;
    let databases = databases(&mut connection).await?;
    drop(connection);
    let of_source = context.source_databases();
    let mut wire = Wire::open(address, deadlines).await?;
    let count = context.options.page.max(1).to_string();
    for db in databases {
        let wanted = match direction {
            Direction::Forward => context.names.target_db(db).is_some(),
            Direction::Back => !context.names.source_dbs(db, &of_source).is_empty(),
        };
        if !wanted {
            continue;
        }
        let mut cursor = Bytes::from_static(b"0");
        let mut failing: Option<tokio::time::Instant> = None;
        loop {
            let mut page = Page { node, db, keys: Keys::default(), target_db: db, target_keys: Keys::default() };
            if let (Direction::Back, [source, ..]) = (direction, &*context.names.source_dbs(db, &of_source)) {
                page.db = *source;
            }
            let next = scan_page(context, direction, &mut wire, db, &cursor, &count, &mut page).await;
            match next {
                Ok(next) => {
                    (cursor, failing) = (next, None);
                    if !page.keys.is_empty() {
                        context.options.control.may_take().await;
                        context.options.control.took(page.keys.len(), 0);
                        if pages.send(page).await.is_err() {
                            return Ok(());
                        }
                    }
                    if cursor == b"0"[..] {
                        break;
                    }
                }
                // A cursor holds on any connection to the same server.
                Err(error) => {
                    let since = *failing.get_or_insert_with(tokio::time::Instant::now);
                    if error.retry() != Retry::Resume || since.elapsed() > deadlines.ready {
                        return Err(error);
                    }
                    tracing::warn!(%error, "connecting anew");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    if let Ok(again) = Wire::open(address, deadlines).await {
                        wire = again;
                    }
                }
            }
        }
    }
    Ok(())
}

/// One `SCAN`; gives the next cursor.
async fn scan_page(
    context: &Context,
    direction: Direction,
    wire: &mut Wire,
    db: u32,
    cursor: &[u8],
    count: &str,
    page: &mut Page,
) -> Result<Bytes> {
    if !wire.select(db).await? {
        return Ok(Bytes::from_static(b"0"));
    }
    let address = wire.address().clone();
    wire.command([&b"SCAN"[..], cursor, b"COUNT", count.as_bytes()]);
    let mut next = Bytes::new();
    wire.exchange(|_, answer| {
        let Some(reply) = answer.reply() else { return Err(refusal(&address, "SCAN", None)) };
        let mut parts = reply.as_array().map(|array| array.iter()).into_iter().flatten();
        let (Some(cursor), Some(keys)) =
            (parts.next().and_then(|part| part.as_bytes()), parts.next().and_then(|part| part.as_array()))
        else {
            return Err(refusal(&address, "SCAN", reply.as_error()));
        };
        next = Bytes::copy_from_slice(cursor);
        for key in keys.iter().filter_map(|key: ReplyRef<'_>| key.as_bytes()) {
            if is_own(key) || !context.is_sampled(key) {
                continue;
            }
            match direction {
                Direction::Forward => {
                    if let Some((target_db, target_key)) = context.names.target(db, key) {
                        page.keys.push(key);
                        page.target_db = target_db;
                        if *target_key != *key {
                            context.renamed.store(true, Ordering::Relaxed);
                        }
                        page.target_keys.push(&target_key);
                    }
                }
                Direction::Back => {
                    // What the rules do not let through, or call otherwise, is none of the source's.
                    if context.names.target(page.db, key).is_some_and(|(_, name)| *name == *key) {
                        page.keys.push(key);
                        page.target_keys.push(key);
                    }
                }
            }
        }
        Ok(())
    })
    .await?;
    Ok(next)
}

async fn compare(
    context: &Arc<Context>,
    direction: Direction,
    pages: &Pages,
    found: &mpsc::Sender<Candidate>,
) -> Result<()> {
    let mut pair = Pair::open(context).await?;
    loop {
        let page = pages.lock().await.recv().await;
        let Some(page) = page else { return Ok(()) };
        let mut candidates = Vec::new();
        let mut candidate = |at: usize, source, target| {
            candidates.push(Candidate {
                db: page.db,
                key: page.keys.get(at).into(),
                target_db: page.target_db,
                target_key: page.target_keys.get(at).into(),
                source,
                target,
            });
        };
        match direction {
            Direction::Forward => {
                let names = Names {
                    db: page.db,
                    keys: &page.keys,
                    target_db: page.target_db,
                    target_keys: &page.target_keys,
                    at: Some(page.node),
                };
                let mut different = |at: usize, _: Verdict, source, target| candidate(at, source, target);
                pair.compare(&names, &mut different).await?;
            }
            Direction::Back => {
                look_for(&mut pair, &page, &mut candidate).await?;
            }
        }
        context.went_through(direction, page.keys.len(), candidates.len());
        for candidate in candidates {
            // Nobody takes it only if the whole has failed.
            if found.send(candidate).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Which keys of the page does the source lack?
async fn look_for(pair: &mut Pair, page: &Page, missing: &mut (impl FnMut(usize, Face, Face) + Send)) -> Result<()> {
    let started = tokio::time::Instant::now();
    loop {
        let result = pair.source.read(page.db, &page.keys, None, Depth::Existence).await;
        match result {
            Ok(()) => break,
            Err(error) => pair.after(error, started).await?,
        }
    }
    for at in 0..page.keys.len() {
        if pair.source.seen(at).is_missing() {
            tracing::debug!(key = shown(page.db, page.keys.get(at)), "not in the source");
            missing(at, Face::Missing, Face::Unknown);
        }
    }
    Ok(())
}
