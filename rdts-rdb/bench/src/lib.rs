//! Files to measure with, and the parsers that are measured.

pub mod generate;
pub mod parsers;
#[cfg(feature = "peers")]
pub mod peers;
