//! rdts-rdb
