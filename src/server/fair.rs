//! One thread for all: how much of it a connection gets before the others have their turn, and how
//! much it may say without asking anything.
//!
//! The runtime takes turns by itself, but lets a task read 128 times, which is megabytes of control
//! frames, before the next one runs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use super::guests::Guest;

/// Of the 128 parts of a task's turn. Three reads, or requests, or some of both: those who ask
/// honestly take two.
const PARTS: u8 = 42;

/// Takes a good part of the running task's turn; pending, and woken again, where it has none left.
pub(super) fn poll_share(cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..PARTS {
        ready!(coop::poll_proceed(cx)).made_progress();
    }
    Poll::Ready(())
}

/// A stream that is read in turns, as long as its bytes are about requests.
#[derive(Debug)]
pub(super) struct Fair<S> {
    stream: S,
    guest: Arc<Guest>,
    /// How many bytes may come without a request.
    patience: usize,
}

impl<S> Fair<S> {
    pub(super) fn new(stream: S, guest: &Arc<Guest>, patience: usize) -> Self {
        Self { stream, guest: Arc::clone(guest), patience }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fair<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(poll_share(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.guest.said(buf.filled().len() - before) > self.patience {
            return Poll::Ready(Err(io::Error::other("expected requests, found none for long")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fair<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
