//! rdts-rdb
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
pub use parser::{Parser, Progress};
pub use reader::Reader;
pub use str::{IntBuffer, Str};
pub use stream::{StreamConsumer, StreamEntry, StreamFields, StreamGroup, StreamId, StreamMeta, StreamPending};
pub use value::{HashField, Value};
pub use value_type::{ValueKind, ValueType};
pub use version::{Dialect, Version};
