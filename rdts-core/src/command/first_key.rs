//! The quick way to the first key.

/// Where a write command has its first key, counted in arguments from its name (0): 1 for nearly all of them.
///
/// `None` for commands that name no key. Names are compared without regard to case. The answer is that of `COMMAND` on real
/// servers from Redis 2.8 to 8.10, Valkey 9.1 and Codis.
///
/// ```
/// use rdts_core::command::first_key;
///
/// assert_eq!(first_key(b"SET"), Some(1));
/// assert_eq!(first_key(b"bitop"), Some(2));
/// assert_eq!(first_key(b"flushall"), None);
/// ```
pub fn first_key(name: &[u8]) -> Option<usize> {
    let is = |names: &[&[u8]]| names.iter().any(|other| name.eq_ignore_ascii_case(other));
    // By length first: this is asked for every command of a stream.
    match name.len() {
        4 if is(&[b"EXEC", b"PING"]) => None,
        5 if is(&[b"MULTI"]) => None,
        6 if is(&[b"SWAPDB", b"SCRIPT", b"SELECT"]) => None,
        7 if is(&[b"FLUSHDB", b"PUBLISH", b"CLUSTER", b"DISCARD"]) => None,
        8 if is(&[b"FLUSHALL", b"FUNCTION", b"SPUBLISH", b"REPLCONF", b"SLOTSDEL"]) => None,
        9 if is(&[b"TRIMSLOTS"]) => None,
        5 if is(&[b"BITOP", b"LMPOP", b"ZMPOP"]) => Some(2),
        6 if is(&[b"XGROUP", b"MSETEX"]) => Some(2),
        7 if is(&[b"PFDEBUG", b"HIMPORT"]) => Some(2),
        4 if is(&[b"EVAL"]) => Some(3),
        5 if is(&[b"FCALL"]) => Some(3),
        6 if is(&[b"BLMPOP", b"BZMPOP"]) => Some(3),
        7 if is(&[b"EVALSHA", b"MIGRATE"]) => Some(3),
        12.. if is_codis(name, b"SLOTSMGRT") || is_codis(name, b"SLOTSRESTORE-ASYNC-") => None,
        18 if is(&[b"SLOTSRESTORE-ASYNC"]) => Some(2),
        _ => Some(1),
    }
}

fn is_codis(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
