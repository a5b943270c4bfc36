//! A look at some keys of the source.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rdts_resp::{Reply, encode};

use super::facts::Answer;
use super::node::{Asker, Node};
use super::plan::Plan;
use crate::translate::Target;

/// Keys that are looked at together.
const TOGETHER: usize = 100;
/// The pause between two such looks, so that the server has time for others.
const PAUSE: Duration = Duration::from_millis(10);

/// What some of a node's keys are.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// How many were looked at, wanted or not.
    pub(super) seen: u64,
    /// How many of them are wanted; what follows is of those.
    pub(super) keys: u64,
    /// Whether that were all.
    pub(super) whole: bool,
    /// Keys of each type as `TYPE` names it, with the first one's name.
    pub(super) types: BTreeMap<String, (u64, Bytes)>,
    /// Encodings as `OBJECT ENCODING` names them.
    pub(super) encodings: BTreeMap<String, u64>,
    /// The biggest keys.
    pub(super) big: Vec<Big>,
    /// Why sizes are not known, if they are not.
    pub(super) no_sizes: Option<String>,
}

/// A key that is big.
#[derive(Debug, Clone)]
pub(super) struct Big {
    pub(super) db: u32,
    pub(super) key: Bytes,
    pub(super) value_type: String,
    /// Bytes in memory; before Redis 4.0 the bytes of a string, or 64 for each element.
    pub(super) bytes: u64,
}

/// So many big keys are kept.
const BIG: usize = 10;

/// Looks at up to [`Plan::sample_keys`] keys, from each database as many as its share.
pub(super) async fn take(asker: &mut Asker, node: &Node, plan: &Plan) -> Answer<Sample> {
    let version = node.version()?;
    let databases: BTreeMap<u32, u64> = node
        .keyspace()?
        .into_iter()
        .filter(|(db, _)| plan.map_db(*db).is_some())
        .map(|(db, keys)| (db, keys.keys))
        .collect();
    let all: u64 = databases.values().sum();
    let budget = u64::from(plan.sample_keys);
    let mut sample = Sample { whole: all <= budget, ..Sample::default() };
    // Servers since Redis 6.0 look for keys of one type.
    let by_type = version.version() >= (6, 0, 0) && !sample.whole && budget > 0;
    for (db, keys) in databases {
        let share = (budget.saturating_mul(keys) / all.max(1)).max(budget.min(TOGETHER as u64));
        asker.ask(&["SELECT", &db.to_string()]).await?;
        let mut taken = database(asker, db, share, version, plan, &mut sample).await;
        if taken.is_ok() && by_type {
            taken = streams(asker, db, plan, &mut sample).await;
        }
        asker.back_to_0().await;
        taken?;
    }
    Ok(sample)
}

async fn database(
    asker: &mut Asker,
    db: u32,
    share: u64,
    version: Target,
    plan: &Plan,
    sample: &mut Sample,
) -> Answer<()> {
    let (mut cursor, mut taken) = ("0".to_owned(), 0);
    // A table with many empty places gives few keys at a time.
    for _ in 0..100 + share / 10 {
        let reply = asker.ask(&["SCAN", &cursor, "COUNT", &TOGETHER.to_string()]).await?;
        let Some([next, keys]) = reply.as_array() else { return Err("SCAN is answered with nonsense".to_owned()) };
        let keys: Vec<Bytes> = keys.as_array().unwrap_or_default().iter().filter_map(bytes_of).collect();
        let left = usize::try_from(share - taken).unwrap_or(usize::MAX);
        let keys = &keys[..keys.len().min(left)];
        look(asker, db, keys, version, plan, sample).await?;
        taken += keys.len() as u64;
        cursor = next.as_str().unwrap_or("0").to_owned();
        if cursor == "0" || taken >= share {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Looks for a stream among more keys, since streams are often few, and the one type that targets may not have. So many calls at most, of a
/// thousand places of the key table each.
const STREAM_CALLS: usize = 50;

async fn streams(asker: &mut Asker, db: u32, plan: &Plan, sample: &mut Sample) -> Answer<()> {
    let mut cursor = "0".to_owned();
    for _ in 0..STREAM_CALLS {
        if sample.types.contains_key("stream") {
            break;
        }
        let reply = asker.ask(&["SCAN", &cursor, "COUNT", "1000", "TYPE", "stream"]).await?;
        let Some([next, keys]) = reply.as_array() else { return Err("SCAN is answered with nonsense".to_owned()) };
        let found = keys.as_array().unwrap_or_default().iter().filter_map(bytes_of);
        if let Some(key) = found.into_iter().find(|key| plan.wants(db, key, "stream")) {
            sample.types.insert("stream".to_owned(), (1, key));
        }
        cursor = next.as_str().unwrap_or("0").to_owned();
        if cursor == "0" {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn bytes_of(reply: &Reply) -> Option<Bytes> {
    reply.as_bytes().map(Bytes::copy_from_slice)
}

async fn look(
    asker: &mut Asker,
    db: u32,
    keys: &[Bytes],
    version: Target,
    plan: &Plan,
    sample: &mut Sample,
) -> Answer<()> {
    let mut commands = Vec::new();
    for key in keys {
        encode::command(&mut commands, [b"TYPE".as_slice(), key]);
        encode::command(&mut commands, [b"OBJECT".as_slice(), b"ENCODING", key]);
    }
    let replies = asker.pipeline(&commands, keys.len() * 2).await?;
    let mut found: Vec<(&Bytes, String)> = Vec::new();
    for (key, replies) in keys.iter().zip(replies.chunks_exact(2)) {
        if let Some(error) = replies[0].as_error() {
            return Err(format!("TYPE is answered with '{}'", error[..error.len().min(100)].escape_ascii()));
        }
        // It may be gone by now.
        let Some(value_type) = replies[0].as_str().filter(|name| *name != "none") else { continue };
        sample.seen += 1;
        if !plan.wants(db, key, value_type) {
            continue;
        }
        sample.keys += 1;
        sample.types.entry(value_type.to_owned()).or_insert((0, key.clone())).0 += 1;
        if let Some(encoding) = replies[1].as_str() {
            *sample.encodings.entry(encoding.to_owned()).or_default() += 1;
        }
        found.push((key, value_type.to_owned()));
    }
    let memory = version.unlink(); // MEMORY came with Redis 4.0, too.
    let mut commands = Vec::new();
    for (key, value_type) in &found {
        match length(value_type) {
            _ if memory => encode::command(&mut commands, [b"MEMORY".as_slice(), b"USAGE", key, b"SAMPLES", b"5"]),
            Some(command) => encode::command(&mut commands, [command.as_bytes(), key]),
            None => encode::command(&mut commands, [b"PING"]),
        }
    }
    let replies = asker.pipeline(&commands, found.len()).await?;
    for ((key, value_type), reply) in found.into_iter().zip(replies) {
        if let Some(error) = reply.as_error() {
            sample.no_sizes.get_or_insert_with(|| error[..error.len().min(100)].escape_ascii().to_string());
        }
        let size = reply.as_integer().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        let bytes = if memory || value_type == "string" { size } else { size.saturating_mul(64) };
        if bytes >= plan.big_key {
            sample.big.push(Big { db, key: key.clone(), value_type, bytes });
        }
    }
    sample.big.sort_by_key(|big| std::cmp::Reverse(big.bytes));
    sample.big.truncate(BIG);
    Ok(())
}

/// The command that tells how many elements a value has.
fn length(value_type: &str) -> Option<&'static str> {
    Some(match value_type {
        "string" => "STRLEN",
        "list" => "LLEN",
        "set" => "SCARD",
        "zset" => "ZCARD",
        "hash" => "HLEN",
        _ => return None,
    })
}
