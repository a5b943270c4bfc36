//! Sources and sinks as the traits of the `futures` crate.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, stream};

use crate::error::{Error, ErrorKind, Result};
use crate::record::Batch;
use crate::sink::Sink;
use crate::source::Source;

/// The batches of a source as a stream, which ends after the first error.
///
/// Nothing is acknowledged to the source: a primary is told that nothing is applied yet.
///
/// ```
/// use futures::TryStreamExt;
/// use rdts_core::adapt;
/// use rdts_core::source::RdbSource;
/// use rdts_core::translate::{Target, TranslateOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> rdts_core::Result<()> {
/// let rdb: &[u8] = b"REDIS0003\xfe\x00\x00\x01k\x01v\xff";
/// let source = RdbSource::read_from("example", rdb, Target::redis(7, 0, 0), TranslateOptions::default()).await?;
/// let batches: Vec<_> = adapt::stream(source).try_collect().await?;
/// assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), 1);
/// # Ok(())
/// # }
/// ```
pub fn stream(source: impl Source) -> impl Stream<Item = Result<Batch>> + Send {
    stream::try_unfold(source, async |mut source| Ok(source.next().await?.map(|batch| (batch, source))))
}

/// A [`Sink`] as a [`futures::Sink`]: ready once a batch is accepted, flushed once it is applied.
///
/// Which batch the target has come to cannot be told through that trait: where that matters, use the sink itself.
pub struct FuturesSink<S>(State<S>);

enum State<S> {
    /// Nothing is under way; the second value says whether all that was accepted is applied.
    Idle(S, bool),
    Writing(BoxFuture<'static, (S, Result<()>)>),
    Flushing(BoxFuture<'static, (S, Result<()>)>),
    Closing(BoxFuture<'static, Result<()>>),
    Over,
}

impl<S: Sink> FuturesSink<S> {
    /// Adapts `sink`.
    pub fn new(sink: S) -> Self {
        Self(State::Idle(sink, true))
    }

    /// Goes on with what is under way.
    fn settle(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let (sink, result, applied) = match &mut self.0 {
            State::Idle(..) => return Poll::Ready(Ok(())),
            State::Writing(work) => {
                let (sink, result) = ready!(work.poll_unpin(context));
                (sink, result, false)
            }
            State::Flushing(work) => {
                let (sink, result) = ready!(work.poll_unpin(context));
                (sink, result, true)
            }
            State::Closing(work) => {
                let result = ready!(work.poll_unpin(context));
                self.0 = State::Over;
                return Poll::Ready(result);
            }
            State::Over => return Poll::Ready(Err(over())),
        };
        self.0 = State::Idle(sink, applied);
        Poll::Ready(result)
    }
}

fn over() -> Error {
    Error::new(ErrorKind::Disconnected, "the sink was closed")
}

// Nothing in it is ever pinned in place: the futures are boxed.
impl<S> Unpin for FuturesSink<S> {}

impl<S: Sink> futures::Sink<Batch> for FuturesSink<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.settle(context)
    }

    fn start_send(mut self: Pin<&mut Self>, batch: Batch) -> Result<()> {
        match mem::replace(&mut self.0, State::Over) {
            State::Idle(mut sink, _) => {
                self.0 = State::Writing(Box::pin(async move {
                    let result = sink.write(batch).await;
                    (sink, result)
                }));
                Ok(())
            }
            _ => Err(over()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            ready!(self.settle(context))?;
            match mem::replace(&mut self.0, State::Over) {
                State::Idle(mut sink, false) => {
                    self.0 = State::Flushing(Box::pin(async move {
                        let result = sink.flush().await;
                        (sink, result)
                    }));
                }
                done => {
                    self.0 = done;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if !matches!(self.0, State::Closing(_) | State::Over) {
            ready!(self.settle(context))?;
            if let State::Idle(sink, _) = mem::replace(&mut self.0, State::Over) {
                self.0 = State::Closing(sink.close().boxed());
            }
        }
        match self.0 {
            State::Over => Poll::Ready(Ok(())),
            _ => self.settle(context),
        }
    }
}

impl<S> fmt::Debug for FuturesSink<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FuturesSink")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::{SinkExt, StreamExt};

    use super::*;
    use crate::record::{BatchBuilder, Position, ReplicationId};
    use crate::sink::{Capabilities, Watermark};
    use crate::translate::Target;
    use std::sync::{Arc, Mutex};

    /// Applies what it accepted when it is flushed; refuses the fifth batch.
    struct Lazy(u64, Arc<Mutex<Vec<&'static str>>>);

    impl Sink for Lazy {
        fn capabilities(&self) -> Capabilities {
            Capabilities::new(Target::redis(7, 0, 0))
        }
        async fn write(&mut self, _batch: Batch) -> Result<()> {
            tokio::task::yield_now().await;
            self.0 += 1;
            self.1.lock().unwrap().push("write");
            if self.0 == 5 { Err(Error::new(ErrorKind::Rejected, "the fifth")) } else { Ok(()) }
        }
        fn acked(&self) -> Watermark {
            Watermark::default()
        }
        async fn flush(&mut self) -> Result<()> {
            tokio::task::yield_now().await;
            self.1.lock().unwrap().push("flush");
            Ok(())
        }
        async fn close(self) -> Result<()> {
            self.1.lock().unwrap().push("close");
            Ok(())
        }
    }

    fn batch() -> Batch {
        BatchBuilder::new(16).take(Position::stream(ReplicationId::NONE, 0, 0))
    }

    #[tokio::test]
    async fn batches_are_written_flushed_and_the_sink_closed() {
        let seen = Arc::default();
        let mut sink = FuturesSink::new(Lazy(0, Arc::clone(&seen)));
        let mut batches = stream::iter([batch(), batch()]).map(Ok);
        sink.send_all(&mut batches).await.unwrap();
        sink.feed(batch()).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["write", "write", "flush", "write", "close"]);
        assert!(sink.send(batch()).await.is_err());
    }

    #[tokio::test]
    async fn an_error_comes_out() {
        let mut sink = FuturesSink::new(Lazy(4, Arc::default()));
        assert_eq!(sink.send(batch()).await.unwrap_err().kind(), ErrorKind::Rejected);
    }
}
