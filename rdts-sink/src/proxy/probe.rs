//! Finding out what a proxy is, and what is behind it.

use rdts_core::endpoint::{NodeAddress, ProxyKind};
use rdts_core::error::{ErrorKind, Result};
use rdts_core::net::{Connection, Deadlines};
use rdts_core::translate::Target;
use rdts_resp::Reply;

use super::profile::Profile;

/// What is supposed where nobody tells.
const SUPPOSED: Target = Target::redis(3, 2, 0);
/// How many names are tried to reach all servers: which one is responsible for which, only the proxy knows.
const PROBES: usize = 32;

/// What the proxy at `address` is. Nothing is changed.
pub(super) async fn profile(kind: ProxyKind, address: &NodeAddress, deadlines: Deadlines) -> Result<Profile> {
    if kind == ProxyKind::Codis {
        return Ok(Profile::Codis);
    }
    // twemproxy closes the connection when it is asked for what it does not know, so this one is for nothing else.
    let mut connection = Connection::open(address, deadlines).await?;
    let profile = match connection.call(["HELLO", "2"]).await {
        Err(error) if error.kind() == ErrorKind::Disconnected => Profile::Twemproxy,
        Err(error) => return Err(error),
        Ok(reply) if mentions_envoy(&reply) => Profile::Envoy,
        Ok(_) => match connection.call(["INFO", "server"]).await {
            Err(error) if error.kind() == ErrorKind::Disconnected => Profile::Twemproxy,
            Err(error) => return Err(error),
            Ok(_) => Profile::Other,
        },
    };
    Ok(profile)
}

fn mentions_envoy(reply: &Reply) -> bool {
    // A map in RESP2 is an array of keys and values.
    let words = reply.as_array().unwrap_or_default();
    words.iter().any(|word| word.as_bytes().is_some_and(|word| word.starts_with(b"envoy")))
}

/// The oldest of the servers behind the proxy, as far as they can be asked.
pub(super) async fn target(profile: Profile, connection: &mut Connection) -> Result<Target> {
    if profile == Profile::Codis {
        return Ok(SUPPOSED);
    }
    let mut oldest: Option<Target> = None;
    for probe in 0..PROBES {
        let key = format!("rdts:probe:{probe}");
        // A script reaches the server of its key, where INFO itself is refused or answered by any of them.
        let reply = connection.call(["EVAL", "return redis.call('INFO','server')", "1", &key]).await?;
        let Some(info) = reply.as_bytes() else { break };
        let found = Target::from_info(&String::from_utf8_lossy(info))?;
        if oldest.is_none_or(|oldest| found.version() < oldest.version()) {
            oldest = Some(found);
        }
    }
    if oldest.is_none() {
        tracing::info!(supposed = %SUPPOSED, "the servers behind the proxy do not tell their version");
    }
    Ok(oldest.unwrap_or(SUPPOSED))
}
