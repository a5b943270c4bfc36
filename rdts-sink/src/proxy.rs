//! Servers behind proxies as a target.

mod codis;
mod nodes;
mod options;
mod probe;
mod profile;

use std::fmt;
use std::time::Duration;

use rdts_core::command::{Sharding, first_key, keys, lookup, sharding};
use rdts_core::endpoint::{NodeAddress, ProxyKind};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::net::Connection;
use rdts_core::record::{Batch, Command, Kind, Mark};
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::slot;
use rdts_core::translate::Target;

use self::codis::{There, migrating};
use self::nodes::{ProxyNodes, THROUGH};
use self::profile::Profile;
use crate::crossing::{Crossing, execute, refusal};
use crate::impossible::OnImpossible;
use crate::judge;
use crate::lanes::{Control, Lanes, WINDOW_COMMANDS};
use crate::node::{NodeOptions, Pipelined};

pub use options::ProxyOptions;

/// Writes through proxies: of Codis, twemproxy, Envoy, or those of a cloud.
///
/// A proxy takes a part of the commands, and some of those it takes it executes wrongly without saying so, when their keys are on
/// different servers. So this sink sends commands of one key alone, always those of one key over the same connection; the
/// connections are spread over the proxies.
///
/// | command | becomes |
/// |---|---|
/// | of one key, which the proxy passes on | itself |
/// | of one key, which only the server knows (`BITFIELD`, `HPEXPIRE`, `XADD`, …) | a script for that key that calls it |
/// | `RESTORE`, `UNLINK` for Codis | `SLOTSRESTORE` of one key, `DEL` |
/// | `DEL`, `UNLINK`, `MSET` of several keys | one for each |
/// | `RENAME`, `COPY`, `SMOVE`, `BITOP`, `SUNIONSTORE`, `MSETNX`, … | steps of one key each, as [`crossing`](crate::crossing) describes, when everything before is applied |
/// | `MULTI`, `EXEC` | nothing: their commands are applied one by one |
/// | `SCRIPT LOAD` | nothing, which is [counted](Counts::impossible): a proxy cannot take a script to all servers |
/// | `FLUSHALL`, `SWAPDB`, `EVALSHA`, a script of several keys, functions | what [`OnImpossible`] says |
///
/// # Limits
///
/// - Databases other than 0: through Codis only. Keys of more than 16,300 bytes: not through twemproxy.
/// - A connection that breaks, or that a proxy closes, leaves what was under way on it (at most 1000 commands) unknown. Since nothing can be
///   written through a proxy together with a checkpoint, the run then ends with [`Disconnected`](ErrorKind::Disconnected), and the copy has
///   to be made anew.
/// - A value that is renamed travels through this process whole: at most 512 MiB. That concerns values of the snapshot that are
///   [built in pieces](rdts_core::translate::TranslateOptions::convert_up_to), too.
/// - Other clients can see the commands of a transaction one by one.
pub struct ProxySink {
    profile: Profile,
    target: Target,
    on_impossible: OnImpossible,
    lanes: Lanes,
    /// For what needs an answer before the next step.
    control: Control,
    /// How long slots may be on the move.
    ready: Duration,
    refused: u64,
}

const LOST: &str = "Which of the commands that were under way the servers have executed is unknown: empty the target and copy anew. A \
                    proxy may have closed the connection over a command that it does not take, or a client that it found idle: its log says";

impl ProxySink {
    /// Connects to the proxies at `addresses`, which all serve the same keys, and finds out what they and the servers behind them
    /// are.
    ///
    /// # Errors
    /// As [`Connection::open`]; [`Config`](ErrorKind::Config) without an address.
    pub async fn connect(kind: ProxyKind, addresses: &[NodeAddress], options: ProxyOptions) -> Result<Self> {
        let Some(first) = addresses.first() else {
            return Err(Error::new(ErrorKind::Config, "a target behind proxies needs the address of a proxy"));
        };
        let profile = probe::profile(kind, first, options.deadlines).await?;
        let mut connection = Connection::open(first, options.deadlines).await?;
        let target = match options.target {
            Some(target) => target,
            None => probe::target(profile, &mut connection).await?,
        };
        let count = addresses.len().max(usize::try_from(options.connections).unwrap_or(1));
        let lane =
            NodeOptions::default().deadlines(options.deadlines).window(options.window).window_commands(WINDOW_COMMANDS);
        let mut sinks = Vec::with_capacity(count);
        for address in addresses.iter().cycle().take(count) {
            let connection = Connection::open(address, options.deadlines).await?;
            sinks.push(Pipelined::over(connection, target, &lane));
        }
        tracing::info!(%profile, %target, connections = count, "writing through proxies");
        Ok(Self {
            profile,
            target,
            on_impossible: options.on_impossible,
            lanes: Lanes::new(sinks, LOST),
            control: Control::new(connection),
            ready: options.deadlines.ready,
            refused: 0,
        })
    }

    /// What the servers behind the proxies are: what [`ProxyOptions::target`] says; or the oldest version that servers gave when
    /// asked by a script for each of several keys; or, where they do not tell and behind Codis, Redis 3.2.
    pub fn target(&self) -> Target {
        self.target
    }

    /// How many commands were left out by [`OnImpossible::Skip`].
    pub fn refused(&self) -> u64 {
        self.refused
    }

    async fn accept(&mut self, batch: &Batch) -> Result<()> {
        let there = match self.profile {
            Profile::Codis => codis::there(&mut self.control, batch).await?,
            _ => There::default(),
        };
        let mut counts = Counts::default();
        let mut args = Vec::new();
        for command in batch.commands() {
            args.clear();
            args.extend(command.args());
            let before = self.refused;
            self.command(&command, &args, &there, &mut counts).await?;
            if self.refused == before {
                counts.commands += 1;
                counts.bytes += command.raw().len() as u64;
            } else {
                counts.impossible += 1;
            }
        }
        self.lanes.end_batch(*batch.position(), counts).await
    }

    async fn command(
        &mut self,
        command: &Command<'_>,
        args: &[&[u8]],
        there: &There,
        counts: &mut Counts,
    ) -> Result<()> {
        let mark = command.mark();
        if matches!(mark.kind, Kind::Multi | Kind::Exec) {
            return Ok(());
        }
        if mark.db != 0 && !self.profile.databases() {
            let text = format!(
                "a key in database {}: {} has database 0 only. Migrate one database, into 0",
                mark.db, self.profile
            );
            return Err(Error::new(ErrorKind::Unsupported, text).at(self.control.connection.address()));
        }
        let longest = self.profile.longest_key();
        if args.iter().any(|arg| arg.len() > longest) && keys(args)?.any(|key| args[key.index].len() > longest) {
            return self.refuse(command, &format!("a key has more than {longest} bytes"));
        }
        let how = sharding(args)?;
        let is = |name: &[u8]| args[0].eq_ignore_ascii_case(name);
        match how {
            Sharding::OneKey if is(b"EVALSHA") => self.refuse(command, "a proxy cannot bring a script to every server"),
            Sharding::OneKey => match command.key() {
                Some(key) => self.one_key(key, command, args, there, counts).await,
                None => self.refuse(command, "it is not known which key it has"),
            },
            Sharding::Split if !is(b"MSETEX") => {
                let step = if is(b"MSET") {
                    2
                } else if is(b"SLOTSRESTORE") {
                    3
                } else {
                    1
                };
                let mark = mark.keys(u32::from(mark.keys > 0));
                for unit in args[1..].chunks(step) {
                    let lane = self.lane(unit[0]);
                    match () {
                        () if step == 2 => self.lanes.push(lane, &[&[&b"SET"[..]], unit].concat(), 1, mark).await?,
                        () if is(b"UNLINK") => self.delete(unit[0], mark).await?,
                        () => self.lanes.push(lane, &[&args[..1], unit].concat(), 1, mark).await?,
                    }
                }
                Ok(())
            }
            Sharding::Split | Sharding::Cross | Sharding::Together => self.cross(command, args, counts).await,
            Sharding::Databases if self.profile.databases() => self.cross(command, args, counts).await,
            Sharding::Databases => self.refuse(command, "there is one database"),
            Sharding::Broadcast if is(b"SCRIPT") => {
                tracing::debug!("a cached script is left out: a proxy cannot bring it to every server");
                self.refused += 1;
                Ok(())
            }
            Sharding::Undeclared => self.refuse(command, "it does not declare its keys"),
            _ => self.refuse(command, "it concerns every server, and a proxy takes nothing to all of them"),
        }
    }

    async fn one_key(
        &mut self,
        key: &[u8],
        command: &Command<'_>,
        args: &[&[u8]],
        there: &There,
        counts: &mut Counts,
    ) -> Result<()> {
        let (lane, mark) = (self.lane(key), command.mark());
        let name = args[0];
        let first = first_key(name).unwrap_or(0);
        if self.profile.passes(name, args.len()) {
            return self.lanes.push(lane, args, first, mark).await;
        }
        if name.eq_ignore_ascii_case(b"UNLINK") {
            return self.delete(key, mark).await;
        }
        if self.profile == Profile::Codis && name.eq_ignore_ascii_case(b"RESTORE") {
            return match codis::restore(command, args, there)? {
                Some(commands) => {
                    for (words, mark) in commands {
                        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
                        self.lanes.push(lane, &words, 1, mark).await?;
                    }
                    Ok(())
                }
                None => {
                    counts.kept += 1;
                    Ok(())
                }
            };
        }
        let known = lookup(name).is_some_and(|info| info.is_write() && info.known_to(&self.target));
        if !known || args.len() > nodes::MOST_ARGUMENTS {
            return self.refuse(command, "neither it nor the servers behind it are known to take that");
        }
        let through = [&[&b"EVAL"[..], THROUGH, b"1", key], args].concat();
        self.lanes.push(lane, &through, 3, mark).await
    }

    async fn delete(&mut self, key: &[u8], mark: Mark) -> Result<()> {
        let name: &[u8] = if self.profile.passes(b"UNLINK", 2) { b"UNLINK" } else { b"DEL" };
        let lane = self.lane(key);
        self.lanes.push(lane, &[name, key], 1, mark).await
    }

    /// Executes a command of several keys, when everything before it is applied.
    async fn cross(&mut self, command: &Command<'_>, args: &[&[u8]], counts: &mut Counts) -> Result<()> {
        let mut nodes = ProxyNodes::new(self.profile, self.target, &mut self.control);
        if let Some(refusal) = refusal(&nodes, args)? {
            let why = refusal.to_string();
            return self.refuse(command, &why);
        }
        self.lanes.flush().await?;
        if self.profile == Profile::Codis {
            migrating(nodes.control(), args, self.ready).await?;
        }
        let reply = match execute(&mut nodes, command.db(), args).await? {
            Crossing::Done(reply) => reply,
            Crossing::Refused(refusal) => {
                let why = refusal.to_string();
                return self.refuse(command, &why);
            }
        };
        *counts += judge::alone(command, &reply).map_err(|error| error.at(self.control.connection.address()))?;
        Ok(())
    }

    fn refuse(&mut self, command: &Command<'_>, why: &str) -> Result<()> {
        self.refused += 1;
        let through = format!("go through {}", self.profile);
        let refused = self.on_impossible.refuse(command, &through, why);
        refused.map_err(|error| error.at(self.control.connection.address()))
    }

    /// Which connection has this key.
    fn lane(&self, key: &[u8]) -> usize {
        usize::from(slot::codis::slot(key)) % self.lanes.len()
    }
}

impl Sink for ProxySink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.target)
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.lanes.check()?;
        let result = self.accept(&batch).await;
        self.lanes.noted(result)
    }

    fn acked(&self) -> Watermark {
        self.lanes.acked()
    }

    async fn flush(&mut self) -> Result<()> {
        self.lanes.flush().await
    }

    async fn close(self) -> Result<()> {
        self.lanes.close().await
    }
}

impl fmt::Debug for ProxySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxySink")
            .field("profile", &self.profile)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
