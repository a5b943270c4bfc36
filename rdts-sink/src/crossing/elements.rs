//! One element from one key to another, or out of the first that has one.

use rdts_core::command::keys;
use rdts_core::error::Result;
use rdts_resp::Reply;

use super::value::exists;
use super::{Nodes, error_reply, step_failed};

/// `SMOVE source destination member`
pub(super) async fn smove(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let (from, to, member) = (args[1], args[2], args[3]);
    let has = nodes.call(from, db, &[b"SISMEMBER", from, member]).await?;
    match has.as_integer() {
        // Also the error if the source is no set.
        None => return Ok(has),
        Some(0) => {
            // A destination of another type is an error only if there is a source.
            if exists(nodes, db, from, args).await? {
                let size = nodes.call(to, db, &[b"SCARD", to]).await?;
                if size.is_error() {
                    return Ok(size);
                }
            }
            return Ok(Reply::Integer(0));
        }
        Some(_) => {}
    }
    let added = nodes.call(to, db, &[b"SADD", to, member]).await?;
    if added.is_error() {
        return Ok(added);
    }
    let removed = nodes.call(from, db, &[b"SREM", from, member]).await?;
    if removed.is_error() {
        return Err(step_failed(args, "SREM", from, &removed));
    }
    Ok(Reply::Integer(1))
}

/// `RPOPLPUSH source destination`, `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`
pub(super) async fn list_move(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let (from, to) = (args[1], args[2]);
    let sides =
        if args[0].eq_ignore_ascii_case(b"RPOPLPUSH") { Some((false, true)) } else { left(args[3]).zip(left(args[4])) };
    let Some((pop_left, push_left)) = sides else { return Ok(error_reply("ERR syntax error")) };
    let element = nodes.call(from, db, &[b"LINDEX", from, if pop_left { b"0" } else { b"-1" }]).await?;
    let Reply::Bulk(bytes) = &element else { return Ok(element) };
    let pushed = nodes.call(to, db, &[if push_left { b"LPUSH" } else { b"RPUSH" }, to, bytes]).await?;
    if pushed.is_error() {
        return Ok(pushed);
    }
    let popped = nodes.call(from, db, &[if pop_left { b"LPOP" } else { b"RPOP" }, from]).await?;
    if popped != element {
        return Err(step_failed(args, "the second step", from, &popped));
    }
    Ok(element)
}

fn left(side: &[u8]) -> Option<bool> {
    let left = side.eq_ignore_ascii_case(b"LEFT");
    (left || side.eq_ignore_ascii_case(b"RIGHT")).then_some(left)
}

/// `LMPOP count key … LEFT|RIGHT [COUNT n]` and `ZMPOP`: the first key that has something gives it.
pub(super) async fn pop(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let keys = keys(args)?;
    let options = &args[2 + keys.len()..];
    for key in keys {
        let key = args[key.index];
        let one = [&[args[0], b"1", key], options].concat();
        let reply = nodes.call(key, db, &one).await?;
        if reply != Reply::Null {
            return Ok(reply);
        }
    }
    Ok(Reply::Null)
}
