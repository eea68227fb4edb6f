//! kube-scheduler.

use std::net::Ipv4Addr;

use super::{Component, probe};
use crate::lab::Lab;

const PORT: u16 = 10259;

pub(crate) fn component(lab: &Lab) -> Component {
    let mut command = lab.command("kube-scheduler");
    command.arg(format!("--kubeconfig={}", lab.kubeconfig().display())).arg("--leader-elect=false");
    let ready = || probe::accepts((Ipv4Addr::LOCALHOST, PORT).into());
    Component { name: "kube-scheduler", command, ready: Box::new(ready), patience_s: 120 }
}
