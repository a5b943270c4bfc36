//! Values of modules: items up to a zero.

use super::{Decoder, Env, State, element};
use crate::error::ErrorKind;
use crate::tok::{ModuleTok, Tok};
use crate::token::{self, Halt, Leaf};

impl Decoder {
    pub(super) fn module_id(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (id, next) = token::length(data, *at)?;
        *at = next;
        self.state = State::ModuleItem;
        env.give(Tok::Module(id))
    }

    pub(super) fn module_item(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (opcode, start) = token::length(data, *at)?;
        let (item, next) = match opcode {
            0 => {
                *at = start;
                self.state = State::End;
                return Ok(false);
            }
            1 => {
                let (value, next) = token::length(data, start)?;
                (ModuleTok::Signed(value.cast_signed()), next)
            }
            2 => {
                let (value, next) = token::length(data, start)?;
                (ModuleTok::Unsigned(value), next)
            }
            3 => {
                let (bytes, next) = token::array(data, start)?;
                (ModuleTok::Float(f32::from_le_bytes(bytes)), next)
            }
            4 => {
                let (bytes, next) = token::array(data, start)?;
                (ModuleTok::Double(f64::from_le_bytes(bytes)), next)
            }
            5 => {
                let (value, next) = element(env, data, start)?;
                (ModuleTok::Str(value), next)
            }
            _ => return Err(Halt::fail(ErrorKind::BadModule("unknown kind of item"), *at)),
        };
        *at = next;
        env.give(Tok::ModuleItem(item))
    }
}
