//! The published parsers that ours is compared with, used in the cheapest way that gives the same contents.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Read};
use std::path::Path;

/// The `rdb` crate: values as a whole; it verifies no checksum and knows no streams.
pub fn rdb(path: &Path) {
    rdb_source(BufReader::with_capacity(128 * 1024, File::open(path).expect("the file is there")));
}

/// The same from anywhere.
pub fn rdb_source(source: impl Read) {
    rdb::parse(source, Nothing, rdb::Simple::new()).expect("the file is good");
}

/// Takes every value and does nothing with it.
struct Nothing;

impl rdb::Formatter for Nothing {
    fn string(&mut self, key: &[u8], value: &[u8], _: &Option<u64>) {
        black_box((key, value));
    }
}

/// The `librdb` crate: bindings of the C library, elements by callback, checksum verified.
pub fn librdb(path: &Path) {
    #[derive(Default)]
    struct Sum(u64);

    impl librdb::RdbHandlers for Sum {
        fn handle_new_key(&mut self, key: &[u8], _: &librdb::KeyInfo) -> librdb::Result<()> {
            self.0 += key.len() as u64;
            Ok(())
        }
        fn handle_string_value(&mut self, value: &[u8]) -> librdb::Result<()> {
            self.0 += value.len() as u64;
            Ok(())
        }
        fn handle_list_item(&mut self, item: &[u8]) -> librdb::Result<()> {
            self.0 += item.len() as u64;
            Ok(())
        }
        fn handle_hash_field(&mut self, field: &[u8], value: &[u8], _: i64) -> librdb::Result<()> {
            self.0 += (field.len() + value.len()) as u64;
            Ok(())
        }
        fn handle_set_member(&mut self, member: &[u8]) -> librdb::Result<()> {
            self.0 += member.len() as u64;
            Ok(())
        }
        fn handle_zset_member(&mut self, member: &[u8], score: f64) -> librdb::Result<()> {
            self.0 = self.0.wrapping_add(member.len() as u64 + score.to_bits());
            Ok(())
        }
    }

    let mut parser = librdb::Parser::new(Sum::default()).expect("a parser");
    parser.parse_file(path.to_str().expect("a path in UTF-8")).expect("the file is good");
    black_box(parser.into_handler().0);
}
