//! A connection's bytes, in clear or by TLS.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::client::TlsStream;

/// The socket of a [`Connection`](super::Connection), in clear or by TLS.
///
/// What is written by TLS may wait in a buffer until the stream is flushed: [`send`](Self::send) does both.
pub struct Stream(Kind<TcpStream, Secured>);

/// The reading half of a [`Stream`].
pub struct StreamReader(Kind<OwnedReadHalf, ReadHalf<Secured>>);

/// The writing half of a [`Stream`].
pub struct StreamWriter(Kind<OwnedWriteHalf, WriteHalf<Secured>>);

enum Kind<P, T> {
    Plain(P),
    Tls(T),
}

/// What has happened to a stream that is read and written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a stream is read and written, and there is no third")]
pub enum Moved {
    /// So many bytes were written.
    Wrote(usize),
    /// So many bytes were read; 0 is the end.
    Read(usize),
}

impl Stream {
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self(Kind::Plain(socket))
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self(Kind::Tls(Secured { stream: Box::new(stream), late: None, unflushed: false }))
    }

    /// Both directions, for two tasks.
    pub fn into_split(self) -> (StreamReader, StreamWriter) {
        match self.0 {
            Kind::Plain(socket) => {
                let (reader, writer) = socket.into_split();
                (StreamReader(Kind::Plain(reader)), StreamWriter(Kind::Plain(writer)))
            }
            Kind::Tls(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (StreamReader(Kind::Tls(reader)), StreamWriter(Kind::Tls(writer)))
            }
        }
    }

    /// Writes all of `bytes` and sees to it that they leave.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }

    /// Writes of `output`, if there is anything in it, or reads into `input`, whatever can be done first. Cancel safe: what was done
    /// is told.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn exchange(&mut self, output: &[u8], input: &mut BytesMut) -> io::Result<Moved> {
        std::future::poll_fn(|cx| self.poll_exchange(cx, output, input)).await
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>, output: &[u8], input: &mut BytesMut) -> Poll<io::Result<Moved>> {
        if !output.is_empty() {
            if let Poll::Ready(wrote) = Pin::new(&mut *self).poll_write(cx, output) {
                return Poll::Ready(wrote.map(Moved::Wrote));
            }
        } else if let Kind::Tls(stream) = &mut self.0
            && stream.unflushed
            && let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        pin!(self.read_buf(input)).poll(cx).map_ok(Moved::Read)
    }
}

impl StreamWriter {
    /// Writes all of `bytes` and sees to it that they leave.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }
}

/// A stream that is secured.
struct Secured {
    stream: Box<TlsStream<TcpStream>>,
    /// What went wrong after bytes had been read that had to be given out first.
    late: Option<io::Error>,
    /// Something was written that may not have left.
    unflushed: bool,
}

impl AsyncRead for Secured {
    /// Takes as many records as there are: one has 16 KiB at most, and whoever reads wants more at a time.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.late.take() {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        loop {
            let filled = buf.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(cx, buf);
            match read {
                Poll::Ready(Ok(())) if buf.filled().len() > filled && buf.remaining() > 0 => {}
                // The end, which whoever reads again is told again; or the buffer is full.
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                nothing if filled == before => return nothing,
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => {
                    self.late = Some(error);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.unflushed |= wrote.is_ready();
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unflushed &= flushed.is_pending();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Hands everything on to what is inside.
macro_rules! pass_on {
    (read $type:ident) => {
        impl AsyncRead for $type {
            #[inline]
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                match &mut self.get_mut().0 {
                    Kind::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
                    Kind::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
                }
            }
        }
    };
    (write $type:ident) => {
        impl AsyncWrite for $type {
            #[inline]
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                match &mut self.get_mut().0 {
                    Kind::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
                    Kind::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
                }
            }

            #[inline]
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match &mut self.get_mut().0 {
                    Kind::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
                    Kind::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
                }
            }

            fn is_write_vectored(&self) -> bool {
                match &self.0 {
                    Kind::Plain(socket) => socket.is_write_vectored(),
                    Kind::Tls(stream) => stream.is_write_vectored(),
                }
            }

            #[inline]
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match &mut self.get_mut().0 {
                    Kind::Plain(socket) => Pin::new(socket).poll_flush(cx),
                    Kind::Tls(stream) => Pin::new(stream).poll_flush(cx),
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match &mut self.get_mut().0 {
                    Kind::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
                    Kind::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
                }
            }
        }
    };
    (debug $type:ident) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let kind = match &self.0 {
                    Kind::Plain(_) => "plain",
                    Kind::Tls(_) => "TLS",
                };
                f.debug_tuple(stringify!($type)).field(&kind).finish()
            }
        }
    };
}

pass_on!(read Stream);
pass_on!(write Stream);
pass_on!(debug Stream);
pass_on!(read StreamReader);
pass_on!(debug StreamReader);
pass_on!(write StreamWriter);
pass_on!(debug StreamWriter);
