//! The fuzz targets' bodies, and seeds for them. See `docs/fuzzing.md`.

pub mod rdb;
pub mod resp;
