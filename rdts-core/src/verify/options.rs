//! What is compared, and how hard.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fence::BoxFence;
use crate::control::Control;
use crate::filter::Rules;
use crate::net::Deadlines;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Mode {
    /// How many keys each database has. No key is looked at, so that a key too many makes up for one that is missing, and rules that
    /// leave keys out or rename them are not applied, but for those about databases.
    Count,
    /// Which keys there are; their type, length and expiry. Finds missing and extra keys, other types, more or fewer elements (bytes of a
    /// string), expiries; not other contents of the same length, nor what is pending in a stream.
    Outline,
    /// All of it, with every byte of every value.
    #[default]
    Full,
    /// As [`Full`](Self::Full), of some keys only: [`VerifyOptions::sample`].
    Sample,
}

impl Mode {
    /// Its name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Outline => "outline",
            Self::Full => "full",
            Self::Sample => "sample",
        }
    }
}

/// How two deployments are compared.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// What is compared. Default: [`Mode::Full`].
    pub mode: Mode,
    /// How often what differs is looked at again, before it is reported. Rounds in which some of it turns out to have been on its way do not
    /// count. At least 1. Default: 3.
    pub rounds: u32,
    /// How long before each of these rounds is waited. With a [`fence`](Self::fence) it is the least. Default: 1 s.
    pub interval: Duration,
    /// How long a key is watched that keeps changing, before it is reported as unsettled. Default: 30 s.
    pub patience: Duration,
    /// How far the expiries of a key may be apart, and how near its expiry a key may be that only one side has. Default: 1 s.
    pub tolerance: Duration,
    /// The fraction of the keys that [`Mode::Sample`] compares, between 0 and 1; at least about 10,000 keys are. Which ones depends on their
    /// names alone. Default: 0.01.
    pub sample: f64,
    /// Values that take more memory in their server are read in pieces. Default: 512 KiB.
    pub big: u64,
    /// How many differences a report lists; all are counted. Default: 1000.
    pub list: usize,
    /// Set right what differs after all rounds: see [`verify`](super#repair). Default: no.
    pub repair: bool,
    /// How many pages of keys are compared at the same time; each takes a connection to every node. Default: 4.
    pub connections: usize,
    /// How many keys are asked for at a time. Default: 500.
    pub page: u32,
    /// Pauses the comparison, and limits how many keys and bytes of values are compared per second. Default: no limit.
    pub control: Control,
    /// How long to wait for servers.
    pub deadlines: Deadlines,
    /// What is wanted of the source, and what it is called in the target. With rules, databases that URLs name do not count. Default: all of it,
    /// under the same names.
    pub rules: Option<Arc<Rules>>,
    /// Knows when the target has what the source had. Without one, time alone has to tell. Default: none.
    pub fence: Option<Arc<BoxFence>>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            rounds: 3,
            interval: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            tolerance: Duration::from_secs(1),
            sample: 0.01,
            big: 512 << 10,
            list: 1000,
            repair: false,
            connections: 4,
            page: 500,
            control: Control::default(),
            deadlines: Deadlines::default(),
            rules: None,
            fence: None,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl VerifyOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )*
        }
    };
}

setters! {
    mode: Mode,
    rounds: u32,
    interval: Duration,
    patience: Duration,
    tolerance: Duration,
    sample: f64,
    big: u64,
    list: usize,
    repair: bool,
    connections: usize,
    page: u32,
    control: Control,
    deadlines: Deadlines,
    rules: Option<Arc<Rules>>,
}

impl VerifyOptions {
    /// Sets [`fence`](Self::fence).
    #[must_use]
    pub fn fence(mut self, fence: impl super::Fence) -> Self {
        self.fence = Some(Arc::new(BoxFence::new(fence)));
        self
    }
}
