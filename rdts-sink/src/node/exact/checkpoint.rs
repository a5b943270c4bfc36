//! What the checkpoint's key holds, and where a batch is in relation to it.

use std::fmt;
use std::str::FromStr;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::Position;

/// The form of the text that this version reads and writes.
const FORM: &str = "1";

/// A checkpoint: `1 TRANSACTIONS POSITION`, and ` failed WHAT` if the last transaction has a command that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Checkpoint {
    /// How many transactions are applied, over all runs.
    pub(super) number: u64,
    /// Where they bring the target; `None` before the first.
    pub(super) position: Option<Position>,
    /// What a command of the last of them was answered with.
    pub(super) failed: Option<String>,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM} {} ", self.number)?;
        match &self.position {
            Some(position) => write!(f, "{position}")?,
            None => f.write_str("none")?,
        }
        self.failed.as_ref().map_or(Ok(()), |failed| write!(f, " failed {failed}"))
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let nonsense = || {
            let shown: String = text.escape_debug().take(200).collect();
            Error::new(ErrorKind::Rejected, format!("'{shown}' is no checkpoint: somebody else uses its key"))
        };
        let (form, rest) = text.split_once(' ').ok_or_else(nonsense)?;
        if form != FORM {
            if form.bytes().all(|byte| byte.is_ascii_digit()) {
                let text = format!("a checkpoint of form {form}, and this version of RDTS knows form {FORM} only");
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            return Err(nonsense());
        }
        let (number, rest) = rest.split_once(' ').ok_or_else(nonsense)?;
        let (position, failed) = match rest.split_once(" failed ") {
            Some((position, failed)) => (position, Some(failed.to_owned())),
            None => (rest, None),
        };
        let position = match position {
            "none" => None,
            position => Some(position.parse().map_err(|_| nonsense())?),
        };
        Ok(Self { number: number.parse().map_err(|_| nonsense())?, position, failed })
    }
}

/// Whether a batch that ends at `end` is behind a target that is at `at`: it was applied by a run before.
///
/// # Errors
/// [`HistoryLost`](ErrorKind::HistoryLost) if the batch belongs to a snapshot that does not lead to where the target is.
pub(super) fn is_applied(end: &Position, at: &Position) -> Result<bool> {
    use Position::{Snapshot, Stream};
    let same = end.replid() == at.replid();
    match (end, at) {
        (Stream { offset, .. }, Stream { offset: at, .. }) => Ok(same && offset <= at),
        (Stream { .. }, Snapshot { .. }) => Ok(false),
        (Snapshot { rdb_bytes, .. }, Snapshot { rdb_bytes: done, .. }) if same && end.offset() == at.offset() => {
            Ok(rdb_bytes <= done)
        }
        (Snapshot { offset, .. }, Stream { offset: at, .. }) if same && offset <= at => Ok(true),
        _ => {
            let text = format!(
                "the source begins another snapshot ({end}), and the target has what an earlier run copied, up to {at}: empty the target, \
                 remove the checkpoint, and run again"
            );
            Err(Error::new(ErrorKind::HistoryLost, text))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdts_core::record::ReplicationId;

    use super::*;

    const NONE: ReplicationId = ReplicationId::NONE;

    #[test]
    fn checkpoints_are_read_back_as_they_were_written() {
        let stream = Some(Position::stream(NONE, 18230, 3));
        for (number, position, failed) in [
            (0, None, None),
            (u64::MAX, stream, None),
            (7, Some(Position::snapshot(NONE, 1, 2)), Some("LPUSH of key \"a failed b\" was answered with '-ERR'")),
            (7, None, Some("")),
        ] {
            let checkpoint = Checkpoint { number, position, failed: failed.map(str::to_owned) };
            assert_eq!(checkpoint.to_string().parse::<Checkpoint>().unwrap(), checkpoint);
        }
        let shown = Checkpoint { number: 42, position: stream, failed: None }.to_string();
        assert_eq!(shown, format!("1 42 stream {NONE} 18230 3"));
    }

    #[test]
    fn what_is_no_checkpoint_is_told_from_one_of_another_version() {
        for (text, kind) in [
            ("", ErrorKind::Rejected),
            ("1", ErrorKind::Rejected),
            ("1 2", ErrorKind::Rejected),
            ("1 x none", ErrorKind::Rejected),
            ("1 2 nowhere", ErrorKind::Rejected),
            ("1 2 none ", ErrorKind::Rejected),
            ("session of somebody", ErrorKind::Rejected),
            ("2 anything", ErrorKind::Unsupported),
        ] {
            assert_eq!(text.parse::<Checkpoint>().unwrap_err().kind(), kind, "{text}");
        }
    }

    #[test]
    fn a_batch_is_behind_beyond_or_of_another_history() {
        let other: ReplicationId = "a".repeat(40).parse().unwrap();
        let (snapshot, stream) = (Position::snapshot(NONE, 100, 50), Position::stream(NONE, 100, 0));
        for (end, at, expected) in [
            (Position::stream(NONE, 99, 0), stream, Some(true)),
            (Position::stream(NONE, 100, 5), stream, Some(true)),
            (Position::stream(NONE, 101, 0), stream, Some(false)),
            // After a promotion offsets may go back a little.
            (Position::stream(other, 99, 0), stream, Some(false)),
            (Position::stream(NONE, 100, 0), snapshot, Some(false)),
            (Position::snapshot(NONE, 100, 50), snapshot, Some(true)),
            (Position::snapshot(NONE, 100, 51), snapshot, Some(false)),
            (Position::snapshot(NONE, 101, 50), snapshot, None),
            (Position::snapshot(other, 100, 50), snapshot, None),
            (Position::snapshot(NONE, 100, 999), stream, Some(true)),
            (Position::snapshot(NONE, 101, 1), stream, None),
            (Position::snapshot(other, 1, 1), stream, None),
        ] {
            assert_eq!(is_applied(&end, &at).ok(), expected, "{end} for {at}");
        }
    }
}
