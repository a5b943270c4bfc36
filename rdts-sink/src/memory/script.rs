//! Scripts and functions, kept as text, and the commands of a stream that change nothing.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, CommandErrorKind, Result};
use super::reply::Reply;

/// `SCRIPT LOAD body` and `SCRIPT FLUSH [ASYNC | SYNC]`
pub(super) fn script(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    if args.keyword("LOAD") {
        let body = args.next()?;
        args.end()?;
        cx.store.scripts.insert(body.to_vec());
        Ok(Reply::OK)
    } else if args.keyword("FLUSH") {
        let _ = args.keyword("ASYNC") || args.keyword("SYNC");
        args.end()?;
        cx.store.scripts.clear();
        Ok(Reply::OK)
    } else {
        Err(CommandError::unsupported(b"this subcommand of SCRIPT", "only LOAD and FLUSH are in a stream"))
    }
}

/// `FUNCTION LOAD [REPLACE] code`, `FUNCTION DELETE library`, `FUNCTION FLUSH [ASYNC | SYNC]`
pub(super) fn function(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let libraries = &mut cx.store.libraries;
    if args.keyword("LOAD") {
        let replace = args.left() > 1 && args.keyword("REPLACE");
        let code = args.next()?;
        args.end()?;
        let name = library_name(code)?;
        if libraries.contains_key(name) && !replace {
            let message = format!("ERR Library '{}' already exists", name.escape_ascii());
            return Err(CommandError::new(CommandErrorKind::Exists, message));
        }
        libraries.insert(name.to_vec(), code.to_vec());
        Ok(Reply::bulk(name))
    } else if args.keyword("DELETE") {
        let name = args.next()?;
        args.end()?;
        let missing = || CommandError::new(CommandErrorKind::NotFound, "ERR Library not found");
        libraries.remove(name).map(|_| Reply::OK).ok_or_else(missing)
    } else if args.keyword("FLUSH") {
        let _ = args.keyword("ASYNC") || args.keyword("SYNC");
        args.end()?;
        libraries.clear();
        Ok(Reply::OK)
    } else {
        Err(CommandError::unsupported(b"this subcommand of FUNCTION", "only LOAD, DELETE and FLUSH are"))
    }
}

/// The name in the first line, `#!engine name=NAME`. The code itself is not looked at.
fn library_name(code: &[u8]) -> Result<&[u8]> {
    let line = code.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let bad = || CommandError::invalid("ERR Missing library metadata");
    let metadata = line.strip_prefix(b"#!").ok_or_else(bad)?;
    let words = metadata.split(u8::is_ascii_whitespace);
    let name = words.skip(1).find_map(|word| word.strip_prefix(b"name=")).ok_or_else(bad)?;
    let valid = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if valid {
        Ok(name)
    } else {
        Err(CommandError::invalid(
            "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ))
    }
}

/// `PING [text]`, which primaries send to keep the link alive.
pub(super) fn ping(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    Ok(args.peek().map_or(Reply::Status("PONG"), Reply::bulk))
}

/// `ECHO text`
pub(super) fn echo(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    args.next().map(Reply::bulk)
}

/// `PUBLISH channel message`: nobody subscribes here.
pub(super) fn publish(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Reply> {
    Ok(Reply::Integer(0))
}

/// `REPLCONF …`, such as the `GETACK` of a primary; whoever reads the stream answers it.
pub(super) fn replconf(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Reply> {
    Ok(Reply::OK)
}
