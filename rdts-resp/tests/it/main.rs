//! The codec against itself in pieces, against the `redis` crate, and against hostile input.

#![allow(clippy::unwrap_used, clippy::panic)]

mod commands;
mod hostile;
mod inline;
mod replies;
mod support;
