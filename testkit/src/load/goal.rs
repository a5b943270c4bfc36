//! Where a load goes to.

use std::time::{Duration, Instant};

use redis::{Connection, Pipeline, RedisResult, Value};

use crate::cluster::{Router, Unit};
use crate::wait::poll;
use crate::wire::{self, add, array, bytes, send, try_send};
use crate::{Deployment, Sentinel, Server};

/// How long there may be no primary.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a primary may take to answer, or be gone without a word.
const SILENCE: Duration = Duration::from_secs(10);
/// How often the Sentinels are asked: a primary that was replaced takes writes, which are lost, for another 10 s.
const ASK: Duration = Duration::from_millis(20);

pub(super) enum Goal {
    /// Must not break.
    Server(Connection),
    Cluster(Router),
    Sentinel(Follower),
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) replies: Vec<Value>,
    /// Commands of which it is not known whether they were executed.
    pub(super) unknown: u64,
}

impl Goal {
    #[track_caller]
    pub(super) fn new(deployment: &Deployment<'_>) -> Self {
        match deployment {
            Deployment::Server(server) => Self::Server(server.connection()),
            Deployment::Cluster(cluster) => Self::Cluster(Router::new(cluster)),
            Deployment::Sentinel(sentinel) => Self::Sentinel(Follower::new(sentinel)),
            Deployment::Servers(_) => {
                panic!("a load goes to each of several servers by itself, with a prefix of its own")
            }
        }
    }

    /// Runs commands, which must succeed, wherever they have an effect: at every primary.
    #[track_caller]
    pub(super) fn everywhere(&mut self, commands: &Pipeline) -> Vec<Value> {
        match self {
            Self::Server(connection) => send(connection, commands),
            Self::Sentinel(follower) => follower.run(commands).replies,
            Self::Cluster(router) => {
                let primaries = router.primaries().into_iter();
                let run = |port| router.run_at(port, commands).unwrap_or_else(|error| panic!("a node broke: {error}"));
                primaries.flat_map(run).collect()
            }
        }
    }

    #[track_caller]
    pub(super) fn run(&mut self, units: &[Unit]) -> Outcome {
        let pipeline = || {
            let mut commands = Pipeline::new();
            units.iter().flat_map(|unit| &unit.commands).for_each(|command| add(&mut commands, command));
            commands
        };
        match self {
            Self::Server(connection) => Outcome { replies: send(connection, &pipeline()), unknown: 0 },
            Self::Sentinel(follower) => follower.run(&pipeline()),
            Self::Cluster(router) => {
                let mut outcome = Outcome::default();
                for (unit, replies) in units.iter().zip(router.run_all(units)) {
                    match replies {
                        Ok(replies) => outcome.replies.extend(replies),
                        Err(_) => outcome.unknown += unit.commands.len() as u64,
                    }
                }
                outcome
            }
        }
    }
}

/// A client that writes to whichever primary the Sentinels name.
pub(super) struct Follower {
    sentinels: Vec<u16>,
    service: String,
    password: Option<String>,
    port: u16,
    connection: Option<Connection>,
    asked: Instant,
}

impl Follower {
    fn new(sentinel: &Sentinel) -> Self {
        let primary = sentinel.server(sentinel.primary());
        Self {
            sentinels: sentinel.sentinels().iter().map(Server::port).collect(),
            service: sentinel.service().to_owned(),
            password: primary.password().map(str::to_owned),
            port: primary.port(),
            connection: None,
            asked: Instant::now(),
        }
    }

    #[track_caller]
    fn run(&mut self, commands: &Pipeline) -> Outcome {
        if self.asked.elapsed() > ASK {
            self.ask();
        }
        let mut last = String::new();
        let ready = poll(PATIENCE, || {
            if self.connection.is_some() {
                return Some(());
            }
            match self.connect() {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => {
                    last = error.to_string();
                    self.ask();
                }
            }
            None
        });
        assert!(ready.is_some(), "{} had no primary for {PATIENCE:?}: {last}", self.service);
        let connection = self.connection.as_mut().expect("it is ready");
        match try_send(connection, commands) {
            Ok(mut replies) => {
                let before = replies.len();
                // It is no primary any more.
                replies.retain(|reply| !matches!(reply, Value::ServerError(error) if error.code() == "READONLY"));
                let unknown = (before - replies.len()) as u64;
                if unknown > 0 {
                    self.connection = None;
                }
                Outcome { replies, unknown }
            }
            Err(_) => {
                self.connection = None;
                Outcome { replies: Vec::new(), unknown: commands.len() as u64 }
            }
        }
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = wire::client(self.port, self.password.as_deref())?.get_connection_with_timeout(SILENCE)?;
        connection.set_read_timeout(Some(SILENCE))?;
        Ok(connection)
    }

    /// Turns to the primary that the first Sentinel names that answers.
    fn ask(&mut self) {
        self.asked = Instant::now();
        let named = self.sentinels.iter().find_map(|port| {
            let mut connection = wire::client(*port, None).ok()?.get_connection_with_timeout(SILENCE).ok()?;
            let mut question = Pipeline::new();
            add(&mut question, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.service]);
            let address = array(try_send(&mut connection, &question).ok()?.pop()?).pop()?;
            String::from_utf8_lossy(&bytes(address)).parse().ok()
        });
        if let Some(port) = named.filter(|port| *port != self.port) {
            self.port = port;
            self.connection = None;
        }
    }
}
