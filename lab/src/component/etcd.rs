//! etcd: where the cluster's objects are.

use std::net::Ipv4Addr;
use std::process::Command;

use super::{Component, probe};
use crate::lab::Lab;

const PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

pub(crate) fn component(lab: &Lab) -> Component {
    let (clients, peers) = (url(), format!("http://{}:{PEER_PORT}", Ipv4Addr::LOCALHOST));
    let mut command = Command::new("etcd");
    command
        .arg("--data-dir")
        .arg(lab.paths.at("etcd"))
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers])
        // A lab outlives no crash of the machine.
        .arg("--unsafe-no-fsync");
    let healthy = || match probe::http_ok((Ipv4Addr::LOCALHOST, PORT).into(), "/health") {
        Ok(body) if body.contains(r#""health":"true""#) => Ok(()),
        Ok(body) => Err(format!("/health answers {body}")),
        Err(why) => Err(why),
    };
    Component { name: "etcd", command, ready: Box::new(healthy), patience_s: 60 }
}

/// Where clients find it.
pub(super) fn url() -> String {
    format!("http://{}:{PORT}", Ipv4Addr::LOCALHOST)
}
