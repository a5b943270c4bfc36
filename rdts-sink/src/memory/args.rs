//! The arguments of one command, read from left to right. Every handler parses with this.

use super::error::{CommandError, CommandErrorKind, Result};
use super::number;
use super::stream::{StreamId, parse_id};

/// A cursor over the arguments of a command, past its name.
#[derive(Debug, Clone)]
pub(super) struct Args<'a> {
    name: &'a [u8],
    rest: &'a [&'a [u8]],
}

impl<'a> Args<'a> {
    pub(super) fn new(name: &'a [u8], rest: &'a [&'a [u8]]) -> Self {
        Self { name, rest }
    }

    /// The command's name as it was sent.
    pub(super) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// How many arguments are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// All that is left.
    pub(super) fn rest(&self) -> &'a [&'a [u8]] {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<&'a [u8]> {
        self.rest.first().copied()
    }

    /// The next argument; none left is a syntax error.
    pub(super) fn next(&mut self) -> Result<&'a [u8]> {
        let (first, rest) = self.rest.split_first().ok_or_else(CommandError::syntax)?;
        self.rest = rest;
        Ok(first)
    }

    /// The next `n` arguments.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [&'a [u8]]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(CommandError::syntax)?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes the last argument off, for commands whose fixed argument stands at the end.
    pub(super) fn last(&mut self) -> Result<&'a [u8]> {
        let (last, rest) = self.rest.split_last().ok_or_else(CommandError::syntax)?;
        self.rest = rest;
        Ok(last)
    }

    /// Eats the next argument if it is this keyword, in any case.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(keyword.as_bytes()));
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(CommandError::syntax()) }
    }

    pub(super) fn integer(&mut self) -> Result<i64> {
        number::integer(self.next()?).ok_or_else(CommandError::not_an_integer)
    }

    /// An integer from 0 up.
    pub(super) fn natural(&mut self) -> Result<usize> {
        let out_of_range = || CommandError::invalid("ERR value is out of range, must be positive");
        usize::try_from(self.integer()?).map_err(|_| out_of_range())
    }

    pub(super) fn double(&mut self) -> Result<f64> {
        number::double(self.next()?).ok_or_else(CommandError::not_a_float)
    }

    /// A database number.
    pub(super) fn database(&mut self) -> Result<u32> {
        u32::try_from(self.integer()?).map_err(|_| CommandError::invalid("ERR DB index is out of range"))
    }

    /// `count arg…` with exactly that many arguments at least.
    pub(super) fn counted(&mut self, message: &'static str) -> Result<&'a [&'a [u8]]> {
        let n = self.integer()?;
        if n <= 0 {
            return Err(CommandError::invalid(message));
        }
        self.take(usize::try_from(n).map_err(|_| CommandError::syntax())?)
    }

    /// A stream id; a missing sequence number means `sequence`.
    pub(super) fn stream_id(&mut self, sequence: u64) -> Result<StreamId> {
        parse_id(self.next()?, sequence)
    }

    /// `EX s`, `PX ms`, `EXAT s` or `PXAT ms`, as an absolute time in milliseconds, if one of them comes next. `least` is the lowest number that
    /// servers take there: 1 for keys, 0 for hash fields.
    pub(super) fn expiry(&mut self, now_ms: i64, least: i64) -> Result<Option<i64>> {
        let (unit, base) = if self.keyword("EX") {
            (1000, now_ms)
        } else if self.keyword("PX") {
            (1, now_ms)
        } else if self.keyword("EXAT") {
            (1000, 0)
        } else if self.keyword("PXAT") {
            (1, 0)
        } else {
            return Ok(None);
        };
        let amount = self.integer()?;
        if amount < least {
            return Err(self.invalid_expire_time());
        }
        self.time(amount, unit, base).map(Some)
    }

    /// `amount` units of `unit_ms` after `base_ms`.
    pub(super) fn time(&self, amount: i64, unit_ms: i64, base_ms: i64) -> Result<i64> {
        let at = amount.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
        at.ok_or_else(|| self.invalid_expire_time())
    }

    pub(super) fn invalid_expire_time(&self) -> CommandError {
        let name = self.name.escape_ascii().to_string().to_ascii_lowercase();
        CommandError::new(CommandErrorKind::Invalid, format!("ERR invalid expire time in '{name}' command"))
    }
}
