//! How many keys there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Context;
use super::keys::is_own;
use super::report::DatabaseCount;
use super::side::Side;
use super::wire::Wire;
use crate::error::Result;
use crate::net::{Connection, Deadlines};

/// Keys of each database, of all nodes together.
pub(super) async fn keys(side: &Side, deadlines: Deadlines) -> Result<BTreeMap<u32, u64>> {
    let mut sum = BTreeMap::new();
    for node in &side.nodes {
        let mut connection = Connection::open(&node.address, deadlines).await?;
        let info = connection.info("keyspace").await?;
        // db0:keys=3,expires=0,avg_ttl=0
        for line in info.lines() {
            let Some((db, rest)) = line.strip_prefix("db").and_then(|line| line.split_once(":keys=")) else { continue };
            let keys: Option<u64> = rest.split(',').next().and_then(|keys| keys.trim().parse().ok());
            if let (Ok(db), Some(keys)) = (db.parse::<u32>(), keys) {
                *sum.entry(db).or_default() += keys;
            }
        }
    }
    Ok(sum)
}

/// Compares the numbers of keys of all databases, again and again while they differ.
pub(super) async fn compare(context: &Arc<Context>) -> Result<Vec<DatabaseCount>> {
    let options = &context.options;
    let mut counts = look(context, None).await?;
    // Our own keys in the target: listing all keys for them is worth it only if something does not agree.
    let mut own = None;
    for _ in 0..options.rounds.max(1) {
        if counts.iter().all(|count| count.source == count.target) {
            break;
        }
        if own.is_none() {
            own = Some(own_keys(&context.target(), options.deadlines).await?);
        }
        counts = look(context, own.as_ref()).await?;
        if counts.iter().all(|count| count.source == count.target) {
            break;
        }
        tokio::time::sleep(options.interval).await;
        if let Some(fence) = &options.fence {
            fence.caught_up().await?;
        }
        counts = look(context, own.as_ref()).await?;
    }
    Ok(counts)
}

async fn look(context: &Context, own: Option<&BTreeMap<u32, u64>>) -> Result<Vec<DatabaseCount>> {
    let (source, target) = (context.source(), context.target());
    let deadlines = context.options.deadlines;
    let (source, target) = tokio::try_join!(keys(&source, deadlines), keys(&target, deadlines))?;
    let mut counts: BTreeMap<u32, DatabaseCount> = BTreeMap::new();
    let count = |db| DatabaseCount { db, source: 0, target: 0 };
    context.saw_databases(source.keys().copied());
    for (db, keys) in source {
        if context.names.target_db(db).is_some() {
            counts.entry(db).or_insert_with(|| count(db)).source = keys;
        }
    }
    let of_source: Vec<u32> = context.source_databases();
    for (target_db, keys) in target {
        let own = own.and_then(|own| own.get(&target_db)).copied().unwrap_or(0);
        let sources = context.names.source_dbs(target_db, &of_source);
        let Some(db) = sources.first() else { continue };
        counts.entry(*db).or_insert_with(|| count(*db)).target = keys.saturating_sub(own);
        // Several in one count as the first of them.
        for other in &sources[1..] {
            let moved = counts.remove(other).map_or(0, |count| count.source);
            counts.entry(*db).or_insert_with(|| count(*db)).source += moved;
        }
    }
    Ok(counts.into_values().collect())
}

/// How many keys of each database are RDTS's own.
async fn own_keys(side: &Side, deadlines: Deadlines) -> Result<BTreeMap<u32, u64>> {
    let mut own = BTreeMap::new();
    for node in &side.nodes {
        let mut connection = Connection::open(&node.address, deadlines).await?;
        let databases = super::pass::databases(&mut connection).await?;
        let mut wire = Wire::open(&node.address, deadlines).await?;
        for db in databases {
            if !wire.select(db).await? {
                continue;
            }
            let mut cursor = b"0".to_vec();
            loop {
                let reply = wire.call([&b"SCAN"[..], &cursor, b"MATCH", b"rdts:*", b"COUNT", b"10000"]).await?;
                let page =
                    reply.as_array().and_then(|page| Some((page.first()?.as_bytes()?, page.get(1)?.as_array()?)));
                let Some((next, keys)) = page else { return Err(wire.refusal("SCAN", &reply)) };
                let found = keys.iter().filter_map(rdts_resp::Reply::as_bytes).filter(|key| is_own(key)).count();
                *own.entry(db).or_default() += found as u64;
                if next == b"0" {
                    break;
                }
                cursor = next.to_vec();
            }
        }
    }
    Ok(own)
}
