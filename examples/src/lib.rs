//! What the example programs share.

pub mod account;
pub mod exit;
pub mod migration;
pub mod rdb_json;
pub mod selection;
