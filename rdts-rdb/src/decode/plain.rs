//! Aggregates whose elements stand one after the other.

use super::{Decoder, Env, Plain, State, element, find, pair};
use crate::error::ErrorKind;
use crate::tok::{Maybe, Source, Span, StrTok, Tok};
use crate::token::{self, Halt, Leaf};

impl Decoder {
    #[inline]
    pub(super) fn begin_plain(&mut self, data: &[u8], at: &mut usize, plain: Plain) -> Leaf<bool> {
        let (count, next) = token::length(data, *at)?;
        *at = next;
        self.left = count;
        self.state = State::Plain(plain);
        Ok(false)
    }

    /// The next element. Only when all parts of it are there anything is consumed.
    #[inline]
    pub(super) fn plain(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize, plain: Plain) -> Leaf<bool> {
        if self.left == 0 {
            self.state = State::End;
            return Ok(false);
        }
        let next = match short_plain(env, data, *at, plain) {
            Some(next) => next,
            None => self.any_plain(env, data, *at, plain)?,
        };
        *at = next;
        self.left -= 1;
        Ok(true)
    }

    /// Puts an element of any form in its place; gives the position behind it.
    #[inline(never)]
    fn any_plain(&mut self, env: &mut Env<'_>, data: &[u8], at: usize, plain: Plain) -> Leaf<usize> {
        // Each kind of element is put in its place on its own: see `Tok::event`.
        Ok(match plain {
            Plain::Hash => {
                let ((field, value), next) = pair(env, data, at)?;
                env.put(Tok::HashField { field, value, expire_at_ms: Maybe::NONE });
                next
            }
            Plain::Set => {
                let (member, next) = element(env, data, at)?;
                env.put(Tok::SetMember(member));
                next
            }
            Plain::List => {
                let (item, next) = element(env, data, at)?;
                env.put(Tok::ListItem(item));
                next
            }
            Plain::ZSetBinary => {
                let (member, at_score) = find(env, data, at)?;
                let (bytes, next) = token::array(data, at_score)?;
                let score = f64::from_le_bytes(bytes);
                if score.is_nan() {
                    return Err(Halt::fail(ErrorKind::BadScore, at_score));
                }
                let member = member.ready(env, data)?;
                env.put(Tok::ZSetMember { member, score });
                next
            }
            Plain::ZSetText => {
                let (member, at_score) = find(env, data, at)?;
                let (score, next) = text_score(data, at_score)?;
                let member = member.ready(env, data)?;
                env.put(Tok::ZSetMember { member, score });
                next
            }
            Plain::HashExpiryFirst | Plain::HashExpiryLast | Plain::HashRelative => {
                let (tok, next) = self.field_with_expiry(env, data, at, plain)?;
                env.put(tok);
                next
            }
        })
    }
}

/// Puts an element of short strings, which most have, in its place; gives the position behind it. `None`: it is of another form, or has not
/// arrived.
#[inline(always)]
fn short_plain(env: &mut Env<'_>, data: &[u8], at: usize, plain: Plain) -> Option<usize> {
    let max = env.limits.max_element;
    let (first, next) = short(data, at, max)?;
    match plain {
        Plain::Hash => {
            let (value, next) = short(data, next, max)?;
            env.put(Tok::HashField { field: first, value, expire_at_ms: Maybe::NONE });
            Some(next)
        }
        Plain::Set => {
            env.put(Tok::SetMember(first));
            Some(next)
        }
        Plain::List => {
            env.put(Tok::ListItem(first));
            Some(next)
        }
        Plain::ZSetBinary => {
            let (bytes, next) = token::array(data, next).ok()?;
            let score = f64::from_le_bytes(bytes);
            if score.is_nan() {
                return None;
            }
            env.put(Tok::ZSetMember { member: first, score });
            Some(next)
        }
        _ => None,
    }
}

/// A string of at most 63 bytes that is there as a whole.
#[inline(always)]
fn short(data: &[u8], at: usize, max: usize) -> Option<(StrTok, usize)> {
    let len = usize::from(*data.get(at)?);
    let end = at + 1 + len;
    (len < 0x40 && len <= max && end <= data.len()).then(|| (StrTok::Bytes(Span::new(Source::Data, at + 1, end)), end))
}

/// A score in text: its length in a byte, or one of three numbers that stand for what has no text.
fn text_score(data: &[u8], at: usize) -> Leaf<(f64, usize)> {
    let (len, start) = token::byte(data, at)?;
    match len {
        253 => Err(Halt::fail(ErrorKind::BadScore, at)),
        254 => Ok((f64::INFINITY, start)),
        255 => Ok((f64::NEG_INFINITY, start)),
        len => {
            let end = token::end_of(data, start, usize::from(len))?;
            match token::number::double(&data[start..end]) {
                Some(score) => Ok((score, end)),
                None => Err(Halt::fail(ErrorKind::BadScore, at)),
            }
        }
    }
}
