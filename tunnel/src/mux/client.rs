//! The client's end of a connection: every stream is a request of its own.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Method, Request as HttpRequest};
use tokio::io::{AsyncRead, AsyncWrite};

use super::invite::{Invitation, Path};
use super::window::Windows;
use super::{Ends, Request, STREAMS_FATAL, Stream, limited};

/// Runs until the connection ends.
pub(super) async fn run<T>(transport: T, mut ends: Ends) -> Result<(), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut windows = Windows::new(ends.arrivals.clone());
    let (mut requests, mut connection) = limited!(Builder::new(), windows)
        .enable_push(false)
        .initial_max_send_streams(STREAMS_FATAL)
        .handshake(transport)
        .await?;
    let mut invitations = Invitations::asked(&mut requests)?;
    loop {
        windows.follow(ends.open(), |bytes| connection.set_initial_window_size(bytes));
        tokio::select! {
            ended = &mut connection => return ended,
            Some(request) = ends.requests.recv() => open(&mut requests, request, &ends)?,
            invitation = poll_fn(|cx| invitations.poll_next(cx)) => match invitation? {
                Some(invitation) => follow(&mut requests, invitation, &ends)?,
                // Its connection ends as well, which says why.
                None => return connection.await,
            },
            () = windows.due() => {}
        }
    }
}

/// Begins a request, which this end goes on with.
fn ask(
    requests: &mut SendRequest<Bytes>,
    path: Path,
) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    let mut request = HttpRequest::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.uri();
    requests.send_request(request, false)
}

/// Opens a stream.
fn open(requests: &mut SendRequest<Bytes>, request: Request, ends: &Ends) -> Result<(), h2::Error> {
    let Request { first, slot, answer } = request;
    let (response, mut sending) = ask(requests, Path::Stream)?;
    sending.send_data(first, false)?;
    // Whoever gave up drops it, which resets it.
    let _ = answer.send(Ok(Stream::asked(response, sending, Bytes::new(), ends.place(slot))));
    Ok(())
}

/// Makes the stream that the agent opens.
fn follow(requests: &mut SendRequest<Bytes>, invitation: Invitation, ends: &Ends) -> Result<(), h2::Error> {
    let Invitation { number, first } = invitation;
    match ends.accepts() {
        Some(place) => {
            let (response, sending) = ask(requests, Path::Invited(number))?;
            ends.pass_on(Stream::asked(response, sending, first, place));
        }
        None => {
            let (_, mut sending) = ask(requests, Path::Declined(number))?;
            sending.send_data(Bytes::new(), true)?;
        }
    }
    Ok(())
}

/// What the agent wants to open.
struct Invitations {
    response: ResponseFuture,
    body: Option<RecvStream>,
    come: BytesMut,
    /// Never ended: the agent answers nothing else over it.
    _sending: SendStream<Bytes>,
}

impl Invitations {
    fn asked(requests: &mut SendRequest<Bytes>) -> Result<Self, h2::Error> {
        let (response, sending) = ask(requests, Path::Invitations)?;
        Ok(Self { response, body: None, come: BytesMut::new(), _sending: sending })
    }

    /// The next; none once there are no more.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Invitation>, h2::Error>> {
        loop {
            if let Some(invitation) = Invitation::take(&mut self.come) {
                return Poll::Ready(Ok(Some(invitation)));
            }
            let body = match &mut self.body {
                Some(body) => body,
                None => {
                    let response = ready!(Pin::new(&mut self.response).poll(cx))?;
                    self.body.insert(response.into_body())
                }
            };
            match ready!(body.poll_data(cx)).transpose()? {
                Some(data) => {
                    body.flow_control().release_capacity(data.len())?;
                    self.come.extend_from_slice(&data);
                }
                None => return Poll::Ready(Ok(None)),
            }
        }
    }
}
