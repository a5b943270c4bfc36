//! However the input is cut, it gives the same events and the same error at the same offset.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (bits, cut, data) = input;
    let options = rdts_fuzz::options(bits);
    let whole = rdts_fuzz::log(data, 0, options);
    let pieces = rdts_fuzz::log(data, usize::from(cut % 64) + 1, options);
    assert_eq!(whole, pieces);
});
