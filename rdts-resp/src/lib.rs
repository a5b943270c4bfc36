#![doc = include_str!("../README.md")]

pub mod encode;

mod command;
mod error;
mod escape;
mod limits;
mod reply;
mod scan;

pub use command::{Args, CommandDecoder, CommandRef};
pub use error::{DecodeError, DecodeErrorKind};
pub use escape::Escaped;
pub use limits::Limits;
pub use reply::{ArrayRef, AttributedRef, Elements, MapRef, Pairs, Reply, ReplyDecoder, ReplyRef};
