//! Finding the end of a value without decoding it. The layout of a type is a little program; the scanner runs it, and can stop anywhere.

use crate::error::ErrorKind;
use crate::token::{self, Halt, Leaf};
use crate::value_type::ValueType;

/// A step of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// A string.
    Str,
    /// A length.
    Len,
    /// So many bytes.
    Raw(u8),
    /// A count; times so much, the next step is done that often.
    Count(u8),
    /// Strings.
    Strs,
    /// Strings with 8 bytes behind each.
    StrRaw8s,
    /// Strings with a score in text behind each.
    StrScores,
    /// Lengths with a string behind each.
    LenStrs,
    /// Ids of 16 bytes.
    Ids,
    /// Ids with 8 bytes and a length behind each.
    Rows,
    /// Strings with two lengths behind each.
    StrLenLens,
    /// Items of a module, up to the end.
    Items,
    /// A count; what stands between this and its `Next` is done that often.
    Loop,
    /// The end of the innermost loop.
    Next,
}

use Op::{Count, Ids, Items, Len, LenStrs, Loop, Next, Raw, Rows, Str, StrLenLens, StrRaw8s, StrScores, Strs};

type Program = &'static [Op];

const BLOB: Program = &[Str];
const LIST: Program = &[Count(1), Strs];
const PAIRS: Program = &[Count(2), Strs];
const ZSET_TEXT: Program = &[Count(1), StrScores];
const ZSET_BINARY: Program = &[Count(1), StrRaw8s];
const NODES: Program = &[Count(1), LenStrs];
const HASH_EXPIRY_FIRST: Program = &[Loop, Len, Str, Str, Next];
const HASH_EXPIRY_LAST: Program = &[Loop, Str, Str, Raw(8), Next];
const HASH_RELATIVE: Program = &[Raw(8), Loop, Len, Str, Str, Next];
const HASH_LISTPACK_EX: Program = &[Raw(8), Str];
const MODULE: Program = &[Len, Items];
const MODULE_ITEMS: Program = &[Items];
const KEY_META: Program = &[Loop, Raw(4), Items, Next];
/// Streams: nodes; length and last id, from the second form on first and greatest deleted id and entries added; groups.
#[rustfmt::skip]
const STREAM1: Program = &[
    Count(2), Strs, Len, Len, Len,
    Loop, Str, Len, Len, Count(1), Rows,
        Loop, Str, Raw(8), Count(1), Ids, Next,
    Next,
];
#[rustfmt::skip]
const STREAM2: Program = &[
    Count(2), Strs, Len, Len, Len, Len, Len, Len, Len, Len,
    Loop, Str, Len, Len, Len, Count(1), Rows,
        Loop, Str, Raw(8), Count(1), Ids, Next,
    Next,
];
#[rustfmt::skip]
const STREAM3: Program = &[
    Count(2), Strs, Len, Len, Len, Len, Len, Len, Len, Len,
    Loop, Str, Len, Len, Len, Count(1), Rows,
        Loop, Str, Raw(16), Count(1), Ids, Next,
    Next,
];
#[rustfmt::skip]
const STREAM4: Program = &[
    Count(2), Strs, Len, Len, Len, Len, Len, Len, Len, Len,
    Loop, Str, Len, Len, Len, Count(1), Rows,
        Loop, Str, Raw(16), Count(1), Ids, Next,
    Next,
    Len, Len, Loop, Str, Count(1), StrLenLens, Next, Len, Len,
];
#[rustfmt::skip]
const STREAM5: Program = &[
    Count(2), Strs, Len, Len, Len, Len, Len, Len, Len, Len,
    Loop, Str, Len, Len, Len, Count(1), Rows,
        Loop, Str, Raw(16), Count(1), Ids, Next,
        Count(1), Ids,
    Next,
    Len, Len, Loop, Str, Count(1), StrLenLens, Next, Len, Len,
];

fn program(value_type: ValueType) -> Option<Program> {
    use ValueType as T;
    Some(match value_type {
        T::String | T::HashZipmap | T::ListZiplist | T::SetIntset | T::ZSetZiplist | T::HashZiplist => BLOB,
        T::HashListpack | T::ZSetListpack | T::SetListpack | T::HashListpackExPreGa => BLOB,
        T::List | T::Set | T::ListQuicklist => LIST,
        T::Hash => PAIRS,
        T::ZSet => ZSET_TEXT,
        T::ZSet2 => ZSET_BINARY,
        T::ListQuicklist2 => NODES,
        T::HashMetadataPreGa => HASH_EXPIRY_FIRST,
        T::ValkeyHash2 => HASH_EXPIRY_LAST,
        T::HashMetadata => HASH_RELATIVE,
        T::HashListpackEx => HASH_LISTPACK_EX,
        T::Module2 => MODULE,
        T::Stream => STREAM1,
        T::Stream2 => STREAM2,
        T::Stream3 => STREAM3,
        T::Stream4 => STREAM4,
        T::Stream5 => STREAM5,
        _ => return None,
    })
}

/// A value whose end is being looked for.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    program: Program,
    pc: usize,
    /// Where the next token begins, counted from the start of the slice. May lie beyond its end: that far can be passed over.
    at: usize,
    /// How often a repeated step is still to be done.
    run: u64,
    /// The loops that are being run: where their bodies begin, and how often they are still to be run.
    loops: [(usize, u64); 2],
    depth: usize,
    /// The value is an aggregate and has no elements.
    empty: bool,
}

impl Scanner {
    /// Begins a value at position `at`. `false`: this type's layout cannot be told without decoding it.
    pub(crate) fn start(&mut self, value_type: ValueType, at: usize) -> bool {
        match program(value_type) {
            Some(program) => {
                self.begin(program, at);
                true
            }
            None => false,
        }
    }

    /// Begins the items of a module.
    pub(crate) fn start_items(&mut self, at: usize) {
        self.begin(MODULE_ITEMS, at);
    }

    /// Begins the metadata of a key.
    pub(crate) fn start_key_meta(&mut self, at: usize) {
        self.begin(KEY_META, at);
    }

    fn begin(&mut self, program: Program, at: usize) {
        self.program = program;
        self.pc = 0;
        self.at = at;
        self.run = 0;
        self.depth = 0;
        self.empty = false;
    }

    /// Whether the value is an aggregate without elements.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// How many bytes of the slice are done with.
    pub(crate) fn passed(&self, data: &[u8]) -> usize {
        self.at.min(data.len())
    }

    /// The first `n` bytes of the slice are gone.
    pub(crate) fn forget(&mut self, n: usize) {
        self.at -= n;
    }

    /// Goes on as far as the slice reaches; gives the position behind the value.
    pub(crate) fn run(&mut self, data: &[u8]) -> Leaf<usize> {
        while let Some(&op) = self.program.get(self.pc) {
            self.step(data, op)?;
        }
        token::end_of(data, self.at, 0)
    }

    fn step(&mut self, data: &[u8], op: Op) -> Leaf<()> {
        match op {
            Str => self.at = str(data, self.at)?,
            Len => self.at = token::length(data, self.at)?.1,
            Raw(n) => self.at = self.at.saturating_add(usize::from(n)),
            Count(times) => {
                let (count, next) = token::length(data, self.at)?;
                if self.pc == 0 && count == 0 {
                    self.empty = true;
                }
                self.run = count
                    .checked_mul(u64::from(times))
                    .ok_or_else(|| Halt::fail(ErrorKind::BadStructure("more elements than can be counted"), self.at))?;
                self.at = next;
            }
            Strs => self.strs(data)?,
            StrRaw8s => self.repeat(data, |data, at| Ok(str(data, at)?.saturating_add(8)))?,
            StrScores => self.repeat(data, |data, at| {
                let (len, start) = token::byte(data, str(data, at)?)?;
                Ok(if len < 253 { start + usize::from(len) } else { start })
            })?,
            LenStrs => self.repeat(data, |data, at| str(data, token::length(data, at)?.1))?,
            Ids => self.repeat(data, |data, at| token::end_of(data, at, 16))?,
            Rows => self.repeat(data, |data, at| Ok(token::length(data, at.saturating_add(24))?.1))?,
            StrLenLens => self.repeat(data, |data, at| {
                let (_, next) = token::length(data, str(data, at)?)?;
                Ok(token::length(data, next)?.1)
            })?,
            Items => loop {
                let (kind, next) = token::length(data, self.at)?;
                self.at = match kind {
                    0 => {
                        self.at = next;
                        break;
                    }
                    1 | 2 => token::length(data, next)?.1,
                    3 => next.saturating_add(4),
                    4 => next.saturating_add(8),
                    5 => str(data, next)?,
                    _ => return Err(Halt::fail(ErrorKind::BadModule("unknown kind of item"), self.at)),
                };
            },
            Loop => {
                let (count, next) = token::length(data, self.at)?;
                if self.depth == 0 && self.pc <= 1 && count == 0 {
                    self.empty = true;
                }
                self.at = next;
                if count == 0 {
                    self.skip_loop();
                } else {
                    self.loops[self.depth] = (self.pc, count);
                    self.depth += 1;
                }
            }
            Next => {
                let (start, left) = &mut self.loops[self.depth - 1];
                *left -= 1;
                if *left > 0 {
                    self.pc = *start;
                } else {
                    self.depth -= 1;
                }
            }
        }
        self.pc += 1;
        Ok(())
    }

    /// Moves to the end of the loop that begins here.
    fn skip_loop(&mut self) {
        let mut depth = 0;
        for (i, op) in self.program.iter().enumerate().skip(self.pc) {
            match op {
                Loop => depth += 1,
                Next => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.pc = i;
                return;
            }
        }
    }

    #[inline]
    fn repeat(&mut self, data: &[u8], one: impl Fn(&[u8], usize) -> Leaf<usize>) -> Leaf<()> {
        while self.run > 0 {
            self.at = one(data, self.at)?;
            self.run -= 1;
        }
        Ok(())
    }

    /// The loop in which raw values spend their time.
    #[inline]
    fn strs(&mut self, data: &[u8]) -> Leaf<()> {
        let mut at = self.at;
        let mut run = self.run;
        let result = loop {
            if run == 0 {
                break Ok(());
            }
            match data.get(at) {
                Some(&len) if len < 0x40 => at += 1 + usize::from(len),
                _ => match str(data, at) {
                    Ok(next) => at = next,
                    Err(halt) => break Err(halt),
                },
            }
            run -= 1;
        };
        self.at = at;
        self.run = run;
        result
    }
}

/// The position behind a string, which may lie beyond what is there.
#[inline(always)]
fn str(data: &[u8], at: usize) -> Leaf<usize> {
    let end = token::skip_str(data, at)?;
    usize::try_from(end).map_err(|_| Halt::Need(usize::MAX))
}
