//! Any bytes, taken in any way, give events and an end or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (bits, data) = input;
    rdts_fuzz::log(data, 0, rdts_fuzz::options(bits));
});
