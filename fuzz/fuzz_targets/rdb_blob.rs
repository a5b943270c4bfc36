//! Each type's value on its own, plain and compressed blobs alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdts_rdb::ValueType;
use rdts_rdb::dump::ValueEvents;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (kind, as_blob, data) = input;
    let value_type = ValueType::ALL[usize::from(kind) % ValueType::ALL.len()];
    let mut raw = Vec::new();
    if as_blob {
        // The head of the string that the blob is, so that the fuzzer need not find it.
        raw.push(0x80);
        raw.extend((data.len() as u32).to_be_bytes());
    }
    raw.extend_from_slice(data);
    let mut events = ValueEvents::new(value_type, &raw);
    let mut error = None;
    loop {
        match events.next_event() {
            Ok(Some(event)) => drop(format!("{event:?}")),
            Ok(None) => break,
            Err(e) => {
                error = Some(e);
                break;
            }
        }
    }
    if error.is_some() {
        assert!(ValueEvents::new(value_type, &raw).validate().is_err());
    }
});
