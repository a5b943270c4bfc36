//! The groups of a Codis deployment as a target, without its proxies.

mod nodes;

use std::fmt;

use rdts_core::codis::{CodisWatch, Group};
use rdts_core::command::{Sharding, keys, sharding, split};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::net::Connection;
use rdts_core::record::{Batch, Command, Kind};
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::slot;
use rdts_core::translate::Target;

use self::nodes::GroupNodes;
use crate::crossing::{Crossing, execute};
use crate::impossible::OnImpossible;
use crate::judge;
use crate::lanes::{Control, Lanes};
use crate::node::{NodeOptions, Pipelined};

/// How a [`CodisSink`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodisOptions {
    /// The connection to each group's primary.
    pub node: NodeOptions,
    /// What to do with commands that groups cannot execute together. Default: [`OnImpossible::Stop`].
    pub on_impossible: OnImpossible,
}

impl CodisOptions {
    /// Sets [`node`](Self::node).
    #[must_use]
    pub fn node(mut self, options: NodeOptions) -> Self {
        self.node = options;
        self
    }

    /// Sets [`on_impossible`](Self::on_impossible).
    #[must_use]
    pub fn on_impossible(mut self, policy: OnImpossible) -> Self {
        self.on_impossible = policy;
        self
    }
}

/// Writes to the primaries of all groups of a Codis deployment, each key to the one that has its slot.
///
/// A server of Codis takes any key, also of a slot that is not its own, where nobody would find it. So the table of slots has to hold: this
/// sink stops with [`Topology`](ErrorKind::Topology) as soon as the [`CodisWatch`] sees that a slot is to move or a group
/// gets another primary.
///
/// The servers know transactions and scripts of any keys they have: a command of several keys goes as it is if all are in one group, and so
/// does a transaction. Otherwise commands are split, or executed in steps as [`crossing`](crate::crossing) describes, and a
/// transaction's commands are applied one by one. `FLUSHALL`, `FLUSHDB` and `SCRIPT` go to every group.
///
/// A connection that breaks leaves what was under way on it unknown: the run ends with
/// [`Disconnected`](ErrorKind::Disconnected), and the copy has to be made anew.
pub struct CodisSink {
    watch: CodisWatch,
    target: Target,
    on_impossible: OnImpossible,
    lanes: Lanes,
    /// For what needs an answer before the next step; one for each lane.
    controls: Vec<Control>,
    /// The lane of each slot.
    routes: Vec<usize>,
}

const LOST: &str =
    "Which of the commands that were under way the server has executed is unknown: empty the target and copy anew";

impl CodisSink {
    /// Connects to the primary of every group that has slots.
    ///
    /// # Errors
    /// As [`Connection::open`]; [`Topology`](ErrorKind::Topology) if slots move already, [`Unsupported`](ErrorKind::Unsupported) if
    /// the options name a checkpoint.
    pub async fn connect(watch: &CodisWatch, options: CodisOptions) -> Result<Self> {
        if options.node.checkpoint.is_some() {
            // Commands that cross groups are executed in steps, which no transaction of one server could make a checkpoint part of.
            return Err(Error::new(ErrorKind::Unsupported, "a Codis keeps no checkpoint"));
        }
        watch.check()?;
        let topology = watch.topology();
        let groups: Vec<&Group> = topology.shards().collect();
        let (mut sinks, mut controls, mut oldest) = (Vec::new(), Vec::new(), None::<Target>);
        for group in &groups {
            let Some(primary) = group.primary() else {
                return Err(Error::new(ErrorKind::Topology, format!("group {} has no server", group.id)));
            };
            let sink = Pipelined::connect(primary, &options.node).await?;
            let target = sink.target();
            if oldest.is_none_or(|oldest| target.version() < oldest.version()) {
                oldest = Some(target);
            }
            sinks.push(sink);
            controls.push(Control::new(Connection::open(primary, options.node.deadlines).await?));
        }
        let lane = |id: u32| groups.iter().position(|group| group.id == id);
        let routes: Option<Vec<usize>> = (0..slot::codis::SLOTS).map(|slot| lane(topology.owner(slot))).collect();
        let (Some(routes), Some(target)) = (routes, oldest) else {
            return Err(Error::new(ErrorKind::Topology, "there are slots without a group"));
        };
        Ok(Self {
            watch: watch.clone(),
            target,
            on_impossible: options.on_impossible,
            lanes: Lanes::new(sinks, LOST),
            controls,
            routes,
        })
    }

    /// What the groups' servers are: the oldest of them.
    pub fn target(&self) -> Target {
        self.target
    }

    fn lane(&self, key: &[u8]) -> usize {
        self.routes[usize::from(slot::codis::slot(key))]
    }

    /// The one lane of all these arguments that are keys; `None` if there are several, or no key.
    fn one_lane(&self, args: &[&[u8]]) -> Result<Option<usize>> {
        let mut lanes = keys(args)?.map(|key| self.lane(args[key.index]));
        let first = lanes.next();
        Ok(first.filter(|first| lanes.all(|lane| lane == *first)))
    }

    async fn accept(&mut self, batch: &Batch) -> Result<()> {
        let mut counts = Counts::default();
        let commands: Vec<Command<'_>> = batch.commands().collect();
        let mut at = 0;
        while at < commands.len() {
            let end = match commands[at].kind() {
                Kind::Multi => commands[at..].iter().position(|c| c.kind() == Kind::Exec).map_or(at, |end| at + end),
                _ => at,
            };
            self.unit(&commands[at..=end], &mut counts).await?;
            at = end + 1;
        }
        self.lanes.end_batch(*batch.position(), counts).await
    }

    /// A command, or a transaction with its frame.
    async fn unit(&mut self, commands: &[Command<'_>], counts: &mut Counts) -> Result<()> {
        if commands.len() > 1
            && let Some(lane) = self.transaction_lane(commands)?
        {
            self.lanes.keep_together(true);
            for command in commands {
                let args: Vec<&[u8]> = command.args().collect();
                self.lanes.push(lane, &args, 1, command.mark()).await?;
                count(command, counts);
            }
            self.lanes.keep_together(false);
            return Ok(());
        }
        for command in commands {
            let args: Vec<&[u8]> = command.args().collect();
            let framed = matches!(command.kind(), Kind::Multi | Kind::Exec);
            if framed || self.command(command, &args, counts).await? {
                count(command, counts);
            } else {
                counts.impossible += 1;
            }
        }
        Ok(())
    }

    /// The lane of all commands of a transaction, if they have the same and each could go there alone.
    fn transaction_lane(&self, commands: &[Command<'_>]) -> Result<Option<usize>> {
        let mut lane = None;
        for command in &commands[1..commands.len() - 1] {
            let args: Vec<&[u8]> = command.args().collect();
            match self.one_lane(&args)? {
                Some(own) if lane.is_none_or(|lane| lane == own) && !is_sort_by(&args)? => lane = Some(own),
                _ => return Ok(None),
            }
        }
        Ok(lane)
    }

    /// `false` if the command was left out.
    async fn command(&mut self, command: &Command<'_>, args: &[&[u8]], counts: &mut Counts) -> Result<bool> {
        let mark = command.mark();
        let how = sharding(args)?;
        match (how, self.one_lane(args)?) {
            (
                Sharding::OneKey | Sharding::Split | Sharding::Cross | Sharding::Together | Sharding::Databases,
                Some(lane),
            ) => {
                self.lanes.push(lane, args, 1, mark).await?;
                Ok(true)
            }
            (Sharding::Split, None) => {
                // Below the number of slots, so that it is one as well.
                let parts = split(args, |key| u16::try_from(self.lane(key)).unwrap_or_default())?;
                for part in parts {
                    let words: Vec<&[u8]> = part.args.iter().map(AsRef::as_ref).collect();
                    let share = u32::try_from(keys(&words)?.len()).unwrap_or(u32::MAX);
                    let mark = mark.keys(if mark.keys == 0 { 0 } else { share });
                    self.lanes.push(usize::from(part.slot), &words, 1, mark).await?;
                }
                Ok(true)
            }
            (Sharding::Broadcast, _) => {
                self.lanes.flush().await?;
                for lane in 0..self.lanes.len() {
                    self.lanes.push(lane, args, 0, mark).await?;
                }
                self.lanes.flush().await?;
                Ok(true)
            }
            _ => self.cross(command, args, counts).await,
        }
    }

    async fn cross(&mut self, command: &Command<'_>, args: &[&[u8]], counts: &mut Counts) -> Result<bool> {
        self.lanes.flush().await?;
        self.watch.check()?;
        let mut nodes = GroupNodes::new(self.target, self.watch.topology(), &mut self.controls, &self.routes);
        match execute(&mut nodes, command.db(), args).await? {
            Crossing::Done(reply) => {
                *counts += judge::alone(command, &reply)?;
                Ok(true)
            }
            Crossing::Refused(refusal) => {
                self.on_impossible.refuse(command, "be executed by several groups of Codis", &refusal.to_string())?;
                Ok(false)
            }
        }
    }
}

fn count(command: &Command<'_>, counts: &mut Counts) {
    counts.commands += 1;
    counts.bytes += command.raw().len() as u64;
}

/// Whether it is a `SORT` that reads keys that it does not name.
fn is_sort_by(args: &[&[u8]]) -> Result<bool> {
    Ok(args[0].eq_ignore_ascii_case(b"SORT") && sharding(args)? == Sharding::Undeclared)
}

impl Sink for CodisSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.target)
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.lanes.check()?;
        let result = match self.watch.check() {
            Ok(()) => self.accept(&batch).await,
            changed => changed,
        };
        self.lanes.noted(result)
    }

    fn acked(&self) -> Watermark {
        self.lanes.acked()
    }

    async fn flush(&mut self) -> Result<()> {
        let changed = self.watch.check();
        self.lanes.noted(changed)?;
        self.lanes.flush().await
    }

    async fn close(mut self) -> Result<()> {
        let flushed = self.flush().await;
        flushed.and(self.lanes.close().await)
    }
}

impl fmt::Debug for CodisSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodisSink").field("watch", &self.watch).field("target", &self.target).finish_non_exhaustive()
    }
}
