//! Keys that a server says have changed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use rdts_resp::{Reply, ReplyDecoder, encode};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines, StreamReader, StreamWriter, broken, text, within};

/// Flags of `notify-keyspace-events` without which some change of data would go unnoticed; `A` stands for all of them.
const CLASSES: &str = "g$lshzxe";
/// Streams, from Redis 5.0 on.
const STREAMS: char = 't';

/// What `notify-keyspace-events` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags {
    /// Every change of data is told.
    pub(super) complete: bool,
    /// By event (`E`): preferred, since it says less twice.
    pub(super) by_event: bool,
    /// By key (`K`).
    pub(super) by_key: bool,
}

impl Flags {
    pub(super) fn parse(flags: &str, streams: bool) -> Self {
        let has = |flag| flags.contains(flag);
        let classes = has('A') || (CLASSES.chars().all(has) && (!streams || has(STREAMS)));
        let (by_event, by_key) = (has('E'), has('K'));
        Self { complete: classes && (by_event || by_key), by_event, by_key }
    }

    /// The pattern to subscribe to.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            Self { by_event: true, .. } => "__keyevent@*__:*",
            Self { by_key: true, .. } => "__keyspace@*__:*",
            _ => "__key*@*__:*",
        }
    }
}

/// A connection that is told of changes, and the keys that have changed.
#[derive(Debug)]
pub(super) struct Listener {
    shared: Arc<Shared>,
    socket: StreamWriter,
    pattern: &'static str,
    deadlines: Deadlines,
    marks: u64,
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: Mutex<Changes>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Changes {
    keys: HashSet<(u32, Vec<u8>)>,
    bytes: usize,
    /// There were too many to keep, or the connection broke: only a pass finds what they were.
    lost: Option<Lost>,
    marks: u64,
}

/// Why changes were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// There were more than could be kept.
    TooMany,
    /// The connection is gone.
    Connection(String),
}

impl Shared {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Subscribes, and returns when the server has said so: it will tell of every change from now on. At most about `most` bytes of keys are
    /// kept.
    pub(super) async fn open(
        address: &NodeAddress,
        deadlines: Deadlines,
        pattern: &'static str,
        most: usize,
    ) -> Result<Self> {
        let (stream, input) = Connection::open(address, deadlines).await?.into_parts();
        let (reader, socket) = stream.into_split();
        let shared = Arc::new(Shared::default());
        let mut task = JoinSet::new();
        task.spawn(listen(reader, input, shared.clone(), most));
        let mut listener = Self { shared, socket, pattern, deadlines, marks: 0, _task: task };
        listener.mark().await.map_err(|error| error.at(address))?;
        Ok(listener)
    }

    /// Waits until every change has been told that was made before this call: the server answers in order.
    pub(super) async fn mark(&mut self) -> Result<()> {
        let mut command = Vec::new();
        // Another subscription to the same changes nothing, and is always confirmed; servers before 3.0 know no PING here.
        encode::command(&mut command, ["PSUBSCRIBE", self.pattern]);
        self.socket.send(&command).await.map_err(broken)?;
        self.marks += 1;
        let (shared, marks) = (&self.shared, self.marks);
        within(self.deadlines.reply, async {
            loop {
                let news = shared.news.notified();
                {
                    let changes = shared.changes();
                    if let Some(Lost::Connection(text)) = &changes.lost {
                        return Err(Error::new(ErrorKind::Disconnected, text.clone()));
                    }
                    if changes.marks >= marks {
                        return Ok(());
                    }
                }
                news.await;
            }
        })
        .await
    }

    /// Waits until there is something to do.
    pub(super) async fn changed(&self) {
        loop {
            let news = self.shared.news.notified();
            {
                let changes = self.shared.changes();
                if changes.lost.is_some() || !changes.keys.is_empty() {
                    return;
                }
            }
            news.await;
        }
    }

    /// Takes the keys that have changed.
    pub(super) fn take(&self) -> std::result::Result<HashSet<(u32, Vec<u8>)>, Lost> {
        let mut changes = self.shared.changes();
        changes.bytes = 0;
        let keys = std::mem::take(&mut changes.keys);
        match &changes.lost {
            None => Ok(keys),
            Some(Lost::TooMany) => {
                changes.lost = None;
                Err(Lost::TooMany)
            }
            Some(lost) => Err(lost.clone()),
        }
    }
}

async fn listen(mut socket: StreamReader, mut input: BytesMut, shared: Arc<Shared>, most: usize) {
    let mut decoder = ReplyDecoder::new();
    let why = loop {
        match decoder.decode(&input) {
            Ok(Some((used, reply))) => {
                let reply = reply.to_owned();
                input.advance(used);
                if let Err(text) = message(&reply, &shared, most) {
                    break text;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => break error.to_string(),
        }
        match socket.read_buf(&mut input).await {
            Ok(0) => break "the server closed the connection that tells of changes".to_owned(),
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    shared.changes().lost = Some(Lost::Connection(why));
    shared.news.notify_waiters();
}

fn message(reply: &Reply, shared: &Shared, most: usize) -> std::result::Result<(), String> {
    if reply.as_error().is_some() {
        return Err(format!("PSUBSCRIBE was answered with '{}'", text(reply)));
    }
    let words: Vec<&[u8]> = reply.as_array().unwrap_or_default().iter().filter_map(Reply::as_bytes).collect();
    let mut changes = shared.changes();
    match &words[..] {
        [b"pmessage", _, channel, payload] => {
            if let Some((db, key)) = changed_key(channel, payload) {
                let size = key.len() + 96;
                if changes.keys.insert((db, key.to_vec())) {
                    changes.bytes += size;
                }
                if changes.bytes > most {
                    changes.keys = HashSet::new();
                    changes.bytes = 0;
                    changes.lost = Some(Lost::TooMany);
                }
            }
        }
        [b"psubscribe", ..] => changes.marks += 1,
        _ => {}
    }
    drop(changes);
    shared.news.notify_waiters();
    Ok(())
}

/// Database and key of a notification.
fn changed_key<'a>(channel: &'a [u8], payload: &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (by_key, rest) = match (channel.strip_prefix(b"__keyspace@"), channel.strip_prefix(b"__keyevent@")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let db = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let rest = rest[digits..].strip_prefix(b"__:")?;
    Some((db, if by_key { rest } else { payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_as_servers_print_them() {
        for (flags, complete, pattern) in [
            ("", false, "__key*@*__:*"),
            ("AKE", true, "__keyevent@*__:*"),
            ("AK", true, "__keyspace@*__:*"),
            ("g$lshzxeE", false, "__keyevent@*__:*"),
            ("g$lshzxetE", true, "__keyevent@*__:*"),
            ("xE", false, "__keyevent@*__:*"),
            ("A", false, "__key*@*__:*"),
        ] {
            let parsed = Flags::parse(flags, true);
            assert_eq!((parsed.complete, parsed.pattern()), (complete, pattern), "{flags}");
        }
        assert!(Flags::parse("g$lshzxeE", false).complete, "before there were streams");
    }

    #[test]
    fn channels_tell_database_and_key() {
        let found = |channel: &'static str, payload: &'static str| changed_key(channel.as_bytes(), payload.as_bytes());
        assert_eq!(found("__keyevent@12__:set", "a:b"), Some((12, &b"a:b"[..])));
        assert_eq!(found("__keyspace@0__:a__:b", "set"), Some((0, &b"a__:b"[..])));
        assert_eq!(found("__keyspace@x__:a", "set"), None);
        assert_eq!(found("other", "set"), None);
    }
}
