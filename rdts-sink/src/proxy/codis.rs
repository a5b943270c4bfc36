//! What is different through proxies of Codis.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdts_core::command::keys;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::{Batch, Command, Expect, Mark};
use rdts_core::slot::codis::slot;
use rdts_resp::Reply;

use crate::judge::conflict;
use crate::lanes::Control;

/// Keys that are in the target already, with their database.
#[derive(Debug, Default)]
pub(super) struct There(HashSet<(u32, Vec<u8>)>);

/// Which of the keys that a batch restores where nothing may be are there: `SLOTSRESTORE` replaces whatever it finds, so that it has to be
/// asked before.
pub(super) async fn there(control: &mut Control, batch: &Batch) -> Result<There> {
    let mut asked: BTreeMap<u32, Vec<&[u8]>> = BTreeMap::new();
    for command in batch.commands() {
        if command.mark().expect != Expect::Success
            && command.name().eq_ignore_ascii_case(b"RESTORE")
            && let Some(key) = command.key()
        {
            asked.entry(command.db()).or_default().push(key);
        }
    }
    let mut there = There::default();
    for (db, keys) in asked {
        control.select(db).await?;
        // The proxy asks for each key by itself, and adds up.
        for some in keys.chunks(512) {
            if exist(control, some).await? == 0 {
                continue;
            }
            for key in some {
                if exist(control, &[key]).await? > 0 {
                    there.0.insert((db, key.to_vec()));
                }
            }
        }
    }
    Ok(there)
}

async fn exist(control: &mut Control, keys: &[&[u8]]) -> Result<i64> {
    let reply = control.connection.call([&[&b"EXISTS"[..]], keys].concat()).await?;
    reply.as_integer().ok_or_else(|| control.connection.refusal("EXISTS", &reply))
}

type Words<'a> = Vec<Cow<'a, [u8]>>;

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] …` → `SLOTSRESTORE key ttl payload`, and the exact expiry if it is absolute. `None` if the
/// target's own key is to be kept.
pub(super) fn restore<'a>(
    command: &Command<'a>,
    args: &[&'a [u8]],
    there: &There,
) -> Result<Option<Vec<(Words<'a>, Mark)>>> {
    let &[_, key, ttl, payload, ref options @ ..] = args else {
        return Err(Error::new(ErrorKind::Protocol, "RESTORE with too few arguments"));
    };
    let mark = command.mark();
    if mark.expect != Expect::Success && there.0.contains(&(mark.db, key.to_vec())) {
        return if mark.expect == Expect::CreatedOrKept { Ok(None) } else { Err(conflict(&command.into())) };
    }
    let words = |words: &[&'a [u8]]| words.iter().copied().map(Cow::Borrowed).collect::<Words<'a>>();
    let put = mark.expect(Expect::Success);
    if !options.iter().any(|option| option.eq_ignore_ascii_case(b"ABSTTL")) || ttl == b"0" {
        return Ok(Some(vec![(words(&[b"SLOTSRESTORE", key, ttl, payload]), put)]));
    }
    let time: Option<i64> = std::str::from_utf8(ttl).ok().and_then(|text| text.parse().ok());
    let time = time.ok_or_else(|| Error::new(ErrorKind::Protocol, "RESTORE with a time that is no number"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let left = time.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)).max(1);
    let mut first = words(&[b"SLOTSRESTORE", key]);
    first.extend([Cow::Owned(left.to_string().into_bytes()), Cow::Borrowed(payload)]);
    Ok(Some(vec![(first, put), (words(&[b"PEXPIREAT", key, ttl]), Mark::new(mark.db, mark.kind))]))
}

/// Waits until no slot of a command's keys is being moved: only then are keys of one slot in one place.
pub(super) async fn migrating(control: &mut Control, args: &[&[u8]], patience: Duration) -> Result<()> {
    let slots: HashSet<u16> = keys(args)?.map(|key| slot(args[key.index])).collect();
    let started = Instant::now();
    for slot in slots {
        while moves(control, slot).await? {
            if started.elapsed() > patience {
                let text = format!(
                    "slot {slot} of the target has been moving for {patience:?}, and a command of several keys needs it in one place: \
                     finish or cancel the move in the dashboard, and start again"
                );
                return Err(Error::new(ErrorKind::Topology, text).at(control.connection.address()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// `SLOTSMAPPING slot`: the slot, its server, the one that it comes from, and its replicas.
async fn moves(control: &mut Control, slot: u16) -> Result<bool> {
    let reply = control.connection.call(["SLOTSMAPPING", &slot.to_string()]).await?;
    match reply.as_array() {
        Some([_, _, from, ..]) => Ok(from.as_bytes().is_some_and(|from| !from.is_empty())),
        _ if reply == Reply::Null => Ok(false),
        _ => Err(control.connection.refusal("SLOTSMAPPING", &reply)),
    }
}
