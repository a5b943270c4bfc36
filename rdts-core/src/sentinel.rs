//! Asking Sentinels where a primary is.
//!
//! ```text
//! SENTINEL get-master-addr-by-name NAME ──► host, port ──► ROLE there says "master" ──► that is it
//!   to one Sentinel after the other           │ no: the fail-over is not over; ask the next, and again later
//! ```

use rdts_resp::Reply;

use crate::endpoint::{Credentials, NodeAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines, text};

/// A primary that Sentinels look after, known to them by a name.
///
/// ```no_run
/// use rdts_core::endpoint::NodeAddress;
/// use rdts_core::sentinel::Service;
///
/// # async fn example() -> rdts_core::Result<()> {
/// let service = Service::new(vec![NodeAddress::new("10.0.0.7", 26379)], "mymaster");
/// println!("the primary is {}", service.primary().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Service {
    sentinels: Vec<NodeAddress>,
    name: String,
    credentials: Option<Credentials>,
    deadlines: Deadlines,
}

impl Service {
    /// What `sentinels`, which have credentials of their own, know as `name`.
    pub fn new(sentinels: Vec<NodeAddress>, name: impl Into<String>) -> Self {
        Self { sentinels, name: name.into(), credentials: None, deadlines: Deadlines::default() }
    }

    /// How to log in to the data nodes. Default: not at all.
    #[must_use]
    pub fn credentials(mut self, credentials: Option<Credentials>) -> Self {
        self.credentials = credentials;
        self
    }

    /// How long to wait for one Sentinel or node.
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// The name by which the Sentinels know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the primary is now: what the first Sentinel says that answers and whose answer holds, since during a fail-over
    /// Sentinels disagree, and a node that was demoted says so itself.
    ///
    /// # Errors
    /// - [`Topology`](ErrorKind::Topology): every Sentinel that answers says that it does not know the service;
    /// - [`Connect`](ErrorKind::Connect): no Sentinel can be reached, or the primary that they name cannot;
    /// - [`NotReady`](ErrorKind::NotReady): the node that they name is a replica (a fail-over is under way);
    /// - [`Auth`](ErrorKind::Auth): a Sentinel or the node refuses the credentials.
    pub async fn primary(&self) -> Result<NodeAddress> {
        let (mut unknown, mut failure) = (0, None);
        for sentinel in &self.sentinels {
            match self.ask(sentinel).await {
                Ok(Some(primary)) => match self.verify(&primary).await {
                    Ok(()) => return Ok(primary),
                    // What was learned of the node itself says more than that a Sentinel is down.
                    Err(error) => failure = Some(error.at(format_args!("the primary that Sentinel {sentinel} names"))),
                },
                Ok(None) => unknown += 1,
                Err(error) => {
                    tracing::debug!(%error, "a Sentinel does not answer");
                    if failure.is_none() || error.kind() == ErrorKind::Auth {
                        failure = Some(error.at("Sentinel"));
                    }
                }
            }
        }
        let list = self.sentinels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(match failure {
            None if unknown == 0 => Error::config("no Sentinel is named"),
            // A Sentinel that was reset knows nothing: only if all that can be asked say so it is a matter of the name.
            Some(error) if unknown == 0 => match error.kind() {
                ErrorKind::Auth | ErrorKind::NotReady | ErrorKind::Protocol | ErrorKind::Rejected => error,
                _ => Error::new(ErrorKind::Connect, format!("none of the Sentinels {list} leads to the primary"))
                    .with_source(error),
            },
            _ => {
                let name = self.name.escape_debug();
                let text = format!(
                    "the Sentinels {list} know no primary '{name}': SENTINEL MASTERS lists the names that they know"
                );
                Error::new(ErrorKind::Topology, text)
            }
        })
    }

    /// What one Sentinel says; `None` if it does not know the service.
    async fn ask(&self, sentinel: &NodeAddress) -> Result<Option<NodeAddress>> {
        let mut connection = Connection::open(sentinel, self.deadlines).await?;
        let reply = connection.call(["SENTINEL", "get-master-addr-by-name", &self.name]).await?;
        if let Some(address) = self.address(&reply, sentinel) {
            return Ok(Some(address));
        }
        match &reply {
            // The same two answers to an unknown name as `-IDONTKNOW` and null, by version.
            Reply::Null => Ok(None),
            Reply::Array(items) if items.is_empty() => Ok(None),
            reply if reply.error_code() == Some("IDONTKNOW") => Ok(None),
            reply if reply.error_code() == Some("ERR") => {
                let text = format!("is no Sentinel: it answers '{}'", text(reply));
                Err(Error::new(ErrorKind::Topology, text).at(sentinel))
            }
            reply => Err(connection.refusal("SENTINEL get-master-addr-by-name", reply)),
        }
    }

    /// What `sentinel` names: a Sentinel that speaks TLS has the data nodes do so too.
    fn address(&self, reply: &Reply, sentinel: &NodeAddress) -> Option<NodeAddress> {
        let [host, port] = reply.as_array()? else { return None };
        let host = String::from_utf8(host.as_bytes()?.to_vec()).ok()?;
        let port = std::str::from_utf8(port.as_bytes()?).ok()?.parse().ok()?;
        Some(sentinel.neighbour(host, port).with_credentials(self.credentials.clone()))
    }

    async fn verify(&self, node: &NodeAddress) -> Result<()> {
        Connection::open(node, self.deadlines).await?.expect_primary().await
    }
}
