//! Arrays of Redis 8.8, and KeyDB's cron jobs: the types that are like no other.

use super::{Decoder, Env, State, element, find_name};
use crate::error::ErrorKind;
use crate::tok::{ArrayTok, Tok};
use crate::token::{self, Halt, Leaf};

impl Decoder {
    pub(super) fn begin_array(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (len, next) = token::length(data, *at)?;
        let (has_index, after) = token::length(data, next)?;
        let (insert_index, next) = match has_index {
            0 => (None, after),
            1 => {
                let (index, next) = token::length(data, after)?;
                (Some(index), next)
            }
            _ => return Err(Halt::fail(ErrorKind::BadStructure("an array's flag is neither 0 nor 1"), next)),
        };
        self.left = len;
        self.base = 0;
        self.state = State::Array;
        *at = next;
        env.give(Tok::ArrayHeader { len, insert_index })
    }

    pub(super) fn array(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.left == 0 {
            self.state = State::End;
            return Ok(false);
        }
        let (index, at_tag) = token::length(data, *at)?;
        if index < self.base || index == u64::MAX {
            return Err(Halt::fail(ErrorKind::BadStructure("indexes of an array do not ascend"), *at));
        }
        let (tag, start) = token::length(data, at_tag)?;
        let (value, next) = match tag {
            0 | 3 => {
                let (value, next) = element(env, data, start)?;
                (ArrayTok::Str(value), next)
            }
            1 => {
                let (bytes, next) = token::array(data, start)?;
                (ArrayTok::Int(i64::from_le_bytes(bytes)), next)
            }
            2 => {
                let (bytes, next) = token::array(data, start)?;
                let value = f64::from_le_bytes(bytes);
                if value.is_nan() {
                    return Err(Halt::fail(ErrorKind::BadScore, start));
                }
                (ArrayTok::Double(value), next)
            }
            _ => return Err(Halt::fail(ErrorKind::BadStructure("unknown tag of an array's element"), at_tag)),
        };
        *at = next;
        self.left -= 1;
        self.base = index + 1;
        env.give(Tok::ArrayItem { index, value })
    }

    pub(super) fn begin_cron(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (script, next) = find_name(env, data, *at)?;
        let (start, next) = token::array(data, next)?;
        let (interval, next) = token::array(data, next)?;
        let (keys, next) = token::length(data, next)?;
        let script = script.bytes(env, data)?;
        self.left = keys;
        self.state = State::CronKeys;
        *at = next;
        env.give(Tok::Cron { script, start: u64::from_le_bytes(start), interval: u64::from_le_bytes(interval) })
    }

    pub(super) fn cron_part(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let keys = self.state == State::CronKeys;
        if self.left == 0 {
            if keys {
                let (args, next) = token::length(data, *at)?;
                self.left = args;
                self.state = State::CronArgs;
                *at = next;
            } else {
                self.state = State::End;
            }
            return Ok(false);
        }
        let (part, next) = element(env, data, *at)?;
        *at = next;
        self.left -= 1;
        env.give(if keys { Tok::CronKey(part) } else { Tok::CronArg(part) })
    }
}
