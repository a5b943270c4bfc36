//! What the example programs share.

pub mod exit;
pub mod rdb_json;
