//! Validation: a value is decoded and the result thrown away, so that what is handed on raw is known to be sound.

mod met;

use crate::decode::{Decoder, Env};
use crate::error::ErrorKind;
use crate::tok::{Span, StrTok, Tok};
use crate::token::{Halt, Leaf};
use met::{Key, Met};

/// Walks one value after the other.
#[derive(Debug, Default)]
pub(crate) struct Validator {
    /// Elements of the value so far; anything else that is not its end counts too.
    elements: u64,
    /// Fields, members, or names of a stream's consumers or producers.
    met: Met,
    /// Names of a stream's groups.
    groups: Met,
    key: Key,
}

impl Validator {
    pub(crate) fn start(&mut self) {
        self.elements = 0;
        self.met.clear();
        self.groups.clear();
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
            match &*env.out {
                Tok::ValueEnd => return self.finish(start),
                // Integers that ascend, which is checked, are different.
                Tok::SetMember(_) if decoder.ascends() => {}
                Tok::HashField { field: unique, .. }
                | Tok::SetMember(unique)
                | Tok::ZSetMember { member: unique, .. } => match *unique {
                    StrTok::Bytes(span) => self.remember(env, data, span),
                    StrTok::Int(i) => self.remember_int(env, i),
                },
                // Names are only unique among their like; what follows a group's consumers ends them.
                Tok::StreamGroup { name, .. } => {
                    self.end_of_consumers(start)?;
                    if self.groups.len() < env.limits.max_duplicate_check {
                        self.groups.add(self.key.hash(env.buffers.bytes(data, *name)));
                    }
                }
                Tok::StreamIdempotency { .. } => self.end_of_consumers(start)?,
                Tok::StreamConsumer { name, .. } => self.remember(env, data, *name),
                Tok::StreamProducer { id, .. } => self.remember(env, data, *id),
                _ => {}
            }
            self.elements += 1;
        }
    }

    #[inline(always)]
    fn remember(&mut self, env: &Env<'_>, data: &[u8], unique: Span) {
        if self.met.len() < env.limits.max_duplicate_check {
            self.met.add(self.key.hash(env.buffers.bytes(data, unique)));
        }
    }

    /// An integer is the same as its text.
    #[inline(never)]
    fn remember_int(&mut self, env: &Env<'_>, unique: i64) {
        if self.met.len() < env.limits.max_duplicate_check {
            self.met.add(self.key.hash(itoa::Buffer::new().format(unique).as_bytes()));
        }
    }

    fn finish(&mut self, start: u64) -> Leaf<()> {
        unique(&mut self.met, "field, member or name in a value", start)?;
        unique(&mut self.groups, "consumer group", start)
    }

    fn end_of_consumers(&mut self, start: u64) -> Leaf<()> {
        unique(&mut self.met, "consumer in a group", start)?;
        self.met.clear();
        Ok(())
    }
}

fn unique(met: &mut Met, what: &'static str, start: u64) -> Leaf<()> {
    if met.any_twice() { Err(Halt::fail_absolute(ErrorKind::Duplicate(what), start)) } else { Ok(()) }
}
