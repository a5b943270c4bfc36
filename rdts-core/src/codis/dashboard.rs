//! The dashboard's HTTP API.

use serde_json::Value;

use super::topology::{CodisTopology, wrong};
use super::{http, parse};
use crate::endpoint::NodeAddress;
use crate::error::{Error, Result};
use crate::net::Deadlines;

/// The most bytes that are read of an answer: a dashboard tells some kilobytes of each slot table, server and proxy.
pub const MAX_ANSWER: usize = 64 << 20;

/// Asks a Codis dashboard. It wants no credentials for what is asked here, and nothing is changed.
#[derive(Debug, Clone)]
pub struct Dashboard {
    address: NodeAddress,
    deadlines: Deadlines,
}

impl Dashboard {
    /// The dashboard at `address`, whose credentials are those of the servers (`product_auth`).
    pub fn new(address: NodeAddress, deadlines: Deadlines) -> Self {
        Self { address, deadlines }
    }

    /// Where it is.
    pub fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// The deployment as it is now (`GET /topom/stats`).
    ///
    /// # Errors
    /// [`Connect`](crate::ErrorKind::Connect), [`Timeout`](crate::ErrorKind::Timeout), or
    /// [`Topology`](crate::ErrorKind::Topology) if the answer is an error (a dashboard gives it as HTTP 800 with a `Cause`), no JSON, or
    /// lacks what has to be there; all name the dashboard.
    pub async fn topology(&self) -> Result<CodisTopology> {
        let read = self.read().await.map_err(|error| error.at(format!("the Codis dashboard at {}", self.address)))?;
        Ok(read.credentials(self.address.credentials.as_ref()))
    }

    async fn read(&self) -> Result<CodisTopology> {
        const PATH: &str = "/topom/stats";
        let (status, body) = http::get(&self.address, PATH, self.deadlines, MAX_ANSWER).await?;
        let json: Result<Value, _> = serde_json::from_slice(&body);
        if status != 200 {
            let cause = json.as_ref().ok().and_then(|json| json.pointer("/Cause")).and_then(Value::as_str);
            let cause = cause.map_or_else(|| shown(&body), |cause| shown(cause.as_bytes()));
            return Err(wrong(format!("it answers GET {PATH} with status {status}: '{cause}'")));
        }
        let json = json.map_err(|error| self.no_dashboard(&body).with_source(error))?;
        parse::topology(&json).map_err(|error| error.at(format!("the answer to GET {PATH}")))
    }

    fn no_dashboard(&self, body: &[u8]) -> Error {
        wrong(format!("its answer begins with '{}' and is no JSON; is this the dashboard's admin port?", shown(body)))
    }
}

/// The beginning of a text from outside, for a message.
fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(200)].escape_ascii().to_string()
}
