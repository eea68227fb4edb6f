//! The apps, played in this process: the pod's, which calls, and those that it calls.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use canary_localmesh::Client;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

use crate::carrier::Carrier;
use crate::soak::TRUTH;
use crate::soak::flow::{Call, Flow, Lane, Trouble};
use crate::soak::judge::{Arrival, Judge};
use crate::soak::scene::{UNREACHABLE, called};

/// Says which call of its flow a request is, which attempt, and how it goes wrong.
const CALL: &str = "x-call";
/// Why a pod of another lane refuses.
const REFUSED: &str = "x-canary-refused";
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

type Answer = Response<Empty<Bytes>>;

/// The pod's app.
pub struct Pod {
    /// What it knows of its flows, and who judges them.
    pub judge: Arc<Judge>,
    /// Its way to the sidecar.
    pub outbound: Client,
}

/// Plays the pod's app.
///
/// # Errors
/// When it cannot listen.
pub fn play_pod(address: SocketAddr, pod: Arc<Pod>) -> Result<()> {
    serve(address, move |request| {
        let pod = pod.clone();
        async move { pod.answer(request).await }
    })
}

/// Plays an instance of the called service, of this lane or of the baseline.
///
/// # Errors
/// When it cannot listen.
pub fn play_called(address: SocketAddr, at: Lane, judge: Arc<Judge>) -> Result<()> {
    serve(address, move |request| {
        let judge = judge.clone();
        async move { answer_call(&judge, at, &request) }
    })
}

impl Pod {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let _ = body.collect().await;
        let Some(flow) = truth(&head.headers).and_then(|number| self.judge.flow(number)) else {
            return status(StatusCode::BAD_REQUEST);
        };
        self.judge.enter(&flow, tag(&head.headers));
        let handed: Vec<(&'static str, HeaderValue)> = flow
            .handed_on()
            .flat_map(|name| head.headers.get_all(name).iter().map(move |value| (name, value.clone())))
            .collect();
        let handed = Arc::new(handed);
        self.calls(&flow, &flow.calls, 0, &handed).await;
        tokio::spawn(async move {
            self.calls(&flow, &flow.late, flow.calls.len(), &handed).await;
            self.judge.leave(&flow);
        });
        status(StatusCode::OK)
    }

    async fn calls(&self, flow: &Flow, calls: &[Call], first: usize, handed: &[(&'static str, HeaderValue)]) {
        let numbered = calls.iter().zip(first..);
        join_all(numbered.map(|(call, number)| self.call(flow, *call, number, handed))).await;
    }

    async fn call(&self, flow: &Flow, call: Call, number: usize, handed: &[(&'static str, HeaderValue)]) {
        if !call.after.is_zero() {
            tokio::time::sleep(call.after).await;
        }
        let host = called().to_string();
        let attempts = if call.trouble == Trouble::AppRetries { 2 } else { 1 };
        for attempt in 1..=attempts {
            let truth = flow.number.to_string();
            let fault = match call.trouble {
                Trouble::AppRetries if attempt == 1 => "fail",
                Trouble::ProxyRetries => "unreachable",
                _ => "fine",
            };
            let about = format!("{number} {fault}");
            let mut headers: Vec<(&str, &[u8])> = vec![(TRUTH, truth.as_bytes()), (CALL, about.as_bytes())];
            headers.extend(handed.iter().map(|(name, value)| (*name, value.as_bytes())));
            self.judge.sent.add();
            if flow.needs_map() {
                self.judge.sent_by_map.add();
            }
            let wanted = if fault == "fail" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
            match self.outbound.get(&host, "/", &headers).await {
                Ok(reply) if reply.headers.contains_key(REFUSED) => self.judge.refused(flow),
                Ok(reply) if reply.status == wanted => {}
                Ok(reply) => self.judge.fail(flow, reply.status.as_str()),
                Err(error) => self.judge.fail(flow, &error.to_string()),
            }
        }
    }
}

fn answer_call(judge: &Judge, at: Lane, request: &Request<Incoming>) -> Answer {
    let headers = request.headers();
    let Some(flow) = truth(headers).and_then(|number| judge.flow(number)) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let about =
        headers.get(CALL).and_then(|about| about.to_str().ok()).and_then(|about| about.split_once(' '));
    let Some((number, fault)) = about else { return status(StatusCode::BAD_REQUEST) };
    judge.arrive(&flow, &Arrival { at, tag: tag(headers) }, fault == "unreachable");
    if fault == "unreachable" && flow.refuse_once(number.parse().unwrap_or(0)) {
        let mut answer = status(StatusCode::SERVICE_UNAVAILABLE);
        answer.headers_mut().insert(UNREACHABLE, HeaderValue::from_static("true"));
        return answer;
    }
    status(if fault == "fail" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK })
}

fn truth(headers: &HeaderMap) -> Option<u64> {
    headers.get(TRUTH)?.to_str().ok()?.parse().ok()
}

fn tag(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(Carrier::Tag.header()).map(HeaderValue::as_bytes)
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = status;
    answer
}

fn serve<F>(
    address: SocketAddr,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Result<()>
where
    F: Future<Output = Answer> + Send + 'static,
{
    // The mesh holds the port with the same option.
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let listener = socket.listen(BACKLOG)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            // The peer is a sidecar, which goes away as it likes.
            tokio::spawn(async move {
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    Ok(())
}
