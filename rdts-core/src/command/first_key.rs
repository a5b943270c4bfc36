//! The quick way to the first key.

/// Where a write command has its first key, counted in arguments from its name (0): 1 for nearly all of them.
///
/// `None` for commands that name no key. Names are compared without regard to case. The answer is that of `COMMAND` on
/// real servers from Redis 2.8 to 8.10, Valkey 9.1 and Codis.
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
    let Some(first) = name.first() else { return Some(1) };
    // By length and first letter, so that most names are compared with none: this is asked for every command of a
    // stream.
    match (name.len(), first | 0x20) {
        (4, b'e') if is(&[b"EXEC"]) => None,
        (4, b'e') if is(&[b"EVAL"]) => Some(3),
        (4, b'p') if is(&[b"PING"]) => None,
        (5, b'm') if is(&[b"MULTI"]) => None,
        (5, b'b' | b'l' | b'z') if is(&[b"BITOP", b"LMPOP", b"ZMPOP"]) => Some(2),
        (5, b'f') if is(&[b"FCALL"]) => Some(3),
        (6, b's') if is(&[b"SWAPDB", b"SCRIPT", b"SELECT"]) => None,
        (6, b'x' | b'm') if is(&[b"XGROUP", b"MSETEX"]) => Some(2),
        (6, b'b') if is(&[b"BLMPOP", b"BZMPOP"]) => Some(3),
        (7, b'f' | b'c' | b'd') if is(&[b"FLUSHDB", b"CLUSTER", b"DISCARD"]) => None,
        (7, b'p') if is(&[b"PUBLISH"]) => None,
        (7, b'p' | b'h') if is(&[b"PFDEBUG", b"HIMPORT"]) => Some(2),
        (7, b'e' | b'm') if is(&[b"EVALSHA", b"MIGRATE"]) => Some(3),
        (8, b'f' | b'r') if is(&[b"FLUSHALL", b"FUNCTION", b"REPLCONF"]) => None,
        (8, b's') if is(&[b"SPUBLISH", b"SLOTSDEL"]) => None,
        (9, b't') if is(&[b"TRIMSLOTS"]) => None,
        (12.., b's') if starts_with(name, b"SLOTS") => of_codis(name),
        _ => Some(1),
    }
}

/// The commands by which Codis moves slots.
#[cold]
fn of_codis(name: &[u8]) -> Option<usize> {
    match name.len() {
        12 => Some(1).filter(|_| starts_with(name, b"SLOTSRESTORE")),
        18 => Some(2).filter(|_| starts_with(name, b"SLOTSRESTORE-ASYNC")),
        _ => None,
    }
}

fn starts_with(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
