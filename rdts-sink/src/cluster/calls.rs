//! Single commands to wherever their slot is, with their replies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_resp::Reply;
use tokio::time::Instant;

use super::lane::{is_about_the_node, may_pass, redirection};
use super::link::Link;
use super::progress::out_of_patience;
use super::routes::Shared;

/// Calls nodes. When it is not known what became of a command it is sent again: all that go this way have the same effect once and twice
/// in a row; what has not goes through the lanes.
pub(super) struct Calls {
    shared: Arc<Shared>,
    links: HashMap<(String, u16), Link>,
}

impl Calls {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, links: HashMap::new() }
    }

    /// Removes a checkpoint.
    pub(super) async fn remove(mut self, slot: u16, key: &[u8]) -> Result<()> {
        let reply = self.slot_call(slot, 0, &[b"DEL", key]).await?;
        match reply.as_error() {
            None => Ok(()),
            Some(error) => Err(Error::new(ErrorKind::Rejected, error.escape_ascii().to_string())),
        }
    }

    pub(super) async fn slot_call(&mut self, slot: u16, db: u32, args: &[&[u8]]) -> Result<Reply> {
        let since = Instant::now();
        let mut pause = Duration::from_millis(2);
        let mut asked: Option<NodeAddress> = None;
        loop {
            let asking = asked.is_some();
            let address = asked.take().unwrap_or_else(|| self.shared.primary_of(slot));
            let error = match self.once(&address, asking, db, args).await {
                Ok(reply) => {
                    if let Some(place) = redirection(&reply, "ASK") {
                        asked = self.shared.routes().topology.redirected(&place, &address);
                        if asked.is_some() && !asking {
                            continue;
                        }
                    }
                    if redirection(&reply, "MOVED").is_some() {
                        // As long as nodes disagree it fails, and is tried again.
                        let _ = self.shared.refresh_from(&address).await;
                    } else if !reply.as_error().is_some_and(is_about_the_node) {
                        return Ok(reply);
                    }
                    let said = reply.as_error().unwrap_or_default().escape_ascii().to_string();
                    Error::new(ErrorKind::NotReady, said).at(&address)
                }
                Err(error) => {
                    self.links.remove(&(address.host.clone(), address.port));
                    if !may_pass(&error) {
                        return Err(error);
                    }
                    let _ = self.shared.refresh().await;
                    error
                }
            };
            if since.elapsed() > self.shared.options.patience {
                return Err(out_of_patience(self.shared.options.patience, &error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn once(&mut self, address: &NodeAddress, asking: bool, db: u32, args: &[&[u8]]) -> Result<Reply> {
        let place = (address.host.clone(), address.port);
        if !self.links.contains_key(&place) {
            let deadlines = self.shared.options.topology.deadlines.ready(Duration::from_secs(1));
            let link = Link::open(address, deadlines)
                .await
                .map_err(|error| Error::new(ErrorKind::Connect, error.to_string()))?;
            self.links.insert(place.clone(), link);
        }
        let Some(link) = self.links.get_mut(&place) else {
            return Err(Error::new(ErrorKind::Connect, "no connection").at(address));
        };
        if db > 0 {
            link.call(&[b"SELECT", db.to_string().as_bytes()]).await?;
        }
        if asking {
            link.call(&[b"ASKING"]).await?;
        }
        let reply = link.call(args).await?;
        if db > 0 {
            link.call(&[b"SELECT", b"0"]).await?;
        }
        Ok(reply)
    }
}

impl Calls {
    /// Calls every primary, and gives an error among the replies if there is one, otherwise any of them.
    pub(super) async fn call_all(&mut self, db: u32, args: &[&[u8]]) -> Result<Reply> {
        let slots: Vec<u16> =
            self.shared.routes().topology.shards().iter().map(|shard| *shard.slots[0].start()).collect();
        let mut last = Reply::Null;
        for slot in slots {
            let reply = self.slot_call(slot, db, args).await?;
            if !last.is_error() {
                last = reply;
            }
        }
        Ok(last)
    }
}
