//! `RENAME`, `RENAMENX` and `COPY`: the value as it is, under another name.

use rdts_core::error::Result;
use rdts_resp::Reply;

use super::value::{Expiry, Value, read, remove, write};
use super::{Nodes, error_reply, impossible};

const NO_SUCH_KEY: &str = "ERR no such key";

pub(super) async fn rename(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let (from, to) = (args[1], args[2]);
    let Some(value) = read(nodes, db, from, args).await? else { return Ok(error_reply(NO_SUCH_KEY)) };
    put(nodes, db, to, &value, true, args).await?;
    remove(nodes, db, from, args).await?;
    Ok(Reply::Simple("OK".into()))
}

pub(super) async fn rename_nx(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let (from, to) = (args[1], args[2]);
    let Some(value) = read(nodes, db, from, args).await? else { return Ok(error_reply(NO_SUCH_KEY)) };
    let created = put(nodes, db, to, &value, false, args).await?;
    if created {
        remove(nodes, db, from, args).await?;
    }
    Ok(Reply::Integer(i64::from(created)))
}

/// `COPY source destination [DB database] [REPLACE]`
pub(super) async fn copy(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let (mut to_db, mut replace) = (db, false);
    let mut options = args[3..].iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"REPLACE") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"DB") {
            let number = options.next().and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
            to_db = number.ok_or_else(|| impossible("COPY … DB without the number of a database"))?;
        } else {
            return Ok(error_reply("ERR syntax error"));
        }
    }
    let copied = match read(nodes, db, args[1], args).await? {
        Some(value) => put(nodes, to_db, args[2], &value, replace, args).await?,
        None => false,
    };
    Ok(Reply::Integer(i64::from(copied)))
}

async fn put(
    nodes: &mut impl Nodes,
    db: u32,
    key: &[u8],
    value: &Value,
    replace: bool,
    args: &[&[u8]],
) -> Result<bool> {
    write(nodes, db, key, &value.payload, Expiry::At(value.expires_at), replace, args).await
}
