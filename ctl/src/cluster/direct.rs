//! Connections straight to an API server: kube's own layers, over sockets that send at once.
//!
//! kube lets the kernel gather small writes (Nagle's algorithm), and what a forwarded port has to say waits then for an
//! acknowledgement of what it said before.

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt as _, DynBody};
use tower::retry::RetryLayer;
use tower::util::BoxService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

/// What kube's client calls.
pub(super) type Calls = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// A builder whose connections are made so; as kube has it where a proxy is between.
///
/// # Errors
/// When certificates, keys or headers of the configuration make no sense.
pub(super) fn builder(config: Config) -> kube::Result<ClientBuilder<Calls>> {
    if config.proxy_url.is_some() {
        return ClientBuilder::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let calls = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Builder::new(TokioExecutor::new()).build(connector));
    let calls = calls.map_response(|response: Response<_>| {
        response.map(|body| Box::new(body.map_err(BoxError::from)) as Box<DynBody>)
    });
    Ok(ClientBuilder::new(calls.boxed(), config.default_namespace))
}
