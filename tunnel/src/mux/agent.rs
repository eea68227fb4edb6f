//! The agent's end of a connection: it answers requests, and invites to some.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request as HttpRequest, Response};
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
    let mut connection = limited!(Builder::new(), windows)
        .max_concurrent_streams(STREAMS_FATAL as u32)
        .max_pending_accept_reset_streams(STREAMS_FATAL)
        .handshake(transport)
        .await?;
    let mut invited = Invited::default();
    loop {
        windows.follow(ends.open(), |bytes| connection.set_initial_window_size(bytes));
        tokio::select! {
            asked = connection.accept() => match asked {
                Some(asked) => {
                    let (request, respond) = asked?;
                    answer(request, respond, &mut invited, &ends);
                }
                None => return Ok(()),
            },
            Some(request) = ends.requests.recv(), if invited.can_invite() => invited.invite(request)?,
            () = windows.due() => {}
        }
    }
}

/// Does what the client asks for.
fn answer(
    request: HttpRequest<RecvStream>,
    mut respond: SendResponse<Bytes>,
    invited: &mut Invited,
    ends: &Ends,
) {
    let path = Path::of(request.uri());
    let receiving = request.into_body();
    match path {
        Some(Path::Stream) => match ends.accepts() {
            Some(place) => {
                if let Some(sending) = accept(&mut respond) {
                    ends.pass_on(Stream::answered(receiving, sending, place));
                }
            }
            None => respond.send_reset(Reason::REFUSED_STREAM),
        },
        Some(Path::Invitations) => invited.over = accept(&mut respond).map(|sending| (sending, receiving)),
        Some(Path::Invited(number)) => match invited.take(number) {
            Some(Request { slot, answer, .. }) => {
                if let Some(sending) = accept(&mut respond) {
                    // Whoever gave up drops it, which resets it.
                    let _ = answer.send(Ok(Stream::answered(receiving, sending, ends.place(slot))));
                }
            }
            None => respond.send_reset(Reason::CANCEL),
        },
        Some(Path::Declined(number)) => {
            if let Some(request) = invited.take(number) {
                let _ = request.answer.send(Err(io::Error::other("the other end has too many streams")));
            }
            respond.send_reset(Reason::CANCEL);
        }
        None => respond.send_reset(Reason::REFUSED_STREAM),
    }
}

/// Answers at once, for what the stream is about is said in it; none where it has been reset meanwhile.
fn accept(respond: &mut SendResponse<Bytes>) -> Option<SendStream<Bytes>> {
    respond.send_response(Response::new(()), false).ok()
}

/// Streams of the agent's that the client has not made yet.
#[derive(Default)]
struct Invited {
    /// The client's side of it is never ended.
    over: Option<(SendStream<Bytes>, RecvStream)>,
    waiting: HashMap<u32, Request>,
    last: u32,
}

impl Invited {
    fn can_invite(&self) -> bool {
        self.over.is_some()
    }

    fn invite(&mut self, request: Request) -> Result<(), h2::Error> {
        if let Some((over, _)) = &mut self.over {
            self.last = self.last.wrapping_add(1);
            over.send_data(Invitation { number: self.last, first: request.first.clone() }.bytes(), false)?;
            self.waiting.insert(self.last, request);
        }
        Ok(())
    }

    fn take(&mut self, number: u32) -> Option<Request> {
        self.waiting.remove(&number)
    }
}
