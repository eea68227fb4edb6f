//! `canaryctl gate`: in front of an agent, lets requests of its lane through and hands on all others.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cluster::block_on;
use crate::failure::{Code, Failure};
use crate::gate::{self, Carries, Gate, HandedOn, Laptop, Stage};

/// How long a gate that is told to stop goes on: until every proxy has heard that its pod ends.
const SERVES_ON: Duration = Duration::from_secs(5);
/// How long responses under way may take after that: less than its pod has to end.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen and who answers: PORT=BASELINE, or PORT=BASELINE=LAPTOP for a port that is taken, or PORT==LAPTOP
    /// where there is no baseline.
    #[arg(long = "port", value_name = "PORT=[BASELINE][=LAPTOP]", required_unless_present_any = ["tcp", "guessed"])]
    requests: Vec<GatePort>,
    /// The same for connections that are not HTTP.
    #[arg(long = "tcp-port", value_name = "PORT=[BASELINE][=LAPTOP]")]
    tcp: Vec<GatePort>,
    /// The same where each connection is looked at.
    #[arg(long = "guessed-port", value_name = "PORT=[BASELINE][=LAPTOP]")]
    guessed: Vec<GatePort>,
    /// The lane whose requests laptops get; default all requests.
    #[arg(long, value_name = "LANE")]
    lane: Option<HeaderValue>,
    /// The header that carries the tag.
    #[arg(long, value_name = "HEADER")]
    tag_header: HeaderName,
    /// Hand everything on as it came: nobody routes by a request's host or tag, and baselines lead to no agent.
    #[arg(long)]
    as_it_came: bool,
    /// Laptops are behind an agent, which says by a first byte when one has taken a connection.
    #[arg(long)]
    agent: bool,
}

/// A port, and who answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GatePort {
    number: u16,
    baseline: Option<Authority>,
    laptop: Option<SocketAddr>,
}

impl FromStr for GatePort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no port: wanted 8080=cart.shop.svc:80=127.0.0.1:9000");
        let mut parts = text.split('=');
        let number = parts.next().and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
        let baseline = match parts.next() {
            Some("") => None,
            Some(baseline) => Some(baseline.parse().map_err(|_| wrong())?),
            None => return Err(wrong()),
        };
        let laptop = parts.next().map(|laptop| laptop.parse().map_err(|_| wrong())).transpose()?;
        match parts.next() {
            None if baseline.is_none() && laptop.is_none() => Err(wrong()),
            None => Ok(Self { number, baseline, laptop }),
            Some(_) => Err(wrong()),
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When a port is taken.
pub fn run(args: &Args) -> Result<(), Failure> {
    block_on(async {
        let mut serving = JoinSet::new();
        let (stage, told) = watch::channel(Stage::Serving);
        let kinds = [
            (Carries::Requests, &args.requests),
            (Carries::Bytes, &args.tcp),
            (Carries::Either, &args.guessed),
        ];
        let ports =
            kinds.into_iter().flat_map(|(carries, ports)| ports.iter().map(move |port| (carries, port)));
        for (carries, port) in ports {
            let listener = listen(port.number).await?;
            let gate = Gate {
                carries,
                handed_on: if args.as_it_came { HandedOn::AsItCame } else { HandedOn::Marked },
                tag_header: args.tag_header.clone(),
                lane: args.lane.clone(),
                laptop: port.laptop.map(if args.agent { Laptop::Agent } else { Laptop::Here }),
                baseline: port.baseline.clone(),
            };
            serving.spawn(gate::serve(listener, Arc::new(gate), told.clone()));
        }
        crate::signals::stopped().await;
        stage.send_replace(Stage::Ending);
        sleep(SERVES_ON).await;
        stage.send_replace(Stage::Over);
        let _ = timeout(ENDS_WITHIN, serving.join_all()).await;
        Ok(())
    })
}

/// Listens on every address of the pod, of both families where it has them.
async fn listen(port: u16) -> Result<TcpListener, Failure> {
    if let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        return Ok(listener);
    }
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Failure::new(Code::Failed, format!("cannot listen on {address}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_says_who_answers() {
        let taken: GatePort = "8080=cart.shop.svc:80=127.0.0.1:9000".parse().expect("a port");
        assert_eq!((taken.number, taken.baseline), (8080, Some(Authority::from_static("cart.shop.svc:80"))));
        assert_eq!(taken.laptop, Some(SocketAddr::from(([127, 0, 0, 1], 9000))));
        let other: GatePort = "8081=cart.shop.svc:81".parse().expect("a port");
        assert_eq!(other.laptop, None);
        let alone: GatePort = "8080==127.0.0.1:9000".parse().expect("a port");
        assert_eq!((alone.baseline, alone.laptop), (None, Some(SocketAddr::from(([127, 0, 0, 1], 9000)))));
        for wrong in
            ["", "8080", "8080=", "8080==", "x=cart:80", "8080=cart:80=laptop", "8080=cart:80=127.0.0.1:1=x"]
        {
            wrong.parse::<GatePort>().expect_err(wrong);
        }
    }
}
