//! From a connection that has logged in to the reply to `PSYNC`, without any I/O.

use std::net::IpAddr;

use rdts_resp::encode;

use crate::error::{Error, ErrorKind, Result};
use crate::record::ReplicationId;

/// Where a replica wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resume {
    /// Nowhere: a full copy.
    FullCopy,
    /// After `offset` of the history `replid`.
    After {
        /// The history.
        replid: ReplicationId,
        /// The last offset that needs not be sent again.
        offset: u64,
    },
}

/// Where a replica says that it can be reached.
///
/// A primary shows it to its operators and to Sentinels, which connect to the replicas that a primary lists. The default, port 0,
/// keeps them from taking us for a replica that could be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Announce {
    /// The TCP port. Default: 0.
    pub port: u16,
    /// The address, where the primary sees another one (Redis 3.2 and later; older ones do not understand it, which is no
    /// obstacle). Default: none.
    pub address: Option<IpAddr>,
}

impl Announce {
    /// Reachable at `address`, port `port`.
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self { port, address: Some(address) }
    }
}

/// What the primary agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sync {
    /// An RDB follows, and after it the stream from `offset` on.
    Full {
        /// The history, [`ReplicationId::NONE`] from a server that only knows `SYNC`.
        replid: ReplicationId,
        /// What the RDB contains; 0 from a server that only knows `SYNC`, whose stream has no offsets.
        offset: u64,
    },
    /// The stream follows at once.
    Continue {
        /// The history, which a promotion may have given a new name.
        replid: ReplicationId,
    },
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Send these bytes, then wait for a line.
    Send(Vec<u8>),
    /// The server is not ready: send these bytes after a pause. The text is what it said.
    SendLater(Vec<u8>, String),
    /// The handshake is over.
    Done(Sync),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ListeningPort,
    IpAddress,
    Capabilities,
    Version,
    Psync,
    Sync,
}

/// The handshake of a replica as a state machine: it is given the lines that the primary sends and says what to answer.
///
/// Bare newlines, which a primary sends while it prepares a snapshot, are no lines: the caller skips them.
///
/// ```
/// use rdts_core::replica::{Action, Announce, Handshake, Resume, Sync};
///
/// let (mut handshake, first) = Handshake::start(Resume::FullCopy, Announce::default());
/// assert!(first.starts_with(b"*3\r\n$8\r\nREPLCONF\r\n"));
/// handshake.line(b"+OK")?; // listening-port
/// handshake.line(b"+OK")?; // capa eof psync2
/// handshake.line(b"-ERR Unrecognized REPLCONF option: version")?; // not a Valkey: never mind
/// let done = handshake.line(b"+FULLRESYNC 4c1b873d2c85f0b3c32321aee14c7ef5363543d4 14")?;
/// assert!(matches!(done, Action::Done(Sync::Full { offset: 14, .. })));
/// # Ok::<(), rdts_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Handshake {
    state: State,
    resume: Resume,
    announce: Announce,
}

impl Handshake {
    /// Starts a handshake; the second value is what to send first.
    pub fn start(resume: Resume, announce: Announce) -> (Self, Vec<u8>) {
        let first = command(&["REPLCONF", "listening-port", &announce.port.to_string()]);
        (Self { state: State::ListeningPort, resume, announce }, first)
    }

    /// The primary sent `line` (without CR LF).
    ///
    /// # Errors
    /// A refusal that no retry mends, or an answer that the protocol does not know.
    pub fn line(&mut self, line: &[u8]) -> Result<Action> {
        match self.state {
            // An error to an option is no obstacle: it only says that the server is older than the option.
            State::ListeningPort => {
                status(line, "REPLCONF listening-port")?;
                match self.announce.address {
                    Some(address) => {
                        self.state = State::IpAddress;
                        Ok(Action::Send(command(&["REPLCONF", "ip-address", &address.to_string()])))
                    }
                    None => Ok(self.capabilities()),
                }
            }
            State::IpAddress => {
                status(line, "REPLCONF ip-address")?;
                Ok(self.capabilities())
            }
            State::Capabilities => {
                status(line, "REPLCONF capa")?;
                self.state = State::Version;
                // Without it a Valkey 9 makes an RDB for older servers, and cuts the connection if a hash field has an expiry.
                Ok(Action::Send(command(&["REPLCONF", "version", "9.0.0"])))
            }
            State::Version => {
                status(line, "REPLCONF version")?;
                self.state = State::Psync;
                Ok(Action::Send(self.psync()))
            }
            State::Psync => self.psync_reply(line),
            State::Sync => Err(refused("SYNC", line)),
        }
    }

    /// Whether `SYNC` was sent, which is answered by the payload itself and not by a line: a `$` ends the handshake then.
    pub fn awaits_payload(&self) -> bool {
        self.state == State::Sync
    }

    fn capabilities(&mut self) -> Action {
        self.state = State::Capabilities;
        Action::Send(command(&["REPLCONF", "capa", "eof", "capa", "psync2"]))
    }

    fn psync(&self) -> Vec<u8> {
        match self.resume {
            Resume::FullCopy => command(&["PSYNC", "?", "-1"]),
            // The wire counts from the first byte that is wanted.
            Resume::After { replid, offset } => command(&["PSYNC", replid.as_str(), &(offset + 1).to_string()]),
        }
    }

    fn psync_reply(&mut self, line: &[u8]) -> Result<Action> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("+FULLRESYNC") => {
                let (Some(replid), Some(offset)) = (words.next(), words.next()) else {
                    return Err(refused("PSYNC", line));
                };
                let offset = offset.parse().map_err(|_| refused("PSYNC", line))?;
                Ok(Action::Done(Sync::Full { replid: replid.parse()?, offset }))
            }
            Some("+CONTINUE") => {
                let Resume::After { replid: ours, .. } = self.resume else { return Err(refused("PSYNC ? -1", line)) };
                // Before 4.0 the history cannot change its name, and none is sent.
                let replid = words.next().map_or(Ok(ours), str::parse)?;
                Ok(Action::Done(Sync::Continue { replid }))
            }
            _ if not_ready(&text) => Ok(Action::SendLater(self.psync(), text.into_owned())),
            Some("-ERR") if text.contains("unknown command") => {
                self.state = State::Sync;
                Ok(Action::Send(command(&["SYNC"])))
            }
            _ => Err(refused("PSYNC", line)),
        }
    }
}

fn not_ready(text: &str) -> bool {
    text.starts_with("-LOADING")
        || text.starts_with("-NOMASTERLINK")
        || text.starts_with("-MASTERDOWN")
        // Before 4.0 the same refusal has no code of its own.
        || text.starts_with("-ERR Can't SYNC while not connected")
}

fn status(line: &[u8], command: &str) -> Result<()> {
    match line.first() {
        Some(b'+') => Ok(()),
        Some(b'-') if !line.starts_with(b"-NOAUTH") && !line.starts_with(b"-NOPERM") => Ok(()),
        _ => Err(refused(command, line)),
    }
}

fn refused(command: &str, line: &[u8]) -> Error {
    let shown = &line[..line.len().min(200)];
    let kind = match line.first() {
        _ if line.starts_with(b"-NOAUTH") => ErrorKind::Auth,
        // All of the handshake is needed for replication and for nothing else.
        _ if line.starts_with(b"-NOPERM") => ErrorKind::ReplicationForbidden,
        Some(b'-') if is_forbidden(line) => ErrorKind::ReplicationForbidden,
        Some(b'-') => ErrorKind::Rejected,
        _ => ErrorKind::Protocol,
    };
    Error::new(kind, format!("{command} was answered with '{}'", shown.escape_ascii()))
}

/// A command that is unknown was renamed or removed; services that forbid it say so in words of their own.
fn is_forbidden(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line).to_ascii_lowercase();
    ["unknown command", "not allowed", "not permitted", "not supported", "permission", "disabled", "forbidden"]
        .iter()
        .any(|words| text.contains(words))
}

fn command(args: &[&str]) -> Vec<u8> {
    let mut buf = Vec::new();
    encode::command(&mut buf, args);
    buf
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "4c1b873d2c85f0b3c32321aee14c7ef5363543d4";

    fn at_psync(resume: Resume) -> Handshake {
        let (mut handshake, _) = Handshake::start(resume, Announce::default());
        for _ in 0..3 {
            assert!(matches!(handshake.line(b"+OK").unwrap(), Action::Send(_)));
        }
        handshake
    }

    #[test]
    fn a_resume_asks_for_the_next_byte() {
        let (mut handshake, _) =
            Handshake::start(Resume::After { replid: ID.parse().unwrap(), offset: 41 }, Announce::default());
        handshake.line(b"+OK").unwrap();
        handshake.line(b"+OK").unwrap();
        assert_eq!(handshake.line(b"+OK").unwrap(), Action::Send(command(&["PSYNC", ID, "42"])));
        let other = ID.replace('4', "a");
        assert_eq!(
            handshake.line(format!("+CONTINUE {other}").as_bytes()).unwrap(),
            Action::Done(Sync::Continue { replid: other.parse().unwrap() })
        );
        assert_eq!(handshake.line(b"+CONTINUE").unwrap(), Action::Done(Sync::Continue { replid: ID.parse().unwrap() }));
    }

    #[test]
    fn an_address_is_announced_and_may_be_refused() {
        let announce = Announce::new("10.0.0.9".parse().unwrap(), 7000);
        let (mut handshake, first) = Handshake::start(Resume::FullCopy, announce);
        assert_eq!(first, command(&["REPLCONF", "listening-port", "7000"]));
        let address = handshake.line(b"+OK").unwrap();
        assert_eq!(address, Action::Send(command(&["REPLCONF", "ip-address", "10.0.0.9"])));
        let next = handshake.line(b"-ERR Unrecognized REPLCONF option: ip-address").unwrap();
        assert_eq!(next, Action::Send(command(&["REPLCONF", "capa", "eof", "capa", "psync2"])));
    }

    #[test]
    fn a_server_without_psync_is_asked_with_sync() {
        let mut handshake = at_psync(Resume::FullCopy);
        assert_eq!(handshake.line(b"-ERR unknown command 'PSYNC'").unwrap(), Action::Send(command(&["SYNC"])));
        assert!(handshake.awaits_payload());
        assert_eq!(handshake.line(b"-ERR no").unwrap_err().kind(), ErrorKind::Rejected);
        let forbidden = handshake.line(b"-ERR unknown command 'SYNC'").unwrap_err();
        assert_eq!(forbidden.kind(), ErrorKind::ReplicationForbidden);
    }

    #[test]
    fn a_server_that_is_not_ready_is_asked_again() {
        let mut handshake = at_psync(Resume::FullCopy);
        for line in [
            "-LOADING Redis is loading the dataset in memory",
            "-NOMASTERLINK Can't SYNC while not connected with my master",
            "-ERR Can't SYNC while not connected with my master",
        ] {
            let action = handshake.line(line.as_bytes()).unwrap();
            assert_eq!(action, Action::SendLater(command(&["PSYNC", "?", "-1"]), line.into()));
        }
    }

    #[test]
    fn refusals_say_what_was_refused() {
        for (line, kind) in [
            ("-NOPERM this user has no permissions", ErrorKind::ReplicationForbidden),
            ("-ERR command PSYNC is not allowed", ErrorKind::ReplicationForbidden),
            ("-NOAUTH Authentication required.", ErrorKind::Auth),
            ("-ERR something", ErrorKind::Rejected),
            ("+FULLRESYNC x 1", ErrorKind::Protocol),
            ("+FULLRESYNC", ErrorKind::Protocol),
            ("+CONTINUE", ErrorKind::Protocol),
            ("", ErrorKind::Protocol),
            (":1", ErrorKind::Protocol),
        ] {
            let error = at_psync(Resume::FullCopy).line(line.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), kind, "{line}: {error}");
        }
    }
}
