//! HyperLogLogs, whose bytes may differ when what they have counted is the same.

/// Registers of one HyperLogLog.
const REGISTERS: usize = 16_384;
/// Magic, encoding, and a cached cardinality that says nothing.
const HEADER: usize = 16;

/// Whether both strings are HyperLogLogs with the same registers. Servers differ in when they go from the sparse to the
/// dense form: 2.8 makes the result of every `PFMERGE` dense, 7.0 only where it has to be.
pub(super) fn count_the_same(left: &[u8], right: &[u8]) -> bool {
    matches!((registers(left), registers(right)), (Some(left), Some(right)) if left == right)
}

fn registers(bytes: &[u8]) -> Option<Vec<u8>> {
    let body = bytes.get(HEADER..).filter(|_| bytes.starts_with(b"HYLL"))?;
    let registers = match bytes[4] {
        0 => dense(body),
        1 => sparse(body)?,
        _ => return None,
    };
    (registers.len() == REGISTERS).then_some(registers)
}

/// Six bits each, from the low end of the bytes.
fn dense(body: &[u8]) -> Vec<u8> {
    let bit = |at: usize| body[at / 8] >> (at % 8) & 1;
    (0..body.len() * 8 / 6).map(|register| (0..6).map(|n| bit(register * 6 + n) << n).sum()).collect()
}

/// Runs of equal registers: `00nnnnnn` and `01nnnnnn nnnnnnnn` of zeros, `1vvvvvnn` of a value.
fn sparse(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut registers = Vec::new();
    while let Some((&first, rest)) = body.split_first() {
        body = rest;
        let (value, count) = match first >> 6 {
            0 => (0, usize::from(first & 63) + 1),
            1 => {
                let (&low, rest) = body.split_first()?;
                body = rest;
                (0, (usize::from(first & 63) << 8 | usize::from(low)) + 1)
            }
            _ => ((first >> 2 & 31) + 1, usize::from(first & 3) + 1),
        };
        registers.resize(registers.len() + count, value);
    }
    Some(registers)
}
