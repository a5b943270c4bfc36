//! The other end of the replication protocol: serves a snapshot and a stream to replicas.
