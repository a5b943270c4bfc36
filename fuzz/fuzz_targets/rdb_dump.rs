//! DUMP payloads: what is taken apart can be put together again, and a value that is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdts_rdb::Value;
use rdts_rdb::dump::{self, Payload};

fuzz_target!(|data: &[u8]| {
    let Ok(payload) = Payload::parse_unverified(data) else { return };
    let value = payload.value();
    let valid = payload.events(rdts_rdb::ParserOptions::new()).validate();
    // Validation finds everything that decoding finds.
    assert!(valid.is_err() || value.is_ok());
    if let Ok(value) = value {
        let mut again = Vec::new();
        dump::append(&mut again, payload.value_type, payload.value, payload.version);
        let reread = Value::from_dump(&again).expect("the checksum is right now");
        assert_eq!(format!("{value:?}"), format!("{reread:?}"));
    }
});
