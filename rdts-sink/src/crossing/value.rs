//! A value on its way from one node to another.

use bytes::Bytes;
use rdts_core::command::lookup;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_resp::Reply;

use super::{Nodes, step_failed};

/// What servers take as one argument.
const LONGEST: usize = 512 << 20;

/// The value and when it expires, at one moment. Before `PEXPIRETIME` only the time that is left could be asked for: it
/// is added to the clock while that stands still, so that the sum is exactly what the key has.
const READ: &[u8] = b"\
local value = redis.call('DUMP', KEYS[1])
if not value then return false end
for _ = 1, 10000 do
  local before = redis.call('TIME')
  local left = redis.call('PTTL', KEYS[1])
  local after = redis.call('TIME')
  if left == -1 then return {value, -1} end
  if left < 0 then return false end
  local now = before[1] * 1000 + math.floor(before[2] / 1000)
  if now == after[1] * 1000 + math.floor(after[2] / 1000) then return {value, now + left} end
end
return redis.error_reply('ERR the clock jumps')";

const READ_7_0: &[u8] = b"\
local value = redis.call('DUMP', KEYS[1])
if not value then return false end
return {value, redis.call('PEXPIRETIME', KEYS[1])}";

/// A key's value and expiry.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) payload: Bytes,
    /// In milliseconds of Unix time.
    pub(super) expires_at: Option<i64>,
}

/// When a restored key expires.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expiry {
    /// At a time in milliseconds of Unix time, or not at all.
    At(Option<i64>),
    /// In so many milliseconds.
    After(u32),
}

/// Reads a key; `None` if it is not there. `args` is the command that needs it.
pub(super) async fn read(nodes: &mut impl Nodes, db: u32, key: &[u8], args: &[&[u8]]) -> Result<Option<Value>> {
    let told = lookup(b"PEXPIRETIME").is_some_and(|info| info.known_to(&nodes.target()));
    let script = if told { READ_7_0 } else { READ };
    let reply = nodes.call(key, db, &[b"EVAL", script, b"1", key]).await?;
    match &reply {
        Reply::Null => Ok(None),
        Reply::Array(fields) => match fields.as_slice() {
            // It expired between the two.
            [Reply::Bulk(_), Reply::Integer(-2)] => Ok(None),
            [Reply::Bulk(payload), Reply::Integer(time)] => {
                if payload.len() > LONGEST {
                    let text = format!("a value of {} bytes is too big to travel between nodes", payload.len());
                    return Err(Error::new(ErrorKind::Limit, text).at(key.escape_ascii()));
                }
                Ok(Some(Value { payload: payload.clone(), expires_at: (*time >= 0).then_some(*time) }))
            }
            _ => Err(step_failed(args, "DUMP", key, &reply)),
        },
        _ => Err(step_failed(args, "DUMP", key, &reply)),
    }
}

/// Puts a value in place of whatever is there; `false` if something is there and `replace` is not wanted.
pub(super) async fn write(
    nodes: &mut impl Nodes,
    db: u32,
    key: &[u8],
    payload: &[u8],
    expiry: Expiry,
    replace: bool,
    args: &[&[u8]],
) -> Result<bool> {
    let target = nodes.target();
    let absolute = target.restore_options();
    let ttl = match expiry {
        Expiry::At(None) => 0,
        Expiry::At(Some(time)) if absolute => time,
        // Set right at once; until then longer rather than shorter.
        Expiry::At(Some(_)) => i64::from(u32::MAX),
        Expiry::After(time) => i64::from(time),
    };
    let ttl = ttl.to_string();
    let mut restore: Vec<&[u8]> = vec![b"RESTORE", key, ttl.as_bytes(), payload];
    if absolute && matches!(expiry, Expiry::At(Some(_))) {
        restore.push(b"ABSTTL");
    }
    if replace && target.restore_replace() {
        restore.push(b"REPLACE");
    } else if replace {
        remove(nodes, db, key, args).await?;
    }
    let reply = nodes.call(key, db, &restore).await?;
    match reply.as_error() {
        None => {}
        Some(error) if !replace && error.starts_with(b"BUSYKEY") => return Ok(false),
        Some(_) => return Err(step_failed(args, "RESTORE", key, &reply)),
    }
    if let Expiry::At(Some(time)) = expiry
        && !absolute
    {
        let reply = nodes.call(key, db, &[b"PEXPIREAT", key, time.to_string().as_bytes()]).await?;
        if reply.as_error().is_some() {
            return Err(step_failed(args, "PEXPIREAT", key, &reply));
        }
    }
    Ok(true)
}

/// Removes a key.
pub(super) async fn remove(nodes: &mut impl Nodes, db: u32, key: &[u8], args: &[&[u8]]) -> Result<()> {
    let reply = nodes.call(key, db, &[b"DEL", key]).await?;
    if reply.as_error().is_some() { Err(step_failed(args, "DEL", key, &reply)) } else { Ok(()) }
}

/// Whether a key is there.
pub(super) async fn exists(nodes: &mut impl Nodes, db: u32, key: &[u8], args: &[&[u8]]) -> Result<bool> {
    let reply = nodes.call(key, db, &[b"EXISTS", key]).await?;
    reply.as_integer().map(|count| count > 0).ok_or_else(|| step_failed(args, "EXISTS", key, &reply))
}
