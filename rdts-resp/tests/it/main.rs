//! The codec against itself in pieces, against the `redis` crate, against real servers, and against hostile input.

#![allow(clippy::unwrap_used, clippy::panic)]

mod commands;
mod fuzz;
mod hostile;
mod inline;
mod replies;
mod resp3;
mod servers;
mod support;
