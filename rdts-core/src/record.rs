//! What flows from a source to a sink: batches of commands, ready as RESP, and the position that each reaches.

mod batch;
mod position;

pub use batch::{Batch, BatchBuilder, Command, Commands, Expect, Kind, Mark};
pub use position::{Position, ReplicationId};
