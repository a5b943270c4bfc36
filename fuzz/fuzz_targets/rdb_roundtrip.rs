//! What can be read can be written, and what is written reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdts_rdb::encode::{EncodeOptions, Loss, Writer};
use rdts_rdb::{Entry, Reader, Version};

fuzz_target!(|input: (u8, &[u8])| {
    let (number, data) = input;
    let version = Version::from_number([9, 12, 15, 80][usize::from(number % 4)]);
    let options = EncodeOptions::new(version).loss(Loss::Refuse).compress(number & 4 != 0);
    let entries = Reader::with_options(data, rdts_fuzz::options(0)).entries();
    let entries: Vec<Entry> = entries.map_while(Result::ok).collect();
    let mut writer = Writer::with_options(Vec::new(), options).expect("a vector can be written to");
    let mut written = Vec::new();
    for entry in entries {
        if writer.entry(&entry).is_ok() {
            written.push(entry);
        }
    }
    let file = writer.finish().expect("a vector can be written to");
    let mut again = Reader::new(&file[..]).entries();
    for entry in written {
        let reread = again.next().expect("it was written").expect("it is good");
        assert_eq!((entry.db, &entry.key, entry.expire_at_ms), (reread.db, &reread.key, reread.expire_at_ms));
        // Streams gain what their new form has; the contents are compared by the tests.
        if !matches!(entry.value, rdts_rdb::Value::Stream(_)) {
            assert_eq!(format!("{:?}", entry.value), format!("{:?}", reread.value));
        }
    }
    assert!(again.next().is_none());
});
