//! The rules by which a command may be passed on, each of which a test can take away.

/// What the proof stands on. The simulation shows of each that without it commands come in a wrong order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// An answer counts as later than a command only if it was asked for after the command was read.
    AskedAfter,
    /// The other lane has applied what its node wrote of the keys up to its answer.
    Through,
    /// A slot that a node lost and imports again was seen to be gone in between.
    SeenGone,
    /// A new config epoch may be a new claim to the slot.
    Epoch,
    /// After a new claim, a key must have been here all the time.
    Stayed,
}
