//! The calls that a request causes, and the tree that they make.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use canary_istio::Host;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderValue, InvalidHeaderName};
use hyper::{Method, Request, StatusCode, Uri, Version};

use crate::app::config::{AppConfig, CallOrder};
use crate::app::forward::Forward;
use crate::app::grpc;
use crate::app::tree::{Tree, readable};
use crate::http::{Client, ClientError, Protocol, Reply};

/// Longest excerpt of an answer that is no tree, in bytes.
const EXCERPT_BYTES_MAX: usize = 200;

/// An app's way to the services that it calls.
pub(crate) struct Calls {
    config: AppConfig,
    forward: Forward,
    client: Client,
    served: AtomicU32,
}

/// What a request leaves behind for the calls that it causes.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    received: HeaderMap,
    forward: Forward,
    trace: Option<HeaderValue>,
    path: String,
}

impl Calls {
    pub(crate) fn new(config: AppConfig) -> Result<Self, InvalidHeaderName> {
        let behaviour = &config.behaviour;
        let forward = Forward::new(&behaviour.forward, behaviour.starts_trace)?;
        let protocol = if behaviour.http2 || behaviour.grpc { Protocol::H2c } else { Protocol::Http1 };
        let client =
            config.outbound.map_or_else(|| Client::of_names(protocol), |to| Client::new(to, protocol));
        Ok(Self { config, forward, client, served: AtomicU32::new(0) })
    }

    pub(crate) fn config(&self) -> &AppConfig {
        &self.config
    }

    /// What a request's calls need of it, and whether the app fails it on purpose.
    pub(crate) fn cause(&self, uri: &Uri, headers: &HeaderMap) -> Cause {
        let forward = self.forward.of_request(uri.query());
        // The special endpoints are this app's alone.
        let path = if uri.path().starts_with("/_") { "/" } else { uri.path() };
        let path = uri.query().map_or_else(|| path.into(), |query| format!("{path}?{query}"));
        Cause { received: headers.clone(), trace: forward.trace(headers), forward, path }
    }

    /// Whether the app fails this request, as it was told to do with every n-th.
    pub(crate) fn fails(&self) -> bool {
        let served = self.served.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.config.behaviour.fail_every.is_some_and(|n: NonZeroU32| served.is_multiple_of(n.get()))
    }

    /// Makes the calls of a request and answers with what everyone saw.
    pub(crate) async fn tree(&self, cause: &Cause) -> Tree {
        let start = Instant::now();
        let behaviour = &self.config.behaviour;
        if behaviour.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(behaviour.delay_ms)).await;
        }
        let hosts = behaviour.calls.iter();
        let calls = match behaviour.order {
            CallOrder::Parallel => join_all(hosts.map(|host| self.call(host, cause))).await,
            CallOrder::InTurn => {
                let mut calls = Vec::new();
                for host in hosts {
                    calls.push(self.call(host, cause).await);
                }
                calls
            }
        };
        Tree { calls, ms: ms_since(start), ..self.leaf(StatusCode::OK, &cause.received) }
    }

    /// This app's answer without any calls.
    pub(crate) fn leaf(&self, status: StatusCode, received: &HeaderMap) -> Tree {
        Tree {
            service: self.config.service.to_string(),
            version: self.config.version.clone(),
            instance: self.config.instance.clone(),
            status: status.as_u16(),
            attempts: 1,
            received: readable(received),
            ..Tree::default()
        }
    }

    /// Calls one service, repeatedly if it fails and the app repeats.
    pub(crate) async fn call(&self, host: &Host, cause: &Cause) -> Tree {
        let start = Instant::now();
        let mut attempts = 1;
        loop {
            let answer = self.attempt(host, cause).await;
            let failed = answer.as_ref().map_or(true, |reply| reply.status.is_server_error());
            if !failed || attempts > self.config.behaviour.retries {
                let tree = child(host, answer);
                // The caller's clock counts: it includes the proxies between.
                return Tree { attempts, ms: ms_since(start), ..tree };
            }
            attempts += 1;
        }
    }

    async fn attempt(&self, host: &Host, cause: &Cause) -> Result<Reply, ClientError> {
        let uri = format!("http://{host}{}", cause.path);
        let headers = cause.forward.headers(&cause.received, cause.trace.as_ref());
        if self.config.behaviour.grpc {
            let request = grpc::request(uri, headers).map_err(ClientError::Request)?;
            return self.client.exchange(request).await.map(grpc::as_http);
        }
        let version = if self.config.behaviour.http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        let mut request = Request::builder()
            .method(Method::GET)
            .version(version)
            .uri(uri)
            .body(Full::default())
            .map_err(ClientError::Request)?;
        *request.headers_mut() = headers;
        self.client.exchange(request).await
    }
}

fn child(host: &Host, answer: Result<Reply, ClientError>) -> Tree {
    let service = host.to_string();
    match answer {
        Ok(reply) => match serde_json::from_slice::<Tree>(&reply.body) {
            Ok(tree) => tree,
            Err(_) => {
                let excerpt: String = reply.text().chars().take(EXCERPT_BYTES_MAX).collect();
                Tree {
                    service,
                    status: reply.status.as_u16(),
                    error: Some(excerpt),
                    error_headers: readable(&reply.headers),
                    ..Tree::default()
                }
            }
        },
        Err(error) => Tree { service, error: Some(error.to_string()), ..Tree::default() },
    }
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
