//! One connection, from its first byte to its last.

use std::io;

use bytes::{Buf, BytesMut};
use rdts_resp::{CommandDecoder, CommandRef, DecodeError, Limits, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::ReplicaState;
use super::config::{PrimaryConfig, SnapshotFraming};
use super::session::{Next, Session, number};
use super::state::{Entry, Snapshot};
use super::sync::Start;

/// Bytes that come in and are not obeyed yet.
struct Input {
    decoder: CommandDecoder,
    buffer: BytesMut,
}

impl Input {
    /// What replicas have to say is short.
    fn new() -> Self {
        let limits = Limits::default().max_line(16 << 10).max_bulk(16 << 10).max_args(256).max_frame(64 << 10);
        Self { decoder: CommandDecoder::with_limits(limits), buffer: BytesMut::with_capacity(4096) }
    }

    /// Gives the commands that are there to `obey`, until it has got what it wants.
    fn obey<T>(&mut self, mut obey: impl FnMut(&CommandRef<'_>) -> Option<T>) -> Result<Option<T>, DecodeError> {
        while let Some((consumed, command)) = self.decoder.decode(&self.buffer)? {
            let outcome = obey(&command);
            self.buffer.advance(consumed);
            if outcome.is_some() {
                return Ok(outcome);
            }
        }
        Ok(None)
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, entry: &Entry) -> io::Result<()> {
    // Replies and commands are written whole; to wait for more would only delay them.
    stream.set_nodelay(true)?;
    let mut input = Input::new();
    let Some(start) = shake_hands(&mut stream, &mut input, entry).await? else { return Ok(()) };
    let (reader, writer) = stream.split();
    let acknowledged = Notify::new();
    tokio::select! {
        ended = listen(reader, input, entry, &acknowledged) => ended,
        ended = feed(writer, start, entry, &acknowledged) => ended,
    }
}

/// Answers commands until the connection becomes that of a replica; `None` when it ends before.
async fn shake_hands(stream: &mut TcpStream, input: &mut Input, entry: &Entry) -> io::Result<Option<Start>> {
    let mut session = Session::new(&entry.shared.config);
    let mut replies = Vec::new();
    loop {
        let obeyed = input.obey(|command| match session.obey(command, &entry.shared, &mut replies) {
            // Who sends many commands at once reads the replies before more are made.
            Next::Command if replies.len() < 64 << 10 => None,
            next => Some(next),
        });
        let obeyed = match obeyed {
            Ok(obeyed) => obeyed,
            Err(error) => {
                encode::error(&mut replies, format!("ERR Protocol error: {error}").as_bytes());
                stream.write_all(&replies).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        let start = match &obeyed {
            Some(Next::Sync(request)) => match entry.start(request) {
                Start::Refused { reply } => {
                    replies.extend_from_slice(&reply);
                    None
                }
                start => Some(start),
            },
            _ => None,
        };
        stream.write_all(&replies).await?;
        replies.clear();
        match obeyed {
            _ if start.is_some() => return Ok(start),
            Some(Next::Close) => return Ok(None),
            Some(_) => {}
            None if stream.read_buf(&mut input.buffer).await? == 0 => return Ok(None),
            None => {}
        }
    }
}

/// Reads what a replica says while it is fed: how far it has come, and that it is alive.
async fn listen(mut reader: ReadHalf<'_>, mut input: Input, entry: &Entry, acknowledged: &Notify) -> io::Result<()> {
    loop {
        let stray = input.obey(|command| {
            if command.is_empty() {
                entry.update(|replica| replica.heard = Instant::now());
                return None;
            }
            let ack =
                command.name_is(b"REPLCONF") && command.arg(1).is_some_and(|arg| arg.eq_ignore_ascii_case(b"ack"));
            let Some(offset) = number(command.arg(2)).filter(|_| ack) else {
                return Some(format!("a replica sent {command:?} where only REPLCONF ACK is allowed"));
            };
            entry.update(|replica| {
                replica.heard = Instant::now();
                // It may be below zero from a replica that came with SYNC and has no offset.
                replica.acknowledged = replica.acknowledged.max(u64::try_from(offset).unwrap_or(0));
            });
            acknowledged.notify_one();
            None
        });
        match stray {
            Ok(None) => {}
            // An answer would be taken for a part of the stream.
            Ok(Some(stray)) => return Err(io::Error::new(io::ErrorKind::InvalidData, stray)),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        if reader.read_buf(&mut input.buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// Sends a replica what it gets, and then the stream for as long as there is one.
async fn feed(mut writer: WriteHalf<'_>, start: Start, entry: &Entry, acknowledged: &Notify) -> io::Result<()> {
    let config = &entry.shared.config;
    match start {
        Start::Refused { reply } => return writer.write_all(&reply).await,
        Start::Continue { reply } => writer.write_all(&reply).await?,
        Start::Full { reply, snapshot, framing } => {
            newlines(&mut writer, config.newlines_before_reply, config).await?;
            writer.write_all(&reply).await?;
            newlines(&mut writer, config.newlines_before_snapshot, config).await?;
            entry.update(|replica| replica.state = ReplicaState::ReceivingSnapshot);
            send_snapshot(&mut writer, &snapshot, framing, config).await?;
            if framing == SnapshotFraming::Eof {
                entry.update(|replica| replica.state = ReplicaState::AwaitingAck);
                acknowledged.notified().await;
            }
        }
    }
    entry.update(|replica| replica.state = ReplicaState::Online);
    send_stream(&mut writer, entry).await
}

/// Keeps the link alive while, at a real server, the snapshot is being made.
async fn newlines(writer: &mut WriteHalf<'_>, count: u32, config: &PrimaryConfig) -> io::Result<()> {
    for _ in 0..count {
        writer.write_all(b"\n").await?;
        sleep(config.newline_period).await;
    }
    Ok(())
}

async fn send_snapshot(
    writer: &mut WriteHalf<'_>,
    snapshot: &Snapshot,
    framing: SnapshotFraming,
    config: &PrimaryConfig,
) -> io::Result<()> {
    let mark = super::random_hex();
    let mut header = Vec::new();
    match framing {
        SnapshotFraming::Length => encode::bulk_header(&mut header, snapshot.rdb.len()),
        SnapshotFraming::Eof => header.extend([b"$EOF:", &mark[..], b"\r\n"].concat()),
    }
    writer.write_all(&header).await?;
    for chunk in snapshot.rdb.chunks(config.write_chunk) {
        writer.write_all(chunk).await?;
    }
    match framing {
        SnapshotFraming::Length => Ok(()),
        SnapshotFraming::Eof => writer.write_all(&mark).await,
    }
}

async fn send_stream(writer: &mut WriteHalf<'_>, entry: &Entry) -> io::Result<()> {
    let mut growth = entry.shared.growth();
    let mut block = Vec::new();
    loop {
        let written = block.len();
        if !entry.next_block(written, &mut block) {
            return Err(io::Error::other("the part of the stream that the replica needs is gone"));
        }
        if block.is_empty() {
            // At once if there was growth since we last waited. The sender lives as long as the entry: this does not fail.
            let _ = growth.changed().await;
        } else {
            writer.write_all(&block).await?;
        }
    }
}
