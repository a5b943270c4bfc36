//! One connection to a server: TCP, TLS, login, and calls one at a time.

mod deadlines;
mod probe;
mod stream;

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bytes::BytesMut;
use rdts_resp::{Reply, ReplyDecoder, encode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::tls::handshake;

pub use self::deadlines::Deadlines;
pub use self::stream::{Moved, Stream, StreamReader, StreamWriter};

/// A connection that has logged in, used for one command at a time.
///
/// Pipelining sinks and the replica client take it apart with [`into_parts`](Self::into_parts).
pub struct Connection {
    stream: Stream,
    input: BytesMut,
    output: Vec<u8>,
    decoder: ReplyDecoder,
    address: NodeAddress,
    deadlines: Deadlines,
    /// Whether the server has ever answered.
    heard: bool,
}

impl Connection {
    /// Connects to `address`, by TLS if it says so, and logs in with its credentials. A server that is loading is asked again until
    /// [`Deadlines::ready`] has passed.
    ///
    /// # Errors
    /// [`Connect`](ErrorKind::Connect), [`Tls`](ErrorKind::Tls), also where one side speaks TLS and the other does not,
    /// [`Auth`](ErrorKind::Auth), [`NotReady`](ErrorKind::NotReady),
    /// [`Timeout`](ErrorKind::Timeout), or [`Protocol`](ErrorKind::Protocol) if that is no Redis server; all name the address.
    pub async fn open(address: &NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let mut connection = Self::connect(address, deadlines).await?;
        match connection.begin().await {
            Err(error) if !connection.heard && error.kind() == ErrorKind::Disconnected => {
                Err(probe::of_silence(error, address, deadlines).await)
            }
            begun => begun.map(|()| connection),
        }
    }

    /// Logs in and waits until the server is ready.
    async fn begin(&mut self) -> Result<()> {
        self.login().await?;
        let deadlines = self.deadlines;
        let started = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let reply = self.call([b"PING"]).await?;
            match reply.error_code() {
                None => return Ok(()),
                Some("LOADING" | "MASTERDOWN" | "BUSY") if started.elapsed() < deadlines.ready => {
                    tracing::info!(address = %self.address, reply = text(&reply), "the server is not ready yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                // A user that may not PING may still do all that is asked of it later.
                Some("NOPERM") => return Ok(()),
                Some(_) => return Err(self.refusal("PING", &reply)),
            }
        }
    }

    async fn connect(address: &NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let socket = socket(address, deadlines).await?;
        let stream = match &address.tls {
            None => Stream::plain(socket),
            Some(tls) => match tokio::time::timeout(deadlines.connect, handshake(socket, address, tls)).await {
                Ok(Ok(stream)) => Stream::tls(stream),
                Ok(Err(error)) if error.kind() == ErrorKind::Disconnected => {
                    return Err(probe::of_handshake(error.at(address), address, deadlines).await);
                }
                Ok(Err(error)) => return Err(error.at(address)),
                // A server that expects commands takes a greeting of TLS for the beginning of one, and waits for its end.
                Err(_) => {
                    let text = format!("no TLS handshake within {:?}", deadlines.connect);
                    let error = Error::new(ErrorKind::Timeout, text).at(address);
                    return Err(probe::of_handshake(error, address, deadlines).await);
                }
            },
        };
        Ok(Self {
            stream,
            input: BytesMut::with_capacity(16 * 1024),
            output: Vec::new(),
            decoder: ReplyDecoder::new(),
            address: address.clone(),
            deadlines,
            heard: false,
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
                let error = format!("login refused: {}", without(text(&reply), password));
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
            self.stream.send(&self.output).await.map_err(broken)?;
            read_reply(&mut self.stream, &mut self.input, &mut self.decoder).await
        };
        let reply = within(deadline, work).await.map_err(|error| error.at(&self.address))?;
        self.heard = true;
        Ok(reply)
    }

    /// Sends commands, ready as RESP, whose replies [`receive`](Self::receive) gives in order.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn send(&mut self, commands: &[u8]) -> Result<()> {
        let work = async { self.stream.send(commands).await.map_err(broken) };
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
    pub fn into_parts(self) -> (Stream, BytesMut) {
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

async fn read_reply(stream: &mut Stream, input: &mut BytesMut, decoder: &mut ReplyDecoder) -> Result<Reply> {
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

/// A socket that is connected to `address`, on which nothing was said.
async fn socket(address: &NodeAddress, deadlines: Deadlines) -> Result<TcpStream> {
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let socket = match tokio::time::timeout(deadlines.connect, connect).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            return Err(Error::new(ErrorKind::Connect, "cannot connect").with_source(error).at(address));
        }
        Err(_) => {
            let text = format!("no connection within {:?}", deadlines.connect);
            return Err(Error::new(ErrorKind::Timeout, text).at(address));
        }
    };
    // Requests are written whole: waiting to fill a segment only adds the peer's delayed acknowledgement to each round trip.
    socket.set_nodelay(true).map_err(|error| broken(error).at(address))?;
    Ok(socket)
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

/// What a server said to a login, without the password: one that does not know `AUTH`, or a proxy, repeats what it was given.
fn without(mut said: String, password: &[u8]) -> String {
    if let Some(given) = said.find(", with args beginning with") {
        said.truncate(given);
    }
    match password.is_empty() {
        true => said,
        false => said.replace(&password.escape_ascii().to_string(), "***"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_a_password_is_cut() {
        let said = "ERR unknown command 'AUTH', with args beginning with: 'hunter2' ".to_owned();
        assert_eq!(without(said, b"hunter2"), "ERR unknown command 'AUTH'");
        assert_eq!(without("ERR what is hunt\\x00er2?".to_owned(), b"hunt\0er2"), "ERR what is ***?");
        assert_eq!(without("ERR no".to_owned(), b""), "ERR no");
    }

    #[test]
    fn pauses_are_shortened_by_at_most_a_half() {
        let pause = Duration::from_millis(100);
        for _ in 0..1000 {
            let short = shortened(pause);
            assert!(short >= pause / 2 && short <= pause, "{short:?}");
        }
    }
}
