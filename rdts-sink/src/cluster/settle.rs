//! Keeping the checkpoints of all lanes near to what is applied.

use std::sync::Arc;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_resp::Reply;
use tokio::sync::oneshot;

use super::calls::Calls;
use super::lane::Message;
use super::place::Reached;
use super::routes::Shared;
use crate::failure::gone;

/// Removes a marker that says no more than `ARGV[1]`, a place.
const REMOVE: &[u8] = b"\
local held = redis.call('GET', KEYS[1])
local place = held and held:match('^%S+ (%x+)')
if place and place <= ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Tells all lanes that everything up to `reached` is applied by all, without waiting for them to write it down.
pub(super) fn forward(shared: &Shared, reached: Reached) {
    let routes = shared.routes();
    for lane in 0..routes.lanes() {
        routes.tell(lane, Message::Forward(reached, None, None));
    }
}

/// The same, and waits until they have. With `settle` they speak for all their slots from then on, and the markers of slots that have
/// moved go.
pub(super) async fn forward_all(shared: &Arc<Shared>, reached: Reached, settle: bool) -> Result<()> {
    let (mut waits, mut marked) = (Vec::new(), Vec::new());
    {
        let mut routes = shared.routes();
        let mut slots = None;
        if settle {
            let settled = routes.settle();
            slots = Some(settled.0);
            marked = settled.1;
        }
        for lane in 0..routes.lanes() {
            let (done, wait) = oneshot::channel();
            let slots = slots.as_mut().and_then(|slots| slots.get_mut(lane)).map(std::mem::take);
            routes.tell(lane, Message::Forward(reached, slots, Some(done)));
            waits.push(wait);
        }
    }
    for wait in waits {
        if wait.await.is_err() {
            // The lane has failed, and told why.
            shared.progress.check()?;
            return Err(gone());
        }
    }
    let mut calls = Calls::new(shared.clone());
    let place = reached.place.to_string();
    for slot in marked {
        let marker = shared.keys.marker(slot, 0);
        let reply: Reply = calls.slot_call(slot, 0, &[b"EVAL", REMOVE, b"1", &marker, place.as_bytes()]).await?;
        if let Some(error) = reply.as_error() {
            let text = format!("a marker could not be removed: '{}'", error.escape_ascii());
            return Err(Error::new(ErrorKind::Rejected, text));
        }
    }
    Ok(())
}
