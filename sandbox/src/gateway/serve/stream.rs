//! A connection as the services see it: any stream, with the bytes that were read to find out what it speaks put back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What can be read and written.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A stream with bytes before it.
pub(super) struct Stream {
    before: Bytes,
    inner: Box<dyn Io>,
}

/// Bytes looked at to find out what is spoken: a whole TLS record.
const LOOK_MAX: usize = 16 * 1024 + 5;

impl Stream {
    pub(super) fn new(inner: impl Io + 'static) -> Self {
        Self { before: Bytes::new(), inner: Box::new(inner) }
    }

    /// Waits for the first bytes, without taking them. Empty at the end of the stream.
    pub(super) async fn first(&mut self) -> io::Result<&[u8]> {
        if self.before.is_empty() {
            self.more().await?;
        }
        Ok(&self.before)
    }

    /// Reads on until what was read is at least `wanted` bytes long, or nothing comes for this long.
    pub(super) async fn at_least(&mut self, wanted: usize, patience: Duration) -> &[u8] {
        while self.before.len() < wanted.min(LOOK_MAX) {
            match tokio::time::timeout(patience, self.more()).await {
                Ok(Ok(n)) if n > 0 => {}
                _ => break,
            }
        }
        &self.before
    }

    async fn more(&mut self) -> io::Result<usize> {
        let mut buffer = BytesMut::with_capacity(LOOK_MAX);
        buffer.extend_from_slice(&self.before);
        let n = self.inner.read_buf(&mut buffer).await?;
        self.before = buffer.freeze();
        Ok(n)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        let n = self.before.len().min(buffer.remaining());
        buffer.put_slice(self.before.get(..n).unwrap_or_default());
        self.before.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
