//! Going on where a run before has stopped.
//!
//! Nobody has to tell where the checkpoints of a run before are: each slot can have one of a lane and one of its own, under names that
//! are known, so all of them are asked for, 16384 small reads in pipelines over all nodes. Then:
//!
//! 1. Every lane's value gets this run's name. From then on what the other process has sent, and what may still be in the servers' sockets,
//!    refuses itself.
//! 2. The markers of slots are read. A slot that is half moved gets one, for the same reason.
//! 3. All of it together says for every slot how far it has come ([`Claims`]).
//! 4. New lanes write that down, under keys of their own, and the old keys go.
//!
//! A process that dies in the middle of this leaves keys that all say what is true.

use std::sync::Arc;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::slot::SLOTS;
use rdts_resp::{Reply, encode};
use tokio::task::JoinSet;

use super::calls::Calls;
use super::claims::{Claims, Value, Vouched, marker};
use super::lane::{After, Start, redirection};
use super::link::Link;
use super::place::{Place, Reached, Slots};
use super::routes::{Keys, Shared};

/// `KEYS[1]` gets the name `ARGV[1]` for its run, and gives its value. If it is not there it is set to `ARGV[2]`, unless that is empty.
const CLAIM: &[u8] = b"\
local held = redis.call('GET', KEYS[1])
local value = held and (held:gsub('^[^:]*', ARGV[1], 1)) or ARGV[2]
if value ~= '' then redis.call('SET', KEYS[1], value) end
return held";

/// What was found, and with what the lanes begin: for each its slots and that of its checkpoint.
pub(super) struct Takeover {
    pub(super) claims: Option<Claims>,
    pub(super) lanes: Vec<(Slots, u16, Start)>,
}

/// Takes the checkpoints of a run before over, if there are any.
///
/// # Errors
/// As [`Claims::gather`], and what keeps nodes from being asked; [`Protocol`](ErrorKind::Protocol) if a checkpoint cannot be read.
pub(super) async fn take_over(shared: &Arc<Shared>) -> Result<Takeover> {
    let mut calls = Calls::new(shared.clone());
    let run = shared.keys.run().to_owned();
    let mut old: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let (mut found, odd) = probe(shared, Keys::checkpoint).await?;
    for (slot, _) in odd {
        let key = shared.keys.checkpoint(slot, 0);
        if let Some(value) = text(&key, &calls.slot_call(slot, 0, &[b"GET", &key]).await?)? {
            found.push((slot, value));
        }
    }
    for (slot, _) in &found {
        let key = shared.keys.checkpoint(*slot, 0);
        let claim = [b"EVAL".as_slice(), CLAIM, b"1", &key, run.as_bytes(), b""];
        if let Some(value) = text(&key, &calls.slot_call(*slot, 0, &claim).await?)? {
            values.push(value.parse().map_err(|()| unreadable(&key, &value))?);
        }
        old.push((*slot, key));
    }
    let mut markers: Vec<(u16, Reached)> = Vec::new();
    let (mut found, odd) = probe(shared, Keys::marker).await?;
    for (slot, moving) in odd {
        let key = shared.keys.marker(slot, 0);
        let fence = shared.keys.value("fence", &Reached::default(), None);
        let fence = if moving { fence.as_bytes() } else { b"" };
        let claim = [b"EVAL".as_slice(), CLAIM, b"1", &key, run.as_bytes(), fence];
        if let Some(value) = text(&key, &calls.slot_call(slot, 0, &claim).await?)? {
            found.push((slot, value));
        }
    }
    for (slot, value) in found {
        let key = shared.keys.marker(slot, 0);
        let reached = marker(&value).ok_or_else(|| unreadable(&key, &value))?;
        // What nothing was executed with speaks for nothing, and keeps what may be on its way from being executed.
        if reached.place > Place::START {
            markers.push((slot, reached));
            old.push((slot, key));
        }
    }
    let claims = Claims::gather(&values, &markers)?;
    let mut lanes = begin(shared, claims.as_ref(), &old);
    // One that has no place but that of an old key comes last, when the others say what that has said.
    lanes.sort_by_key(|(_, slot, _)| is_old(&old, *slot));
    for (_, slot, start) in &lanes {
        let key = shared.keys.checkpoint(*slot, 0);
        let value = shared.keys.value(0, &start.after.reached, Some(&start.after.vouched));
        let reply = calls.slot_call(*slot, 0, &[b"SET", &key, value.as_bytes()]).await?;
        if !reply.is_ok() {
            return Err(refused(&key, &reply));
        }
        calls.slot_call(*slot, 0, &[b"DEL", &[&key[..], b":kept"].concat()]).await?;
    }
    for (slot, key) in old {
        if lanes.iter().all(|(_, taken, _)| key != shared.keys.checkpoint(*taken, 0)) {
            let reply = calls.slot_call(slot, 0, &[b"DEL", &key]).await?;
            if reply.is_error() {
                return Err(refused(&key, &reply));
            }
        }
    }
    Ok(Takeover { claims, lanes })
}

/// Removes everything that runs of a task have left, without taking it over. Returns how many keys there were.
pub(super) async fn remove(shared: &Arc<Shared>) -> Result<u64> {
    let mut calls = Calls::new(shared.clone());
    let mut removed = 0;
    for name in [Keys::checkpoint, Keys::marker] {
        let (found, odd) = probe(shared, name).await?;
        for slot in found.into_iter().map(|(slot, _)| slot).chain(odd.into_iter().map(|(slot, _)| slot)) {
            let key = name(&shared.keys, slot, 0);
            for key in [&key[..], &[&key[..], b":kept"].concat()] {
                let reply = calls.slot_call(slot, 0, &[b"DEL", key]).await?;
                removed += reply
                    .as_integer()
                    .and_then(|count| u64::try_from(count).ok())
                    .ok_or_else(|| refused(key, &reply))?;
            }
        }
    }
    Ok(removed)
}

/// A lane for each primary.
fn begin(shared: &Arc<Shared>, claims: Option<&Claims>, old: &[(u16, Vec<u8>)]) -> Vec<(Slots, u16, Start)> {
    let routes = shared.routes();
    let shards = routes.topology.shards().iter().map(|shard| shard.slots.iter().cloned().flatten().collect::<Slots>());
    shards
        .filter_map(|slots| {
            let checkpoint = slots.iter().find(|slot| !is_old(old, *slot)).or_else(|| slots.iter().next())?;
            let (reached, vouched) = match claims {
                Some(claims) => claims.lane(&slots),
                None => (Reached::default(), Vouched { own: slots.clone(), groups: Vec::new() }),
            };
            let after = After { reached, vouched: Arc::new(vouched) };
            Some((slots, checkpoint, Start { after, written: true }))
        })
        .collect()
}

fn is_old(old: &[(u16, Vec<u8>)], slot: u16) -> bool {
    old.iter().any(|(other, _)| *other == slot)
}

/// Slots with what they hold.
type Found = Vec<(u16, String)>;

/// Slots that did not answer, and whether they are half moved.
type Odd = Vec<(u16, bool)>;

/// Asks for the keys of all slots with this name.
async fn probe(shared: &Arc<Shared>, name: fn(&Keys, u16, usize) -> Vec<u8>) -> Result<(Found, Odd)> {
    let topology = shared.routes().topology.clone();
    let mut asking = JoinSet::new();
    for shard in topology.shards() {
        let (address, shared) = (shard.primary.address.clone(), shared.clone());
        let slots: Vec<u16> = shard.slots.iter().cloned().flatten().filter(|slot| *slot < SLOTS).collect();
        asking.spawn(async move {
            const AT_ONCE: usize = 1024;
            let mut link = Link::open(&address, shared.options.topology.deadlines).await?;
            let (mut found, mut odd) = (Found::new(), Odd::new());
            for slots in slots.chunks(AT_ONCE) {
                for slot in slots {
                    encode::command(link.output(), [b"GET".as_slice(), &name(&shared.keys, *slot, 0)]);
                }
                link.awake();
                for slot in slots {
                    let reply = link.receive().await?;
                    match &reply {
                        Reply::Null => {}
                        reply if reply.is_error() => {
                            let moving = redirection(reply, "ASK").is_some() || reply.error_code() == Some("TRYAGAIN");
                            odd.push((*slot, moving));
                        }
                        reply => found.extend(text(&name(&shared.keys, *slot, 0), reply)?.map(|text| (*slot, text))),
                    }
                }
            }
            Ok::<_, Error>((found, odd))
        });
    }
    let (mut found, mut odd) = (Found::new(), Odd::new());
    while let Some(asked) = asking.join_next().await {
        let (more, others) = asked.map_err(|_| crate::failure::gone())??;
        found.extend(more);
        odd.extend(others);
    }
    Ok((found, odd))
}

/// The text that a key holds, if it is there.
fn text(key: &[u8], reply: &Reply) -> Result<Option<String>> {
    match reply {
        Reply::Null => Ok(None),
        reply if reply.is_error() => Err(refused(key, reply)),
        reply => reply.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| unreadable(key, "")),
    }
}

fn refused(key: &[u8], reply: &Reply) -> Error {
    let said = reply.as_error().unwrap_or(b"something unexpected");
    let text = format!("the checkpoint {} cannot be used: '{}'", key.escape_ascii(), said.escape_ascii());
    Error::new(ErrorKind::Rejected, text)
}

fn unreadable(key: &[u8], value: &str) -> Error {
    let shown: String = value.chars().take(200).collect();
    let text = format!("the key {} holds '{}', which is no checkpoint", key.escape_ascii(), shown.escape_debug());
    Error::new(ErrorKind::Protocol, text)
}
