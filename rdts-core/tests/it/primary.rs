//! The primary: real servers as its replicas, and the bytes that it sends to a scripted one.

mod client;
mod raw;
mod servers;

use std::future::Future;
use std::time::Duration;

use rdts_core::primary::{Primary, PrimaryConfig};

/// Waits for something that has to happen.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited 60 s in vain for: {what}"),
    }
}

/// A primary on a free port that puts nothing into the stream by itself.
async fn quiet(config: PrimaryConfig) -> Primary {
    Primary::bind("127.0.0.1:0", config.ping_period(Duration::ZERO)).await.unwrap()
}
