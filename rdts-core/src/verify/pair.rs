//! The same keys on both sides, read and compared.

use std::sync::Arc;

use super::Context;
use super::face::{Face, Tolerance, Verdict, compare, same_bytes};
use super::keys::{Keys, shown};
use super::options::Mode;
use super::reader::{Depth, Reader, Seen};
use super::side::Side;
use crate::error::{Error, Result, Retry};

/// Values of one reading take so many bytes in their servers, about.
const WINDOW: u64 = 2 << 20;

/// Keys that belong together: those of the source, and what they are called in the target.
pub(super) struct Names<'k> {
    pub(super) db: u32,
    pub(super) keys: &'k Keys,
    pub(super) target_db: u32,
    pub(super) target_keys: &'k Keys,
    /// The node of the source that has them all, if that is known.
    pub(super) at: Option<usize>,
}

/// Takes what differs, or could not be read: the number of the key, why, and what both sides have.
pub(super) type Different<'d> = &'d mut (dyn FnMut(usize, Verdict, Face, Face) + Send);

/// Connections to both sides.
pub(super) struct Pair {
    context: Arc<Context>,
    tolerance: Tolerance,
    pub(super) source: Reader,
    pub(super) target: Reader,
}

impl Pair {
    pub(super) async fn open(context: &Arc<Context>) -> Result<Self> {
        let deadlines = context.options.deadlines;
        Ok(Self {
            source: Reader::open(context.source(), deadlines).await?,
            target: Reader::open(context.target(), deadlines).await?,
            tolerance: Tolerance::new(context.options.tolerance),
            context: Arc::clone(context),
        })
    }

    /// Looks anew for the nodes of both sides, and connects to them.
    pub(super) async fn reopen(&mut self) -> Result<()> {
        let deadlines = self.context.options.deadlines;
        let source = Arc::new(Side::find(&self.context.from, deadlines).await?);
        let target = Arc::new(Side::find(&self.context.to, deadlines).await?);
        self.source = Reader::open(source, deadlines).await?;
        self.target = Reader::open(target, deadlines).await?;
        Ok(())
    }

    /// Compares keys, and tells of those that are not the same. What breaks on the way is opened anew.
    pub(super) async fn compare(&mut self, names: &Names<'_>, different: Different<'_>) -> Result<()> {
        let started = tokio::time::Instant::now();
        loop {
            let mut found = Vec::new();
            let names_of = Arc::clone(&self.context);
            let mut find = |at, verdict, source, target| {
                // Of a type that is not wanted, whatever the target has is its own.
                let wanted = |face| !matches!(face, Face::Present(present) if !names_of.names.takes(present.kind));
                if wanted(source) {
                    found.push((at, verdict, source, target));
                }
            };
            match self.try_compare(names, &mut find).await {
                Ok(()) => {
                    found.into_iter().for_each(|(at, verdict, source, target)| different(at, verdict, source, target));
                    return Ok(());
                }
                Err(error) => self.after(error, started).await?,
            }
        }
    }

    /// Connects anew after an error that may pass.
    pub(super) async fn after(&mut self, error: Error, started: tokio::time::Instant) -> Result<()> {
        let mut error = error;
        loop {
            if error.retry() != Retry::Resume || started.elapsed() > self.context.options.deadlines.ready {
                return Err(error);
            }
            tracing::warn!(%error, "connecting anew");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            match self.reopen().await {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
    }

    /// As [`compare`](Self::compare), on the connections that there are.
    pub(super) async fn try_compare(&mut self, names: &Names<'_>, different: Different<'_>) -> Result<()> {
        if self.context.options.mode == Mode::Outline {
            return self.outline(names, different).await;
        }
        let sizes = self.source.sizes(names.db, names.keys, names.at).await?;
        let most = self.context.options.big;
        if sizes.iter().all(|size| *size <= most) && sizes.iter().sum::<u64>() <= WINDOW {
            return self.full(names, None, different).await;
        }
        // In portions of a bearable size, and one by one what is beyond that.
        let (mut keys, mut target_keys, mut numbers) = (Keys::default(), Keys::default(), Vec::new());
        let mut bytes = 0;
        for (number, size) in sizes.iter().enumerate() {
            if *size > most {
                self.pieces(names, number, different).await?;
                continue;
            }
            if bytes + size > WINDOW && !keys.is_empty() {
                let part = Names { keys: &keys, target_keys: &target_keys, ..*names };
                self.full(&part, Some(&numbers), different).await?;
                keys.clear();
                target_keys.clear();
                numbers.clear();
                bytes = 0;
            }
            bytes += size;
            keys.push(names.keys.get(number));
            target_keys.push(names.target_keys.get(number));
            numbers.push(number);
        }
        let part = Names { keys: &keys, target_keys: &target_keys, ..*names };
        self.full(&part, Some(&numbers), different).await
    }

    async fn outline(&mut self, names: &Names<'_>, different: Different<'_>) -> Result<()> {
        self.read(names, Depth::Outline).await?;
        for number in 0..names.keys.len() {
            let faces = (self.source.seen(number).face(), self.target.seen(number).face());
            let (source, target) = (faces.0.unwrap_or(Face::Unknown), faces.1.unwrap_or(Face::Unknown));
            match compare(&source, &target, self.tolerance) {
                Verdict::Same => {}
                verdict => different(number, verdict, source, target),
            }
        }
        Ok(())
    }

    /// `numbers`: what the keys are called elsewhere.
    async fn full(&mut self, names: &Names<'_>, numbers: Option<&[usize]>, different: Different<'_>) -> Result<()> {
        self.read(names, Depth::Full).await?;
        let (mut bytes, mut long) = (0, Vec::new());
        for at in 0..names.keys.len() {
            let (source, target) = (self.source.seen(at), self.target.seen(at));
            bytes += source.payload().map_or(0, <[u8]>::len);
            if same(source, target, self.tolerance) {
                continue;
            }
            let number = numbers.map_or(at, |numbers| numbers[at]);
            let (Some(source), Some(target)) = (source.face(), target.face()) else {
                long.push(at);
                continue;
            };
            match compare(&source, &target, self.tolerance) {
                Verdict::Same => {}
                verdict => different(number, verdict, source, target),
            }
        }
        self.context.read_bytes(bytes);
        for at in long {
            let number = numbers.map_or(at, |numbers| numbers[at]);
            let mut told = |_: usize, verdict, source, target| different(number, verdict, source, target);
            self.pieces(names, at, &mut told).await?;
        }
        Ok(())
    }

    async fn read(&mut self, names: &Names<'_>, depth: Depth) -> Result<()> {
        let source = self.source.read(names.db, names.keys, names.at, depth);
        let target = self.target.read(names.target_db, names.target_keys, None, depth);
        tokio::try_join!(source, target).map(|_| ())
    }

    /// A key whose value is not to be in memory as a whole.
    async fn pieces(&mut self, names: &Names<'_>, number: usize, different: Different<'_>) -> Result<()> {
        let (key, target_key) = (names.keys.get(number), names.target_keys.get(number));
        tracing::debug!(key = shown(names.db, key), "read in pieces");
        let source = self.source.read_pieces(names.db, key);
        let target = self.target.read_pieces(names.target_db, target_key);
        let (source, target) = tokio::try_join!(source, target)?;
        match compare(&source, &target, self.tolerance) {
            Verdict::Same => {}
            verdict => different(number, verdict, source, target),
        }
        Ok(())
    }
}

/// Whether both have the same bytes and expire together, which is nearly always so. `false` says nothing.
fn same(source: Seen<'_>, target: Seen<'_>, tolerance: Tolerance) -> bool {
    match (source.payload(), target.payload()) {
        (Some(one), Some(two)) => same_bytes(one, two) && tolerance.same(source.expire_at(), target.expire_at()),
        _ => source.is_missing() && target.is_missing(),
    }
}
