//! Decoding of values: a machine that is given what has arrived of a value and says what the next element is. Its unit of restart is one
//! element; nothing is read twice but the few bytes of heads in front of an element that has not arrived as a whole.

mod array;
mod hash;
mod module;
mod packed;
mod plain;
mod stream;
mod string;
pub(crate) mod template;

use crate::error::{ErrorKind, Limit};
use crate::limits::Limits;
use crate::tok::{Buffers, Source, Span, StrTok, Tok};
use crate::token::{self, Halt, Leaf, StrHead};
use crate::value_type::ValueType;

pub(crate) use string::at_once as string_at_once;

use packed::Packed;
use stream::StreamState;
use template::Templates;

/// What the machine needs besides itself.
pub(crate) struct Env<'e> {
    pub(crate) limits: &'e Limits,
    pub(crate) buffers: &'e mut Buffers,
    pub(crate) templates: &'e Templates,
    /// Absolute offset of the slice that is being read.
    pub(crate) base: u64,
    /// Where an element is put. It is built in its place and read there: passing it up through the calls by value was measured to cost
    /// more than all the rest of decoding.
    pub(crate) out: &'e mut Tok,
}

impl Env<'_> {
    /// Puts an element in its place; `true` says that there is one.
    #[inline(always)]
    fn give(&mut self, tok: Tok) -> Leaf<bool> {
        self.put(tok);
        Ok(true)
    }

    #[inline(always)]
    fn put(&mut self, tok: Tok) {
        *self.out = tok;
    }
}

/// What comes next in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first byte behind the type.
    Start(ValueType),
    String,
    LzfString,
    /// Elements one after the other.
    Plain(Plain),
    /// Inside of a packed blob.
    Packed,
    /// At a node of a quicklist of ziplists.
    ZiplistNode,
    /// At a node of a quicklist of listpacks and plain nodes.
    ListpackNode,
    /// At a value of a hash with a template.
    TemplateValue,
    /// Reading the names of a template that precedes its values; how the values are stored.
    TemplateNames {
        listpack: bool,
    },
    Array,
    Stream,
    ModuleId,
    ModuleItem,
    CronKeys,
    CronArgs,
    /// Behind the last element.
    End,
}

/// Aggregates whose elements stand one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    List,
    Set,
    ZSetText,
    ZSetBinary,
    Hash,
    /// Absolute expiry in front of each field (7.4 release candidates).
    HashExpiryFirst,
    /// Absolute expiry behind each value (Valkey).
    HashExpiryLast,
    /// Expiry relative to the least one in front of each field (7.4).
    HashRelative,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Elements, nodes or slots that are still to come.
    left: u64,
    /// Long strings: length, and how much of it was delivered.
    total: u64,
    done: u64,
    /// Compressed bytes that are still to come, and the absolute offset of the string that they are.
    packed_left: u64,
    packed_start: u64,
    /// Least expiry of the fields of a hash; greatest index of an array, plus one.
    base: u64,
    packed: Packed,
    stream: StreamState,
    template: template::Names,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::End,
            left: 0,
            total: 0,
            done: 0,
            packed_left: 0,
            packed_start: 0,
            base: 0,
            packed: Packed::default(),
            stream: StreamState::default(),
            template: template::Names::default(),
        }
    }
}

impl Decoder {
    /// Begins a value.
    #[inline]
    pub(crate) fn start(&mut self, value_type: ValueType) {
        self.state = State::Start(value_type);
    }

    /// Begins the items of a module that stand without a value's head: auxiliary data, metadata of keys.
    pub(crate) fn start_items(&mut self) {
        self.state = State::ModuleItem;
    }

    /// Whether only the end of the value is still to come, or was just met.
    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// Whether the elements are integers that are checked to ascend.
    #[inline(always)]
    pub(crate) fn ascends(&self) -> bool {
        self.state == State::Packed && self.packed.form == packed::Form::Intset
    }

    /// Puts the next element into `env.out`. `at` is where the machine has got to in `data`; it moves on, even when more data is needed.
    #[inline]
    pub(crate) fn step(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<()> {
        if !env.buffers.scratch.is_empty() {
            env.buffers.scratch.clear();
        }
        loop {
            let found = match self.state {
                State::Start(value_type) => self.begin(env, data, at, value_type)?,
                State::Plain(plain) => self.plain(env, data, at, plain)?,
                State::Packed => self.packed(env, data, at)?,
                State::End => env.give(Tok::ValueEnd)?,
                _ => self.uncommon(env, data, at)?,
            };
            if found {
                return Ok(());
            }
        }
    }

    #[inline(never)]
    fn uncommon(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        match self.state {
            State::String => self.string(env, data, at),
            State::LzfString => self.lzf_string(env, data, at),
            State::ZiplistNode => self.ziplist_node(env, data, at),
            State::ListpackNode => self.listpack_node(env, data, at),
            State::TemplateValue => self.template_value(env, data, at),
            State::TemplateNames { listpack } => self.template_names(env, data, at, listpack),
            State::Array => self.array(env, data, at),
            State::Stream => self.stream(env, data, at),
            State::ModuleId => self.module_id(env, data, at),
            State::ModuleItem => self.module_item(env, data, at),
            State::CronKeys | State::CronArgs => self.cron_part(env, data, at),
            State::Start(_) | State::Plain(_) | State::Packed | State::End => Ok(false),
        }
    }

    #[inline]
    fn begin(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize, value_type: ValueType) -> Leaf<bool> {
        match value_type {
            ValueType::String => self.begin_string(env, data, at),
            ValueType::List => self.begin_plain(data, at, Plain::List),
            ValueType::Set => self.begin_plain(data, at, Plain::Set),
            ValueType::ZSet => self.begin_plain(data, at, Plain::ZSetText),
            ValueType::ZSet2 => self.begin_plain(data, at, Plain::ZSetBinary),
            ValueType::Hash => self.begin_plain(data, at, Plain::Hash),
            ValueType::HashMetadataPreGa => self.begin_plain(data, at, Plain::HashExpiryFirst),
            ValueType::ValkeyHash2 => self.begin_plain(data, at, Plain::HashExpiryLast),
            _ => self.begin_uncommon(env, data, at, value_type),
        }
    }

    #[inline(never)]
    fn begin_uncommon(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize, value_type: ValueType) -> Leaf<bool> {
        use packed::{Form, Shape};
        match value_type {
            ValueType::ListZiplist => self.begin_packed(env, data, at, Form::Ziplist, Shape::List),
            ValueType::SetIntset => self.begin_packed(env, data, at, Form::Intset, Shape::Set),
            ValueType::SetListpack => self.begin_packed(env, data, at, Form::Listpack, Shape::Set),
            ValueType::ZSetZiplist => self.begin_packed(env, data, at, Form::Ziplist, Shape::ZSet),
            ValueType::ZSetListpack => self.begin_packed(env, data, at, Form::Listpack, Shape::ZSet),
            ValueType::HashZipmap => self.begin_packed(env, data, at, Form::Zipmap, Shape::Hash),
            ValueType::HashZiplist => self.begin_packed(env, data, at, Form::Ziplist, Shape::Hash),
            ValueType::HashListpack => self.begin_packed(env, data, at, Form::Listpack, Shape::Hash),
            ValueType::HashListpackExPreGa => self.begin_packed(env, data, at, Form::Listpack, Shape::HashExpiry),
            ValueType::HashListpackEx => {
                let (_, next) = token::array::<8>(data, *at)?;
                let mut position = next;
                // The least expiry is a hint here; only both together are consumed, so that a restart finds the beginning.
                let tok = self.begin_packed(env, data, &mut position, Form::Listpack, Shape::HashExpiry)?;
                *at = position;
                Ok(tok)
            }
            ValueType::HashMetadata => self.begin_relative(data, at),
            ValueType::ListQuicklist => self.begin_nodes(data, at, State::ZiplistNode),
            ValueType::ListQuicklist2 => self.begin_nodes(data, at, State::ListpackNode),
            ValueType::Stream | ValueType::Stream2 | ValueType::Stream3 | ValueType::Stream4 | ValueType::Stream5 => {
                self.begin_stream(data, at, value_type)
            }
            ValueType::Array => self.begin_array(env, data, at),
            ValueType::HashTemplateListpack => self.begin_template_names(env, data, at, true),
            ValueType::HashTemplateArray => self.begin_template_names(env, data, at, false),
            ValueType::HashTemplateListpackRef => self.begin_packed(env, data, at, Form::Listpack, Shape::TemplateRef),
            ValueType::HashTemplateArrayRef => self.begin_template_ref(env, data, at),
            ValueType::Module2 => {
                self.state = State::ModuleId;
                Ok(false)
            }
            ValueType::KeydbCron => self.begin_cron(env, data, at),
            _ => Err(Halt::fail(
                ErrorKind::Unsupported(
                    "a module's value in the format of Redis 4.0 release candidates (type 6) has no end that others can find",
                ),
                *at,
            )),
        }
    }
}

/// A string that is there as a whole, but may still have to be expanded. Strings that belong together are all found first, so that
/// nothing is expanded in vain while one of them is still arriving.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Ready(StrTok),
    Packed { at: usize, start: usize, end: usize, full: usize },
}

impl Found {
    /// The string; expanded into scratch if it is compressed.
    #[inline(always)]
    fn ready(self, env: &mut Env<'_>, data: &[u8]) -> Leaf<StrTok> {
        match self {
            Self::Ready(tok) => Ok(tok),
            Self::Packed { at, start, end, full } => expand(&mut env.buffers.scratch, data, at, start..end, full),
        }
    }

    /// The string's bytes; the text of an integer is made in scratch.
    #[inline]
    pub(crate) fn bytes(self, env: &mut Env<'_>, data: &[u8]) -> Leaf<Span> {
        let tok = self.ready(env, data)?;
        Ok(text(&mut env.buffers.scratch, tok))
    }

    /// How many bytes the string has.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Ready(StrTok::Bytes(span)) => span.len(),
            Self::Ready(StrTok::Int(i)) => itoa::Buffer::new().format(i).len(),
            Self::Packed { full, .. } => full,
        }
    }
}

/// Finds a string.
#[inline(always)]
pub(crate) fn find_str(data: &[u8], at: usize, max: usize, limit: Limit) -> Leaf<(Found, usize)> {
    let (head, start) = token::str_head(data, at)?;
    match head {
        StrHead::Plain(len) => {
            let len = token::admit(len, max, limit, at)?;
            let end = token::end_of(data, start, len)?;
            Ok((Found::Ready(StrTok::Bytes(Span::new(Source::Data, start, end))), end))
        }
        StrHead::Int(i) => Ok((Found::Ready(StrTok::Int(i)), start)),
        StrHead::Lzf { packed, full } => {
            let full = token::admit(full, max, limit, at)?;
            // The head was checked to claim no more than twice as many compressed bytes, so this needs no limit of its own.
            let packed = token::admit(packed, usize::MAX, limit, at)?;
            let end = token::end_of(data, start, packed)?;
            Ok((Found::Packed { at, start, end, full }, end))
        }
    }
}

#[inline(never)]
fn expand(scratch: &mut Vec<u8>, data: &[u8], at: usize, packed: std::ops::Range<usize>, full: usize) -> Leaf<StrTok> {
    let from = scratch.len();
    crate::lzf::decode(&data[packed], scratch, full).map_err(|kind| Halt::fail(kind, at))?;
    Ok(StrTok::Bytes(Span::new(Source::Scratch, from, from + full)))
}

/// The bytes of a string that must be there as a whole.
#[inline]
pub(crate) fn whole_bytes(env: &mut Env<'_>, data: &[u8], at: usize, max: usize, limit: Limit) -> Leaf<(Span, usize)> {
    let (found, next) = find_str(data, at, max, limit)?;
    Ok((found.bytes(env, data)?, next))
}

/// The bytes of a string; the text of an integer is made in `scratch`.
#[inline]
pub(crate) fn text(scratch: &mut Vec<u8>, tok: StrTok) -> Span {
    match tok {
        StrTok::Bytes(span) => span,
        StrTok::Int(i) => {
            let from = scratch.len();
            scratch.extend_from_slice(itoa::Buffer::new().format(i).as_bytes());
            Span::new(Source::Scratch, from, scratch.len())
        }
    }
}

/// Finds an element of an aggregate.
#[inline(always)]
fn find(env: &Env<'_>, data: &[u8], at: usize) -> Leaf<(Found, usize)> {
    find_str(data, at, env.limits.max_element, Limit::Element)
}

/// An element of an aggregate.
#[inline(always)]
fn element(env: &mut Env<'_>, data: &[u8], at: usize) -> Leaf<(StrTok, usize)> {
    let (found, next) = find(env, data, at)?;
    Ok((found.ready(env, data)?, next))
}

/// Two elements.
#[inline(always)]
fn pair(env: &mut Env<'_>, data: &[u8], at: usize) -> Leaf<((StrTok, StrTok), usize)> {
    let (first, next) = find(env, data, at)?;
    let (second, next) = find(env, data, next)?;
    Ok(((first.ready(env, data)?, second.ready(env, data)?), next))
}

/// Finds a name: of a group, a consumer, a producer, a file's record.
#[inline]
pub(crate) fn find_name(env: &Env<'_>, data: &[u8], at: usize) -> Leaf<(Found, usize)> {
    find_str(data, at, env.limits.max_key, Limit::Key)
}
