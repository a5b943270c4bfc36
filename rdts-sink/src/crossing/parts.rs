//! Commands that are one for each slot, some under a condition that concerns all their keys.

use rdts_core::command::{keys, split};
use rdts_core::error::Result;
use rdts_resp::Reply;

use super::Nodes;
use super::value::exists;

/// Executes each part, and puts the replies together.
pub(super) async fn in_parts(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let mut whole: Option<Reply> = None;
    for part in split(args, |key| nodes.slot(key))? {
        let args: Vec<&[u8]> = part.args.iter().map(AsRef::as_ref).collect();
        let first = keys(&args)?.next().map_or(&b""[..], |key| args[key.index]);
        let reply = nodes.call(first, db, &args).await?;
        if reply.is_error() {
            return Ok(reply);
        }
        whole = Some(match (whole, reply) {
            // `MSETEX` says whether it set its keys; the others how many there were.
            (Some(Reply::Integer(sum)), Reply::Integer(more)) if !args[0].eq_ignore_ascii_case(b"MSETEX") => {
                Reply::Integer(sum + more)
            }
            (_, reply) => reply,
        });
    }
    Ok(whole.unwrap_or(Reply::Null))
}

/// `MSETNX key value …`
pub(super) async fn mset_nx(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    if !all(nodes, db, args, false).await? {
        return Ok(Reply::Integer(0));
    }
    let mset = [&[&b"MSET"[..]], &args[1..]].concat();
    let reply = in_parts(nodes, db, &mset).await?;
    Ok(if reply.is_error() { reply } else { Reply::Integer(1) })
}

/// `MSETEX count key value … NX|XX [expiry]`
pub(super) async fn mset_ex(nodes: &mut impl Nodes, db: u32, args: &[&[u8]]) -> Result<Reply> {
    let options = 2 + 2 * keys(args)?.len();
    let is = |arg: &[u8], word: &[u8]| arg.eq_ignore_ascii_case(word);
    let wanted = args[options..].iter().any(|arg| is(arg, b"XX"));
    if !all(nodes, db, args, wanted).await? {
        return Ok(Reply::Integer(0));
    }
    let mut plain = args[..options].to_vec();
    plain.extend(args[options..].iter().filter(|arg| !is(arg, b"NX") && !is(arg, b"XX")));
    in_parts(nodes, db, &plain).await
}

/// Whether all keys are there, or none.
async fn all(nodes: &mut impl Nodes, db: u32, args: &[&[u8]], there: bool) -> Result<bool> {
    for key in keys(args)? {
        if exists(nodes, db, args[key.index], args).await? != there {
            return Ok(false);
        }
    }
    Ok(true)
}
