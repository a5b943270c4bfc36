//! HyperLogLog: the string that `PFADD` keeps, byte for byte as servers keep it.
//!
//! 16384 registers of 6 bits behind a header of 16 bytes: `HYLL`, encoding (0 dense, 1 sparse), 3 zero bytes, the cached cardinality (u64
//! little endian, top bit set = out of date). The sparse form is a run-length code: `00nnnnnn` n+1 zeros, `01nnnnnn nnnnnnnn` n+1 zeros,
//! `1vvvvvnn` n+1 registers of value v+1.

use super::error::{CommandError, CommandErrorKind, Result};

const REGISTERS: usize = 16384;
const REGISTER_BITS: u32 = 14;
/// Bits of the hash that are left for counting zeros.
const COUNT_BITS: u32 = 50;
const HEADER: usize = 16;
const DENSE_LENGTH: usize = HEADER + REGISTERS * 6 / 8;
/// The default of `hll-sparse-max-bytes`: beyond it a server goes over to the dense form.
const SPARSE_LIMIT: usize = 3000;
const MAX_SPARSE_VALUE: u8 = 32;

/// One code of the sparse form.
#[derive(Debug, Clone, Copy)]
struct Run {
    value: u8,
    length: usize,
    bytes: usize,
}

fn run_at(sparse: &[u8], at: usize) -> Option<Run> {
    let first = *sparse.get(at)?;
    Some(if first & 0x80 != 0 {
        Run { value: (first >> 2 & 0x1f) + 1, length: usize::from(first & 3) + 1, bytes: 1 }
    } else if first & 0x40 != 0 {
        let length = usize::from(first & 0x3f) << 8 | usize::from(*sparse.get(at + 1)?);
        Run { value: 0, length: length + 1, bytes: 2 }
    } else {
        Run { value: 0, length: usize::from(first & 0x3f) + 1, bytes: 1 }
    })
}

fn low_byte(n: usize) -> u8 {
    u8::try_from(n & 0xff).unwrap_or(u8::MAX)
}

fn push_zeros(code: &mut Vec<u8>, length: usize) {
    if length > 64 {
        code.extend([0x40 | low_byte((length - 1) >> 8), low_byte(length - 1)]);
    } else if length > 0 {
        code.push(low_byte(length - 1));
    }
}

fn value_code(value: u8, length: usize) -> u8 {
    0x80 | (value - 1) << 2 | low_byte(length - 1)
}

/// A HyperLogLog over its string.
#[derive(Debug)]
pub(super) struct HyperLogLog<'s> {
    string: &'s mut Vec<u8>,
}

fn damaged() -> CommandError {
    CommandError::new(CommandErrorKind::Corrupt, "INVALIDOBJ Corrupted HLL object detected")
}

/// The string of a new, empty HyperLogLog.
pub(super) fn empty() -> Vec<u8> {
    let mut string = b"HYLL\x01".to_vec();
    string.resize(HEADER, 0);
    push_zeros(&mut string, REGISTERS);
    string
}

/// Checks what servers check before they touch such a string.
pub(super) fn check(string: &[u8]) -> Result<()> {
    let valid = string.len() >= HEADER
        && string.starts_with(b"HYLL")
        && (string[4] == 1 || string[4] == 0 && string.len() == DENSE_LENGTH);
    if valid {
        Ok(())
    } else {
        Err(CommandError::new(CommandErrorKind::WrongType, "WRONGTYPE Key is not a valid HyperLogLog string value."))
    }
}

pub(super) fn is_dense(string: &[u8]) -> bool {
    string.get(4) == Some(&0)
}

/// All registers.
pub(super) fn registers(string: &[u8]) -> Result<Vec<u8>> {
    if is_dense(string) {
        return Ok((0..REGISTERS).map(|index| dense_get(&string[HEADER..], index)).collect());
    }
    let mut registers = Vec::with_capacity(REGISTERS);
    let mut at = HEADER;
    while at < string.len() {
        let run = run_at(string, at).ok_or_else(damaged)?;
        if registers.len() + run.length > REGISTERS {
            return Err(damaged());
        }
        registers.resize(registers.len() + run.length, run.value);
        at += run.bytes;
    }
    if registers.len() == REGISTERS { Ok(registers) } else { Err(damaged()) }
}

fn dense_get(dense: &[u8], index: usize) -> u8 {
    let bit = index * 6;
    let pair = u16::from(dense[bit / 8]) | u16::from(dense.get(bit / 8 + 1).copied().unwrap_or(0)) << 8;
    low_byte(usize::from(pair >> (bit % 8))) & 0x3f
}

fn dense_put(dense: &mut [u8], index: usize, value: u8) {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let (mask, bits) = (0x3f_u16 << shift, u16::from(value) << shift);
    for (offset, byte) in dense[byte..].iter_mut().take(2).enumerate() {
        let part = |wide: u16| low_byte(usize::from(wide >> (8 * offset)));
        *byte = *byte & !part(mask) | part(bits);
    }
}

/// Which register an element goes to, and its count of zeros.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, 0xadc8_3b19);
    let index = usize::try_from(hash).unwrap_or_default() & (REGISTERS - 1);
    let rest = hash >> REGISTER_BITS | 1 << COUNT_BITS;
    (index, low_byte(rest.trailing_zeros() as usize) + 1)
}

impl<'s> HyperLogLog<'s> {
    /// Over a string that passed [`check`].
    pub(super) fn new(string: &'s mut Vec<u8>) -> Self {
        Self { string }
    }

    /// Marks the cached cardinality as out of date.
    pub(super) fn invalidate(&mut self) {
        self.string[HEADER - 1] |= 0x80;
    }

    /// Whether a register grew.
    pub(super) fn add(&mut self, element: &[u8]) -> Result<bool> {
        let (index, count) = place(element);
        self.raise(index, count)
    }

    /// Raises a register to `count`, if it is below.
    pub(super) fn raise(&mut self, index: usize, count: u8) -> Result<bool> {
        if !is_dense(self.string) && count > MAX_SPARSE_VALUE {
            self.make_dense()?;
        }
        if is_dense(self.string) { Ok(self.raise_dense(index, count)) } else { self.raise_sparse(index, count) }
    }

    fn raise_dense(&mut self, index: usize, count: u8) -> bool {
        let dense = &mut self.string[HEADER..];
        let grows = dense_get(dense, index) < count;
        if grows {
            dense_put(dense, index, count);
        }
        grows
    }

    /// Goes over to the dense form; the header stays.
    pub(super) fn make_dense(&mut self) -> Result<()> {
        if is_dense(self.string) {
            return Ok(());
        }
        let registers = registers(self.string)?;
        self.string.truncate(HEADER);
        self.string.resize(DENSE_LENGTH, 0);
        self.string[4] = 0;
        for (index, value) in registers.into_iter().enumerate().filter(|(_, value)| *value > 0) {
            dense_put(&mut self.string[HEADER..], index, value);
        }
        Ok(())
    }

    fn raise_sparse(&mut self, index: usize, count: u8) -> Result<bool> {
        let (mut at, mut previous, mut first) = (HEADER, None, 0);
        let run = loop {
            let run = run_at(self.string, at).ok_or_else(damaged)?;
            if index < first + run.length {
                break run;
            }
            previous = Some(at);
            at += run.bytes;
            first += run.length;
        };
        if run.value >= count {
            return Ok(false);
        }
        if run.length == 1 {
            self.string[at] = value_code(count, 1);
        } else {
            let (before, after) = (index - first, first + run.length - 1 - index);
            let mut code = Vec::with_capacity(5);
            let push_rest = |code: &mut Vec<u8>, length: usize| {
                if run.value == 0 {
                    push_zeros(code, length);
                } else if length > 0 {
                    code.push(value_code(run.value, length));
                }
            };
            push_rest(&mut code, before);
            code.push(value_code(count, 1));
            push_rest(&mut code, after);
            if code.len() > run.bytes && self.string.len() + code.len() - run.bytes > SPARSE_LIMIT {
                self.make_dense()?;
                return Ok(self.raise_dense(index, count));
            }
            self.string.splice(at..at + run.bytes, code);
        }
        self.merge_neighbours(previous.unwrap_or(HEADER));
        Ok(true)
    }

    /// Joins neighbouring runs of the same value, looking at five codes only, as servers do: the result must be theirs to the byte.
    fn merge_neighbours(&mut self, mut at: usize) {
        for _ in 0..5 {
            let Some(run) = run_at(self.string, at) else { return };
            if run.value > 0
                && let Some(next) = run_at(self.string, at + 1)
                && next.value == run.value
                && run.length + next.length <= 4
            {
                self.string[at + 1] = value_code(run.value, run.length + next.length);
                self.string.remove(at);
            } else {
                at += run.bytes;
            }
        }
    }

    /// The estimated number of elements, from the cache or counted and cached, and whether the cache was renewed.
    pub(super) fn count(&mut self) -> Result<u64> {
        if self.string[HEADER - 1] & 0x80 == 0 {
            let cached = self.string[8..HEADER].iter().rev();
            return Ok(cached.fold(0, |n, byte| n << 8 | u64::from(*byte)));
        }
        let count = estimate(&registers(self.string)?);
        self.string[8..HEADER].copy_from_slice(&count.to_le_bytes());
        Ok(count)
    }
}

/// Otmar Ertl's improved raw estimator, which servers use since 5.0.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn estimate(registers: &[u8]) -> u64 {
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let mut histogram = [0_u32; 64];
    for value in registers {
        histogram[usize::from(value & 0x3f)] += 1;
    }
    let m = REGISTERS as f64;
    let last = COUNT_BITS as usize;
    let mut z = m * tau((m - f64::from(histogram[last + 1])) / m);
    for count in histogram[1..=last].iter().rev() {
        z += f64::from(*count);
        z *= 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    (ALPHA * m * m / z).round() as u64
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        y *= 0.5;
        let before = z;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// Austin Appleby's `MurmurHash64A`, little endian.
fn murmur64a(data: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (data.len() as u64).wrapping_mul(M);
    let (chunks, tail) = data.as_chunks::<8>();
    for chunk in chunks {
        let mut k = u64::from_le_bytes(*chunk).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0, |k, byte| k << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}
