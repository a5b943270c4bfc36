//! What a source says of itself.

use std::fmt;
use std::time::Duration;

use rdts_resp::Reply;

use super::Bytes;
use crate::error::Result;
use crate::net::{Connection, info_field};

/// What a source says of its limits and its state, as far as our user may ask.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceFacts {
    /// `client-output-buffer-limit` for replicas; `None` where `CONFIG` is forbidden.
    pub output_buffer: Option<OutputBuffer>,
    /// `repl-backlog-size` in bytes; `None` as above.
    pub backlog: Option<u64>,
    /// `repl-timeout`; `None` as above.
    pub repl_timeout: Option<Duration>,
    /// Bytes per second that clients send, lately; 0 before Redis 3.0, which does not say.
    pub input_rate: u64,
    /// Bytes of memory in use.
    pub used_memory: u64,
    /// Bytes of memory of the machine; `None` before Redis 3.2, which does not say.
    pub system_memory: Option<u64>,
    /// Whether a snapshot or an AOF is being written.
    pub saving: bool,
    /// How long the last fork took, during which clients had to wait.
    pub last_fork: Duration,
    /// What waits for each replica; empty where `CLIENT LIST` is forbidden.
    pub replicas: Vec<ReplicaBuffer>,
}

/// When a server cuts a replica off. Zero means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputBuffer {
    /// At once when so many bytes wait.
    pub hard: u64,
    /// When so many bytes wait for [`soft_time`](Self::soft_time).
    pub soft: u64,
    /// See [`soft`](Self::soft).
    pub soft_time: Duration,
}

impl OutputBuffer {
    /// How many bytes may wait in the end if what waits grows for this long.
    pub(super) fn within(self, time: Duration) -> Option<u64> {
        let soft = Some(self.soft).filter(|soft| *soft > 0 && time > self.soft_time);
        let hard = Some(self.hard).filter(|hard| *hard > 0);
        [soft, hard].into_iter().flatten().min()
    }
}

impl fmt::Display for OutputBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.hard, self.soft) {
            (0, 0) => f.write_str("any amount"),
            (hard, 0) => write!(f, "{}", Bytes(hard)),
            (0, soft) => write!(f, "{} for {} s", Bytes(soft), self.soft_time.as_secs()),
            (hard, soft) => write!(f, "{}, or {} for {} s", Bytes(hard), Bytes(soft), self.soft_time.as_secs()),
        }
    }
}

/// What waits in a server for one of its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaBuffer {
    /// The other end of its connection.
    pub address: String,
    /// Bytes.
    pub waiting: u64,
}

impl SourceFacts {
    /// Asks the server at the other end. What our user may not ask is left out.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn ask(connection: &mut Connection) -> Result<Self> {
        let info = connection.info("default").await?;
        let field = |name: &str| info_field(&info, name);
        let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
        let is_set = |name: &str| number(name).is_some_and(|value| value > 0);
        let mut facts = Self {
            input_rate: field("instantaneous_input_kbps").map_or(0, kilobytes),
            used_memory: number("used_memory").unwrap_or_default(),
            system_memory: number("total_system_memory"),
            saving: is_set("rdb_bgsave_in_progress") || is_set("aof_rewrite_in_progress"),
            last_fork: Duration::from_micros(number("latest_fork_usec").unwrap_or_default()),
            ..Self::default()
        };
        facts.backlog = setting(connection, "repl-backlog-size").await?.and_then(|text| text.parse().ok());
        let timeout = setting(connection, "repl-timeout").await?.and_then(|text| text.parse().ok());
        facts.repl_timeout = timeout.map(Duration::from_secs);
        let limits = setting(connection, "client-output-buffer-limit").await?;
        facts.output_buffer = limits.and_then(|limits| output_buffer(&limits));
        // Only the replicas, where the server can tell them (since Redis 5.0): it may have many clients.
        let mut clients = connection.call(["CLIENT", "LIST", "TYPE", "slave"]).await?;
        if clients.is_error() {
            clients = connection.call(["CLIENT", "LIST"]).await?;
        }
        let clients = clients.as_str().filter(|_| !clients.is_error()).unwrap_or_default();
        facts.replicas = clients.lines().filter_map(replica).collect();
        Ok(facts)
    }
}

/// `12.34`
fn kilobytes(text: &str) -> u64 {
    let whole = text.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
    whole.unwrap_or_default().saturating_mul(1024)
}

async fn setting(connection: &mut Connection, name: &str) -> Result<Option<String>> {
    let reply: Reply = connection.call(["CONFIG", "GET", name]).await?;
    Ok(reply.get(name).and_then(|value| value.as_str().map(str::to_owned)))
}

/// `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`
fn output_buffer(limits: &str) -> Option<OutputBuffer> {
    let mut words = limits.split(' ').skip_while(|word| !matches!(*word, "slave" | "replica")).skip(1);
    let mut number = || words.next()?.parse().ok();
    Some(OutputBuffer { hard: number()?, soft: number()?, soft_time: Duration::from_secs(number()?) })
}

/// `id=7 addr=127.0.0.1:41234 … flags=S … omem=20504 …`
fn replica(client: &str) -> Option<ReplicaBuffer> {
    let field = |name: &str| client.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    if !field("flags")?.contains('S') {
        return None;
    }
    Some(ReplicaBuffer { address: field("addr")?.to_owned(), waiting: field("omem")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_replicas_are_read_as_servers_print_them() {
        let limits = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        let expected = OutputBuffer { hard: 256 << 20, soft: 64 << 20, soft_time: Duration::from_secs(60) };
        assert_eq!(output_buffer(limits), Some(expected));
        assert_eq!(expected.to_string(), "256.0 MiB, or 64.0 MiB for 60 s");
        assert_eq!(output_buffer("normal 0 0 0"), None);
        let client = "id=7 addr=127.0.0.1:41234 laddr=127.0.0.1:6379 fd=9 name= age=1 idle=0 flags=S db=0 omem=20504 events=r cmd=replconf";
        assert_eq!(replica(client), Some(ReplicaBuffer { address: "127.0.0.1:41234".to_owned(), waiting: 20504 }));
        assert_eq!(replica(&client.replace("flags=S", "flags=N")), None);
    }
}
