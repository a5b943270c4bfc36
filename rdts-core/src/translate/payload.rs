//! Values in the bytes of an RDB, for a target that may not read them.

use std::borrow::Cow;

use rdts_rdb::dump::ValueEvents;
use rdts_rdb::encode::{ConvertError, EncodeErrorKind, EncodeOptions, Loss, convert, encode_value};
use rdts_rdb::{Dialect, Error, ModuleId, Value, ValueKind, ValueType, Version};

use super::losses::{LossKind, Losses, OnLoss};
use super::{Family, Target};

/// A value that the target's `RESTORE` reads.
#[derive(Debug)]
pub(super) struct Fit<'a> {
    pub(super) value_type: ValueType,
    pub(super) raw: Cow<'a, [u8]>,
    /// What of it was left out.
    pub(super) lost: Option<LossKind>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unfit {
    /// The target has nothing like it, or cannot hold a part that is not to be left out.
    Lost(LossKind),
    /// It is broken, or cannot be converted.
    Broken(ConvertError),
}

/// A value without elements of this size may be in a packed form that not every server reads: see [`is_ambiguous`].
const SMALLEST_AMBIGUOUS: usize = 186;

/// The kind of what a value is, if the target has nothing like it, or is not to get it. Of a module's value its bytes tell which module it
/// is.
pub(super) fn lost(target: &Target, losses: &Losses, value_type: ValueType, raw: Option<&[u8]>) -> Option<LossKind> {
    let (major, minor, _) = target.version();
    let redis = |since| target.family() == Family::Redis && (major, minor) >= since;
    match value_type.kind() {
        ValueKind::Stream => (!target.streams()).then_some(LossKind::Streams),
        ValueKind::Array => (!redis((8, 8))).then_some(LossKind::Arrays),
        ValueKind::Module => match raw.map(is_vector_set) {
            None => None,
            Some(true) => (!redis((8, 0))).then_some(LossKind::VectorSets),
            Some(false) => {
                let kept =
                    losses.policy(LossKind::Modules) == OnLoss::Pass && target.restores(value_type, Dialect::Redis);
                (!kept).then_some(LossKind::Modules)
            }
        },
        _ => None,
    }
}

/// Vector sets are a module that every Redis since 8.0 has.
fn is_vector_set(raw: &[u8]) -> bool {
    let id = match raw {
        [0x81, id @ ..] => id.first_chunk::<8>().map(|id| u64::from_be_bytes(*id)),
        _ => None,
    };
    id.is_some_and(|id| ModuleId::from_raw(id).name().as_str() == "vectorset")
}

/// The value as the target reads it: as it is if that is known, else encoded anew.
pub(super) fn fit<'a>(
    target: &Target,
    losses: &Losses,
    value_type: ValueType,
    raw: &'a [u8],
    dialect: Dialect,
) -> Result<Fit<'a>, Unfit> {
    if let Some(kind) = lost(target, losses, value_type, Some(raw)) {
        return Err(Unfit::Lost(kind));
    }
    if target.restores(value_type, dialect) && (raw.len() < SMALLEST_AMBIGUOUS || !is_ambiguous(target, dialect)) {
        return Ok(Fit { value_type, raw: Cow::Borrowed(raw), lost: None });
    }
    let options = EncodeOptions::new(Version::from_number(target.rdb_version())).compress(false);
    match convert(value_type, raw, &options) {
        Ok(converted) => Ok(Fit { value_type: converted.value_type, raw: converted.raw, lost: None }),
        Err(ConvertError::Encode(error)) if matches!(error.kind(), EncodeErrorKind::WouldLose(_)) => {
            without(losses, value_type, raw, &options).map_err(Unfit::Broken)?
        }
        Err(error) => Err(Unfit::Broken(error)),
    }
}

/// The value without what the target cannot hold, if that is permitted.
fn without<'a>(
    losses: &Losses,
    value_type: ValueType,
    raw: &[u8],
    options: &EncodeOptions,
) -> Result<Result<Fit<'a>, Unfit>, ConvertError> {
    let value = ValueEvents::new(value_type, raw).collect_value().map_err(|error: Error| ConvertError::from(error))?;
    let kinds: Vec<LossKind> = match &value {
        Value::Stream(stream) => {
            let nacked = stream.groups.iter().any(|group| group.pending.iter().any(|row| row.consumer.is_none()));
            let producers = stream.idempotency.as_ref().is_some_and(|known| !known.producers.is_empty());
            let kinds = [(nacked, LossKind::StreamNacks), (producers, LossKind::StreamProducers)];
            kinds.into_iter().filter(|(there, _)| *there).map(|(_, kind)| kind).collect()
        }
        _ => vec![LossKind::HashFieldExpiry],
    };
    if let Some(kind) = kinds.iter().find(|kind| losses.policy(**kind) != OnLoss::Drop) {
        return Ok(Err(Unfit::Lost(*kind)));
    }
    let mut out = Vec::with_capacity(raw.len());
    let value_type = encode_value(&mut out, &value, &options.loss(Loss::Drop)).map_err(ConvertError::from)?;
    Ok(Ok(Fit { value_type, raw: Cow::Owned(out), lost: kinds.first().copied() }))
}

/// Whether what a source of `dialect` packs may be refused by the target, or crash it, though it knows the type: Valkey 9.1 writes the length of an
/// element of 16,383 bytes (and of two bigger sizes) otherwise than all other servers.
pub(super) fn is_ambiguous(target: &Target, dialect: Dialect) -> bool {
    let (major, minor, _) = target.version();
    let newer = target.family() == Family::Valkey && (major, minor) >= (9, 1);
    newer != (dialect == Dialect::Valkey)
}
