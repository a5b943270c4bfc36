//! Whether a reply means that its command did what was meant.

use std::borrow::Cow;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::record::{Command, Expect, Kind, Mark};
use rdts_resp::{Reply, ReplyRef};

/// What matters of a reply, whoever gave it.
#[derive(Debug)]
pub(crate) enum Answer<'a> {
    /// An error, without the leading `-`.
    Error(Cow<'a, [u8]>),
    /// A null or `:0`: for commands that create a key, it was there.
    Nothing,
    /// Anything else.
    Something,
}

impl<'a> From<&'a Reply> for Answer<'a> {
    fn from(reply: &'a Reply) -> Self {
        match reply {
            Reply::Null | Reply::Integer(0) => Self::Nothing,
            _ => reply.as_error().map_or(Self::Something, |error| Self::Error(Cow::Borrowed(error))),
        }
    }
}

impl<'a> From<&ReplyRef<'a>> for Answer<'a> {
    fn from(reply: &ReplyRef<'a>) -> Self {
        match reply {
            ReplyRef::Error(error) => Self::Error(Cow::Borrowed(error)),
            ReplyRef::Null | ReplyRef::Integer(0) => Self::Nothing,
            _ => Self::Something,
        }
    }
}

/// A command in a message.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) mark: Mark,
}

impl<'a> From<&Command<'a>> for Subject<'a> {
    fn from(command: &Command<'a>) -> Self {
        Self { name: command.name(), key: command.key(), mark: command.mark() }
    }
}

impl Subject<'_> {
    /// `SET of key "k" in db 0`
    pub(crate) fn named(&self) -> String {
        let (name, db) = (shown(self.name), self.mark.db);
        match self.key {
            Some(key) => format!("{name} of key \"{}\" in db {db}", shown(key)),
            None => format!("{name} in db {db}"),
        }
    }
}

/// Judges the replies to the commands of one batch, in order.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    counts: Counts,
    /// Inside a transaction: for each queued command, whether it is a script.
    transaction: Option<Vec<bool>>,
}

/// The first words of errors that say that a script was not run, or could not write. Any other error is the script's own, which
/// the source saw as well.
const NOT_THE_SCRIPT: [&str; 14] = [
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "NOPERM",
    "NOAUTH",
    "LOADING",
    "MISCONF",
    "BUSY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "CROSSSLOT",
    "NOREPLICAS",
];

impl Judge {
    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The reply of a server to a `SELECT` that the sink put in.
    pub(crate) fn select(&mut self, db: u32, reply: &ReplyRef<'_>) -> Result<()> {
        if let Some(queued) = &mut self.transaction {
            queued.push(false);
        }
        match reply.as_error() {
            None => Ok(()),
            Some(error) => {
                let text = format!("SELECT {db} was answered with '{}'", shown(error));
                Err(Error::new(ErrorKind::Rejected, text))
            }
        }
    }

    /// The reply of a server to `command`.
    pub(crate) fn reply(&mut self, command: &Command<'_>, reply: &ReplyRef<'_>) -> Result<()> {
        match command.kind() {
            Kind::Multi => self.transaction = Some(Vec::new()),
            Kind::Exec => {
                self.count(command);
                return self.exec(command, reply);
            }
            kind => {
                if let Some(queued) = &mut self.transaction {
                    queued.push(kind == Kind::Script);
                    self.count(command);
                    return reply.as_error().map_or(Ok(()), |error| Err(rejected(&command.into(), error)));
                }
            }
        }
        self.answer(command, &Answer::from(reply))
    }

    /// The answer to a command that is executed at once.
    pub(crate) fn answer(&mut self, command: &Command<'_>, answer: &Answer<'_>) -> Result<()> {
        let mark = command.mark();
        match (answer, mark.expect) {
            (Answer::Error(error), _) => self.error(command, error)?,
            (Answer::Nothing, Expect::Created) => return Err(conflict(&command.into())),
            (Answer::Nothing, Expect::CreatedOrKept) => self.counts.kept += 1,
            _ => self.counts.keys += u64::from(mark.keys),
        }
        self.count(command);
        Ok(())
    }

    /// A command that is applied, whatever it answered.
    pub(crate) fn count(&mut self, command: &Command<'_>) {
        self.counts.commands += 1;
        self.counts.bytes += command.raw().len() as u64;
    }

    fn error(&mut self, command: &Command<'_>, error: &[u8]) -> Result<()> {
        let mark = command.mark();
        // Redis 2.x has no code for it: "-ERR Target key name is busy."
        let busy = error.starts_with(b"BUSYKEY") || error.starts_with(b"ERR Target key name is busy");
        let exists = busy || (command.kind() == Kind::Code && contains(error, b"already exists"));
        match mark.expect {
            Expect::CreatedOrKept if exists => self.counts.kept += 1,
            Expect::Created if busy => return Err(conflict(&command.into())),
            _ if mark.may_expire && contains(error, b"no such key") => self.counts.keys += u64::from(mark.keys),
            _ if command.kind() == Kind::Script && of_the_script(error) => self.counts.script_errors += 1,
            _ => return Err(rejected(&command.into(), error)),
        }
        Ok(())
    }

    fn exec(&mut self, command: &Command<'_>, reply: &ReplyRef<'_>) -> Result<()> {
        let queued = self.transaction.take().unwrap_or_default();
        if let Some(error) = reply.as_error() {
            return Err(rejected(&command.into(), error));
        }
        let Some(results) = reply.as_array() else {
            return Err(rejected(&command.into(), b"nothing: the transaction was given up"));
        };
        for (result, script) in results.iter().zip(queued) {
            match result.as_error() {
                Some(error) if script && of_the_script(error) => self.counts.script_errors += 1,
                Some(error) => return Err(rejected(&command.into(), error)),
                None => {}
            }
        }
        Ok(())
    }
}

/// What the reply to a command that was executed by itself comes to, beside the command and its bytes.
pub(crate) fn alone(command: &Command<'_>, reply: &Reply) -> Result<Counts> {
    let mut judge = Judge::default();
    judge.answer(command, &Answer::from(reply))?;
    let mut counts = judge.counts();
    (counts.commands, counts.bytes) = (0, 0);
    Ok(counts)
}

/// Whether an error of a script is its own, which the source saw as well.
pub(crate) fn of_the_script(error: &[u8]) -> bool {
    !NOT_THE_SCRIPT.iter().any(|code| error.starts_with(code.as_bytes())) && !error.starts_with(b"ERR unknown command")
}

pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(200)].escape_ascii().to_string()
}

/// The error for a command that the target did not want.
pub(crate) fn rejected(subject: &Subject<'_>, error: &[u8]) -> Error {
    Error::new(ErrorKind::Rejected, format!("{} was answered with '{}'", subject.named(), shown(error)))
}

/// The error for a command that was to create a key which is there.
pub(crate) fn conflict(subject: &Subject<'_>) -> Error {
    let which = if subject.mark.keys > 1 { "one of its keys" } else { "that key" };
    let text = format!("{}: the target has {which} already, so somebody else writes there", subject.named());
    Error::new(ErrorKind::TargetNotEmpty, text)
}
