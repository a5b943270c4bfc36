//! One connection to a server: TCP, login, and calls one at a time.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bytes::BytesMut;
use rdts_resp::{Reply, ReplyDecoder, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};

/// How long to wait for what.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For name look-up and TCP connection together. Default: 5 s.
    pub connect: Duration,
    /// For the whole reply to one command, or for any progress of a transfer. Default: 60 s, as `repl-timeout` of the servers;
    /// a target that runs one long command is silent for that time.
    pub reply: Duration,
    /// How long a server that is loading, or whose own primary link is down, is asked again before that is an error.
    /// Default: 60 s.
    pub ready: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), reply: Duration::from_secs(60), ready: Duration::from_secs(60) }
    }
}

impl Deadlines {
    /// Sets [`connect`](Self::connect).
    #[must_use]
    pub fn connect(mut self, time: Duration) -> Self {
        self.connect = time;
        self
    }

    /// Sets [`reply`](Self::reply).
    #[must_use]
    pub fn reply(mut self, time: Duration) -> Self {
        self.reply = time;
        self
    }

    /// Sets [`ready`](Self::ready).
    #[must_use]
    pub fn ready(mut self, time: Duration) -> Self {
        self.ready = time;
        self
    }
}

/// A connection that has logged in, used for one command at a time.
///
/// Pipelining sinks and the replica client take it apart with [`into_parts`](Self::into_parts).
pub struct Connection {
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
    decoder: ReplyDecoder,
    address: NodeAddress,
    deadlines: Deadlines,
}

impl Connection {
    /// Connects to `address` and logs in with its credentials. A server that is loading is asked again until
    /// [`Deadlines::ready`] has passed.
    ///
    /// # Errors
    /// [`Connect`](ErrorKind::Connect), [`Auth`](ErrorKind::Auth), [`NotReady`](ErrorKind::NotReady),
    /// [`Timeout`](ErrorKind::Timeout), or [`Protocol`](ErrorKind::Protocol) if that is no Redis server; all name the address.
    pub async fn open(address: &NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let mut connection = Self::connect(address, deadlines).await?;
        connection.login().await?;
        let started = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let reply = connection.call([b"PING"]).await?;
            match reply.error_code() {
                None => return Ok(connection),
                Some("LOADING" | "MASTERDOWN" | "BUSY") if started.elapsed() < deadlines.ready => {
                    tracing::info!(%address, reply = text(&reply), "the server is not ready yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                // A user that may not PING may still do all that is asked of it later.
                Some("NOPERM") => return Ok(connection),
                Some(_) => return Err(connection.refusal("PING", &reply)),
            }
        }
    }

    async fn connect(address: &NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let connect = TcpStream::connect((address.host.as_str(), address.port));
        let stream = match tokio::time::timeout(deadlines.connect, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(Error::new(ErrorKind::Connect, "cannot connect").with_source(error).at(address));
            }
            Err(_) => {
                let text = format!("no connection within {:?}", deadlines.connect);
                return Err(Error::new(ErrorKind::Timeout, text).at(address));
            }
        };
        // Requests are written whole: waiting to fill a segment only adds the peer's delayed acknowledgement to each round trip.
        stream.set_nodelay(true).map_err(|error| broken(error).at(address))?;
        Ok(Self {
            stream,
            input: BytesMut::with_capacity(16 * 1024),
            output: Vec::new(),
            decoder: ReplyDecoder::new(),
            address: address.clone(),
            deadlines,
        })
    }

    async fn login(&mut self) -> Result<()> {
        let Some(credentials) = self.address.credentials.clone() else { return Ok(()) };
        let password = credentials.password.expose().as_bytes();
        let reply = match &credentials.user {
            None => self.call([b"AUTH", password]).await?,
            Some(user) => {
                let reply = self.call([b"AUTH", user.as_bytes(), password]).await?;
                // Servers before 6.0 know passwords only; `default` is what 6.0 calls their one user.
                if user == "default"
                    && reply.error_code() == Some("ERR")
                    && text(&reply).contains("wrong number of arguments")
                {
                    self.call([b"AUTH", password]).await?
                } else {
                    reply
                }
            }
        };
        match reply.as_error() {
            None => Ok(()),
            Some(_) => {
                let error = format!("login refused: {}", text(&reply));
                Err(Error::new(ErrorKind::Auth, error).at(&self.address))
            }
        }
    }

    /// Sends one command and waits for its reply. An error reply is a reply: see [`refusal`](Self::refusal).
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected), [`Timeout`](ErrorKind::Timeout), [`Protocol`](ErrorKind::Protocol).
    pub async fn call<I>(&mut self, args: I) -> Result<Reply>
    where
        I: IntoIterator<IntoIter: ExactSizeIterator, Item: AsRef<[u8]>>,
    {
        self.output.clear();
        encode::command(&mut self.output, args);
        let deadline = self.deadlines.reply;
        let work = async {
            self.stream.write_all(&self.output).await.map_err(broken)?;
            read_reply(&mut self.stream, &mut self.input, &mut self.decoder).await
        };
        within(deadline, work).await.map_err(|error| error.at(&self.address))
    }

    /// Sends commands, ready as RESP, whose replies [`receive`](Self::receive) gives in order.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn send(&mut self, commands: &[u8]) -> Result<()> {
        let work = async { self.stream.write_all(commands).await.map_err(broken) };
        within(self.deadlines.reply, work).await.map_err(|error| error.at(&self.address))
    }

    /// The reply to the oldest command that was [sent](Self::send) and has none yet.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn receive(&mut self) -> Result<Reply> {
        let work = read_reply(&mut self.stream, &mut self.input, &mut self.decoder);
        within(self.deadlines.reply, work).await.map_err(|error| error.at(&self.address))
    }

    /// `INFO section` as text.
    ///
    /// # Errors
    /// As [`call`](Self::call); an error reply is one, too.
    pub async fn info(&mut self, section: &str) -> Result<String> {
        let reply = self.call(["INFO", section]).await?;
        match reply.as_bytes() {
            Some(info) => Ok(String::from_utf8_lossy(info).into_owned()),
            _ => Err(self.refusal("INFO", &reply)),
        }
    }

    /// Whether the server takes itself for a primary: nothing if it does.
    ///
    /// # Errors
    /// [`NotReady`](ErrorKind::NotReady) if it is a replica; as [`call`](Self::call); other refusals.
    pub(crate) async fn expect_primary(&mut self) -> Result<()> {
        let reply = self.call(["ROLE"]).await?;
        match reply.as_array().and_then(|items| items.first()).and_then(Reply::as_bytes) {
            Some(b"master") => Ok(()),
            Some(_) => {
                Err(Error::new(ErrorKind::NotReady, "is a replica: a fail-over is not over yet").at(&self.address))
            }
            // `ROLE` is younger (2.8.12) than all that asks for it, and a user may lack it.
            None if matches!(reply.error_code(), Some("ERR" | "NOPERM")) => Ok(()),
            None => Err(self.refusal("ROLE", &reply)),
        }
    }

    /// The error that says that the server refused `command` with `reply`.
    pub fn refusal(&self, command: &str, reply: &Reply) -> Error {
        let kind = match reply.error_code() {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED") => ErrorKind::Auth,
            Some("LOADING" | "MASTERDOWN" | "NOMASTERLINK" | "BUSY") => ErrorKind::NotReady,
            Some(_) if text(reply).contains("operation not permitted") => ErrorKind::Auth,
            Some(_) => ErrorKind::Rejected,
            None => ErrorKind::Protocol,
        };
        Error::new(kind, format!("{command} was answered with '{}'", text(reply))).at(&self.address)
    }

    /// Where this connection goes.
    pub fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// The socket, and the bytes that were read from it and not used.
    pub fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.stream, self.input)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The value of a field of an `INFO` reply, if it is there.
pub fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// A pause of at least half of `pause`, at random, so that many who wait do not come back all at once.
pub fn shortened(pause: Duration) -> Duration {
    // The only randomness at hand without a dependency: the keys of a hash map.
    let random = RandomState::new().build_hasher().finish();
    let half = pause / 2;
    half + half.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
}

async fn read_reply(stream: &mut TcpStream, input: &mut BytesMut, decoder: &mut ReplyDecoder) -> Result<Reply> {
    loop {
        let decoded = decoder
            .decode(input)
            .map_err(|error| Error::protocol("this is not the answer of a Redis server").with_source(error))?;
        if let Some((used, reply)) = decoded {
            let reply = reply.to_owned();
            bytes::Buf::advance(input, used);
            return Ok(reply);
        }
        if stream.read_buf(input).await.map_err(broken)? == 0 {
            return Err(Error::new(ErrorKind::Disconnected, "the server closed the connection"));
        }
    }
}

/// Runs `work` with a deadline.
pub(crate) async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(ErrorKind::Timeout, format!("no answer within {deadline:?}"))),
    }
}

/// The error of a connection that broke.
pub(crate) fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, "the connection broke").with_source(error)
}

/// A reply as text for a message: bounded, since servers quote what they were sent.
pub(crate) fn text(reply: &Reply) -> String {
    match reply.as_error().or_else(|| reply.as_bytes()) {
        Some(bytes) => bytes[..bytes.len().min(200)].escape_ascii().to_string(),
        None => format!("{reply:?}").chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_shortened_by_at_most_a_half() {
        let pause = Duration::from_millis(100);
        for _ in 0..1000 {
            let short = shortened(pause);
            assert!(short >= pause / 2 && short <= pause, "{short:?}");
        }
    }
}
