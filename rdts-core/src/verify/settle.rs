//! Looks again at what differs, until it is known whether it does.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Context;
use super::face::{Face, Tolerance, Verdict, compare, unchanged};
use super::keys::Keys;
use super::options::Mode;
use super::pair::{Names, Pair};
use super::pass::Candidate;
use super::repair::{self, Repaired};
use super::report::{Difference, DifferenceKind, Differences, Summary};
use crate::error::Result;

/// Candidates that are kept in memory before they are looked at again.
const POOL: usize = 12 << 20;
/// Keys that are watched at the same time: few, so that looks at one of them follow each other quickly.
const WATCHED: usize = 64;
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(1);
/// Values of a watched key of the source that are kept in mind.
const REMEMBERED: usize = 4_000;
/// So many keys are looked at in one go.
const CHUNK: usize = 500;
/// However much is on its way, there are no more rounds than so many times those that are asked for.
const PROLONGED: u32 = 20;

/// What came of all candidates.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) differences: Differences,
    pub(super) keys: Vec<Difference>,
    pub(super) in_motion: u64,
    pub(super) repaired: u64,
}

/// A candidate that is being looked at.
struct Open {
    candidate: Candidate,
    verdict: Verdict,
    /// Neither side was changed between the last two looks.
    steady: bool,
}

/// Takes candidates as long as there are any, and finds out about them.
pub(super) async fn run(context: Arc<Context>, mut candidates: mpsc::Receiver<Candidate>) -> Result<Settled> {
    let mut settler = Settler {
        tolerance: Tolerance::new(context.options.tolerance),
        pair: Pair::open(&context).await?,
        settled: Settled::default(),
        context,
    };
    let mut over = false;
    while !over {
        let (mut pool, mut size) = (Vec::new(), 0);
        while size < POOL && !over {
            match candidates.recv().await {
                Some(candidate) => {
                    size += candidate.size();
                    pool.push(candidate);
                }
                None => over = true,
            }
        }
        // Meanwhile nobody takes candidates, so that whoever finds more of them waits.
        settler.settle(pool).await?;
    }
    Ok(settler.settled)
}

struct Settler {
    context: Arc<Context>,
    tolerance: Tolerance,
    pair: Pair,
    settled: Settled,
}

impl Settler {
    async fn settle(&mut self, pool: Vec<Candidate>) -> Result<()> {
        if pool.is_empty() {
            return Ok(());
        }
        let open = pool.into_iter().map(|candidate| Open { candidate, verdict: Verdict::Unknown, steady: false });
        let mut open: Vec<Open> = open.collect();
        // Next to each other what is asked for together. A key may have been listed twice.
        open.sort_by(|one, two| (one.candidate.db, &one.candidate.key).cmp(&(two.candidate.db, &two.candidate.key)));
        open.dedup_by(|one, two| (one.candidate.db, &one.candidate.key) == (two.candidate.db, &two.candidate.key));
        let most = self.context.options.rounds.max(1);
        let (mut round, mut all) = (0, 0);
        while round < most && all < most.saturating_mul(PROLONGED) && !open.is_empty() {
            let before = open.len();
            self.wait().await?;
            self.look_again(&mut open, true).await?;
            // As long as some of it arrives, the rest may still be on its way.
            round = if open.len() < before { 1 } else { round + 1 };
            all += 1;
        }
        let (sure, restless): (Vec<Open>, Vec<Open>) =
            open.into_iter().partition(|open| open.steady && matches!(open.verdict, Verdict::Different(_)));
        let mut sure = sure;
        let mut restless = restless.into_iter();
        loop {
            let chunk: Vec<Open> = restless.by_ref().take(WATCHED).collect();
            if chunk.is_empty() {
                break;
            }
            sure.extend(self.watch(chunk).await?);
        }
        for open in sure {
            self.conclude(open).await?;
        }
        Ok(())
    }

    /// Waits until what was on its way ought to be there.
    async fn wait(&mut self) -> Result<()> {
        tokio::time::sleep(self.context.options.interval).await;
        match &self.context.options.fence {
            Some(fence) => fence.caught_up().await,
            None => Ok(()),
        }
    }

    /// Looks at all of them again and keeps those that are not the same.
    async fn look_again(&mut self, open: &mut Vec<Open>, reopen: bool) -> Result<()> {
        if reopen
            && open.iter().any(|open| open.candidate.source == Face::Unknown || open.candidate.target == Face::Unknown)
        {
            // Keys that could not be read may have moved to other nodes. Of extra keys only the source was asked.
            let started = Instant::now();
            if let Err(error) = self.pair.reopen().await {
                self.pair.after(error, started).await?;
            }
        }
        let mut kept = Vec::new();
        let mut rest = std::mem::take(open).into_iter().peekable();
        while rest.peek().is_some() {
            let mut chunk: Vec<Open> = Vec::new();
            while let Some(next) = rest.next_if(|next| {
                chunk.len() < CHUNK
                    && chunk.first().is_none_or(|first| {
                        let (one, two) = (&first.candidate, &next.candidate);
                        (one.db, one.target_db) == (two.db, two.target_db)
                    })
            }) {
                chunk.push(next);
            }
            kept.extend(self.look(chunk).await?);
        }
        *open = kept;
        Ok(())
    }

    /// Looks once at candidates of one database; gives back those that are not the same.
    async fn look(&mut self, chunk: Vec<Open>) -> Result<Vec<Open>> {
        let Some(first) = chunk.first() else { return Ok(Vec::new()) };
        let (mut keys, mut target_keys) = (Keys::default(), Keys::default());
        for open in &chunk {
            keys.push(&open.candidate.key);
            target_keys.push(&open.candidate.target_key);
        }
        let (db, target_db) = (first.candidate.db, first.candidate.target_db);
        let names = Names { db, keys: &keys, target_db, target_keys: &target_keys, at: None };
        let mut seen: Vec<Option<(Verdict, Face, Face)>> = vec![None; chunk.len()];
        self.pair
            .compare(&names, &mut |at, verdict, source, target| seen[at] = Some((verdict, source, target)))
            .await?;
        let mut kept = Vec::new();
        for (mut open, seen) in chunk.into_iter().zip(seen) {
            let Some((verdict, source, target)) = seen else { continue };
            let before = &mut open.candidate;
            open.steady = unchanged(&before.source, &source, self.tolerance)
                && unchanged(&before.target, &target, self.tolerance);
            (before.source, before.target, open.verdict) = (source, target, verdict);
            kept.push(open);
        }
        Ok(kept)
    }

    /// Watches keys that keep changing. A target that follows has, a little later, what the source had: that is what is looked for. Gives
    /// back those that came to rest and differ; those of which nothing became known are reported.
    async fn watch(&mut self, mut open: Vec<Open>) -> Result<Vec<Open>> {
        let until = Instant::now() + self.context.options.patience;
        let mut seen: Vec<HashSet<u128>> =
            open.iter().map(|open| HashSet::from([mark(&open.candidate.source)])).collect();
        let mut sure = Vec::new();
        let mut next_round = Instant::now() + self.context.options.interval;
        // What they were at the last round, to see whether they have come to rest.
        let mut at_round: Vec<(Face, Face)> =
            open.iter().map(|open| (open.candidate.source, open.candidate.target)).collect();
        while !open.is_empty() && Instant::now() < until {
            let is_round = Instant::now() >= next_round;
            if is_round && let Some(fence) = &self.context.options.fence {
                fence.caught_up().await?;
            }
            let looked = self.look_each(std::mem::take(&mut open), is_round).await?;
            let (mut kept_seen, mut kept_at_round) = (Vec::new(), Vec::new());
            for ((looked, mut marks), mut before) in looked.into_iter().zip(seen).zip(at_round) {
                // `None`: it was the same.
                let Some(looked) = looked else { continue };
                let (source, target) = (looked.candidate.source, looked.candidate.target);
                if marks.len() < REMEMBERED {
                    marks.insert(mark(&source));
                }
                if target != Face::Unknown && marks.contains(&mark(&target)) && self.is_followed(&source, &before.0) {
                    self.settled.in_motion += 1;
                    continue;
                }
                if is_round {
                    let rested =
                        unchanged(&before.0, &source, self.tolerance) && unchanged(&before.1, &target, self.tolerance);
                    if rested && matches!(looked.verdict, Verdict::Different(_)) {
                        sure.push(looked);
                        continue;
                    }
                    before = (source, target);
                }
                open.push(looked);
                kept_seen.push(marks);
                kept_at_round.push(before);
            }
            (seen, at_round) = (kept_seen, kept_at_round);
            if is_round {
                next_round = Instant::now() + self.context.options.interval;
            }
            tokio::time::sleep(PAUSE).await;
        }
        for open in open {
            self.report(open.candidate, DifferenceKind::Unsettled, Repaired::No);
        }
        Ok(sure)
    }

    /// Whether the source has changed since: one that rests is not followed by a target that has an old value of it.
    fn is_followed(&self, source: &Face, before: &Face) -> bool {
        !unchanged(source, before, self.tolerance)
    }

    /// As [`look`](Self::look), for any databases, and with a `None` in the place of what was the same.
    async fn look_each(&mut self, open: Vec<Open>, reopen: bool) -> Result<Vec<Option<Open>>> {
        let places: Vec<(u32, Box<[u8]>)> =
            open.iter().map(|open| (open.candidate.db, open.candidate.key.clone())).collect();
        let mut looked = open;
        self.look_again(&mut looked, reopen).await?;
        let mut looked = looked.into_iter().peekable();
        // Both are in the same order.
        let next = places
            .into_iter()
            .map(|(db, key)| looked.next_if(|open| open.candidate.db == db && open.candidate.key == key));
        Ok(next.collect())
    }

    /// Reports a difference, or repairs it.
    async fn conclude(&mut self, open: Open) -> Result<()> {
        let Verdict::Different(kind) = open.verdict else { return Ok(()) };
        if !self.context.options.repair {
            self.report(open.candidate, kind, Repaired::No);
            return Ok(());
        }
        let started = Instant::now();
        let repaired = loop {
            match repair::repair(&mut self.pair, &open.candidate, self.tolerance).await {
                Ok(repaired) => break repaired,
                Err(error) if error.retry() == crate::error::Retry::Resume => self.pair.after(error, started).await?,
                Err(error) => break Repaired::Failed(error.to_string()),
            }
        };
        self.report(open.candidate, kind, repaired);
        Ok(())
    }

    fn report(&mut self, candidate: Candidate, kind: DifferenceKind, repaired: Repaired) {
        let (repaired, problem) = match repaired {
            Repaired::Yes => (true, None),
            Repaired::No => (false, None),
            Repaired::Failed(problem) => (false, Some(problem)),
        };
        if repaired {
            self.settled.repaired += 1;
        } else {
            self.settled.differences.count(kind);
        }
        if self.settled.keys.len() < self.context.options.list {
            let contents = self.context.options.mode != Mode::Outline;
            let (db, key) = match kind {
                DifferenceKind::Extra => (candidate.target_db, candidate.target_key),
                _ => (candidate.db, candidate.key),
            };
            let (source, target) = (summary(&candidate.source, contents), summary(&candidate.target, contents));
            self.settled.keys.push(Difference { db, key: key.into(), kind, source, target, repaired, problem });
        }
    }
}

fn summary(face: &Face, contents: bool) -> Option<Summary> {
    let Face::Present(present) = face else { return None };
    Some(Summary {
        kind: present.kind.name().to_owned(),
        length: present.len,
        digest: contents.then(|| format!("{:032x}", present.digest)),
        expire_at_ms: present.expire_at,
    })
}

/// What a side has, in one number; expiries are not in it, since they may be off by a little.
fn mark(face: &Face) -> u128 {
    match face {
        Face::Missing => 0,
        Face::Unknown => 1,
        Face::Present(present) => {
            let kind = u128::from(present.kind as u8) << 64 | u128::from(present.len);
            present.digest.wrapping_mul(3).wrapping_add(kind).wrapping_add(2)
        }
    }
}

/// Used by repair: whether both sides still differ as they did.
pub(super) fn still(verdict: &Candidate, source: &Face, target: &Face, tolerance: Tolerance) -> bool {
    unchanged(&verdict.source, source, tolerance)
        && !matches!(compare(source, target, tolerance), Verdict::Same | Verdict::Unknown)
}
