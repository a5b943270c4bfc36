//! One `GET` over HTTP/1.1.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Deadlines, within};

/// The status and the body, of at most `limit` bytes, that the server at `address` answers to `GET path`.
pub(super) async fn get(address: &NodeAddress, path: &str, deadlines: Deadlines, limit: usize) -> Result<(u16, Bytes)> {
    let connecting = async {
        let refused = |error| Error::new(ErrorKind::Connect, "cannot connect").with_source(error);
        TcpStream::connect((address.host.as_str(), address.port)).await.map_err(refused)
    };
    let stream = within(deadlines.connect, connecting).await?;
    let exchange = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(nonsense)?;
        let request = Request::get(path)
            .header(HOST, address.to_string())
            .header(ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Error::config("this is no host of an HTTP server").with_source(error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(nonsense)?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| {
                let text = format!("the answer cannot be read, or has more than {} MiB", limit >> 20);
                Error::new(ErrorKind::Topology, text).with_source(error)
            })?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(connection);
        tokio::pin!(answer);
        // The connection does the work, and may be over a moment before the answer has been taken from it.
        tokio::select! {
            answer = &mut answer => return answer,
            _ = &mut connection => {}
        }
        answer.await
    };
    within(deadlines.reply, exchange).await
}

fn nonsense(error: hyper::Error) -> Error {
    Error::new(ErrorKind::Topology, "this is not the answer of an HTTP server").with_source(error)
}
