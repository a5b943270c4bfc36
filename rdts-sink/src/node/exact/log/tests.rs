use std::collections::BTreeMap;

use rdts_core::ErrorKind;
use rdts_core::record::{Batch, BatchBuilder, Kind, Mark, Position, ReplicationId};

use super::super::transaction::Accepted;
use super::*;

fn batch(offset: u64) -> Batch {
    let mut builder = BatchBuilder::new(64);
    rdts_resp::encode::command(builder.arena(), ["INCR", "a"]);
    builder.commit(Mark::new(0, Kind::Write), None, offset);
    builder.take(Position::stream(ReplicationId::NONE, offset, 0))
}

/// Transactions that end at these offsets, and were sent.
fn push(log: &mut Log, offsets: impl IntoIterator<Item = u64>) {
    for offset in offsets {
        let mut transaction = Transaction::default();
        transaction.push(Accepted::new(batch(offset), None));
        transaction.closed = true;
        log.push(transaction);
    }
}

fn checkpoint(number: u64, offset: u64) -> Checkpoint {
    Checkpoint { number, position: Some(Position::stream(ReplicationId::NONE, offset, 0)), failed: None }
}

#[test]
fn a_checkpoint_says_where_to_go_on_or_why_not() {
    // 10 was applied by a run before, 11 to 13 by this one, 14 is on its way, 15 is not to be executed yet.
    let mut log = Log::new(Some(checkpoint(10, 100)), usize::MAX);
    push(&mut log, [110, 120, 130, 140, 150]);
    log.transactions[4].closed = false;
    for _ in 0..3 {
        log.advance();
    }
    for (number, offset, applied) in [(10, 100, 0), (11, 110, 1), (13, 130, 3), (14, 140, 4)] {
        assert_eq!(log.compare(Some(&checkpoint(number, offset))).unwrap(), Found::Applied(applied), "{number}");
    }
    let failed = Checkpoint { failed: Some("LPUSH".into()), ..checkpoint(13, 130) };
    for (found, words) in [
        (None, "gone"),
        (Some(checkpoint(9, 90)), "are not kept any more"),
        (Some(checkpoint(15, 150)), "somebody else"),
        (Some(checkpoint(16, 160)), "somebody else"),
        (Some(checkpoint(12, 121)), "somebody else"),
        (Some(checkpoint(u64::MAX, 1)), "somebody else"),
        (Some(failed), "LPUSH"),
    ] {
        let error = log.compare(found.as_ref()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{found:?}");
        assert!(error.to_string().contains(words), "{found:?}: {error}");
    }
}

#[test]
fn a_target_that_never_had_a_checkpoint_may_have_none() {
    let mut log = Log::new(None, usize::MAX);
    push(&mut log, [10]);
    assert_eq!(log.compare(None).unwrap(), Found::Nothing);
    assert_eq!(log.compare(Some(&Checkpoint::default())).unwrap(), Found::Applied(0));
    log.see();
    assert!(log.compare(None).is_err());
}

/// A primary and a replica that is behind, as numbers of transactions; everything a server does to its data.
#[derive(Debug, Clone, PartialEq)]
struct Server {
    applied: Vec<u64>,
    checkpoint: Checkpoint,
}

/// Whatever happens, each transaction is applied once, in order, on whoever is the primary; or it is said that too little is kept.
#[test]
fn simulated_failures_lose_and_double_nothing() {
    let mut outcomes = BTreeMap::<&str, u32>::new();
    for seed in 1..3000_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let transaction_size = {
            let mut log = Log::new(None, 0);
            push(&mut log, [1]);
            log.transactions[0].memory()
        };
        let keep = usize::try_from(random(6)).unwrap() * transaction_size;
        let base = checkpoint(5, 5);
        let mut log = Log::new(Some(base.clone()), keep);
        let mut primary = Server { applied: vec![], checkpoint: base };
        let mut history = vec![primary.clone()];
        let mut next = 6;
        for _ in 0..60 {
            if log.is_all_applied() {
                push(&mut log, [next]);
                next += 1;
            }
            // The first that is not applied is executed.
            let offset = log.get(log.applied()).and_then(Transaction::position).unwrap().offset();
            let value = log.checkpoint(log.applied() + 1);
            let executed = random(4) > 0;
            if executed {
                primary.applied.push(offset);
                primary.checkpoint = value;
                history.push(primary.clone());
            }
            match random(8) {
                // The reply is lost, or a replica takes over that lacks some of it.
                0 | 1 => {
                    let lag = usize::try_from(random(4)).unwrap().min(history.len() - 1);
                    history.truncate(history.len() - lag);
                    primary = history.last().unwrap().clone();
                    match log.compare(Some(&primary.checkpoint)) {
                        Ok(Found::Applied(applied)) => {
                            log.go_back(applied.min(log.applied()));
                            for _ in log.applied()..applied {
                                log.advance();
                            }
                            *outcomes.entry("went on").or_default() += 1;
                        }
                        Ok(Found::Nothing) => unreachable!("there was a checkpoint"),
                        Err(error) => {
                            assert!(error.to_string().contains("not kept"), "{seed}: {error}");
                            assert!(primary.checkpoint.number < log.base.number, "{seed}: it is kept");
                            *outcomes.entry("too little kept").or_default() += 1;
                            break;
                        }
                    }
                }
                _ if executed => log.advance(),
                // Refused by the server: it is sent again.
                _ => {}
            }
            assert!(primary.applied.iter().copied().eq(6..6 + primary.applied.len() as u64), "{seed}: {primary:?}");
            assert_eq!(log.checkpoint(log.applied()), primary.checkpoint, "{seed}");
        }
    }
    assert_eq!(outcomes.len(), 2, "both ends were met: {outcomes:?}");
}
