//! Values in packed blobs. A blob that is not compressed is walked where it lies, as it arrives; a compressed one is expanded first.

use super::{Decoder, Env, State};
use crate::error::{ErrorKind, Limit};
use crate::packed::{Element, Stop, intset, listpack, ziplist, zipmap};
use crate::tok::{Maybe, Source, Span, StrTok, Tok};
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
            Stop::End => self.fail(self.broken("the end is where an element should be"), window.at),
            Stop::Bad(why) => self.fail(self.broken(why), window.at),
            Stop::Long(claimed) => {
                let max = limits.max_element as u64;
                self.fail(ErrorKind::LimitExceeded { limit: Limit::Element, claimed, max }, window.at)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn uneven(&self, window: &Window<'_>, limits: &crate::limits::Limits) -> Halt {
        self.stopped(UNEVEN, window, limits)
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

const UNEVEN: Stop = Stop::Bad("it ends in the middle of what belongs together");

/// An element with its bytes.
#[inline(always)]
fn tok(source: Source, element: Element) -> StrTok {
    match element {
        Element::Bytes { start, end } => StrTok::Bytes(Span::new(source, start, end)),
        Element::Int(i) => StrTok::Int(i),
    }
}

/// The element at `at` of a ziplist or else a listpack.
#[inline(always)]
fn read<const ZIPLIST: bool>(
    bytes: &[u8],
    at: usize,
    previous: &mut usize,
    max: usize,
) -> Result<(Element, usize), Stop> {
    if ZIPLIST {
        let (element, next) = ziplist::element(bytes, at, *previous, max)?;
        *previous = next - at;
        Ok((element, next))
    } else {
        listpack::element(bytes, at, max)
    }
}

impl Decoder {
    pub(super) fn begin_packed(
        &mut self,
        env: &mut Env<'_>,
        data: &[u8],
        at: &mut usize,
        form: Form,
        shape: Shape,
    ) -> Leaf<bool> {
        *at = self.packed.open(env, data, *at, form, shape)?;
        self.left = 0;
        self.template.restart();
        self.state = State::Packed;
        Ok(false)
    }

    #[inline]
    pub(super) fn packed(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if !self.packed.header_read {
            self.packed.header(env, data, at)?;
            return Ok(false);
        }
        match self.packed.form {
            Form::Listpack if self.packed.shape == Shape::StreamNode => self.stream_node(env, data, at),
            Form::Listpack => self.packed_group::<false>(env, data, at),
            Form::Ziplist => self.packed_group::<true>(env, data, at),
            Form::Intset => self.packed_integer(env, data, at),
            Form::Zipmap => self.packed_pair(env, data, at),
        }
    }

    /// The next elements that belong together, of a ziplist or else a listpack.
    #[inline(always)]
    fn packed_group<const ZIPLIST: bool>(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let max = env.limits.max_element;
        let window = self.packed.window(&env.buffers.blob, data, *at);
        let (bytes, here, source) = (window.bytes, window.at, window.source);
        let mut previous = self.packed.previous;
        let (first, mut next) = match read::<ZIPLIST>(bytes, here, &mut previous, max) {
            Ok(read) => read,
            Err(Stop::End) => return self.packed_end(env, data, at),
            Err(stop) => return Err(self.packed.stopped(stop, &window, env.limits)),
        };
        macro_rules! another {
            ($at:expr) => {
                match read::<ZIPLIST>(bytes, $at, &mut previous, max) {
                    Ok(read) => read,
                    Err(Stop::End) => return Err(self.packed.uneven(&window, env.limits)),
                    Err(stop) => return Err(self.packed.stopped(stop, &window, env.limits)),
                }
            };
        }
        let mut count = 1;
        match self.packed.shape {
            Shape::Hash => {
                let (second, after) = another!(next);
                (next, count) = (after, 2);
                env.put(Tok::HashField {
                    field: tok(source, first),
                    value: tok(source, second),
                    expire_at_ms: Maybe::NONE,
                });
            }
            Shape::List => env.put(Tok::ListItem(tok(source, first))),
            Shape::Set => env.put(Tok::SetMember(tok(source, first))),
            Shape::ZSet => {
                let (second, after) = another!(next);
                (next, count) = (after, 2);
                let score = second.resolve(bytes).to_f64();
                let score = score.ok_or_else(|| self.packed.fail(ErrorKind::BadScore, here))?;
                env.put(Tok::ZSetMember { member: tok(source, first), score });
            }
            Shape::HashExpiry => {
                let (second, after) = another!(next);
                let (third, after) = another!(after);
                (next, count) = (after, 3);
                let expire_at_ms = match third {
                    Element::Int(0) => None,
                    Element::Int(ms) if ms > 0 => Some(ms),
                    _ => {
                        return Err(self
                            .packed
                            .fail(ErrorKind::BadStructure("a field's expiry is no positive number"), here));
                    }
                };
                env.put(Tok::HashField {
                    field: tok(source, first),
                    value: tok(source, second),
                    expire_at_ms: expire_at_ms.into(),
                });
            }
            Shape::TemplateRef | Shape::TemplateOwn | Shape::StreamNode => {
                let found = self.template_element(env, tok(source, first), here)?;
                self.packed.seen += 1;
                self.packed.advance(at, next - here);
                return Ok(found);
            }
        }
        self.packed.previous = previous;
        self.packed.seen = self.packed.seen.wrapping_add(count);
        self.packed.advance(at, next - here);
        Ok(true)
    }

    fn packed_integer(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        if self.packed.left == 0 {
            self.end_of_blob(at)?;
            return Ok(false);
        }
        let window = self.packed.window(&env.buffers.blob, data, *at);
        let value = match intset::integer(window.bytes, window.at, self.packed.width) {
            Ok(value) if self.packed.last.is_none_or(|last| last < value) => value,
            Ok(_) => return Err(self.packed.stopped(Stop::Bad("its integers do not ascend"), &window, env.limits)),
            Err(stop) => return Err(self.packed.stopped(stop, &window, env.limits)),
        };
        self.packed.last = Some(value);
        self.packed.advance(at, usize::from(self.packed.width));
        env.give(Tok::SetMember(StrTok::Int(value)))
    }

    fn packed_pair(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let window = self.packed.window(&env.buffers.blob, data, *at);
        let here = window.at;
        let taken = match window.bytes.get(here) {
            Some(&zipmap::END) => return self.packed_end(env, data, at),
            Some(_) => zipmap::pair(window.bytes, here, env.limits.max_element),
            None => Err(Stop::Short(here + 1)),
        };
        let (field, value, next) = taken.map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
        let (field, value) = (tok(window.source, field), tok(window.source, value));
        self.packed.seen = self.packed.seen.wrapping_add(1);
        self.packed.advance(at, next - here);
        env.give(Tok::HashField { field, value, expire_at_ms: Maybe::NONE })
    }

    /// The terminator was met.
    #[inline(never)]
    fn packed_end(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let window = self.packed.window(&env.buffers.blob, data, *at);
        self.packed.check_end().map_err(|stop| self.packed.stopped(stop, &window, env.limits))?;
        self.end_of_blob(at)?;
        Ok(false)
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
    pub(super) fn begin_nodes(&mut self, data: &[u8], at: &mut usize, state: State) -> Leaf<bool> {
        let (nodes, next) = token::length(data, *at)?;
        *at = next;
        self.left = nodes;
        self.state = if nodes == 0 { State::End } else { state };
        Ok(false)
    }

    pub(super) fn ziplist_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        *at = self.packed.open(env, data, *at, Form::Ziplist, Shape::List)?;
        self.left -= 1;
        self.state = State::Packed;
        Ok(false)
    }

    pub(super) fn listpack_node(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (container, next) = token::length(data, *at)?;
        match container {
            1 => {
                let (item, next) = super::element(env, data, next)?;
                *at = next;
                self.left -= 1;
                if self.left == 0 {
                    self.state = State::End;
                }
                env.give(Tok::ListItem(item))
            }
            2 => {
                *at = self.packed.open(env, data, next, Form::Listpack, Shape::List)?;
                self.left -= 1;
                self.state = State::Packed;
                Ok(false)
            }
            _ => Err(Halt::fail(ErrorKind::BadStructure("a list's node is neither plain nor packed"), *at)),
        }
    }
}
