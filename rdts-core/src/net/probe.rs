//! Why a server hung up before it had said anything: what another connection can find out.
//!
//! A server that speaks TLS resets a connection in clear without a word, and one that does not waits for the end of what it takes for a
//! command. A server that refuses our certificate says so only after the handshake, and its alert is lost if it had something of ours to
//! read when it hung up.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Deadlines, socket};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind};
use crate::tls::{self, NO_TLS, Tls};

/// How long a server in clear may take to be found out to speak TLS: that is an aid to whoever mistook the port, and must not hold up those
/// whose server went away.
const SHORT: Duration = Duration::from_secs(1);

/// What stands behind `error`, of a handshake of TLS that came to nothing.
pub(super) async fn of_handshake(error: Error, address: &NodeAddress, deadlines: Deadlines) -> Error {
    match timeout(deadlines.connect, answers_in_clear(address, deadlines)).await {
        Ok(Some(())) => Error::new(ErrorKind::Tls, NO_TLS).at(address),
        _ => error,
    }
}

/// What stands behind `error`, with which the server hung up instead of an answer to the first command.
pub(super) async fn of_silence(error: Error, address: &NodeAddress, deadlines: Deadlines) -> Error {
    let found = match &address.tls {
        None => timeout(SHORT.min(deadlines.connect), answers_by_tls(address, deadlines)).await,
        Some(tls) => timeout(deadlines.connect, refuses(tls, address, deadlines)).await,
    };
    match found {
        Ok(Some(found)) => found.at(address),
        _ => error,
    }
}

async fn answers_in_clear(address: &NodeAddress, deadlines: Deadlines) -> Option<()> {
    let mut socket = socket(address, deadlines).await.ok()?;
    socket.write_all(b"PING\r\n").await.ok()?;
    // Whether it may be asked that is another matter.
    matches!(socket.read_u8().await.ok()?, b'+' | b'-').then_some(())
}

async fn answers_by_tls(address: &NodeAddress, deadlines: Deadlines) -> Option<Error> {
    let text = "this port speaks TLS: use a URL with a second 's' (rediss://), or a port without TLS";
    tls::is_spoken(socket(address, deadlines).await.ok()?).await.then(|| Error::new(ErrorKind::Tls, text))
}

/// The alert with which the server refuses us. Nothing is said to it, so that it is not lost.
async fn refuses(tls: &Tls, address: &NodeAddress, deadlines: Deadlines) -> Option<Error> {
    match tls::handshake(socket(address, deadlines).await.ok()?, address, tls).await {
        Ok(mut stream) => tls::refusal(&stream.read_u8().await.err()?, tls.options()),
        Err(error) => Some(error).filter(|error| error.kind() == ErrorKind::Tls),
    }
}
