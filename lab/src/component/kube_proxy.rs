//! kube-proxy: services' addresses, by iptables of the lab's own namespace.

use std::net::Ipv4Addr;

use super::{Component, probe};
use crate::lab::Lab;
use crate::network::{NODE_NAME, POD_RANGE};

const HEALTH_PORT: u16 = 10256;

pub(crate) fn component(lab: &Lab) -> Component {
    let mut command = lab.command("kube-proxy");
    command
        .arg(format!("--kubeconfig={}", lab.kubeconfig().display()))
        .arg(format!("--cluster-cidr={POD_RANGE}"))
        .arg(format!("--hostname-override={NODE_NAME}"))
        .arg("--proxy-mode=iptables")
        // The table's size is the machine's to decide.
        .args(["--conntrack-max-per-core=0", "--conntrack-min=0"]);
    let ready = || probe::http_ok((Ipv4Addr::LOCALHOST, HEALTH_PORT).into(), "/livez").map(drop);
    Component { name: "kube-proxy", command, ready: Box::new(ready), patience_s: 120 }
}
