//! Asking again after a server error. What says "later" (429, 503, 504) the client library asks about again itself.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use tower::BoxError;
use tower::retry::{Policy, RetryLayer};

/// How often a request is made again.
const TIMES: u32 = 4;
/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// An API server answers 500 while its etcd changes its leader, too: a moment later it works.
///
/// A write that came through all the same is harmless to repeat: it names the version that it changes, or what is
/// there already.
pub(super) fn layer() -> RetryLayer<ServerErrors> {
    RetryLayer::new(ServerErrors { made: 0, copies: RetryPolicy::default() })
}

#[derive(Clone)]
pub(super) struct ServerErrors {
    /// How often this request was made again.
    made: u32,
    /// Knows which requests can be copied.
    copies: RetryPolicy,
}

impl<Res> Policy<Request<Body>, Response<Res>, BoxError> for ServerErrors {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<Res>, BoxError>,
    ) -> Option<Self::Future> {
        let failed = result.as_ref().is_ok_and(|answer| answer.status() == StatusCode::INTERNAL_SERVER_ERROR);
        if !failed || self.made >= TIMES {
            return None;
        }
        let pause = PAUSE * 2u32.pow(self.made);
        self.made += 1;
        Some(tokio::time::sleep(pause))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Policy::<Request<Body>, Response<Res>, BoxError>::clone_request(&mut self.copies, request)
    }
}
