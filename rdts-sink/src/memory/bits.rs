//! Strings as bits: `SETBIT`, `BITFIELD`, `BITOP`. Bit 0 is the top bit of the first byte.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::number;
use super::reply::Reply;
use super::string::MAX_STRING;

fn bad_offset() -> CommandError {
    CommandError::invalid("ERR bit offset is not an integer or out of range")
}

/// A bit's position; `limit` more bits must still lie within the longest string.
fn bit_offset(offset: Option<u64>) -> Result<usize> {
    let offset = offset.and_then(|offset| usize::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < MAX_STRING).ok_or_else(bad_offset)
}

fn grow(string: &mut Vec<u8>, bits: usize) {
    let bytes = bits.div_ceil(8);
    if string.len() < bytes {
        string.resize(bytes, 0);
    }
}

fn bit(string: &[u8], offset: usize) -> bool {
    string.get(offset / 8).is_some_and(|byte| byte >> (7 - offset % 8) & 1 == 1)
}

fn put_bit(string: &mut [u8], offset: usize, on: bool) {
    if let Some(byte) = string.get_mut(offset / 8) {
        let mask = 0x80 >> (offset % 8);
        *byte = if on { *byte | mask } else { *byte & !mask };
    }
}

/// `SETBIT key offset bit`
pub(super) fn setbit(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let offset = bit_offset(number::integer(args.next()?).and_then(|n| u64::try_from(n).ok()))?;
    let on = match args.next()? {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::invalid("ERR bit is not an integer or out of range")),
    };
    let string = cx.db().make::<Vec<u8>>(key)?;
    grow(string, offset + 1);
    let old = bit(string, offset);
    put_bit(string, offset, on);
    Ok(Reply::flag(old))
}

/// An integer of 1 to 64 bits (63 without sign), as in `i5` or `u8`.
#[derive(Debug, Clone, Copy)]
struct Width {
    signed: bool,
    bits: u32,
}

impl Width {
    fn parse(text: &[u8]) -> Result<Self> {
        let width = match text {
            [b'i' | b'I', bits @ ..] => number::integer(bits).map(|bits| (true, bits)),
            [b'u' | b'U', bits @ ..] => number::integer(bits).map(|bits| (false, bits)),
            _ => None,
        };
        match width {
            Some((signed, bits @ 1..)) if bits <= 63 + i64::from(signed) => {
                Ok(Self { signed, bits: u32::try_from(bits).unwrap_or(64) })
            }
            _ => Err(CommandError::invalid(
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
            )),
        }
    }

    fn bits(self) -> usize {
        usize::try_from(self.bits).unwrap_or(64)
    }

    /// `#n` counts in units of the width.
    fn offset(self, text: &[u8]) -> Result<usize> {
        let (digits, unit) = match text {
            [b'#', digits @ ..] => (digits, u64::from(self.bits)),
            _ => (text, 1),
        };
        let offset = number::integer(digits).and_then(|n| u64::try_from(n).ok()).and_then(|n| n.checked_mul(unit));
        let offset = bit_offset(offset)?;
        bit_offset(u64::try_from(offset + self.bits() - 1).ok())?;
        Ok(offset)
    }

    fn read(self, string: &[u8], offset: usize) -> i64 {
        let raw = (offset..offset + self.bits()).fold(0_u64, |raw, at| raw << 1 | u64::from(bit(string, at)));
        self.extend(raw)
    }

    fn write(self, string: &mut [u8], offset: usize, value: i64) {
        for index in 0..self.bits() {
            let shift = self.bits() - 1 - index;
            put_bit(string, offset + index, value.cast_unsigned() >> shift & 1 == 1);
        }
    }

    /// The value whose low bits are these.
    fn extend(self, raw: u64) -> i64 {
        let spare = 64 - self.bits;
        let shifted = raw << spare;
        if self.signed { shifted.cast_signed() >> spare } else { (shifted >> spare).cast_signed() }
    }

    fn range(self) -> (i128, i128) {
        if self.signed {
            let half = 1_i128 << (self.bits - 1);
            (-half, half - 1)
        } else {
            (0, (1_i128 << self.bits) - 1)
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

impl Overflow {
    fn fit(self, value: i128, width: Width) -> Option<i64> {
        let (min, max) = width.range();
        if (min..=max).contains(&value) {
            return i64::try_from(value).ok();
        }
        match self {
            Self::Fail => None,
            Self::Saturate => i64::try_from(value.clamp(min, max)).ok(),
            Self::Wrap => u64::try_from(value & i128::from(u64::MAX)).ok().map(|low| width.extend(low)),
        }
    }
}

/// Servers find a value's distance to the top in 64 bits. Where that overflows they take a number far below the range for one above it.
fn saturates_high(value: i64, width: Width, overflow: Overflow) -> bool {
    matches!(overflow, Overflow::Saturate)
        && width.bits < 64
        && width.range().1 - i128::from(value) > i128::from(i64::MAX)
}

enum Operation {
    Get,
    Set(i64),
    Add(i64),
}

/// `BITFIELD key [GET type offset] [[OVERFLOW WRAP|SAT|FAIL] SET type offset value | INCRBY type offset n] …`
pub(super) fn bitfield(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let key = args.next()?;
    let mut overflow = Overflow::Wrap;
    let mut operations = Vec::new();
    let mut written_bits = None;
    while args.left() > 0 {
        if args.keyword("OVERFLOW") {
            overflow = if args.keyword("WRAP") {
                Overflow::Wrap
            } else if args.keyword("SAT") {
                Overflow::Saturate
            } else if args.keyword("FAIL") {
                Overflow::Fail
            } else {
                return Err(CommandError::invalid("ERR Invalid OVERFLOW type specified"));
            };
            continue;
        }
        let (set, add) = (args.keyword("SET"), args.keyword("INCRBY"));
        if !set && !add && !args.keyword("GET") {
            return Err(CommandError::syntax());
        }
        let width = Width::parse(args.next()?)?;
        let offset = width.offset(args.next()?)?;
        let operation = if set {
            Operation::Set(args.integer()?)
        } else if add {
            Operation::Add(args.integer()?)
        } else {
            Operation::Get
        };
        if set || add {
            written_bits = written_bits.max(Some(offset + width.bits()));
        }
        operations.push((operation, width, offset, overflow));
    }

    let Some(written_bits) = written_bits else {
        let string = cx.db().get::<Vec<u8>>(key)?.map_or(&[][..], Vec::as_slice);
        let read =
            |(_, width, offset, _): (Operation, Width, usize, Overflow)| Reply::Integer(width.read(string, offset));
        return Ok(Reply::Array(operations.into_iter().map(read).collect()));
    };
    let string = cx.db().make::<Vec<u8>>(key)?;
    grow(string, written_bits);
    let mut replies = Vec::with_capacity(operations.len());
    for (operation, width, offset, overflow) in operations {
        let old = width.read(string, offset);
        let (wanted, reply_old) = match operation {
            Operation::Get => (None, true),
            Operation::Set(value) if width.signed && saturates_high(value, width, overflow) => (Some(i128::MAX), true),
            Operation::Set(value) if width.signed => (Some(i128::from(value)), true),
            Operation::Set(value) => (Some(i128::from(value.cast_unsigned())), true),
            Operation::Add(by) => (Some(i128::from(old) + i128::from(by)), false),
        };
        let Some(wanted) = wanted else {
            replies.push(Reply::Integer(old));
            continue;
        };
        match overflow.fit(wanted, width) {
            None => replies.push(Reply::Nil),
            Some(new) => {
                width.write(string, offset, new);
                replies.push(Reply::Integer(if reply_old { old } else { new }));
            }
        }
    }
    Ok(Reply::Array(replies))
}

/// `BITOP AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE destination key …` (the last four: Redis 8.2). Short strings are padded with zeros.
pub(super) fn bitop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let operation = args.next()?.to_ascii_uppercase();
    let destination = args.next()?;
    let keys = args.rest();
    // From the bytes at one place to the byte there; the first is the first key's.
    let combine: fn(u8, &[u8]) -> u8 = match operation.as_slice() {
        b"AND" => |first, others| others.iter().fold(first, |a, b| a & b),
        b"OR" => |first, others| others.iter().fold(first, |a, b| a | b),
        b"XOR" => |first, others| others.iter().fold(first, |a, b| a ^ b),
        b"NOT" => |first, _| !first,
        b"DIFF" => |first, others| first & !others.iter().fold(0, |a, b| a | b),
        b"DIFF1" => |first, others| !first & others.iter().fold(0, |a, b| a | b),
        b"ANDOR" => |first, others| first & others.iter().fold(0, |a, b| a | b),
        b"ONE" => |first, others| {
            let fold = others.iter().fold((first, 0), |(once, more), b| (once ^ b, more | once & b));
            let (odd, twice) = fold;
            odd & !twice
        },
        _ => return Err(CommandError::syntax()),
    };
    match operation.as_slice() {
        b"NOT" if keys.len() != 1 => {
            return Err(CommandError::invalid("ERR BITOP NOT must be called with a single source key."));
        }
        b"DIFF" | b"DIFF1" | b"ANDOR" if keys.len() < 2 => {
            return Err(CommandError::invalid(
                "ERR BITOP with this operation must be called with at least two source keys.",
            ));
        }
        _ => {}
    }
    let db = cx.db();
    let mut sources = Vec::with_capacity(keys.len());
    for key in keys {
        sources.push(db.get::<Vec<u8>>(key)?.map_or(&[][..], Vec::as_slice));
    }
    let length = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut column = vec![0; sources.len()];
    let mut result = Vec::with_capacity(length);
    for at in 0..length {
        for (slot, source) in column.iter_mut().zip(&sources) {
            *slot = source.get(at).copied().unwrap_or(0);
        }
        if let Some((first, others)) = column.split_first() {
            result.push(combine(*first, others));
        }
    }
    if result.is_empty() {
        db.remove(destination);
    } else {
        db.store(destination, result);
    }
    Ok(Reply::count(length))
}
