//! Which node has which slots, as a text that a state keeps.

use super::view::View;
use crate::cluster::{range_text, ranges};
use crate::error::{Error, ErrorKind, Result};
use crate::slot::SLOTS;

/// A line for each shard: the node's name, its config epoch, its slots.
pub(super) fn text(views: &[View]) -> String {
    let line = |view: &View| {
        let slots = ranges((0..SLOTS).filter(|slot| view.owned.contains(*slot)));
        let slots: Vec<String> = slots.iter().map(range_text).collect();
        format!("{} {} {}", view.id, view.config_epoch, slots.join(","))
    };
    views.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Whether no slot has moved between two such texts.
pub(super) fn check(then: &str, now: &str) -> Result<()> {
    // A node that still has its slots and its epoch has taken none over meanwhile; one that was promoted has the slots of its primary.
    let word = |line: &str, at: usize| line.splitn(3, ' ').nth(at).map(str::to_owned);
    let kept =
        |(then, now): (&str, &str)| then == now || (word(then, 0) != word(now, 0) && word(then, 2) == word(now, 2));
    if then.lines().count() == now.lines().count() && then.lines().zip(now.lines()).all(kept) {
        return Ok(());
    }
    let text = "slots of the source cluster were moved since the copy began, and the order of the writes to them cannot be told any more";
    Err(Error::new(ErrorKind::HistoryLost, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_noticed_and_a_promotion_is_none() {
        let then = "a 1 0-8191\nb 2 8192-16383";
        assert!(check(then, then).is_ok());
        assert!(check(then, "c 3 0-8191\nb 2 8192-16383").is_ok());
        for now in [
            "a 3 0-8191\nb 2 8192-16383",
            "a 1 0-8190\nb 3 8191-16383",
            "c 3 0-8190\nb 2 8191-16383",
            "a 1 0-16383",
            "a 1 0-8191\nb 2 8192-16000\nc 3 16001-16383",
        ] {
            assert_eq!(check(then, now).map_err(|error| error.kind()), Err(ErrorKind::HistoryLost), "{now}");
        }
    }
}
