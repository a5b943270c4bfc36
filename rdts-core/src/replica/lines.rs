//! The handshake on a connection.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::{Action, Framing, Handshake, LinkConfig, Resume, Sync};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Stream, broken};
use crate::record::ReplicationId;

/// A line is never longer.
const MAX_LINE: usize = 64 << 10;

/// A connection as long as lines are spoken on it.
pub(super) struct Lines {
    pub(super) stream: Stream,
    pub(super) input: BytesMut,
    pub(super) deadline: Duration,
}

impl Lines {
    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.send(bytes).await.map_err(broken)
    }

    /// The next line without its end. Bare newlines keep the connection alive, and only set the clock back.
    async fn next(&mut self) -> Result<BytesMut> {
        loop {
            while matches!(self.input.first(), Some(b'\n' | b'\r')) {
                self.input.advance(1);
            }
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let mut line = self.input.split_to(end + 1);
                line.truncate(end - usize::from(line[end - 1] == b'\r'));
                return Ok(line);
            }
            if self.input.len() > MAX_LINE {
                return Err(Error::protocol("a line of more than 64 KiB during the handshake"));
            }
            match tokio::time::timeout(self.deadline, self.stream.read_buf(&mut self.input)).await {
                Ok(Ok(0)) => {
                    return Err(Error::new(
                        ErrorKind::Disconnected,
                        "the primary closed the connection during the handshake",
                    ));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(broken(error)),
                Err(_) => {
                    let text = format!("the primary was silent for {:?} during the handshake", self.deadline);
                    return Err(Error::new(ErrorKind::Timeout, text));
                }
            }
        }
    }
}

/// From a connection that has logged in to the first byte of the RDB or the stream.
pub(super) async fn shake_hands(
    lines: &mut Lines,
    resume: Resume,
    config: LinkConfig,
) -> Result<(Sync, Option<Framing>)> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(50);
    let (mut handshake, first) = Handshake::start(resume, config.announce);
    lines.send(&first).await?;
    loop {
        let line = lines.next().await?;
        if handshake.awaits_payload() && line.first() == Some(&b'$') {
            let sync = Sync::Full { replid: ReplicationId::NONE, offset: 0 };
            return Ok((sync, Some(Framing::parse(&line)?)));
        }
        match handshake.line(&line)? {
            Action::Send(bytes) => lines.send(&bytes).await?,
            Action::SendLater(bytes, reason) => {
                if started.elapsed() >= config.deadlines.ready {
                    let text = format!("not ready within {:?}: '{}'", config.deadlines.ready, reason.escape_debug());
                    return Err(Error::new(ErrorKind::NotReady, text));
                }
                tracing::info!(reason, "the primary is not ready yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
                lines.send(&bytes).await?;
            }
            Action::Done(sync @ Sync::Continue { .. }) => return Ok((sync, None)),
            Action::Done(sync @ Sync::Full { .. }) => {
                let header = lines.next().await?;
                if header.first() == Some(&b'-') {
                    // What a primary says instead when its snapshot failed.
                    let text = format!("the primary sent no snapshot: '{}'", header.escape_ascii());
                    return Err(Error::new(ErrorKind::Rejected, text));
                }
                return Ok((sync, Some(Framing::parse(&header)?)));
            }
        }
    }
}
