//! What a Codis deployment consists of.

use crate::endpoint::{Credentials, NodeAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::slot::codis::{SLOTS, slot};

/// A group: a primary and its replicas, which hold the same.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The number by which slots name it; never 0.
    pub id: u32,
    /// Its servers, the primary first.
    pub servers: Vec<NodeAddress>,
    /// What the dashboard says while it puts another server first; `None` otherwise.
    pub promoting: Option<String>,
}

impl Group {
    /// The group `id` of `servers`, whose first is the primary.
    pub fn new(id: u32, servers: Vec<NodeAddress>) -> Self {
        Self { id, servers, promoting: None }
    }

    /// The server that takes writes; `None` for a group without servers.
    pub fn primary(&self) -> Option<&NodeAddress> {
        self.servers.first()
    }

    /// The other servers.
    pub fn replicas(&self) -> &[NodeAddress] {
        self.servers.get(1..).unwrap_or_default()
    }
}

/// A slot that is about to move, moves, or has moved and is not yet out of the list.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The slot.
    pub slot: u16,
    /// The group that has it, or 0 for none.
    pub from: u32,
    /// The group that is to have it.
    pub to: u32,
    /// `pending`, `preparing`, `prepared`, `migrating` or `finished`.
    pub state: String,
}

/// The groups of a Codis deployment, which of them has which slot, and what is being changed about that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodisTopology {
    groups: Vec<Group>,
    /// The group of each slot; 0 is none.
    slots: Vec<u32>,
    moves: Vec<Move>,
    proxies: Vec<NodeAddress>,
}

impl CodisTopology {
    /// A deployment of `groups`; `slots` has the number of each slot's group, or 0 for none, in order.
    ///
    /// # Errors
    /// [`Topology`](ErrorKind::Topology) if there are not 1024 slots, a slot's group is not among `groups`, or two have one number.
    pub fn new(mut groups: Vec<Group>, slots: Vec<u32>) -> Result<Self> {
        if slots.len() != usize::from(SLOTS) {
            return Err(wrong(format!("Codis has {SLOTS} slots, but {} are told", slots.len())));
        }
        groups.sort_by_key(|group| group.id);
        if let Some(pair) = groups.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(wrong(format!("there are two groups with the number {}", pair[0].id)));
        }
        let known = |id: u32| id == 0 || groups.binary_search_by_key(&id, |group| group.id).is_ok();
        if let Some(at) = slots.iter().position(|id| !known(*id)) {
            return Err(wrong(format!("slot {at} belongs to group {}, which does not exist", slots[at])));
        }
        Ok(Self { groups, slots, moves: Vec::new(), proxies: Vec::new() })
    }

    /// Adds what is being moved, and the proxies.
    pub(super) fn with(mut self, moves: Vec<Move>, proxies: Vec<NodeAddress>) -> Self {
        (self.moves, self.proxies) = (moves, proxies);
        self
    }

    /// Has every server logged in to with `credentials` (`product_auth`, which no dashboard tells).
    #[must_use]
    pub fn credentials(mut self, credentials: Option<&Credentials>) -> Self {
        for server in self.groups.iter_mut().flat_map(|group| &mut group.servers) {
            server.credentials = credentials.cloned();
        }
        self
    }

    /// All groups, by number; also those without slots.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The groups that have slots.
    pub fn shards(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| self.slots.contains(&group.id))
    }

    /// The group with this number.
    pub fn group(&self, id: u32) -> Option<&Group> {
        let at = self.groups.binary_search_by_key(&id, |group| group.id).ok()?;
        self.groups.get(at)
    }

    /// The number of the group that has `slot` (counted modulo 1024); 0 is none.
    pub fn owner(&self, slot: u16) -> u32 {
        self.slots[usize::from(slot % SLOTS)]
    }

    /// The number of the group that has `key`; 0 is none.
    pub fn owner_of(&self, key: &[u8]) -> u32 {
        self.owner(slot(key))
    }

    /// The slots that are being moved.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The addresses at which proxies take clients.
    pub fn proxies(&self) -> &[NodeAddress] {
        &self.proxies
    }

    /// Whether every slot has a group with a primary.
    ///
    /// # Errors
    /// [`Topology`](ErrorKind::Topology) that names the first that has not.
    pub fn check_complete(&self) -> Result<()> {
        if let Some(at) = self.slots.iter().position(|id| *id == 0) {
            let count = self.slots.iter().filter(|id| **id == 0).count();
            let text = format!(
                "{count} of {SLOTS} slots belong to no group, the first is slot {at}: assign them to a group in the dashboard"
            );
            return Err(wrong(text));
        }
        match self.shards().find(|group| group.servers.is_empty()) {
            Some(group) => Err(wrong(format!("group {} has slots but no server: add one in the dashboard", group.id))),
            None => Ok(()),
        }
    }

    /// Whether nothing is being moved or promoted.
    ///
    /// # Errors
    /// [`Topology`](ErrorKind::Topology) that names the first slot or group and says what to do.
    pub fn check_steady(&self) -> Result<()> {
        if let Some(Move { slot, from, to, state }) = self.moves.first() {
            let text = format!(
                "{} slots are being moved; the first is slot {slot}, from group {from} to group {to} ({state}): let the moves finish, or \
                 cancel them in the dashboard, and start again",
                self.moves.len()
            );
            return Err(wrong(text));
        }
        let promoting = self.groups.iter().find_map(|group| Some((group.id, group.promoting.as_deref()?)));
        match promoting {
            Some((id, state)) => {
                let text = format!("group {id} is getting another primary ({state}): let that finish, and start again");
                Err(wrong(text))
            }
            None => Ok(()),
        }
    }

    /// What differs of `later` in the way that matters to whoever reads or writes by this topology: a slot that has another group,
    /// or a group another primary. `None` if nothing does.
    pub fn change(&self, later: &Self) -> Option<String> {
        let moved = (0..SLOTS).find(|slot| self.owner(*slot) != later.owner(*slot));
        if let Some(slot) = moved {
            return Some(format!("slot {slot} went from group {} to group {}", self.owner(slot), later.owner(slot)));
        }
        self.shards().find_map(|group| {
            let (before, after) = (group.primary(), later.group(group.id).and_then(Group::primary));
            let name = |address: Option<&NodeAddress>| address.map_or_else(|| "none".to_owned(), ToString::to_string);
            let same = before.map(|node| (&node.host, node.port)) == after.map(|node| (&node.host, node.port));
            (!same).then(|| format!("the primary of group {} was {} and is {}", group.id, name(before), name(after)))
        })
    }
}

pub(super) fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Topology, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn groups() -> Vec<Group> {
        let server = |port| NodeAddress::new("10.0.0.1", port);
        vec![Group::new(2, vec![server(2), server(3)]), Group::new(1, vec![server(1)]), Group::new(7, Vec::new())]
    }

    fn halves() -> Vec<u32> {
        (0..1024).map(|slot| 1 + u32::from(slot >= 512)).collect()
    }

    #[test]
    fn keys_are_found_by_their_slot() {
        let topology = CodisTopology::new(groups(), halves()).unwrap();
        // Slots as a real Codis tells them.
        assert_eq!((topology.owner_of(b"foo"), topology.owner(289)), (1, 1));
        assert_eq!(topology.owner_of(&[0xff, 0]), 2);
        assert_eq!(topology.shards().map(|group| group.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(topology.group(2).unwrap().replicas(), [NodeAddress::new("10.0.0.1", 3)]);
        topology.check_complete().unwrap();
        topology.check_steady().unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_and_what_is_missing_is_told() {
        let table = |slot: usize, id: u32| {
            let mut slots = halves();
            slots[slot] = id;
            slots
        };
        for (groups, slots, words) in [
            (groups(), vec![1; 1023], "1023 are told"),
            (groups(), table(5, 9), "slot 5 belongs to group 9"),
            (vec![Group::new(1, vec![]), Group::new(1, vec![])], vec![1; 1024], "two groups"),
        ] {
            let error = CodisTopology::new(groups, slots).unwrap_err();
            assert!(error.kind() == ErrorKind::Topology && error.to_string().contains(words), "{error}");
        }
        for (slots, words) in [(table(5, 0), "the first is slot 5"), (table(5, 7), "group 7 has slots but no server")] {
            let error = CodisTopology::new(groups(), slots).unwrap().check_complete().unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn changes_that_matter_are_told() {
        let before = CodisTopology::new(groups(), halves()).unwrap();
        assert_eq!(before.change(&before), None);
        let mut slots = halves();
        slots[3] = 2;
        let moved = CodisTopology::new(groups(), slots).unwrap();
        assert_eq!(before.change(&moved).unwrap(), "slot 3 went from group 1 to group 2");
        let mut others = groups();
        others[0].servers.swap(0, 1);
        let promoted = CodisTopology::new(others, halves()).unwrap();
        assert!(before.change(&promoted).unwrap().contains("group 2 was 10.0.0.1:2 and is 10.0.0.1:3"));
    }
}
