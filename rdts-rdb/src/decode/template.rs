//! Hashes whose field names stand in a template (Redis 8.10): in one that the file defined before, or in one that precedes the values.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::packed::{Form, Shape};
use super::{Decoder, Env, State, element, text};
use crate::error::{ErrorKind, Limit};
use crate::limits::Limits;
use crate::packed::{Element, Stop, listpack};
use crate::tok::{Buffers, Maybe, Source, Span, StrTok, Tok};
use crate::token::{self, Halt, Leaf};

/// Field names, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Template {
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.bytes[start..end])
    }

    /// Appends a name; names ascend by length and then by bytes.
    pub(crate) fn push(&mut self, name: &[u8]) -> Result<(), ErrorKind> {
        push_name(&mut self.bytes, &mut self.ends, name)
    }
}

fn push_name(bytes: &mut Vec<u8>, ends: &mut Vec<usize>, name: &[u8]) -> Result<(), ErrorKind> {
    if let Some((&end, before)) = ends.split_last() {
        let last = &bytes[before.last().copied().unwrap_or(0)..end];
        if (last.len(), last) >= (name.len(), name) {
            return Err(ErrorKind::BadStructure("the names of a template do not ascend by length and bytes"));
        }
    }
    bytes.extend_from_slice(name);
    ends.push(bytes.len());
    Ok(())
}

/// The templates that a file has defined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Templates {
    by_id: HashMap<u64, Template>,
    bytes: usize,
}

impl Templates {
    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Template)> {
        self.by_id.iter().map(|(id, template)| (*id, template))
    }

    pub(crate) fn define(&mut self, id: u64, template: Template, limits: &Limits) -> Result<(), ErrorKind> {
        if self.by_id.len() >= limits.max_templates {
            let max = limits.max_templates as u64;
            return Err(ErrorKind::LimitExceeded { limit: Limit::Templates, claimed: max + 1, max });
        }
        self.bytes += template.size();
        match self.by_id.entry(id) {
            Entry::Occupied(_) => Err(ErrorKind::Duplicate("template number")),
            Entry::Vacant(place) => {
                place.insert(template);
                Ok(())
            }
        }
    }
}

/// The template of the hash that is being decoded; its names are in `Buffers::names`.
#[derive(Debug, Default)]
pub(super) struct Names {
    ends: Vec<usize>,
    /// The name of the next value.
    next: usize,
    /// The blob's first element, which is no value, was met.
    started: bool,
    /// Names still to come, when they stand one after the other; else they are in a listpack.
    left: Option<u64>,
}

impl Names {
    pub(super) fn restart(&mut self) {
        self.next = 0;
        self.started = false;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.started && self.next == self.ends.len()
    }

    fn take(&mut self, templates: &Templates, id: u64, buffers: &mut Buffers) -> Result<(), ErrorKind> {
        let template = templates
            .by_id
            .get(&id)
            .ok_or(ErrorKind::BadStructure("a hash refers to a template that was not defined"))?;
        buffers.names.clear();
        buffers.names.extend_from_slice(&template.bytes);
        self.ends.clone_from(&template.ends);
        Ok(())
    }

    /// The name that belongs to the next value.
    fn name(&mut self) -> Option<Span> {
        let end = *self.ends.get(self.next)?;
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.next += 1;
        Some(Span::new(Source::Names, start, end))
    }
}

impl Decoder {
    /// An element of a blob with the values of a hash. The first is the number of the template, or a placeholder.
    pub(super) fn template_element(&mut self, env: &mut Env<'_>, value: StrTok, at: usize) -> Leaf<bool> {
        if self.template.started {
            return match self.template.name() {
                Some(name) => env.give(Tok::HashField { field: StrTok::Bytes(name), value, expire_at_ms: Maybe::NONE }),
                None => Err(self.packed.fail(ErrorKind::BadStructure("more values than the template has fields"), at)),
            };
        }
        let StrTok::Int(number) = value else {
            return Err(self
                .packed
                .fail(ErrorKind::BadStructure("no number of a template in front of the values"), at));
        };
        if self.packed.shape == Shape::TemplateRef {
            self.template
                .take(env.templates, number.cast_unsigned(), env.buffers)
                .map_err(|kind| self.packed.fail(kind, at))?;
        }
        self.template.started = true;
        Ok(false)
    }

    /// A hash by reference whose values stand one after the other.
    pub(super) fn begin_template_ref(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (id, next) = token::length(data, *at)?;
        self.template.restart();
        self.template.take(env.templates, id, env.buffers).map_err(|kind| Halt::fail(kind, *at))?;
        *at = next;
        self.state = State::TemplateValue;
        Ok(false)
    }

    pub(super) fn template_value(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.template.next == self.template.ends.len() {
            self.state = State::End;
            return Ok(false);
        }
        let (value, next) = element(env, data, *at)?;
        *at = next;
        match self.template.name() {
            Some(name) => env.give(Tok::HashField { field: StrTok::Bytes(name), value, expire_at_ms: Maybe::NONE }),
            None => Ok(false),
        }
    }

    /// A template in front of the values, which are in a listpack or one after the other.
    pub(super) fn begin_template_names(
        &mut self,
        env: &mut Env<'_>,
        data: &[u8],
        at: &mut usize,
        listpack: bool,
    ) -> Leaf<bool> {
        let (form, next) = token::length(data, *at)?;
        *at = match form {
            0 => {
                self.template.left = None;
                self.packed.open(env, data, next, Form::Listpack, Shape::List)?
            }
            1 => {
                let (count, next) = token::length(data, next)?;
                self.template.left = Some(count);
                next
            }
            _ => return Err(Halt::fail(ErrorKind::BadStructure("unknown form of a template"), *at)),
        };
        env.buffers.names.clear();
        self.template.ends.clear();
        self.state = State::TemplateNames { listpack };
        Ok(false)
    }

    pub(super) fn template_names(
        &mut self,
        env: &mut Env<'_>,
        data: &[u8],
        at: &mut usize,
        listpack: bool,
    ) -> Leaf<bool> {
        let position = *at;
        let name = match self.template.left {
            Some(0) => None,
            Some(left) => {
                let (name, next) = element(env, data, position)?;
                *at = next;
                self.template.left = Some(left - 1);
                Some(name)
            }
            None => match self.packed_name(env, data, at)? {
                Some(found) => found,
                None => return Ok(false),
            },
        };
        let Some(name) = name else {
            if self.template.ends.is_empty() {
                return Err(Halt::fail(ErrorKind::BadStructure("a template without fields"), position));
            }
            self.template.restart();
            self.left = 0;
            if listpack {
                *at = self.packed.open(env, data, *at, Form::Listpack, Shape::TemplateOwn)?;
                self.state = State::Packed;
            } else {
                self.state = State::TemplateValue;
            }
            return Ok(false);
        };
        let span = text(&mut env.buffers.scratch, name);
        let Buffers { scratch, blob, names, .. } = &mut *env.buffers;
        let from: &[u8] = match span.source {
            Source::Scratch => scratch,
            Source::Blob => blob,
            _ => data,
        };
        let claimed = (names.len() + span.len() + (self.template.ends.len() + 1) * size_of::<usize>()) as u64;
        let max = env.limits.max_template_bytes as u64;
        if claimed > max {
            return Err(Halt::fail(ErrorKind::LimitExceeded { limit: Limit::TemplateBytes, claimed, max }, position));
        }
        push_name(names, &mut self.template.ends, &from[span.start..span.end])
            .map_err(|kind| Halt::fail(kind, position))?;
        scratch.clear();
        Ok(false)
    }

    /// The next name of those in a listpack; `Some(None)` behind the last one, `None` when only the blob's head was read.
    fn packed_name(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<Option<Option<StrTok>>> {
        if self.packed.needs_header() {
            self.packed.header(env, data, at)?;
            return Ok(None);
        }
        let window = self.packed.window(&env.buffers.blob, data, *at);
        let here = window.at;
        if window.bytes.get(here) == Some(&listpack::END) {
            self.packed.check_end().map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
            // From here on as if the names had stood one after the other: none is left.
            self.packed.advance(at, 1);
            self.template.left = Some(0);
            return Ok(Some(None));
        }
        if here >= window.bytes.len() {
            return Err(self.packed.stopped(Stop::Short(here + 1), &window, env.limits));
        }
        let taken = listpack::element(window.bytes, here, env.limits.max_element);
        let (name, next) = taken.map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
        let tok = match name {
            Element::Int(i) => StrTok::Int(i),
            Element::Bytes { start, end } => StrTok::Bytes(Span::new(window.source, start, end)),
        };
        self.packed.seen = self.packed.seen.wrapping_add(1);
        self.packed.advance(at, next - here);
        Ok(Some(Some(tok)))
    }
}
