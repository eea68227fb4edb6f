//! A Service's port and what Istio takes it to speak.

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: Option<String>,
    /// Its number.
    pub number: u16,
    /// Its `appProtocol`.
    pub app_protocol: Option<String>,
    /// Whether it carries datagrams.
    pub udp: bool,
}

/// What Istio takes a port to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1, HTTP/2 or gRPC, in the clear for the sidecar.
    Http,
    /// Not said: Istio looks at each connection.
    Guessed,
    /// Anything that has no requests to route.
    Other,
}

/// Ports that Istio never looks into when nothing is said: SMTP, DNS, MySQL, MongoDB.
const WELL_KNOWN_PORTS: [u16; 4] = [25, 53, 3306, 27017];

impl Port {
    /// What Istio takes it to speak.
    ///
    /// Source: `ConvertProtocol` in pkg/config/kube of Istio (1.31 development, August 2026).
    #[must_use]
    pub fn speaks(&self) -> Speaks {
        if self.udp {
            return Speaks::Other;
        }
        let name = match self.app_protocol.as_deref() {
            Some("kubernetes.io/h2c" | "kubernetes.io/ws") => return Speaks::Http,
            Some("kubernetes.io/wss") => return Speaks::Other,
            Some(said) => said,
            None => self.name.as_deref().unwrap_or_default(),
        };
        let word = name.split_once('-').map_or(name, |(word, _)| word);
        match word.to_ascii_lowercase().as_str() {
            "http" | "http2" | "http_proxy" | "grpc" => Speaks::Http,
            "tcp" | "udp" | "https" | "tls" | "mongo" | "redis" | "mysql" => Speaks::Other,
            _ if WELL_KNOWN_PORTS.contains(&self.number) => Speaks::Other,
            _ => Speaks::Guessed,
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}:{}", self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: Option<&str>, number: u16, app_protocol: Option<&str>, want: Speaks) {
        let port = Port {
            name: name.map(Into::into),
            number,
            app_protocol: app_protocol.map(Into::into),
            udp: false,
        };
        assert_eq!(port.speaks(), want, "{port}");
    }

    #[test]
    fn a_port_speaks_what_its_name_says() {
        for name in ["http", "http-web", "HTTP", "http2", "grpc", "grpc-web", "grpc-web-x"] {
            check(Some(name), 80, None, Speaks::Http);
        }
        for name in ["tcp", "tcp-x", "https", "https-web", "tls", "mysql", "redis-0"] {
            check(Some(name), 80, None, Speaks::Other);
        }
        for name in ["web", "httpx", "main"] {
            check(Some(name), 80, None, Speaks::Guessed);
        }
        check(None, 80, None, Speaks::Guessed);
        check(None, 3306, None, Speaks::Other);
    }

    #[test]
    fn the_application_protocol_wins_over_the_name() {
        check(Some("tcp"), 80, Some("http"), Speaks::Http);
        check(Some("web"), 80, Some("kubernetes.io/h2c"), Speaks::Http);
        check(Some("http"), 80, Some("kubernetes.io/wss"), Speaks::Other);
    }

    #[test]
    fn datagrams_are_never_http() {
        let port = Port { name: Some("http".into()), number: 80, app_protocol: None, udp: true };
        assert_eq!(port.speaks(), Speaks::Other);
    }
}
