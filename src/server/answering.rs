//! A connection's requests, each counted from its head until its answer has been sent; and answers,
//! by their size, until then.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::{Service, service_fn};

use super::fair;
use super::guests::{Asking, Guest, Held};

/// `service` with the guest on each request. Where there is no room the answer is 429.
pub(super) fn counted<S, B>(
    service: S,
    guest: Arc<Guest>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Sending<B>>,
    Error = Infallible,
    Future = Answering<S::Future>,
>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body + Unpin,
{
    service_fn(move |mut request: Request<Incoming>| {
        let Ok(held) = guest.request() else {
            guest.turned_away();
            return Answering(None);
        };
        unpin_buffer(&mut request);
        request.extensions_mut().insert(Arc::clone(&guest));
        let (asking, answer) = (guest.ask(), Box::pin(service.call(request)));
        let answered = guest.bytes();
        let asked = Asked { _asking: asking, held, answered, in_turn: false, answer };
        Answering(Some(asked))
    })
}

/// Leaves of a request's head only what is asked for, copied. Over HTTP/1 the head is a view of the
/// buffer that the connection was read into, which would be held until the answer, and another filled.
fn unpin_buffer<B>(request: &mut Request<B>) {
    let length = request.headers_mut().remove(CONTENT_LENGTH);
    let length = length.and_then(|length| HeaderValue::from_bytes(length.as_bytes()).ok());
    *request.headers_mut() = length.map(|length| (CONTENT_LENGTH, length)).into_iter().collect();
    if let Ok(path) = request.uri().path().parse() {
        *request.uri_mut() = path;
    }
}

/// An answer being made; none where there was no room for the request. A named type, so that it is
/// `Send` where the answer is.
pub(super) struct Answering<F>(Option<Asked<F>>);

struct Asked<F> {
    _asking: Asking,
    held: Held,
    answered: Held,
    in_turn: bool,
    answer: Pin<Box<F>>,
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body,
{
    type Output = Result<Response<Sending<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(asked) = &mut self.0 else { return Poll::Ready(Ok(full())) };
        // Over HTTP/1 a connection's requests are all of one task.
        if !asked.in_turn {
            ready!(fair::poll_share(cx));
            asked.in_turn = true;
        }
        let Ok(answer) = ready!(asked.answer.as_mut().poll(cx));
        let size = usize::try_from(answer.body().size_hint().lower());
        if !size.is_ok_and(|size| asked.answered.grow(size).is_ok()) {
            asked.answered.guest().turned_away();
            self.0 = None;
            return Poll::Ready(Ok(full()));
        }
        let held = self.0.take().map(|asked| [asked.held, asked.answered]);
        Poll::Ready(Ok(answer.map(|body| Sending(Some((body, held))))))
    }
}

/// Without a body, which a peer that opens no window could refuse to take.
fn full<B>() -> Response<Sending<B>> {
    let mut response = Response::new(Sending(None));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response
}

/// A body being sent. What it takes is held until its last piece is gone.
pub(super) struct Sending<B>(Option<(B, Option<[Held; 2]>)>);

/// A piece of a body. HTTP/2 takes a whole one as soon as it may send a byte of it.
pub(super) struct Piece<D> {
    data: D,
    _held: Option<[Held; 2]>,
}

impl<D: Buf> Buf for Piece<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.data.copy_to_bytes(count)
    }
}

impl<B: Body + Unpin> Body for Sending<B> {
    type Data = Piece<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        let Some((body, held)) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        let last = body.is_end_stream();
        Poll::Ready(frame.map(|frame| {
            let held = if last { held.take() } else { None };
            Ok(frame?.map_data(|data| Piece { data, _held: held }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    #[test]
    fn what_is_left_of_a_head_is_no_view_of_the_buffer() {
        let buffer = Bytes::from(b"/authenticate?timeout=30s 42".to_vec());
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_maybe_shared(buffer.slice(..25)).unwrap();
        for name in [CONTENT_LENGTH, http::header::HOST] {
            let value = HeaderValue::from_maybe_shared(buffer.slice(26..)).unwrap();
            request.headers_mut().insert(name, value);
        }
        assert!(!buffer.is_unique());
        unpin_buffer(&mut request);
        assert!(buffer.is_unique());
        assert_eq!((request.uri().path(), request.headers().len()), ("/authenticate", 1));
        assert_eq!(request.headers()[CONTENT_LENGTH], "42");
    }
}
