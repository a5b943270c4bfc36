//! Values in packed blobs. A blob that is not compressed is walked where it lies, as it arrives; a compressed one is expanded first.

use super::{Decoder, Env, State};
use crate::error::{ErrorKind, Limit};
use crate::packed::{Element, Stop, intset, listpack, ziplist, zipmap};
use crate::tok::{Source, Span, StrTok, Tok};
use crate::token::{self, Halt, Leaf, StrHead};

/// The kind of blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    #[default]
    Listpack,
    Ziplist,
    Intset,
    Zipmap,
}

/// What its elements mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    #[default]
    List,
    Set,
    ZSet,
    Hash,
    /// Triplets: field, value, expiry.
    HashExpiry,
    /// The number of a template, then values.
    TemplateRef,
    /// A placeholder, then values; the template stands before the blob.
    TemplateOwn,
    /// A node of a stream.
    StreamNode,
}

/// A blob that is being walked.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) form: Form,
    pub(super) shape: Shape,
    /// The blob was expanded and is in `Buffers::blob`; else it is in the input.
    expanded: bool,
    /// Position in the expanded blob.
    position: usize,
    /// Length of the blob, and what is left of it in the input.
    len: u64,
    pub(super) left: u64,
    header_read: bool,
    /// Elements as the header counts them, if it does, and as they were met.
    count: Option<u32>,
    pub(super) seen: u32,
    /// Ziplist: length of the entry before, and where the header says that the last entry is.
    previous: usize,
    tail: u32,
    /// Intset.
    width: u8,
    last: Option<i64>,
    /// Where the blob begins in the input, for errors inside of an expanded one.
    offset: u64,
}

/// The part of a blob that can be seen.
pub(super) struct Window<'w> {
    pub(super) bytes: &'w [u8],
    pub(super) at: usize,
    /// More of the blob is still to arrive.
    pub(super) partial: bool,
    pub(super) source: Source,
}

impl Packed {
    /// Finds the blob whose string head is at `at`, and gives the position to go on at.
    pub(super) fn open(&mut self, env: &mut Env<'_>, data: &[u8], at: usize, form: Form, shape: Shape) -> Leaf<usize> {
        let (head, start) = token::str_head(data, at)?;
        let blob = &mut env.buffers.blob;
        let next = match head {
            StrHead::Plain(len) => {
                self.len = len;
                start
            }
            StrHead::Int(i) => {
                blob.clear();
                blob.extend_from_slice(itoa::Buffer::new().format(i).as_bytes());
                start
            }
            StrHead::Lzf { packed, full } => {
                let full = token::admit(full, env.limits.max_blob, Limit::Blob, at)?;
                let packed = token::admit(packed, usize::MAX, Limit::Blob, at)?;
                let end = token::end_of(data, start, packed)?;
                blob.clear();
                crate::lzf::decode(&data[start..end], blob, full).map_err(|kind| Halt::fail(kind, at))?;
                end
            }
        };
        self.expanded = !matches!(head, StrHead::Plain(_));
        if self.expanded {
            self.len = env.buffers.blob.len() as u64;
        }
        self.left = self.len;
        self.form = form;
        self.shape = shape;
        self.position = 0;
        self.header_read = false;
        self.count = None;
        self.seen = 0;
        self.previous = 0;
        self.last = None;
        self.offset = env.base + at as u64;
        Ok(next)
    }

    #[inline(always)]
    pub(super) fn window<'w>(&self, blob: &'w [u8], data: &'w [u8], at: usize) -> Window<'w> {
        if self.expanded {
            return Window { bytes: blob, at: self.position, partial: false, source: Source::Blob };
        }
        match usize::try_from(self.left) {
            Ok(left) if left <= data.len() - at => {
                Window { bytes: &data[..at + left], at, partial: false, source: Source::Data }
            }
            _ => Window { bytes: data, at, partial: true, source: Source::Data },
        }
    }

    /// `n` bytes of the blob are done.
    #[inline(always)]
    pub(super) fn advance(&mut self, at: &mut usize, n: usize) {
        self.left -= n as u64;
        if self.expanded {
            self.position += n;
        } else {
            *at += n;
        }
    }

    #[cold]
    pub(super) fn broken(&self, why: &'static str) -> ErrorKind {
        match self.form {
            Form::Listpack => ErrorKind::BadListpack(why),
            Form::Ziplist => ErrorKind::BadZiplist(why),
            Form::Intset => ErrorKind::BadIntset(why),
            Form::Zipmap => ErrorKind::BadZipmap(why),
        }
    }

    #[cold]
    pub(super) fn fail(&self, kind: ErrorKind, at: usize) -> Halt {
        if self.expanded { Halt::fail_absolute(kind, self.offset) } else { Halt::fail(kind, at) }
    }

    #[cold]
    pub(super) fn stopped(&self, stop: Stop, window: &Window<'_>, limits: &crate::limits::Limits) -> Halt {
        match stop {
            Stop::Short(needed) if window.partial => Halt::Need(needed),
            Stop::Short(_) => self.fail(self.broken("it ends inside of an element"), window.at),
            Stop::Bad(why) => self.fail(self.broken(why), window.at),
            Stop::Long(claimed) => {
                let max = limits.max_element as u64;
                self.fail(ErrorKind::LimitExceeded { limit: Limit::Element, claimed, max }, window.at)
            }
        }
    }

    pub(super) fn needs_header(&self) -> bool {
        !self.header_read
    }

    /// Reads what stands in front of the elements.
    pub(super) fn header(&mut self, env: &Env<'_>, data: &[u8], at: &mut usize) -> Leaf<()> {
        let window = self.window(&env.buffers.blob, data, *at);
        let size = self.read_header(&window).map_err(|stop| match stop {
            // The header's functions count from its beginning.
            Stop::Short(n) => self.stopped(Stop::Short(window.at + n), &window, env.limits),
            stop => self.stopped(stop, &window, env.limits),
        })?;
        self.advance(at, size);
        Ok(())
    }

    fn read_header(&mut self, window: &Window<'_>) -> Result<usize, Stop> {
        let bytes = &window.bytes[window.at..];
        let size = match self.form {
            Form::Listpack => {
                let (total, count) = listpack::header(bytes)?;
                self.check_total(u64::from(total))?;
                self.count = count.map(u32::from);
                listpack::HEADER
            }
            Form::Ziplist => {
                let header = ziplist::header(bytes)?;
                self.check_total(u64::from(header.total))?;
                self.count = header.count.map(u32::from);
                self.tail = header.tail;
                ziplist::HEADER
            }
            Form::Intset => {
                let (width, count) = intset::header(bytes)?;
                if count == 0 {
                    return Err(Stop::Bad("it is empty"));
                }
                self.check_total(intset::HEADER as u64 + u64::from(width) * u64::from(count))?;
                self.width = width;
                self.count = Some(count);
                intset::HEADER
            }
            Form::Zipmap => {
                self.count = zipmap::header(bytes)?.map(u32::from);
                zipmap::HEADER
            }
        };
        self.header_read = true;
        Ok(size)
    }

    fn check_total(&self, total: u64) -> Result<(), Stop> {
        if total == self.len { Ok(()) } else { Err(Stop::Bad("it states another length than it has")) }
    }

    /// The terminator was met: everything must have been said.
    pub(super) fn check_end(&self) -> Result<(), Stop> {
        if self.form == Form::Intset {
            return Ok(());
        }
        if self.left != 1 {
            return Err(Stop::Bad("bytes follow its end"));
        }
        if self.count.is_some_and(|count| count != self.seen) {
            return Err(Stop::Bad("it states another number of elements than it has"));
        }
        if self.form == Form::Ziplist && u64::from(self.tail) + self.previous as u64 != self.len - 1 {
            return Err(Stop::Bad("it misstates where its last entry is"));
        }
        Ok(())
    }
}

/// Elements that belong together.
type Group = ([Option<Element>; 3], usize);

impl Decoder {
    pub(super) fn begin_packed(
        &mut self,
        env: &mut Env<'_>,
        data: &[u8],
        at: &mut usize,
        form: Form,
        shape: Shape,
    ) -> Leaf<Option<Tok>> {
        *at = self.packed.open(env, data, *at, form, shape)?;
        self.left = 0;
        self.template.restart();
        self.state = State::Packed;
        Ok(None)
    }

    #[inline]
    pub(super) fn packed(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<Option<Tok>> {
        let window = self.packed.window(&env.buffers.blob, data, *at);
        if !self.packed.header_read {
            self.packed.header(env, data, at)?;
            return Ok(None);
        }
        if self.packed.shape == Shape::StreamNode {
            return self.stream_node(env, data, at);
        }
        let max = env.limits.max_element;
        let taken = match self.packed.form {
            Form::Listpack => take_listpack(&window, self.packed.shape, max),
            Form::Ziplist => take_ziplist(&window, self.packed.shape, max, &mut self.packed.previous),
            Form::Intset => take_intset(&window, &mut self.packed),
            Form::Zipmap => take_zipmap(&window, max),
        };
        let (elements, next) = match taken {
            Ok(Some(group)) => group,
            Ok(None) => {
                self.packed.check_end().map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
                self.end_of_blob(at)?;
                return Ok(None);
            }
            Err(stop) => return Err(self.packed.stopped(stop, &window, env.limits)),
        };
        let here = window.at;
        let tok = |element: Option<Element>| match element {
            Some(Element::Bytes { start, end }) => StrTok::Bytes(Span::new(window.source, start, end)),
            Some(Element::Int(i)) => StrTok::Int(i),
            None => StrTok::Bytes(Span::EMPTY),
        };
        let [first, second, third] = elements;
        let result = match self.packed.shape {
            Shape::Hash => Tok::HashField { field: tok(first), value: tok(second), expire_at_ms: None },
            Shape::List => Tok::ListItem(tok(first)),
            Shape::Set => Tok::SetMember(tok(first)),
            Shape::ZSet => {
                let score = second.and_then(|score| score.resolve(window.bytes).to_f64());
                let score = score.ok_or_else(|| self.packed.fail(ErrorKind::BadScore, here))?;
                Tok::ZSetMember { member: tok(first), score }
            }
            Shape::HashExpiry => {
                let expire_at_ms = match third {
                    Some(Element::Int(0)) => None,
                    Some(Element::Int(ms)) if ms > 0 => Some(ms),
                    _ => {
                        return Err(self
                            .packed
                            .fail(ErrorKind::BadStructure("a field's expiry is no positive number"), here));
                    }
                };
                Tok::HashField { field: tok(first), value: tok(second), expire_at_ms }
            }
            Shape::TemplateRef | Shape::TemplateOwn | Shape::StreamNode => {
                let value = tok(first);
                let result = self.template_element(env, value, here)?;
                self.packed.seen += 1;
                self.packed.advance(at, next - here);
                return Ok(result);
            }
        };
        self.packed.seen = self.packed.seen.wrapping_add(match self.packed.shape {
            Shape::Hash if self.packed.form == Form::Zipmap => 1,
            Shape::Hash | Shape::ZSet => 2,
            Shape::HashExpiry => 3,
            _ => 1,
        });
        self.packed.advance(at, next - here);
        Ok(Some(result))
    }

    /// The blob is done; its terminator, if it has one, is still there.
    pub(super) fn end_of_blob(&mut self, at: &mut usize) -> Leaf<()> {
        if matches!(self.packed.shape, Shape::TemplateRef | Shape::TemplateOwn) && !self.template.is_complete() {
            return Err(self.packed.fail(ErrorKind::BadStructure("fewer values than the template has fields"), *at));
        }
        let rest = if self.packed.form == Form::Intset { 0 } else { 1 };
        self.packed.advance(at, rest);
        self.state = match (self.packed.shape, self.packed.form) {
            (Shape::StreamNode, _) => State::Stream,
            (_, _) if self.left == 0 => State::End,
            (_, Form::Ziplist) => State::ZiplistNode,
            (_, _) => State::ListpackNode,
        };
        Ok(())
    }

    /// The number of nodes in front of a list.
    pub(super) fn begin_nodes(&mut self, data: &[u8], at: &mut usize, state: State) -> Leaf<Option<Tok>> {
        let (nodes, next) = token::length(data, *at)?;
        *at = next;
        self.left = nodes;
        self.state = if nodes == 0 { State::End } else { state };
        Ok(None)
    }

    pub(super) fn ziplist_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<Option<Tok>> {
        *at = self.packed.open(env, data, *at, Form::Ziplist, Shape::List)?;
        self.left -= 1;
        self.state = State::Packed;
        Ok(None)
    }

    pub(super) fn listpack_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<Option<Tok>> {
        let (container, next) = token::length(data, *at)?;
        match container {
            1 => {
                let (item, next) = super::element(env, data, next)?;
                *at = next;
                self.left -= 1;
                if self.left == 0 {
                    self.state = State::End;
                }
                Ok(Some(Tok::ListItem(item)))
            }
            2 => {
                *at = self.packed.open(env, data, next, Form::Listpack, Shape::List)?;
                self.left -= 1;
                self.state = State::Packed;
                Ok(None)
            }
            _ => Err(Halt::fail(ErrorKind::BadStructure("a list's node is neither plain nor packed"), *at)),
        }
    }
}

const UNEVEN: Stop = Stop::Bad("it ends in the middle of what belongs together");

#[inline(always)]
fn take_listpack(window: &Window<'_>, shape: Shape, max: usize) -> Result<Option<Group>, Stop> {
    let bytes = window.bytes;
    match bytes.get(window.at) {
        Some(&listpack::END) => return Ok(None),
        Some(_) => {}
        None => return Err(Stop::Short(window.at + 1)),
    }
    let (first, next) = listpack::element(bytes, window.at, max)?;
    if !matches!(shape, Shape::Hash | Shape::ZSet | Shape::HashExpiry) {
        return Ok(Some(([Some(first), None, None], next)));
    }
    let (second, next) = second_of(bytes, next, |at| listpack::element(bytes, at, max))?;
    if shape != Shape::HashExpiry {
        return Ok(Some(([Some(first), Some(second), None], next)));
    }
    let (third, next) = second_of(bytes, next, |at| listpack::element(bytes, at, max))?;
    Ok(Some(([Some(first), Some(second), Some(third)], next)))
}

/// An element that must follow another one.
#[inline(always)]
fn second_of(
    bytes: &[u8],
    at: usize,
    element: impl FnOnce(usize) -> Result<(Element, usize), Stop>,
) -> Result<(Element, usize), Stop> {
    if bytes.get(at) == Some(&listpack::END) { Err(UNEVEN) } else { element(at) }
}

#[inline(always)]
fn take_ziplist(window: &Window<'_>, shape: Shape, max: usize, previous: &mut usize) -> Result<Option<Group>, Stop> {
    let bytes = window.bytes;
    match bytes.get(window.at) {
        Some(&ziplist::END) => return Ok(None),
        Some(_) => {}
        None => return Err(Stop::Short(window.at + 1)),
    }
    let (first, next) = ziplist::element(bytes, window.at, *previous, max)?;
    let len = next - window.at;
    if !matches!(shape, Shape::Hash | Shape::ZSet) {
        *previous = len;
        return Ok(Some(([Some(first), None, None], next)));
    }
    let (second, end) = second_of(bytes, next, |at| ziplist::element(bytes, at, len, max))?;
    *previous = end - next;
    Ok(Some(([Some(first), Some(second), None], end)))
}

fn take_intset(window: &Window<'_>, packed: &mut Packed) -> Result<Option<Group>, Stop> {
    if packed.left == 0 {
        return Ok(None);
    }
    let value = intset::integer(window.bytes, window.at, packed.width)?;
    if packed.last.is_some_and(|last| last >= value) {
        return Err(Stop::Bad("its integers do not ascend"));
    }
    packed.last = Some(value);
    Ok(Some(([Some(Element::Int(value)), None, None], window.at + usize::from(packed.width))))
}

fn take_zipmap(window: &Window<'_>, max: usize) -> Result<Option<Group>, Stop> {
    match window.bytes.get(window.at) {
        Some(&zipmap::END) => Ok(None),
        Some(_) => {
            let (field, value, next) = zipmap::pair(window.bytes, window.at, max)?;
            Ok(Some(([Some(field), Some(value), None], next)))
        }
        None => Err(Stop::Short(window.at + 1)),
    }
}
