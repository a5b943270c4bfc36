//! Validation: a value is decoded and the result thrown away, so that what is handed on raw is known to be sound.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::decode::{Decoder, Env};
use crate::error::ErrorKind;
use crate::tok::{Buffers, StrTok, Tok};
use crate::token::{Halt, Leaf};

/// Walks one value after the other.
#[derive(Debug, Default)]
pub(crate) struct Validator {
    /// Elements of the value so far; anything else that is not its end counts too.
    elements: u64,
    /// Keyed hashes of fields or members. That two different ones among the most that are compared have the same is less likely than 1 in 10^9.
    hashes: Vec<u64>,
    key: RandomState,
}

impl Validator {
    pub(crate) fn start(&mut self) {
        self.elements = 0;
        self.hashes.clear();
    }

    /// Whether anything was found in the value.
    pub(crate) fn found_something(&self) -> bool {
        self.elements > 0
    }

    /// Walks on to the end of the value, which began at absolute offset `start`.
    pub(crate) fn run(
        &mut self,
        decoder: &mut Decoder,
        env: &mut Env<'_>,
        data: &[u8],
        at: &mut usize,
        start: u64,
    ) -> Leaf<()> {
        loop {
            let tok = decoder.step(env, data, at)?;
            match tok {
                Tok::ValueEnd => return self.finish(start),
                Tok::HashField { field: unique, .. }
                | Tok::SetMember(unique)
                | Tok::ZSetMember { member: unique, .. } => {
                    if self.hashes.len() < env.limits.max_duplicate_check {
                        self.hashes.push(hash(&self.key, data, env.buffers, unique));
                    }
                }
                _ => {}
            }
            self.elements += 1;
        }
    }

    fn finish(&mut self, start: u64) -> Leaf<()> {
        self.hashes.sort_unstable();
        if self.hashes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Halt::fail_absolute(ErrorKind::Duplicate("field or member in a value"), start));
        }
        Ok(())
    }
}

fn hash(key: &RandomState, data: &[u8], buffers: &Buffers, tok: StrTok) -> u64 {
    let mut hasher = key.build_hasher();
    match tok {
        StrTok::Bytes(span) => hasher.write(buffers.bytes(data, span)),
        StrTok::Int(i) => hasher.write(itoa::Buffer::new().format(i).as_bytes()),
    }
    hasher.finish()
}
