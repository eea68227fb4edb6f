//! CoreDNS: the cluster's names, on the bridge.

use std::net::Ipv4Addr;

use super::{Component, probe};
use crate::error::{LabError, file};
use crate::lab::Lab;
use crate::network::BRIDGE_ADDRESS;
use crate::template;

/// As the template says.
const READY_PORT: u16 = 8181;

pub(crate) fn component(lab: &Lab) -> Result<Component, LabError> {
    let configuration = lab.paths.at("Corefile");
    let text = template::fill(
        include_str!("../../templates/Corefile"),
        &[("DNS", &BRIDGE_ADDRESS), ("KUBECONFIG", &lab.kubeconfig().display())],
    );
    std::fs::write(&configuration, text).map_err(file("write", &configuration))?;
    let mut command = lab.command("coredns");
    command.arg("-conf").arg(&configuration);
    let ready = || probe::http_ok((Ipv4Addr::LOCALHOST, READY_PORT).into(), "/ready").map(drop);
    Ok(Component { name: "coredns", command, ready: Box::new(ready), patience_s: 60 })
}
