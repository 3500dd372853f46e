//! A connection as the services see it: any stream, with the bytes that were read to find out what it speaks put back.
//!
//! Whoever does not read what is sent to him is let go after a while: nothing else would end that.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What can be read and written.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A stream with bytes before it.
pub(super) struct Stream {
    before: Bytes,
    inner: Box<dyn Io>,
    /// Whether more is read than is asked for.
    ahead: bool,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Bytes looked at to find out what is spoken: a whole TLS record.
const LOOK_MAX: usize = 16 * 1024 + 5;
/// Bytes read at once for a reader that takes few at a time, as rustls does (4 KiB).
const AHEAD: usize = 64 << 10;
/// How long nothing can be written before the connection is given up.
pub(super) const STALL: Duration = Duration::from_mins(2);

thread_local! {
    /// Where bytes are read ahead: one place for all connections, most of which are silent.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; AHEAD]);
}

impl Stream {
    pub(super) fn new(inner: impl Io + 'static) -> Self {
        Self { before: Bytes::new(), inner: Box::new(inner), ahead: false, stalled: None }
    }

    /// The same for a socket, of which each read is a call into the kernel.
    pub(super) fn of_socket(socket: TcpStream) -> Self {
        Self { ahead: true, ..Self::new(socket) }
    }

    /// Takes bytes that were read before.
    fn take_back(&mut self, buffer: &mut ReadBuf<'_>) {
        let n = self.before.len().min(buffer.remaining());
        buffer.put_slice(self.before.get(..n).unwrap_or_default());
        self.before.advance(n);
        if self.before.is_empty() {
            self.before = Bytes::new(); // gives the memory back: the connection may stay for long
        }
    }

    /// What became of writing; or that it has not been possible for too long.
    fn written<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        match self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL))).as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "what was sent is not read"))),
            Poll::Pending => Poll::Pending,
        }
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
        if !self.before.is_empty() {
            self.take_back(buffer);
            return Poll::Ready(Ok(()));
        }
        if !self.ahead || buffer.remaining() >= LOOK_MAX {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut ahead = ReadBuf::new(scratch);
            // A socket's: it does not come back here.
            let result = Pin::new(&mut self.inner).poll_read(cx, &mut ahead);
            let read = ahead.filled();
            let n = read.len().min(buffer.remaining());
            let (now, later) = read.split_at(n);
            buffer.put_slice(now);
            if !later.is_empty() {
                self.before = Bytes::copy_from_slice(later);
            }
            result
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(cx, result)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.written(cx, result)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.written(cx, result)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(cx, result)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_let_go() {
        let (near, _far) = tokio::io::duplex(1024);
        let mut stream = Stream::new(near);
        let error = stream.write_all(&[0; 4096]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_not() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut stream = Stream::new(near);
        let reader = tokio::spawn(async move {
            let (mut all, mut part) = (0, [0; 1024]);
            while let Ok(n @ 1..) = far.read(&mut part).await {
                all += n;
                sleep(STALL / 2).await;
            }
            all
        });
        stream.write_all(&[0; 8192]).await.expect("it is read");
        drop(stream);
        assert_eq!(reader.await.expect("a reader"), 8192);
    }

    #[tokio::test]
    async fn what_is_read_ahead_comes_in_order() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut far = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
        let mut stream = Stream::of_socket(listener.accept().await.expect("accept").0);
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let writer = tokio::spawn(async move { far.write_all(&copy).await });
        let first = stream.at_least(8, STALL).await.to_vec();
        assert!(sent.starts_with(&first));
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        while all.len() < sent.len() {
            // As TLS does, and as HTTP does.
            let n = if all.len().is_multiple_of(3) {
                stream.read(&mut part).await.expect("read")
            } else {
                let mut much = vec![0; 2 * AHEAD];
                let n = stream.read(&mut much).await.expect("read");
                all.extend_from_slice(&much[..n]);
                continue;
            };
            all.extend_from_slice(&part[..n]);
        }
        assert_eq!(all, sent);
        writer.await.expect("a writer").expect("written");
    }
}
