//! Which hosts a browser asks the cluster for: a file in JavaScript, as browsers take it.

use std::net::SocketAddr;

/// Where it is served.
pub const PATH: &str = "/proxy.pac";

/// The file. Names without a dot and those of Kubernetes go through the proxy; everything else goes its usual way.
#[must_use]
pub fn pac(here: Option<SocketAddr>) -> String {
    let here = here.map(|address| address.to_string()).unwrap_or_default();
    format!(
        r#"function FindProxyForURL(url, host) {{
  if (host === "localhost") return "DIRECT";
  if (isPlainHostName(host) || dnsDomainIs(host, ".svc") || dnsDomainIs(host, ".cluster.local"))
    return "SOCKS5 {here}; PROXY {here}";
  return "DIRECT";
}}
"#
    )
}
