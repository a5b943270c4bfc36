//! What one node says of its cluster: the reply to `CLUSTER SLOTS`.

use std::ops::RangeInclusive;

use rdts_resp::Reply;

use super::topology::{Node, NodeId, Shard, Topology, TopologyOptions};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::slot::SLOTS;

/// A cluster as one node sees it, perhaps with slots that nobody serves.
#[derive(Debug)]
pub(super) struct View {
    /// Who says so.
    pub(super) from: NodeAddress,
    shards: Vec<Shard>,
    owners: Vec<Option<u16>>,
}

impl View {
    /// Reads the reply of the node at `from`; `logins` as of [`TopologyOptions::address`].
    pub(super) fn read(
        reply: &Reply,
        from: &NodeAddress,
        logins: &[NodeAddress],
        options: &TopologyOptions,
    ) -> Result<Self> {
        let node = |reply: &Reply| node(reply, from, logins, options);
        let nonsense = || {
            let text = "the answer to CLUSTER SLOTS is not what any known server says";
            Error::new(ErrorKind::Topology, text).at(from)
        };
        let mut view = Self { from: from.clone(), shards: Vec::new(), owners: vec![None; usize::from(SLOTS)] };
        for range in reply.as_array().ok_or_else(nonsense)? {
            let [first, last, primary, replicas @ ..] = range.as_array().ok_or_else(nonsense)? else {
                return Err(nonsense());
            };
            let slot = |reply: &Reply| {
                reply.as_integer().and_then(|slot| u16::try_from(slot).ok()).filter(|slot| *slot < SLOTS)
            };
            let (Some(first), Some(last)) = (slot(first), slot(last)) else { return Err(nonsense()) };
            let primary = node(primary).ok_or_else(|| {
                let text = format!("CLUSTER SLOTS tells no address of the primary of slots {first}-{last}");
                Error::new(ErrorKind::Topology, text).at(from)
            })?;
            let shard = view.shards.iter().position(|shard| shard.primary.id == primary.id).unwrap_or_else(|| {
                // A replica without a known address is of no use and does no harm.
                let replicas = replicas.iter().filter_map(node).collect();
                view.shards.push(Shard { primary, replicas, slots: Vec::new() });
                view.shards.len() - 1
            });
            let shard = u16::try_from(shard).map_err(|_| nonsense())?;
            let owned = view.owners.get_mut(usize::from(first)..=usize::from(last)).ok_or_else(nonsense)?;
            owned.fill(Some(shard));
        }
        Ok(view)
    }

    /// The slots that nobody serves.
    pub(super) fn missing(&self) -> Vec<RangeInclusive<u16>> {
        ranges((0..SLOTS).filter(|slot| self.owners[usize::from(*slot)].is_none()))
    }

    /// In how many slots `self` and `other` name the same primary.
    pub(super) fn agreement(&self, other: &Self) -> usize {
        let id = |view: &Self, slot: usize| {
            view.owners[slot].map(|shard| view.shards[usize::from(shard)].primary.id.clone())
        };
        // Ids are compared once for each pair of shards, not for each slot.
        let mut same = vec![None; self.shards.len() * other.shards.len()];
        (0..usize::from(SLOTS))
            .filter(|slot| match (self.owners[*slot], other.owners[*slot]) {
                (Some(a), Some(b)) => *same[usize::from(a) * other.shards.len() + usize::from(b)]
                    .get_or_insert_with(|| id(self, *slot) == id(other, *slot)),
                (a, b) => a == b,
            })
            .count()
    }

    /// Whether `self` and `other` have a node in common.
    pub(super) fn same_cluster(&self, other: &Self) -> bool {
        let nodes = |view: &Self| -> Vec<Node> {
            view.shards
                .iter()
                .flat_map(|shard| std::iter::once(&shard.primary).chain(&shard.replicas))
                .cloned()
                .collect()
        };
        let others = nodes(other);
        nodes(self).iter().any(|node| others.iter().any(|other| other.id == node.id))
    }

    /// The cluster, if every slot is served.
    ///
    /// # Errors
    /// [`Topology`](ErrorKind::Topology), with the slots that are missing.
    pub(super) fn complete(self, seeds: Vec<NodeAddress>, options: TopologyOptions) -> Result<Topology> {
        let missing = self.missing();
        if !missing.is_empty() {
            let text = format!(
                "no node of the cluster serves {}; redis-cli --cluster check and fix bring that in order",
                shown(&missing)
            );
            return Err(Error::new(ErrorKind::Topology, text).at(&self.from));
        }
        let mut owners: Vec<u16> = self.owners.into_iter().flatten().collect();
        // In the order of their first slots, and only those that have kept one.
        let mut order: Vec<u16> = Vec::new();
        for owner in &mut owners {
            let at = order.iter().position(|shard| shard == owner).unwrap_or_else(|| {
                order.push(*owner);
                order.len() - 1
            });
            *owner = u16::try_from(at).expect("there are fewer shards than slots");
        }
        let shards = order
            .iter()
            .enumerate()
            .map(|(index, shard)| {
                let slots = ranges((0..SLOTS).filter(|slot| usize::from(owners[usize::from(*slot)]) == index));
                Shard { slots, ..self.shards[usize::from(*shard)].clone() }
            })
            .collect();
        Ok(Topology { seeds, options, shards, owners })
    }
}

/// `[host, port]` (3.0), `[host, port, id]` (3.2), `[host, port, id, [name, value, …]]` (7.0 and Valkey).
fn node(reply: &Reply, from: &NodeAddress, logins: &[NodeAddress], options: &TopologyOptions) -> Option<Node> {
    let [host, port, rest @ ..] = reply.as_array()? else { return None };
    let port = u16::try_from(port.as_integer()?).ok().filter(|port| *port > 0)?;
    let host = match host {
        // The endpoint is unknown to the cluster (cluster-preferred-endpoint-type unknown-endpoint): it is where one asks.
        Reply::Null => from.host.clone(),
        host => match host.as_str()? {
            // A node that does not know its own address yet.
            "" => from.host.clone(),
            // A hostname is preferred, and this node has none.
            "?" => rest.get(1)?.get("ip")?.as_str().filter(|ip| !ip.is_empty())?.to_owned(),
            host => host.to_owned(),
        },
    };
    let id = rest.first().and_then(Reply::as_str).map_or_else(|| format!("{host}:{port}"), str::to_owned);
    Some(Node { id: NodeId(id), address: options.address(&host, port, from, logins) })
}

/// Ascending numbers as ranges.
pub(crate) fn ranges(numbers: impl Iterator<Item = u16>) -> Vec<RangeInclusive<u16>> {
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end() + 1 == number => *last = *last.start()..=number,
            _ => ranges.push(number..=number),
        }
    }
    ranges
}

/// `4711`, `0-99`
pub(crate) fn range_text(range: &RangeInclusive<u16>) -> String {
    match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    }
}

/// `slots 0-99, 4711 and 12 more ranges`
fn shown(ranges: &[RangeInclusive<u16>]) -> String {
    const FIRST: usize = 8;
    let first: Vec<String> = ranges.iter().take(FIRST).map(range_text).collect();
    let more = match ranges.len().saturating_sub(FIRST) {
        0 => String::new(),
        more => format!(" and {more} more ranges"),
    };
    format!("slots {}{more}", first.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec().into())
    }

    fn array(elements: impl IntoIterator<Item = Reply>) -> Reply {
        Reply::Array(elements.into_iter().collect())
    }

    fn range(first: i64, last: i64, nodes: &[Reply]) -> Reply {
        array([Reply::Integer(first), Reply::Integer(last)].into_iter().chain(nodes.iter().cloned()))
    }

    fn old(host: &str, port: i64) -> Reply {
        array([bulk(host), Reply::Integer(port)])
    }

    fn new(host: Reply, port: i64, id: &str, metadata: &[&str]) -> Reply {
        array([host, Reply::Integer(port), bulk(id), array(metadata.iter().map(|text| bulk(text)))])
    }

    fn view(reply: &Reply) -> Result<View> {
        View::read(
            reply,
            &NodeAddress::new("asked", 1),
            &[],
            &TopologyOptions::default().dial(("inside", 5), ("outside", 6)),
        )
    }

    fn complete(ranges: &[Reply]) -> Result<Topology> {
        view(&array(ranges.iter().cloned()))?.complete(Vec::new(), TopologyOptions::default())
    }

    #[test]
    fn every_form_of_an_address() {
        let reply = [
            range(0, 99, &[old("10.0.0.1", 7000), old("10.0.0.2", 7001)]),
            range(100, 199, &[array([bulk(""), Reply::Integer(7), bulk("id-empty")])]),
            range(200, 299, &[new(Reply::Null, 8, "id-null", &[])]),
            range(300, 399, &[new(bulk("?"), 9, "id-ip", &["ip", "10.0.0.9"]), new(bulk("?"), 9, "lost", &[])]),
            range(400, 16383, &[new(bulk("node.example"), 10, "id-name", &["ip", "10.0.0.9"])]),
            range(16000, 16383, &[old("inside", 5)]),
        ];
        let cluster = complete(&reply).unwrap();
        let shown: Vec<_> = cluster
            .shards()
            .iter()
            .map(|shard| {
                format!("{} {} {:?} +{}", shard.primary.id, shard.primary.address, shard.slots, shard.replicas.len())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "10.0.0.1:7000 10.0.0.1:7000 [0..=99] +1",
                "id-empty asked:7 [100..=199] +0",
                "id-null asked:8 [200..=299] +0",
                "id-ip 10.0.0.9:9 [300..=399] +0",
                "id-name node.example:10 [400..=15999] +0",
                "inside:5 outside:6 [16000..=16383] +0",
            ]
        );
        assert_eq!(cluster.primary_of(150).id.as_str(), "id-empty");
        assert_eq!(cluster.nodes().count(), 7);
    }

    #[test]
    fn several_ranges_of_one_node_are_one_shard() {
        let (a, b) = (old("a", 1), old("b", 2));
        let cluster = complete(&[
            range(15627, 16383, std::slice::from_ref(&a)),
            range(5462, 15626, std::slice::from_ref(&b)),
            range(0, 5461, std::slice::from_ref(&a)),
        ])
        .unwrap();
        assert_eq!(cluster.shards().len(), 2);
        assert_eq!(cluster.shards()[0].slots, [0..=5461, 15627..=16383]);
        assert_eq!((cluster.shard_of(0), cluster.shard_of(5462), cluster.shard_of(16383)), (0, 1, 0));
    }

    #[test]
    fn slots_that_nobody_serves_are_named() {
        let error = complete(&[range(0, 99, &[old("a", 1)]), range(101, 16382, &[old("b", 1)])]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Topology);
        assert!(error.to_string().contains("slots 100, 16383;"), "{error}");
        let error = complete(&[]).unwrap_err();
        assert!(error.to_string().contains("slots 0-16383"), "{error}");
    }

    #[test]
    fn views_are_compared_slot_by_slot() {
        let one = |at: i64, last: &str| {
            view(&array([range(0, at, &[old("a", 1)]), range(at + 1, 16383, &[old(last, 1)])])).unwrap()
        };
        assert_eq!(one(99, "b").agreement(&one(99, "b")), 16384);
        assert_eq!(one(99, "b").agreement(&one(100, "b")), 16383);
        assert_eq!(one(99, "b").agreement(&one(99, "c")), 100);
        assert!(one(99, "b").same_cluster(&one(99, "c")));
        assert!(!one(99, "b").same_cluster(&view(&array([range(0, 16383, &[old("x", 1)])])).unwrap()));
    }

    #[test]
    fn nonsense_is_an_error() {
        for reply in [
            bulk("x"),
            array([bulk("x")]),
            array([range(0, 1, &[])]),
            array([range(0, 16384, &[old("a", 1)])]),
            array([range(-1, 5, &[old("a", 1)])]),
            array([range(7, 5, &[old("a", 1)])]),
            array([range(0, 5, &[old("a", 0)])]),
            array([range(0, 5, &[old("a", 70000)])]),
            array([range(0, 5, &[new(bulk("?"), 9, "lost", &[])])]),
        ] {
            assert_eq!(view(&reply).unwrap_err().kind(), ErrorKind::Topology, "{reply:?}");
        }
    }

    #[test]
    fn redirections_are_resolved_like_announcements() {
        let mut cluster = complete(&[range(0, 16383, &[old("a", 1)])]).unwrap();
        cluster.options = TopologyOptions::default().dial(("inside", 5), ("outside", 6));
        let from = NodeAddress::new("here", 1);
        let to = |place| cluster.redirected(place, &from).map(|address| address.to_string());
        assert_eq!(to(":23442").as_deref(), Some("here:23442"));
        assert_eq!(to("inside:5").as_deref(), Some("outside:6"));
        assert_eq!(to("::1:7000").as_deref(), Some("[::1]:7000"));
        assert_eq!(to("node.example:7000").as_deref(), Some("node.example:7000"));
        assert_eq!((to("x"), to("x:0"), to("x:y")), (None, None, None));
    }
}
