//! Aggregates whose elements stand one after the other.

use super::{Decoder, Env, Plain, State, element, find, pair};
use crate::error::ErrorKind;
use crate::tok::Tok;
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
        // Each kind of element is put in its place on its own: see `Tok::event`.
        let next = match plain {
            Plain::Hash => {
                let ((field, value), next) = pair(env, data, *at)?;
                env.put(Tok::HashField { field, value, expire_at_ms: None });
                next
            }
            Plain::Set => {
                let (member, next) = element(env, data, *at)?;
                env.put(Tok::SetMember(member));
                next
            }
            Plain::List => {
                let (item, next) = element(env, data, *at)?;
                env.put(Tok::ListItem(item));
                next
            }
            Plain::ZSetBinary => {
                let (member, at_score) = find(env, data, *at)?;
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
                let (member, at_score) = find(env, data, *at)?;
                let (score, next) = text_score(data, at_score)?;
                let member = member.ready(env, data)?;
                env.put(Tok::ZSetMember { member, score });
                next
            }
            Plain::HashExpiryFirst | Plain::HashExpiryLast | Plain::HashRelative => {
                let (tok, next) = self.field_with_expiry(env, data, *at, plain)?;
                env.put(tok);
                next
            }
        };
        *at = next;
        self.left -= 1;
        Ok(true)
    }
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
