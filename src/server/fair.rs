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
    ready!(poll_turn(cx));
    spend(cx);
    Poll::Ready(())
}

fn poll_turn(cx: &mut Context<'_>) -> Poll<()> {
    if coop::has_budget_remaining() {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// So much of the turn is over, or what is left of it.
fn spend(cx: &mut Context<'_>) {
    for _ in 0..PARTS {
        let Poll::Ready(part) = coop::poll_proceed(cx) else { return };
        part.made_progress();
    }
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
        ready!(poll_turn(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        // To look and find nothing is no part of a turn.
        spend(cx);
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::guests::Guests;
    use super::*;
    use crate::clock::UnixTime;
    use crate::metrics::{Metrics, Port};

    fn guest() -> Arc<Guest> {
        let metrics = Arc::new(Metrics::new(UnixTime::from_secs(0), || None));
        let guests = Guests::new(Port::Tls, &metrics);
        Arc::clone(guests.seat(([127, 0, 0, 1], 1).into(), 1).unwrap().guest())
    }

    #[tokio::test]
    async fn so_many_bytes_may_come_without_a_request_and_then_no_more() {
        let (guest, (ours, mut theirs)) = (guest(), duplex(64));
        let mut fair = Fair::new(ours, &guest, 10);
        theirs.write_all(&[b'x'; 21]).await.unwrap();
        fair.read_exact(&mut [0; 10]).await.unwrap();
        drop(guest.ask());
        fair.read_exact(&mut [0; 10]).await.unwrap();
        let fault = fair.read_u8().await.unwrap_err();
        assert_eq!(fault.to_string(), "expected requests, found none for long");
    }

    #[tokio::test]
    async fn after_three_reads_or_requests_it_is_the_turn_of_others() {
        let (guest, (ours, mut theirs)) = (guest(), duplex(64));
        let mut fair = Fair::new(ours, &guest, 64);
        theirs.write_all(b"xx").await.unwrap();
        let turn = poll_fn(move |cx| {
            let mut read = |cx: &mut Context<'_>| {
                let mut byte = [0];
                Pin::new(&mut fair).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_ready()
            };
            // The third read finds nothing, and costs nothing.
            let reads = [read(cx), read(cx), read(cx)];
            let requests = [(); 2].map(|()| poll_share(cx).is_ready());
            Poll::Ready((reads, requests))
        });
        let (reads, requests) = tokio::spawn(turn).await.unwrap();
        assert_eq!((reads, requests), ([true, true, false], [true, false]));
    }
}
