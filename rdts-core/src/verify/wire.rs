//! A connection on which many commands are under way at once, whose replies are looked at where they lie.

use bytes::{Buf, BytesMut};
use rdts_resp::{ReplyDecoder, ReplyRef, encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines, broken, within};

/// Longer replies are passed over and not kept.
pub(super) const LONGEST: usize = 4 << 20;
/// Room that is made for one read.
const READ: usize = 64 << 10;

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// What a command was answered with.
pub(super) enum Answer<'a> {
    Reply(ReplyRef<'a>),
    /// A string of more than [`LONGEST`] bytes.
    TooLong,
}

impl<'a> Answer<'a> {
    pub(super) fn reply(self) -> Option<ReplyRef<'a>> {
        match self {
            Self::Reply(reply) => Some(reply),
            Self::TooLong => None,
        }
    }
}

/// One connection. Commands are collected and then [exchanged](Self::exchange) for their replies.
pub(super) struct Wire {
    read: ReadHalf<Box<dyn Socket>>,
    write: WriteHalf<Box<dyn Socket>>,
    input: BytesMut,
    output: Vec<u8>,
    waiting: usize,
    decoder: ReplyDecoder,
    address: NodeAddress,
    deadlines: Deadlines,
    /// The database that is selected.
    db: u32,
    /// Longer strings are passed over.
    longest: usize,
}

impl Wire {
    pub(super) async fn open(address: &NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let mut connection = Connection::open(address, deadlines).await?;
        // So that comparing does not make every key a recently used one. Servers before 7.2 do not know it, and a user may lack it.
        connection.call(["CLIENT", "NO-TOUCH", "ON"]).await?;
        let (stream, input) = connection.into_parts();
        let stream: Box<dyn Socket> = Box::new(stream);
        let (read, write) = tokio::io::split(stream);
        Ok(Self {
            read,
            write,
            input,
            output: Vec::new(),
            waiting: 0,
            decoder: ReplyDecoder::new(),
            address: address.clone(),
            deadlines,
            db: 0,
            longest: LONGEST,
        })
    }

    pub(super) fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// Adds a command to the next exchange.
    pub(super) fn command<I>(&mut self, args: I)
    where
        I: IntoIterator<IntoIter: ExactSizeIterator, Item: AsRef<[u8]>>,
    {
        encode::command(&mut self.output, args);
        self.waiting += 1;
    }

    /// Adds a command that is RESP already.
    pub(super) fn raw_command(&mut self, raw: &[u8]) {
        self.output.extend_from_slice(raw);
        self.waiting += 1;
    }

    /// Sends what was added and hands each reply, with its number, to `each`, in order.
    ///
    /// After an error the connection is of no use any more, unless the error is one of `each`'s about the last reply.
    pub(super) async fn exchange(
        &mut self,
        mut each: impl FnMut(usize, Answer<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        let expected = std::mem::take(&mut self.waiting);
        if expected == 0 {
            return Ok(());
        }
        let Self { read, write, input, output, decoder, deadlines, longest, .. } = self;
        // Both at once: a server that cannot get rid of its replies does not read commands.
        let writing = within(deadlines.reply, async { write.write_all(output).await.map_err(broken) });
        let reading = async {
            let mut number = 0;
            loop {
                while number < expected {
                    let decoded = decoder.decode(input).map_err(|error| {
                        Error::protocol("this is not the answer of a Redis server").with_source(error)
                    })?;
                    let Some((used, reply)) = decoded else { break };
                    each(number, Answer::Reply(reply))?;
                    input.advance(used);
                    number += 1;
                }
                if number == expected {
                    return Ok(());
                }
                if let Some(whole) = long_bulk(input, *longest) {
                    pass_over(read, input, whole, *deadlines).await?;
                    decoder.reset();
                    each(number, Answer::TooLong)?;
                    number += 1;
                    continue;
                }
                input.reserve(READ);
                fill(read, input, *deadlines).await?;
            }
        };
        let result = tokio::try_join!(writing, reading).map(|_| ());
        self.output.clear();
        result.map_err(|error| error.at(&self.address))
    }

    /// One command whose reply is kept.
    pub(super) async fn call<I>(&mut self, args: I) -> Result<rdts_resp::Reply>
    where
        I: IntoIterator<IntoIter: ExactSizeIterator, Item: AsRef<[u8]>>,
    {
        self.command(args);
        let mut kept = rdts_resp::Reply::Null;
        self.exchange(|_, answer| {
            if let Some(reply) = answer.reply() {
                kept = reply.to_owned();
            }
            Ok(())
        })
        .await?;
        Ok(kept)
    }

    /// As [`call`](Self::call), for a reply that may be longer.
    pub(super) async fn call_long<I>(&mut self, longest: usize, args: I) -> Result<rdts_resp::Reply>
    where
        I: IntoIterator<IntoIter: ExactSizeIterator, Item: AsRef<[u8]>>,
    {
        self.longest = longest;
        let reply = self.call(args).await;
        self.longest = LONGEST;
        reply
    }

    /// Selects a database; whether the server has it.
    pub(super) async fn select(&mut self, db: u32) -> Result<bool> {
        if self.db == db {
            return Ok(true);
        }
        let reply = self.call(["SELECT", &db.to_string()]).await?;
        if !reply.is_error() {
            self.db = db;
            return Ok(true);
        }
        // "DB index is out of range", "SELECT is not allowed in cluster mode".
        match reply.error_code() {
            Some("ERR") => Ok(false),
            _ => Err(self.refusal("SELECT", &reply)),
        }
    }

    pub(super) fn refusal(&self, command: &str, reply: &rdts_resp::Reply) -> Error {
        refusal(&self.address, command, reply.as_error().or_else(|| reply.as_bytes()))
    }
}

/// The error that says that a command was not answered as it has to be.
pub(super) fn refusal(address: &NodeAddress, command: &str, text: Option<&[u8]>) -> Error {
    let text = text.unwrap_or(b"something else than expected");
    let shown = text[..text.len().min(200)].escape_ascii();
    let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let kind = match code {
        b"NOAUTH" | b"WRONGPASS" | b"NOPERM" | b"DENIED" => ErrorKind::Auth,
        b"LOADING" | b"MASTERDOWN" | b"NOMASTERLINK" | b"BUSY" => ErrorKind::NotReady,
        _ => ErrorKind::Rejected,
    };
    Error::new(kind, format!("{command} was answered with '{shown}'")).at(address)
}

async fn fill(read: &mut (impl AsyncRead + Unpin), input: &mut BytesMut, deadlines: Deadlines) -> Result<()> {
    let some = within(deadlines.reply, async { read.read_buf(input).await.map_err(broken) }).await?;
    match some {
        0 => Err(Error::new(ErrorKind::Disconnected, "the server closed the connection")),
        _ => Ok(()),
    }
}

/// The length on the wire of the bulk string that `input` begins with, if that is too long to be kept.
fn long_bulk(input: &[u8], longest: usize) -> Option<usize> {
    let rest = input.strip_prefix(b"$")?;
    // A line of a length is short.
    let line = rest.iter().take(20).position(|byte| *byte == b'\r')?;
    let len: usize = std::str::from_utf8(&rest[..line]).ok()?.parse().ok()?;
    (len > longest).then_some(1 + line + 2 + len + 2)
}

async fn pass_over(
    read: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
    mut whole: usize,
    deadlines: Deadlines,
) -> Result<()> {
    loop {
        let here = whole.min(input.len());
        input.advance(here);
        whole -= here;
        if whole == 0 {
            return Ok(());
        }
        input.reserve(READ);
        fill(read, input, deadlines).await?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn long_strings_are_known_by_their_head() {
        let head = format!("${}\r\nx", LONGEST + 1);
        assert_eq!(long_bulk(head.as_bytes(), LONGEST), Some(head.len() - 1 + LONGEST + 1 + 2));
        for short in [format!("${LONGEST}\r\n"), "$-1\r\n".into(), "$".into(), "$99999999".into(), "*1\r\n".into()] {
            assert_eq!(long_bulk(short.as_bytes(), LONGEST), None, "{short}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_passed_over_and_what_follows_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = NodeAddress::new("127.0.0.1", listener.local_addr().unwrap().port());
        let serve = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            let mut answered = 0;
            while socket.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
                while seen.windows(4).filter(|window| window == b"PING").count() > answered && answered == 0 {
                    socket.write_all(b"+PONG\r\n").await.unwrap();
                    answered = 1;
                }
                if seen.windows(5).any(|window| window == b"TOUCH") && answered == 1 {
                    socket.write_all(b"+OK\r\n").await.unwrap();
                    answered = 2;
                }
                if seen.windows(3).any(|window| window == b"END") {
                    let long = vec![b'x'; LONGEST + 1];
                    socket.write_all(format!(":1\r\n${}\r\n", long.len()).as_bytes()).await.unwrap();
                    socket.write_all(&long).await.unwrap();
                    socket.write_all(b"\r\n$2\r\nok\r\n").await.unwrap();
                    return;
                }
            }
        });
        let mut wire = Wire::open(&address, Deadlines::default()).await.unwrap();
        wire.command(["A"]);
        wire.command(["B"]);
        wire.command(["END"]);
        let mut seen = Vec::new();
        wire.exchange(|number, answer| {
            seen.push((number, answer.reply().map(|reply| reply.to_owned())));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(seen[0].1.as_ref().unwrap().as_integer(), Some(1));
        assert!(seen[1].1.is_none());
        assert_eq!(seen[2].1.as_ref().unwrap().as_bytes(), Some(&b"ok"[..]));
        assert!(wire.input.capacity() < LONGEST, "{}", wire.input.capacity());
        serve.await.unwrap();
    }
}
