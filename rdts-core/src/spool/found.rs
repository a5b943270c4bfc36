//! A spool that was opened: what is in it, and how to go on with it.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use rdts_rdb::ResumePoint;

use super::consumer::Consumer;
use super::point;
use super::recover::{Recovered, recover};
use super::segment::{Directory, Segment, locate};
use super::shared::Shared;
use super::writer::{Writer, create};
use super::{At, Contents, Located, SpoolOptions, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Position;

/// A directory that is ours, and what a run before has left in it.
#[derive(Debug)]
pub(crate) struct Found {
    directory: Directory,
    options: SpoolOptions,
    recovered: Option<Recovered>,
    /// Where the snapshot can be gone on with, if its beginning was removed.
    point: Option<ResumePoint>,
}

/// Where reading a snapshot begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beginning {
    /// `None`: at its first byte.
    pub(crate) point: Option<ResumePoint>,
}

impl Beginning {
    pub(crate) fn at(&self) -> At {
        At::Snapshot(self.point.as_ref().map_or(0, ResumePoint::offset))
    }
}

impl Found {
    /// Opens the spool in `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Spool`](ErrorKind::Spool) if it cannot be used, or another process does; [`SpoolDamaged`](ErrorKind::SpoolDamaged);
    /// [`Config`](ErrorKind::Config) for options that cannot be.
    pub(crate) async fn open(directory: impl AsRef<Path>, options: SpoolOptions) -> Result<Self> {
        options.check()?;
        let path = directory.as_ref().to_owned();
        blocking(move || {
            let directory = Directory::lock(&path)?;
            let recovered = recover(&path)?;
            let snapshot = recovered.as_ref().filter(|held| held.contents.framing.is_some());
            let point = snapshot.map(|held| point::read(&path, &held.contents.first())).transpose()?.flatten();
            Ok(Self { directory, options, recovered, point })
        })
        .await
    }

    /// What it holds, if it holds anything.
    pub(crate) fn contents(&self) -> Option<&Contents> {
        self.recovered.as_ref().map(|recovered| &recovered.contents)
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Option<At> {
        self.recovered.as_ref().map(|recovered| recovered.end)
    }

    /// Whether all of a snapshot is here, from its first byte on.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.recovered.as_ref().is_some_and(|recovered| {
            let start = recovered.segments.front().map(|segment| segment.start);
            start == Some(At::Snapshot(0)) && recovered.end >= recovered.contents.stream_start()
        })
    }

    /// Where to begin so that everything behind the first `applied` bytes of the snapshot `position` is of comes, if all of that is here.
    pub(crate) fn snapshot_from(&self, position: &Position, applied: u64) -> Option<Beginning> {
        let recovered = self.recovered.as_ref()?;
        recovered.contents.find(position).filter(|found| !found.at.is_stream())?;
        let first = recovered.segments.front()?.start;
        let beginning = Beginning { point: self.point.clone().filter(|point| point.offset() <= applied) };
        let whole = recovered.end >= recovered.contents.stream_start();
        (whole && first <= beginning.at()).then_some(beginning)
    }

    /// Where `position` is in it, if everything from there on is here.
    pub(crate) fn find(&self, position: &Position) -> Option<Located> {
        let recovered = self.recovered.as_ref()?;
        let located = recovered.contents.find(position)?;
        let start = recovered.segments.front()?.start;
        (start <= located.at && located.at <= recovered.end).then_some(located)
    }

    /// Goes on with what is here, and reads it from `at` on.
    pub(crate) async fn go_on(self, at: At) -> Result<(Writer, Consumer)> {
        let Self { directory, options, recovered, .. } = self;
        let Some(Recovered { contents, segments, end }) = recovered else { return Err(nothing(&directory.path)) };
        blocking(move || {
            let last = segments.back().ok_or_else(|| nothing(&directory.path))?;
            let opened = File::options().append(true).open(&last.path);
            let file = opened.map_err(|error| failed("a file of the spool cannot be opened", &last.path, error))?;
            let begins = matches!((last.start, end), (At::Snapshot(_), At::Stream(_)));
            let place = locate(&segments, at).ok_or_else(|| nothing(&directory.path))?;
            let shared = Arc::new(Shared::new(directory, segments, end, at, Some(place), &options));
            let mut writer = Writer::new(options, contents, shared.clone(), file);
            if begins {
                writer.begin_stream()?;
            }
            Ok((writer, Consumer::new(shared, Some(at))))
        })
        .await
    }

    /// Forgets what is here and begins anew.
    pub(crate) async fn begin(self, contents: Contents) -> Result<(Writer, Consumer)> {
        blocking(move || {
            let Self { directory, options, .. } = self;
            let path = &directory.path;
            let old = Segment::list(path)?;
            let number = old.last().map_or(1, |segment| segment.number + 1);
            for segment in old {
                let removed = fs::remove_file(&segment.path);
                removed.map_err(|error| failed("a file of the spool cannot be removed", &segment.path, error))?;
            }
            point::remove(path)?;
            let start = contents.start();
            let segment = Segment::new(path, number, start);
            let file = create(&segment)?;
            let shared = Arc::new(Shared::new(directory, [segment].into(), start, start, None, &options));
            let mut writer = Writer::new(options, contents, shared.clone(), file);
            writer.head()?;
            Ok((writer, Consumer::new(shared, None)))
        })
        .await
    }
}

fn nothing(path: &Path) -> Error {
    Error::new(ErrorKind::Spool, "there is nothing to go on with").at(path.display())
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Spool, "work on the spool ended").with_source(error)),
    }
}
