//! A stand-in for Codis.

mod dashboard;
mod proxy;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::Server;

const SLOTS: usize = 1024;

/// What stands in for a Codis of several groups: Redis 3.2 servers, from which its own server is made, a dashboard that tells what a
/// test wants it to tell, and proxies that route, split and refuse as those of Codis 3.2 do.
///
/// What it lacks: the migration of slots itself, replicas, and everything that a real dashboard can change.
#[derive(Debug)]
pub struct Codis {
    groups: Vec<Server>,
    state: Arc<Mutex<State>>,
    dashboard: u16,
}

#[derive(Debug)]
struct State {
    ports: Vec<u16>,
    /// The group of each slot, from 1; 0 for none.
    slots: Vec<usize>,
    /// State and goal of the slots that move.
    moves: Vec<Option<(String, usize)>>,
    /// What the dashboard answers instead.
    answer: Option<(u16, String)>,
    /// The commands that proxies refused.
    refused: Vec<String>,
    /// The name of a command at which proxies close the connection.
    closes_at: Option<String>,
}

impl Codis {
    /// Starts so many servers, each a group with an equal share of the slots, and the dashboard.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[track_caller]
    #[must_use]
    pub fn start(version: &str, groups: usize) -> Self {
        let groups: Vec<Server> = (0..groups).map(|_| Server::start(version)).collect();
        let state = Arc::new(Mutex::new(State {
            ports: groups.iter().map(Server::port).collect(),
            slots: (0..SLOTS).map(|slot| 1 + slot * groups.len() / SLOTS).collect(),
            moves: vec![None; SLOTS],
            answer: None,
            refused: Vec::new(),
            closes_at: None,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port can be had");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        dashboard::serve(listener, state.clone());
        Self { groups, state, dashboard: port }
    }

    /// The servers, in the order of their groups' numbers, which begin with 1.
    #[must_use]
    pub fn groups(&self) -> Vec<&Server> {
        self.groups.iter().collect()
    }

    /// The port of the dashboard on 127.0.0.1.
    #[must_use]
    pub fn dashboard(&self) -> u16 {
        self.dashboard
    }

    /// Starts another proxy and gives its port on 127.0.0.1.
    #[must_use]
    pub fn proxy(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port can be had");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        proxy::serve(listener, self.state.clone());
        port
    }

    /// The group to which a key belongs, as the slots are.
    #[must_use]
    pub fn group_of(&self, key: &[u8]) -> usize {
        self.state.lock().unwrap().slots[slot(key)]
    }

    /// Gives a slot to a group, or to none (0), in the table alone: no key goes with it.
    pub fn assign(&self, slot: usize, group: usize) {
        self.state.lock().unwrap().slots[slot] = group;
    }

    /// Has the dashboard and the proxies tell that a slot is on its way to a group; `None` ends that.
    pub fn moves(&self, slot: usize, state: Option<(&str, usize)>) {
        self.state.lock().unwrap().moves[slot] = state.map(|(state, group)| (state.to_owned(), group));
    }

    /// Has the dashboard answer this status and body to everything; `None` ends that.
    pub fn answer(&self, answer: Option<(u16, &str)>) {
        self.state.lock().unwrap().answer = answer.map(|(status, body)| (status, body.to_owned()));
    }

    /// Has the proxies close the connection instead of executing the command of this name (upper case).
    pub fn close_at(&self, name: &str) {
        self.state.lock().unwrap().closes_at = Some(name.to_owned());
    }

    /// The commands that the proxies refused so far.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.state.lock().unwrap().refused.clone()
    }
}

/// The slot of a key: CRC-32 of what is between the first `{` and the first `}` after it, or of all of it.
fn slot(key: &[u8]) -> usize {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').map(|close| &rest[..close])
    });
    let mut crc = u32::MAX;
    for byte in tag.unwrap_or(key) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc as usize % SLOTS
}

#[cfg(test)]
mod tests {
    #[test]
    fn slots_are_those_of_a_real_codis() {
        assert_eq!((super::slot(b"foo"), super::slot(b""), super::slot(b"\xff\x00")), (289, 0, 909));
        assert_eq!((super::slot(b"a{}b"), super::slot(b"}{foo}")), (0, 289));
    }
}
