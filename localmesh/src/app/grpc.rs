//! Unary gRPC calls: what both ends make of HTTP. Source: gRPC over HTTP/2, the protocol's document.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use hyper::{Method, Request, StatusCode, Version};

use crate::http::Reply;

/// Before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
const OUTCOME: &str = "grpc-status";

/// Whether a request with these headers is one.
pub(crate) fn is_called(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A message as it travels.
pub(crate) fn message(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), content].concat()
}

/// A call with an empty message.
pub(crate) fn request(uri: String, headers: HeaderMap) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(uri)
        .body(Full::from(message(&[])))?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    Ok(request)
}

/// A reply in HTTP's terms: its message alone, and 503 where the outcome is not a good one.
pub(crate) fn as_http(mut reply: Reply) -> Reply {
    let outcome = reply.trailers.get(OUTCOME).or_else(|| reply.headers.get(OUTCOME));
    match outcome.is_some_and(|outcome| outcome == "0") {
        true => reply.body = reply.body.split_off(PREFIX_BYTES.min(reply.body.len())),
        false => reply.status = StatusCode::SERVICE_UNAVAILABLE,
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &[u8]) -> Reply {
        let (headers, trailers) = (HeaderMap::new(), HeaderMap::new());
        Reply { status: StatusCode::OK, headers, body: Bytes::copy_from_slice(body), trailers }
    }

    #[track_caller]
    fn check(reply: Reply, status: u16, body: &[u8]) {
        let read = as_http(reply);
        assert_eq!((read.status.as_u16(), read.body.as_ref()), (status, body));
    }

    #[test]
    fn a_good_outcome_is_its_message() {
        let mut good = reply(&message(b"tree"));
        good.trailers.insert(OUTCOME, HeaderValue::from_static("0"));
        check(good, 200, b"tree");
    }

    #[test]
    fn an_outcome_alone_comes_as_headers() {
        let mut missing = reply(b"");
        missing.headers.insert(OUTCOME, HeaderValue::from_static("12"));
        check(missing, 503, b"");
    }

    #[test]
    fn a_reply_without_an_outcome_has_broken_off() {
        check(reply(&message(b"tree")), 503, &message(b"tree"));
    }
}
