//! rdts-sink
