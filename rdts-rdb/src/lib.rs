//! RDB files and DUMP payloads of Redis, Valkey and KeyDB: read, validated, converted, written.
//!
//! The parser is *sans-IO*: it is given bytes and says what they are. It reads every version there is (`REDIS0001` to `REDIS0015`,
//! `VALKEY080`), every type of value, in memory that does not depend on the size of the file or of what is in it, and at about the speed at
//! which the bytes can be copied out of the page cache.
//!
//! ```text
//!   file, pipe ───────► Reader ───────┐
//!   socket ───────────► AsyncReader ──┼─► Parser ─► Event ─► Entry, Value ─► Writer, encode
//!   your own buffer ──────────────────┘     │
//!                                           ├─ ValueMode::Decode       elements, borrowed
//!                                           ├─ ValueMode::Raw          the value's bytes, in pieces
//!                                           ├─ ValueMode::RawOrDecode  the bytes when they are few, else elements
//!                                           └─ ValueMode::Skip         nothing
//! ```
//!
//! # Ways to use it
//!
//! **Events of a file** ([`Reader`]), borrowed and in bounded memory:
//!
//! ```
//! use rdts_rdb::{Event, Reader};
//!
//! # let file = &b"REDIS0003\x04\x01h\x01\x01f\x01v\xFF"[..];
//! let mut reader = Reader::new(file); // a `File`, a socket, ...
//! while let Some(event) = reader.next_event()? {
//!     match event {
//!         Event::Key(header) => println!("{} {}", header.value_type, header.key.escape_ascii()),
//!         Event::HashField { field, value, .. } => println!("  {field:?} = {value:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), rdts_rdb::ReadError>(())
//! ```
//!
//! **Owned keys** ([`Reader::entries`]), when every single value fits in memory: see [`Entries`].
//!
//! **Your own buffer** ([`Parser`]): the caller reads, the parser parses; nothing is rescanned when more arrives.
//!
//! **A socket** ([`AsyncReader`], feature `tokio`): as [`Reader`], and gives back what follows the file.
//!
//! **Raw values**, to hand them to `RESTORE` without decoding: [`ValueMode::RawOrDecode`] and [`dump::append`].
//!
//! ```
//! use rdts_rdb::{dump, Event, ParserOptions, Reader, ValueMode, ValueType};
//!
//! # let file = &b"REDIS0003\x04\x01h\x01\x01f\x01v\xFF"[..];
//! let options = ParserOptions::new().value_mode(ValueMode::RawOrDecode { limit: 1 << 20 });
//! let mut reader = Reader::with_options(file, options);
//! let mut value_type = ValueType::String;
//! while let Some(event) = reader.next_event()? {
//!     match event {
//!         Event::Key(header) => value_type = header.value_type,
//!         Event::Raw(raw) => {
//!             let mut payload = Vec::new();
//!             dump::append(&mut payload, value_type, raw, 6);
//!             assert_eq!(payload.len(), dump::len(raw));
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok::<(), rdts_rdb::ReadError>(())
//! ```
//!
//! **Some keys only**: a [`KeyFilter`] decides on the key how its value is taken. **Comparing**: a [`Digester`] makes a digest that does not
//! depend on encoding, version or order. **Payloads** of `DUMP` and `RESTORE`, made, taken apart and validated: [`dump`]. **Writing** files
//! ([`encode::Writer`]) and **converting** values for older readers ([`encode::convert`]). Each of them has an example where it is documented.
//!
//! **Validating a file**, without doing anything with it:
//!
//! ```
//! use rdts_rdb::{ErrorKind, Limits, ParserOptions, Reader, ValueMode};
//!
//! # let file = &b"REDIS0003\x02\x01s\x02\x01a\x01a\xFF"[..];
//! // Raw values are walked through, and no key may be there twice.
//! let options = ParserOptions::new().value_mode(ValueMode::Raw).unique_keys(true).limits(Limits::new().max_total(1 << 40));
//! let mut reader = Reader::with_options(file, options);
//! let verdict = loop {
//!     match reader.next_event() {
//!         Ok(Some(_)) => {}
//!         Ok(None) => break Ok(()),
//!         Err(error) => break Err(error),
//!     }
//! };
//! let error = verdict.unwrap_err();
//! assert_eq!(error.to_string(), "duplicate field, member or name in a value at offset 12");
//! assert!(matches!(error.as_rdb().unwrap().kind(), ErrorKind::Duplicate(_)));
//! ```
//!
//! **Going on later**: a [`ResumePoint`] is what a parser knows between two keys, in a few bytes that another one goes on with.
//!
//! # What comes from where
//!
//! Untrusted input cannot make the parser allocate more than [`Limits`] admit, and never more than twice what has really arrived. Raw values
//! are validated on the way unless [`ParserOptions::validate`] is switched off: servers crash or hang on payloads that `RESTORE` lets
//! through. Every [`Error`] has a kind to match on and the absolute offset.
//!
//! # Not supported
//!
//! Values of modules of Redis 4.0 release candidates (type 6: nobody can tell where they end), GCRA values of special builds of Redis 8.10
//! (type 33), `VALKEY081` (unreleased), Dragonfly's private types and `.dfs` files: each is an error that says so.
//!
//! # Features
//!
//! `tokio`: [`AsyncReader`]. Without it the crate knows no runtime.
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod async_reader;
mod buffer;
mod crc64;
mod decode;
mod digest;
pub mod dump;
pub mod encode;
mod entry;
mod error;
mod event;
mod filter;
mod limits;
mod lzf;
mod module;
mod options;
mod packed;
mod parser;
mod reader;
mod scan;
mod str;
mod stream;
mod tok;
mod token;
mod validate;
pub mod value;
mod value_type;
mod version;

#[cfg(feature = "tokio")]
pub use async_reader::AsyncReader;
pub use digest::{Digest, Digester};
pub use entry::{Entries, Entry};
pub use error::{Error, ErrorKind, Limit, ReadError};
pub use event::{ArrayValue, Checksum, Event, Function, KeyExtras, KeyHeader, SlotImport, StringChunk};
pub use filter::KeyFilter;
pub use limits::Limits;
pub use module::{ModuleId, ModuleItem, ModuleName};
pub use options::{ParserOptions, ValueMode};
pub use parser::{NotAPoint, Parser, Progress, ResumePoint};
pub use reader::Reader;
pub use str::{IntBuffer, Str};
pub use stream::{StreamConsumer, StreamEntry, StreamFields, StreamGroup, StreamId, StreamMeta, StreamPending};
pub use value::{HashField, Value};
pub use value_type::{ValueKind, ValueType};
pub use version::{Dialect, Version};
