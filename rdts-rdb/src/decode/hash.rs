//! Hashes whose fields have expiries, element by element.

use super::{Decoder, Env, Plain, State, find, pair};
use crate::error::ErrorKind;
use crate::tok::Tok;
use crate::token::{self, Halt, Leaf};

const TOO_LATE: ErrorKind = ErrorKind::BadStructure("a field's expiry does not fit in 63 bits");

impl Decoder {
    /// Least expiry and count in front of a hash of Redis 7.4.
    pub(super) fn begin_relative(&mut self, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (least, next) = token::array(data, *at)?;
        let (count, next) = token::length(data, next)?;
        let least = i64::from_le_bytes(least);
        self.base = u64::try_from(least).map_err(|_| Halt::fail(ErrorKind::BadStructure("a negative expiry"), *at))?;
        self.left = count;
        self.state = State::Plain(Plain::HashRelative);
        *at = next;
        Ok(false)
    }

    pub(super) fn field_with_expiry(
        &mut self,
        env: &mut Env<'_>,
        data: &[u8],
        at: usize,
        plain: Plain,
    ) -> Leaf<(Tok, usize)> {
        if plain == Plain::HashExpiryLast {
            let (field, next) = find(env, data, at)?;
            let (value, next) = find(env, data, next)?;
            let (expiry, next) = token::array(data, next)?;
            let expiry = i64::from_le_bytes(expiry);
            let (field, value) = (field.ready(env, data)?, value.ready(env, data)?);
            return Ok((Tok::HashField { field, value, expire_at_ms: (expiry != -1).then_some(expiry).into() }, next));
        }
        let (expiry, next) = token::length(data, at)?;
        let expire_at_ms = if expiry == 0 {
            None
        } else {
            // Relative ones are stored plus one, so that zero can mean none.
            let absolute = if plain == Plain::HashRelative { self.base.checked_add(expiry - 1) } else { Some(expiry) };
            Some(absolute.and_then(|ms| i64::try_from(ms).ok()).ok_or_else(|| Halt::fail(TOO_LATE, at))?)
        };
        let ((field, value), next) = pair(env, data, next)?;
        Ok((Tok::HashField { field, value, expire_at_ms: expire_at_ms.into() }, next))
    }
}
