//! rdts-resp
