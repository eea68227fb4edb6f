//! The way to a cluster: kubectl's own flags and kubeconfig, to one client.

mod again;
mod direct;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use canary_istio::Host;
use http::Uri;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::net::lookup_host;
use tower::buffer::BufferLayer;
use tower::timeout::TimeoutLayer;

use crate::failure::{Code, Failure};

/// How long to wait for a connection, in seconds.
const CONNECT_TIMEOUT_S: u64 = 10;
/// How long to wait for an answer to begin, in seconds: API servers themselves give up after 60 (their
/// `--request-timeout`). What follows the beginning, as of a watch or a forwarded port, may take any time.
const ANSWER_TIMEOUT_S: u64 = 65;
/// How many requests wait for a connection before callers do.
const REQUESTS_WAITING: usize = 1024;

/// Where `--help` shows the flags.
pub const HEADING: &str = "Cluster";

/// kubectl's flags, by kubectl's names.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = HEADING)]
pub struct ClusterArgs {
    /// The kubeconfig file; default $KUBECONFIG, else ~/.kube/config, else the pod's own account.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig's cluster.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The kubeconfig's user.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The API server's address; without a kubeconfig it is asked as nobody.
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Act as this user.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Act as a member of this group; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub as_group: Vec<String>,
    /// The namespace; default that of the context.
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// A cluster that can be talked to.
#[derive(Clone)]
pub struct Cluster {
    /// The client. It retries what can be tried again.
    pub client: Client,
    /// The namespace that commands mean when they name none.
    pub namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig and makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// When the kubeconfig is missing or makes no sense.
    pub async fn connect(args: &ClusterArgs) -> Result<Self, Failure> {
        let config = args.config().await?;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = client(config, Duration::from_secs(ANSWER_TIMEOUT_S))
            .map_err(|error| Failure::from_error(Code::Failed, &error).help("check the kubeconfig"))?;
        Ok(Self { client, namespace })
    }

    /// The service that is typed as `NAME[.NAMESPACE]`.
    ///
    /// # Errors
    /// When it is no name of one.
    pub fn host(&self, typed: &str) -> Result<Host, Failure> {
        let (name, namespace) = typed.split_once('.').unwrap_or((typed, &self.namespace));
        Host::new(name, namespace).map_err(|error| Failure::new(Code::Usage, error))
    }
}

/// There is no such service.
pub(crate) fn no_service(host: &Host) -> Failure {
    let (name, namespace) = (host.name(), host.namespace());
    Failure::new(Code::Failed, format!("there is no Service {name} in namespace {namespace}"))
        .help(format!("kubectl get services -n {namespace}"))
}

impl ClusterArgs {
    /// The addresses of IPv4 that this machine asks the API server at, or a proxy before it.
    ///
    /// # Errors
    /// When the kubeconfig makes no sense.
    pub async fn servers(&self) -> Result<Vec<Ipv4Addr>, Failure> {
        let config = self.config().await?;
        let mut found = Vec::new();
        for place in [Some(&config.cluster_url), config.proxy_url.as_ref()].into_iter().flatten() {
            let host = place.host().unwrap_or_default().to_owned();
            // A name that nobody knows has no address that could be led astray.
            let addresses = lookup_host((host, 0)).await.into_iter().flatten();
            found.extend(addresses.filter_map(|address| match address.ip() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }));
        }
        Ok(found)
    }

    async fn config(&self) -> Result<Config, Failure> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let chooses = self.context.is_some() || self.cluster.is_some() || self.user.is_some();
        let failed = |error: &KubeconfigError| {
            Failure::from_error(Code::Failed, error)
                .help("name a kubeconfig with --kubeconfig or $KUBECONFIG, a context with --context")
        };
        let mut config = match &self.kubeconfig {
            Some(file) => {
                let read = Kubeconfig::read_from(file).map_err(|error| failed(&error))?;
                Config::from_custom_kubeconfig(read, &options).await.map_err(|error| failed(&error))?
            }
            None => match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                Err(error) if chooses => return Err(failed(&error)),
                Err(error) => self.without_kubeconfig(&error).ok_or_else(|| failed(&error))?,
            },
        };
        if let Some(server) = &self.server {
            config.cluster_url = url(server, config.root_cert.is_some())?;
        }
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
        }
        if !self.as_group.is_empty() {
            config.auth_info.impersonate_groups = Some(self.as_group.clone());
        }
        config.connect_timeout = Some(Duration::from_secs(CONNECT_TIMEOUT_S));
        Ok(config)
    }

    /// A server that was named is asked as nobody; in a pod there is an account.
    fn without_kubeconfig(&self, error: &KubeconfigError) -> Option<Config> {
        match &self.server {
            Some(_) => is_absent(error).then(|| Config::new(Uri::default())),
            None => Config::incluster().ok(),
        }
    }
}

/// Whether there is no kubeconfig, or none that says which cluster is meant.
fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath | KubeconfigError::CurrentContextNotSet => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// A server's address; kubectl, too, takes one without a scheme.
fn url(server: &str, has_authority: bool) -> Result<Uri, Failure> {
    let scheme = if has_authority { "https://" } else { "http://" };
    let server = if server.contains("://") { server.to_owned() } else { format!("{scheme}{server}") };
    server.parse().map_err(|error| Failure::new(Code::Usage, format!("--server {server} is no URL: {error}")))
}

/// A client that waits so long for an answer to begin, tries included.
fn client(config: Config, answer: Duration) -> kube::Result<Client> {
    let builder = direct::builder(config)?;
    // Only a service that can be had twice can be asked again.
    let builder = builder.with_layer(&BufferLayer::new(REQUESTS_WAITING)).with_layer(&again::layer());
    Ok(builder.with_layer(&TimeoutLayer::new(answer)).build())
}

/// Runs a verb's asynchronous part.
///
/// # Errors
/// What the verb failed with.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on_by(tokio::runtime::Builder::new_multi_thread(), work)
}

/// The same on this thread alone: for work of which most is one connection's, which several threads would only hand to
/// each other.
///
/// # Errors
/// What the verb failed with.
pub fn block_on_alone<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on_by(tokio::runtime::Builder::new_current_thread(), work)
}

fn block_on_by<T>(
    mut runtime: tokio::runtime::Builder,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// A failed request to the API server, in words: what was tried, what came of it.
#[must_use]
pub fn api_failure(tried: &str, error: &kube::Error) -> Failure {
    let failure = match error {
        kube::Error::Api(status) => Failure::new(Code::Failed, format!("cannot {tried}: {}", status.message)),
        other => {
            let said = Failure::from_error(Code::Failed, other);
            return said.context(&format!("cannot {tried}")).help("is the cluster there? kubectl version");
        }
    };
    match error {
        kube::Error::Api(status) if status.code == 403 => failure.help(
            "canaryctl rbac prints what commands take; or act as somebody who has that right: --as USER",
        ),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::{ListParams, WatchParams};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(300);

    /// Pods of a server that says this to whoever connects, each part later than the limit by the one before.
    async fn pods(parts: &'static [&'static str]) -> Api<Pod> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await.expect("a request");
            for part in parts {
                stream.write_all(part.as_bytes()).await.expect("written");
                tokio::time::sleep(LIMIT * 2).await;
            }
            std::future::pending::<()>().await;
        });
        let config = Config::new(format!("http://{address}").parse().expect("a URL"));
        Api::default_namespaced(client(config, LIMIT).expect("a client"))
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let error = pods(&[]).await.list(&ListParams::default()).await.expect_err("no answer");
        assert!(error.to_string().contains("timed out"), "{error}");
    }

    #[tokio::test]
    async fn a_server_error_is_asked_about_again() {
        let failed = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
        let list = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n{\"metadata\":{},\"items\":[]} ";
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let config = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            for answer in [failed, failed, list] {
                let _ = stream.read(&mut [0; 4096]).await.expect("a request");
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
        });
        let config = Config::new(config.parse().expect("a URL"));
        let pods: Api<Pod> =
            Api::default_namespaced(client(config, Duration::from_secs(10)).expect("a client"));
        assert_eq!(pods.list(&ListParams::default()).await.expect("the third answer").items.len(), 0);
    }

    #[tokio::test]
    async fn a_watch_may_be_silent_for_longer() {
        let pods = pods(&[
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n",
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"late\"}}}\n",
        ]);
        let mut events = pods.await.watch(&WatchParams::default(), "0").await.expect("a watch").boxed();
        events.next().await.expect("an event").expect("that is sound");
    }
}
