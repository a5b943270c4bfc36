//! The expiry of keys.
//!
//! An expiry in the past is set like any other, as a replica does: the key stays until the source deletes it.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::reply::Reply;

/// When a new expiry may replace the old one: `NX`, `XX`, `GT`, `LT`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Condition {
    missing: bool,
    present: bool,
    greater: bool,
    less: bool,
}

impl Condition {
    /// Eats one of the four words, if one of them comes next.
    pub(super) fn accept(&mut self, args: &mut Args<'_>) -> bool {
        if args.keyword("NX") {
            self.missing = true;
        } else if args.keyword("XX") {
            self.present = true;
        } else if args.keyword("GT") {
            self.greater = true;
        } else if args.keyword("LT") {
            self.less = true;
        } else {
            return false;
        }
        true
    }

    /// Refuses the combinations that contradict themselves.
    pub(super) fn check(self) -> Result<()> {
        if self.missing && (self.present || self.greater || self.less) {
            return Err(CommandError::invalid("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if self.greater && self.less {
            return Err(CommandError::invalid("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(())
    }

    /// No expiry counts as infinitely far away.
    pub(super) fn allows(self, old: Option<i64>, new: i64) -> bool {
        !(self.missing && old.is_some()
            || self.present && old.is_none()
            || self.greater && old.is_none_or(|old| new <= old)
            || self.less && old.is_some_and(|old| new >= old))
    }
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let now = cx.now;
    set(cx, args, 1000, now)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let now = cx.now;
    set(cx, args, 1, now)
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
pub(super) fn expireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    set(cx, args, 1000, 0)
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    set(cx, args, 1, 0)
}

fn set(cx: &mut Context<'_>, args: &mut Args<'_>, unit_ms: i64, base_ms: i64) -> Result<Reply> {
    let (key, amount) = (args.next()?, args.integer()?);
    let mut condition = Condition::default();
    while args.left() > 0 {
        if !condition.accept(args) {
            return Err(CommandError::syntax());
        }
    }
    condition.check()?;
    let at = args.time(amount, unit_ms, base_ms)?;
    let Some(entry) = cx.db().entry_mut(key) else {
        return Ok(Reply::flag(false));
    };
    let allowed = condition.allows(entry.expires_at, at);
    if allowed {
        entry.expires_at = Some(at);
    }
    Ok(Reply::flag(allowed))
}

/// `PERSIST key`
pub(super) fn persist(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    Ok(Reply::flag(cx.db().entry_mut(key).is_some_and(|entry| entry.expires_at.take().is_some())))
}
