//! The one error type of this crate.

use std::fmt;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Something that stopped a migration, or kept it from starting.
///
/// [`kind`](Error::kind) says what happened, the text where (an endpoint, a key, an offset),
/// [`solution`](Error::solution) what to do about it, and [`retry`](Error::retry) whether trying again can help.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{context}{}", source.as_ref().map_or_else(String::new, |source| format!(": {source}")))]
struct Inner {
    kind: ErrorKind,
    context: String,
    source: Option<BoxError>,
}

/// What went wrong, for programs.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A configuration, URL or argument that cannot be used.
    Config,
    /// Something that this version of RDTS does not do; it is refused rather than guessed.
    Unsupported,
    /// No connection: name not found, refused, unreachable.
    Connect,
    /// One side does not accept the other's certificate, or only one of them speaks TLS at this port; the text says which, and what would
    /// help.
    Tls,
    /// The server refused the credentials, or the user may not do what is needed.
    Auth,
    /// The server does not let us be its replica: the user may not `PSYNC`, or nobody may, as with managed services. Its keys may still be read:
    /// [`ScanSource`](crate::source::ScanSource).
    ReplicationForbidden,
    /// The server is loading, or has lost its own primary: it will be ready later.
    NotReady,
    /// The target holds data and the policy is to refuse that.
    TargetNotEmpty,
    /// Source and target are the same server.
    SameServer,
    /// A deployment is not what it has to be: a cluster that lacks slots, a node that is in none, a service that no Sentinel knows,
    /// a dashboard that answers nonsense.
    Topology,
    /// An established connection broke, or the peer closed it.
    Disconnected,
    /// A source cannot send what followed the last thing read: its history is another one, or it keeps no record that long. The
    /// target holds what was copied until then.
    HistoryLost,
    /// The peer sent what the protocol does not allow here.
    Protocol,
    /// A damaged, cut or unreadable snapshot; the text has the offset.
    Snapshot,
    /// The target answered a write with an error.
    Rejected,
    /// A deadline passed.
    Timeout,
    /// Reading or writing a file failed.
    Io,
    /// The [spool](crate::spool) cannot be written or read: the disk is full, another process uses the directory. What was written before is
    /// good.
    Spool,
    /// A file of the [spool](crate::spool) is not what was written.
    SpoolDamaged,
    /// A limit on memory or size was reached.
    Limit,
    /// The caller asked to stop before the work was whole.
    Interrupted,
    /// What was asked for is not possible in the state that a [task](crate::task) is in.
    Refused,
    /// A file of a [store of tasks](crate::task::FileStore) is not what was written.
    StoreDamaged,
    /// A comparison found that the target does not have what the source has.
    Different,
    /// The target cannot hold some of the data, and nobody has said that it may be left out.
    Loss,
}

/// Whether trying again can help, and from where.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same operation may succeed later, from where it stopped.
    Resume,
    /// Only a new full copy can succeed.
    Restart,
    /// Not without a change by a person.
    Never,
}

impl Error {
    /// An error of `kind`; `context` says where and what, in words for a person.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, context: context.into(), source: None }))
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts `place` in front of the text, as in `place: text`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.context = format!("{place}: {}", self.0.context);
        self
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self.kind() {
            ErrorKind::Connect
            | ErrorKind::NotReady
            | ErrorKind::Disconnected
            | ErrorKind::Timeout
            | ErrorKind::Spool => Retry::Resume,
            ErrorKind::Interrupted | ErrorKind::HistoryLost => Retry::Restart,
            _ => Retry::Never,
        }
    }

    /// What an operator can do about it, if there is general advice.
    pub fn solution(&self) -> Option<&'static str> {
        Some(match self.kind() {
            ErrorKind::Connect => "check host and port, and that this machine may connect to them",
            ErrorKind::Tls => {
                "check the certificates and the options ca, cert, key and server-name of the URL; verify=off is for tests alone"
            }
            ErrorKind::Auth => {
                "check user and password; a source user needs +psync +replconf +ping +info, a target user the write commands"
            }
            ErrorKind::ReplicationForbidden => {
                "permit the source's user +psync +replconf +ping +info, or copy by SCAN, which cannot guarantee as much"
            }
            ErrorKind::NotReady => "wait until the server has loaded its data and its own primary link is up",
            ErrorKind::TargetNotEmpty => "empty the target, or choose another conflict policy (replace or skip)",
            ErrorKind::SameServer => "name two different servers",
            ErrorKind::Topology => {
                "bring the deployment in order (CLUSTER INFO, SENTINEL MASTERS, the dashboard say what is wrong), or correct the URL"
            }
            ErrorKind::Disconnected => {
                "look into the server's log; a source may have cut a slow replica (client-output-buffer-limit, repl-timeout)"
            }
            ErrorKind::HistoryLost => {
                "empty the target and run again; a larger repl-backlog-size lets the source remember a longer interruption"
            }
            ErrorKind::Snapshot => "take a new snapshot; a file can be checked with redis-check-rdb or redis-check-aof",
            ErrorKind::Rejected => {
                "remedy what the target complains of (memory, permissions, type), empty it and run again"
            }
            ErrorKind::Spool => {
                "make room on the disk of the state directory, or end the process that uses it, and run again: it goes on where it stopped"
            }
            ErrorKind::SpoolDamaged => {
                "remove the spool's directory and run again: a stream goes on from the target's checkpoint, a snapshot has to be copied anew"
            }
            ErrorKind::StoreDamaged => {
                "put the file back from a copy, or remove it: the task it holds is forgotten then"
            }
            ErrorKind::Different => {
                "look into the keys that are named; the program verify lists them all, and --repair sets them right"
            }
            ErrorKind::Loss => "choose a target that can hold it, or have it left out (a policy for losses, or rules)",
            ErrorKind::Interrupted => "the target is incomplete: empty it and run again",
            _ => return None,
        })
    }

    pub(crate) fn config(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, context)
    }

    pub(crate) fn protocol(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, context)
    }
}
