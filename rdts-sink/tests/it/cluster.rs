//! The sink for clusters: against real ones, in order and in disorder. What one server holds that got the same batches is the truth.

mod connect;
mod crash;
mod disorder;
mod exact;
mod resume;
mod support;
