//! Lanes step by step: single cases that went wrong.

use std::sync::Arc;

use super::board::{Board, place};
use super::moves::Crossing;
use super::view::{SlotSet, View};
use crate::record::{Batch, BatchBuilder, Kind, Mark, Position, ReplicationId};
use crate::slot::slot;

const KEY: &str = "key";

fn replid(node: usize) -> ReplicationId {
    node.to_string().repeat(40).parse().unwrap()
}

fn slots(is: bool) -> SlotSet {
    let mut slots = SlotSet::new();
    if is {
        slots.insert(slot(KEY.as_bytes()));
    }
    slots
}

fn view(node: usize, offset: u64, [owned, migrating, importing]: [bool; 3]) -> View {
    View {
        id: node.to_string(),
        replid: Some(replid(node)),
        offset,
        config_epoch: node as u64,
        owned: slots(owned),
        migrating: slots(migrating),
        importing: slots(importing),
    }
}

/// A command of a node, which names the key.
fn command(node: usize, offset: u64, words: &[&str]) -> Batch {
    let mut out = BatchBuilder::new(64);
    rdts_resp::encode::command(out.arena(), words);
    let at = String::from_utf8_lossy(out.arena()).find(KEY).unwrap();
    out.commit(Mark::new(0, Kind::Write), Some(at..at + KEY.len()), offset);
    out.take(Position::stream(replid(node), offset, 0))
}

/// Two lanes, and all of their snapshots applied; the slot is the first one's.
fn two_lanes() -> (Arc<Board>, [Crossing; 2]) {
    let views = vec![view(0, 0, [true, false, false]), view(1, 0, [false; 3])];
    let board = Arc::new(Board::without_nodes(vec!["a".into(), "b".into()], views));
    for (node, lane) in board.lock().lanes.iter_mut().enumerate() {
        let start = Some((replid(node), 0));
        (lane.read, lane.passed, lane.applied) = (start, start, start);
    }
    let lanes = [0, 1].map(|lane| Crossing::new(board.clone(), lane));
    (board, lanes)
}

/// The owner has said that it gives the slot away, then moves a key, and its answer is heard after the key's arrival was read.
/// What it removed is not in that answer.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_under_way_when_a_command_was_read_proves_nothing() {
    let (board, [mut old, mut new]) = two_lanes();
    let asked = board.lock().tick();
    let under_way = view(0, 0, [true, true, false]);
    // MIGRATE: the arrival is read before the DEL of the other stream.
    assert!(new.push(command(1, 100, &["RESTORE-ASKING", KEY, "0", "payload"])).unwrap().is_none());
    board.sampled(0, asked, under_way);
    assert!(new.advance().unwrap().is_none(), "the key arrived before it was removed");

    let asked = board.lock().tick();
    board.sampled(0, asked, view(0, 50, [true, true, false]));
    assert!(new.advance().unwrap().is_none(), "what was removed is not read yet");
    let removed = match old.push(command(0, 50, &["DEL", KEY])).unwrap() {
        Some(batch) => batch,
        None => old.advance().unwrap().unwrap(),
    };
    assert!(new.advance().unwrap().is_none(), "what was removed is not applied yet");
    board.lock().lanes[0].applied = place(removed.position());
    assert_eq!(new.advance().unwrap().unwrap().commands().next().unwrap().name(), b"RESTORE");
}
