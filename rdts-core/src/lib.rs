//! Connections, the replica client, sources, translation and the pipeline of RDTS.

pub mod primary;
