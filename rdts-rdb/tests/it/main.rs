//! Integration tests: real files of many servers, whole and in pieces, and what must be refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, missing_docs)]

mod corpus;
mod corrupt;
mod dump;
mod duplicates;
mod expected;
mod feed;
mod files;
mod fuzz;
mod limits;
mod modes;
mod readers;
mod records;
mod resume;
mod servers;
mod sha256;
mod write;
