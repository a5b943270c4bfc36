//! What is looked at before anything is written.

use rdts_core::endpoint::NodeAddress;
use rdts_core::net::{Connection, Deadlines};
use rdts_core::{Error, ErrorKind, Result};

/// Refuses a target that has keys, in database `db` or in any.
pub(crate) async fn target_is_empty(address: &NodeAddress, db: Option<u32>, deadlines: Deadlines) -> Result<()> {
    let mut connection = Connection::open(address, deadlines).await?;
    let info = connection.info("keyspace").await?;
    // db0:keys=3,expires=0,avg_ttl=0
    let found: Vec<&str> = info
        .lines()
        .map(str::trim)
        .filter(|line| match db {
            Some(db) => line.starts_with(&format!("db{db}:")),
            None => line.starts_with("db"),
        })
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let text = format!("the target is not empty ({})", found.join(" "));
    Err(Error::new(ErrorKind::TargetNotEmpty, text).at(address))
}

/// Refuses two names of one server: what is written to it would come out of it again, for ever.
pub(crate) async fn two_servers(from: &NodeAddress, to: &NodeAddress, deadlines: Deadlines) -> Result<()> {
    let mut ids = Vec::new();
    for address in [from, to] {
        let info = Connection::open(address, deadlines).await?.info("server").await?;
        ids.push(info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned));
    }
    if ids[0].is_some() && ids[0] == ids[1] {
        return Err(Error::new(ErrorKind::SameServer, "source and target are the same server").at(to));
    }
    Ok(())
}

/// The replication offset that the source has reached.
pub(crate) async fn source_offset(address: &NodeAddress, deadlines: Deadlines) -> Result<u64> {
    let mut connection = Connection::open(address, deadlines).await?;
    let info = connection.info("replication").await?;
    let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:")?.trim().parse().ok());
    offset.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "the source does not tell its replication offset").at(address)
    })
}
