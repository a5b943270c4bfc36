//! Commands to the nodes of a cluster that have their keys, wherever they move.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use redis::{Connection, Pipeline, RedisError, RedisResult, ServerError, Value};

use super::Cluster;
use crate::slot::SLOTS;
use crate::wire::{self, add, array, int, try_send};

/// How long a cluster may be down: longer than any fail-over.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a node may take to answer, or be gone without a word.
const SILENCE: Duration = Duration::from_secs(10);
/// Between two attempts at something that is not possible at present.
const PAUSE: Duration = Duration::from_millis(10);

/// Commands of one slot that are sent together and, when they have to go elsewhere, are sent together again: a command
/// or a transaction.
#[derive(Debug)]
pub(crate) struct Unit {
    /// `None` when it goes to any primary.
    pub(crate) slot: Option<u16>,
    pub(crate) commands: Vec<Vec<Vec<u8>>>,
}

/// A client of a cluster. It follows all redirections, and is independent of the cluster's value, so that a thread of its
/// own can have it.
#[derive(Debug)]
pub(crate) struct Router {
    /// All nodes that have ever been there.
    ports: Vec<u16>,
    password: Option<String>,
    owners: Vec<Option<u16>>,
    connections: HashMap<u16, Link>,
    /// The script that an `EVALSHA` needs: from Redis 7.0 a replica that is promoted does not know it.
    script: Option<Vec<u8>>,
}

struct Link(Connection);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection")
    }
}

/// Where a unit has to go instead.
enum Redirect {
    Moved(u16),
    Ask(u16),
    /// Not possible now.
    Later,
    NoScript,
}

impl Router {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let mut router = Self {
            ports: cluster.nodes.iter().map(crate::Server::port).collect(),
            password: cluster.nodes[0].password().map(str::to_owned),
            owners: vec![None; usize::from(SLOTS)],
            connections: HashMap::new(),
            script: None,
        };
        router.refresh();
        router
    }

    /// Makes the script known, for units that call it by its digest.
    pub(crate) fn set_script(&mut self, script: &str) {
        self.script = Some(script.as_bytes().to_vec());
    }

    /// The ports of all primaries that have slots.
    pub(crate) fn primaries(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.owners.iter().copied().flatten().collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Runs commands at the node on a port.
    pub(crate) fn run_at(&mut self, port: u16, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let replies = try_send(self.connection(port)?, commands);
        if replies.is_err() {
            self.connections.remove(&port);
        }
        replies
    }

    /// Runs a unit; the replies to all its commands.
    ///
    /// # Errors
    /// The connection broke while it was under way: whether it was executed is not known.
    ///
    /// # Panics
    /// When it is possible nowhere for 60 s.
    #[track_caller]
    pub(crate) fn run(&mut self, unit: &Unit) -> RedisResult<Vec<Value>> {
        self.run_from(unit, None)
    }

    #[track_caller]
    fn run_from(&mut self, unit: &Unit, mut redirect: Option<Redirect>) -> RedisResult<Vec<Value>> {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < PATIENCE {
            if matches!(redirect, Some(Redirect::Later)) {
                std::thread::sleep(PAUSE);
                self.refresh();
            }
            let (port, asking) = match redirect.take() {
                Some(Redirect::Ask(port)) => (Some(port), true),
                Some(Redirect::Moved(port)) => {
                    if let Some(slot) = unit.slot {
                        self.owners[usize::from(slot)] = Some(port);
                    }
                    (Some(port), false)
                }
                _ => (self.owner(unit), false),
            };
            let Some(port) = port else {
                "no node has the slot".clone_into(&mut last);
                redirect = Some(Redirect::Later);
                continue;
            };
            if let Err(error) = self.connection(port) {
                // Nothing was sent yet.
                last = error.to_string();
                redirect = Some(Redirect::Later);
                continue;
            }
            let mut commands = Pipeline::new();
            if asking {
                add(&mut commands, &["ASKING"]);
            }
            unit.commands.iter().for_each(|command| add(&mut commands, command));
            let mut replies = self.run_at(port, &commands)?;
            if asking {
                replies.remove(0);
            }
            match redirect_of(&replies) {
                None => return Ok(replies),
                Some((Redirect::NoScript, _)) if self.script.is_some() => {
                    let mut load = Pipeline::new();
                    add(&mut load, &[b"SCRIPT".as_slice(), b"LOAD", self.script.as_deref().unwrap_or_default()]);
                    self.run_at(port, &load)?;
                }
                Some((Redirect::NoScript, _)) => return Ok(replies),
                Some((to, why)) => {
                    last = why;
                    redirect = Some(to);
                }
            }
        }
        panic!("the cluster did not take a command within {PATIENCE:?}: {last}");
    }

    /// Runs units side by side, those at one node in one pipeline; the replies to each, as of [`Router::run`].
    #[track_caller]
    pub(crate) fn run_all(&mut self, units: &[Unit]) -> Vec<RedisResult<Vec<Value>>> {
        let mut places: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        let mut outcomes: Vec<Option<RedisResult<Vec<Value>>>> = units.iter().map(|_| None).collect();
        let mut again = Vec::new();
        for (number, unit) in units.iter().enumerate() {
            match self.owner(unit) {
                Some(port) if self.connection(port).is_ok() => places.entry(port).or_default().push(number),
                _ => again.push((number, Redirect::Later)),
            }
        }
        for (port, numbers) in places {
            let mut commands = Pipeline::new();
            numbers.iter().flat_map(|n| &units[*n].commands).for_each(|command| add(&mut commands, command));
            match self.run_at(port, &commands) {
                Ok(replies) => {
                    let mut replies = replies.into_iter();
                    for number in numbers {
                        let own: Vec<Value> = replies.by_ref().take(units[number].commands.len()).collect();
                        match redirect_of(&own) {
                            None => outcomes[number] = Some(Ok(own)),
                            Some((redirect, _)) => again.push((number, redirect)),
                        }
                    }
                }
                Err(error) => {
                    for number in numbers {
                        outcomes[number] = Some(Err(error.clone()));
                    }
                }
            }
        }
        again.sort_by_key(|(number, _)| *number);
        for (number, redirect) in again {
            outcomes[number] = Some(self.run_from(&units[number], Some(redirect)));
        }
        outcomes.into_iter().map(|outcome| outcome.expect("each was run")).collect()
    }

    fn owner(&self, unit: &Unit) -> Option<u16> {
        match unit.slot {
            Some(slot) => self.owners[usize::from(slot)],
            None => self.primaries().first().or(self.ports.first()).copied(),
        }
    }

    fn connection(&mut self, port: u16) -> RedisResult<&mut Connection> {
        if !self.connections.contains_key(&port) {
            let connection = wire::client(port, self.password.as_deref())?.get_connection_with_timeout(SILENCE)?;
            connection.set_read_timeout(Some(SILENCE))?;
            self.connections.insert(port, Link(connection));
        }
        Ok(&mut self.connections.get_mut(&port).expect("it is there now").0)
    }

    /// Asks who has which slots: the node that knows of the most slots is right for the time being, and MOVED mends the
    /// rest.
    fn refresh(&mut self) {
        let mut best = (0, vec![None; usize::from(SLOTS)]);
        let mut question = Pipeline::new();
        add(&mut question, &["CLUSTER", "SLOTS"]);
        for port in self.ports.clone() {
            let Some(Value::Array(ranges)) = self.run_at(port, &question).ok().and_then(|mut replies| replies.pop())
            else {
                continue;
            };
            let mut owners = vec![None; usize::from(SLOTS)];
            for range in ranges {
                let mut parts = array(range).into_iter();
                let mut number = || parts.next().map(|part| usize::try_from(int(&part)).expect("a slot"));
                let (Some(first), Some(last)) = (number(), number()) else { continue };
                let mut address = parts.next().map(array).unwrap_or_default().into_iter();
                let owner = address.nth(1).and_then(|port| u16::try_from(int(&port)).ok());
                let reachable = owner.filter(|owner| self.connection(*owner).is_ok());
                owners[first..=last].fill(reachable);
            }
            let known = owners.iter().flatten().count();
            if known > best.0 {
                best = (known, owners);
            }
        }
        self.owners = best.1;
    }
}

/// Why the replies of a unit are none, with the server's words.
fn redirect_of(replies: &[Value]) -> Option<(Redirect, String)> {
    replies.iter().find_map(|reply| {
        let Value::ServerError(error) = reply else { return None };
        let redirect = match error.code() {
            "MOVED" => Redirect::Moved(port_of(error)?),
            "ASK" => Redirect::Ask(port_of(error)?),
            "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" => Redirect::Later,
            "NOSCRIPT" => Redirect::NoScript,
            _ => return None,
        };
        Some((redirect, RedisError::from(error.clone()).to_string()))
    })
}

/// `SLOT HOST:PORT`.
fn port_of(error: &ServerError) -> Option<u16> {
    error.details()?.rsplit_once(':')?.1.parse().ok()
}
