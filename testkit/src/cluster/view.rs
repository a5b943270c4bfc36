//! What a node knows of the cluster.

use std::ops::RangeInclusive;

use crate::Server;
use crate::wire::bytes;

/// A line of `CLUSTER NODES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeView {
    pub(crate) id: String,
    pub(crate) flags: Vec<String>,
    /// The ID of the primary of a replica.
    pub(crate) primary: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) slots: Vec<RangeInclusive<u16>>,
    /// Slots that are on their way to this node.
    pub(crate) importing: Vec<u16>,
}

impl NodeView {
    /// What `server` says of all nodes; `None` when it does not answer.
    pub(crate) fn all(server: &Server) -> Option<Vec<Self>> {
        let text = bytes(server.try_cmd(&["CLUSTER", "NODES"]).ok()?);
        String::from_utf8_lossy(&text).lines().filter(|line| !line.is_empty()).map(Self::parse).collect()
    }

    /// What `server` says of itself.
    pub(crate) fn own(server: &Server) -> Option<Self> {
        Self::all(server)?.into_iter().find(|view| view.has_flag("myself"))
    }

    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|has| has == flag)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.has_flag("master")
    }

    pub(crate) fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }

    /// `ID ADDRESS FLAGS PRIMARY PING PONG EPOCH LINK SLOTS…`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let _address = words.next()?;
        let flags = words.next()?.split(',').map(str::to_owned).collect();
        let primary = Some(words.next()?).filter(|id| *id != "-").map(str::to_owned);
        let epoch = words.nth(2)?.parse().ok()?;
        let _link = words.next()?;
        let (mut slots, mut importing) = (Vec::new(), Vec::new());
        for word in words {
            if let Some(open) = word.strip_prefix('[') {
                // `[5-<-ID]` comes and `[5->-ID]` goes.
                importing.extend(open.split_once("-<-").and_then(|(slot, _)| slot.parse::<u16>().ok()));
            } else {
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                slots.push(first.parse().ok()?..=last.parse().ok()?);
            }
        }
        Some(Self { id, flags, primary, epoch, slots, importing })
    }
}

#[cfg(test)]
mod tests {
    use super::NodeView;

    #[test]
    fn reads_what_nodes_of_all_versions_say() {
        for address in ["127.0.0.1:7000", "127.0.0.1:7000@17000", "127.0.0.1:7000@17000,host,shard-id=ab"] {
            let line = format!("0a {address} myself,master - 0 0 7 connected 0-99 200 [100-<-0b] [5->-0c]");
            let view = NodeView::parse(&line).unwrap();
            assert_eq!((view.id.as_str(), view.epoch, view.primary.as_deref()), ("0a", 7, None));
            assert_eq!((view.slots, view.importing), (vec![0..=99, 200..=200], vec![100]));
            assert_eq!(view.flags, ["myself", "master"]);
        }
        let replica = NodeView::parse("0b 127.0.0.1:1@2 slave,fail 0a 5 6 1 disconnected").unwrap();
        assert!(replica.primary.as_deref() == Some("0a") && !replica.is_primary() && replica.has_flag("fail"));
    }
}
