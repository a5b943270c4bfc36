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
    /// The same of a stream's groups.
    names: Vec<u64>,
    key: RandomState,
}

impl Validator {
    pub(crate) fn start(&mut self) {
        self.elements = 0;
        self.hashes.clear();
        self.names.clear();
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
            decoder.step(env, data, at)?;
            match *env.out {
                Tok::ValueEnd => return self.finish(start),
                Tok::HashField { field: unique, .. }
                | Tok::SetMember(unique)
                | Tok::ZSetMember { member: unique, .. } => {
                    self.remember(env, data, unique);
                }
                // Names are only unique among their like; what follows a group's consumers ends them.
                Tok::StreamGroup { name, .. } => {
                    self.end_of_consumers(start)?;
                    if self.names.len() < env.limits.max_duplicate_check {
                        self.names.push(hash(&self.key, data, env.buffers, StrTok::Bytes(name)));
                    }
                }
                Tok::StreamIdempotency { .. } => self.end_of_consumers(start)?,
                Tok::StreamConsumer { name, .. } => self.remember(env, data, StrTok::Bytes(name)),
                Tok::StreamProducer { id, .. } => self.remember(env, data, StrTok::Bytes(id)),
                _ => {}
            }
            self.elements += 1;
        }
    }

    #[inline]
    fn remember(&mut self, env: &Env<'_>, data: &[u8], unique: StrTok) {
        if self.hashes.len() < env.limits.max_duplicate_check {
            self.hashes.push(hash(&self.key, data, env.buffers, unique));
        }
    }

    fn finish(&mut self, start: u64) -> Leaf<()> {
        unique(&mut self.hashes, "field, member or name in a value", start)?;
        unique(&mut self.names, "consumer group", start)
    }

    fn end_of_consumers(&mut self, start: u64) -> Leaf<()> {
        unique(&mut self.hashes, "consumer in a group", start)?;
        self.hashes.clear();
        Ok(())
    }
}

fn unique(hashes: &mut [u64], what: &'static str, start: u64) -> Leaf<()> {
    hashes.sort_unstable();
    if hashes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Halt::fail_absolute(ErrorKind::Duplicate(what), start));
    }
    Ok(())
}

fn hash(key: &RandomState, data: &[u8], buffers: &Buffers, tok: StrTok) -> u64 {
    let mut hasher = key.build_hasher();
    match tok {
        StrTok::Bytes(span) => hasher.write(buffers.bytes(data, span)),
        StrTok::Int(i) => hasher.write(itoa::Buffer::new().format(i).as_bytes()),
    }
    hasher.finish()
}
