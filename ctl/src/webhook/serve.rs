//! TLS in front of the answers. Each connection is a task of its own; the certificate may change at any time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::certificates::Pair;

/// Most connections at a time; API servers keep a few each.
const CONNECTIONS_MAX: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long a peer may be quiet before it is asked whether it is there.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// Most questions at a time on one connection.
const STREAMS_MAX: u32 = 64;
/// Wait after a connection that could not be taken.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The certificate that connections are shown, once there is one.
#[derive(Debug, Default)]
pub struct Shown(RwLock<Option<Arc<CertifiedKey>>>);

impl Shown {
    /// Shows this one from now on.
    ///
    /// # Errors
    /// When it is none, or its key is another's.
    pub fn set(&self, pair: &Pair) -> Result<(), rustls::Error> {
        let unreadable = |_| rustls::Error::General("the certificate or its key is no PEM".into());
        let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(unreadable)?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves. Never ends.
///
/// # Errors
/// When the TLS library lacks what it was built with.
pub async fn serve(listener: TcpListener, shown: Arc<Shown>, router: Router) -> Result<(), rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = room.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    connection(stream, acceptor, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the webhook cannot take a connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let service = TowerToHyperService::new(router);
            let mut builder = Builder::new(TokioExecutor::new());
            // Who vanishes without a word makes room again.
            builder.http1().timer(TokioTimer::new()).header_read_timeout(QUIET_MAX);
            builder
                .http2()
                .timer(TokioTimer::new())
                .keep_alive_interval(QUIET_MAX)
                .keep_alive_timeout(HANDSHAKE_MAX)
                .max_concurrent_streams(STREAMS_MAX);
            let served = builder.serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection of the webhook ended early");
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS with the webhook"),
        Err(_) => tracing::debug!("a TLS handshake with the webhook takes too long"),
    }
}
