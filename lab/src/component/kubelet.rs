//! The kubelet: the lab's only node.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::{Component, probe};
use crate::error::{LabError, file};
use crate::lab::Lab;
use crate::network::{BRIDGE_ADDRESS, NODE_ADDRESS, NODE_NAME};
use crate::template;

const HEALTH_PORT: u16 = 10248;
/// Where the kubelet links to pods' logs, whatever its configuration says.
const LOG_LINKS: &str = "/var/log/containers";

pub(crate) fn component(lab: &Lab) -> Result<Component, LabError> {
    let write = |name: &str, text: &str| {
        let path = lab.paths.at(name);
        std::fs::write(&path, text).map_err(file("write", &path))
    };
    let text = template::fill(
        include_str!("../../templates/kubelet.yaml"),
        &[
            ("STATE", &lab.paths.root().display()),
            ("CONTAINERD", &lab.paths.containerd_socket().display()),
            ("CGROUP", &lab.group.kubelet_root()),
            ("CA", &lab.identity.at("ca.crt").display()),
            ("DNS", &BRIDGE_ADDRESS),
        ],
    );
    write("kubelet.yaml", &text)?;
    write("resolv.conf", &format!("nameserver {BRIDGE_ADDRESS}\n"))?;

    let mut command = lab.command("kubelet");
    command
        .arg(format!("--kubeconfig={}", lab.kubeconfig().display()))
        .arg(format!("--config={}", lab.paths.at("kubelet.yaml").display()))
        .arg(format!("--root-dir={}", lab.paths.at("kubelet").display()))
        .arg(format!("--cert-dir={}", lab.paths.at("kubelet-pki").display()))
        .arg(format!("--hostname-override={NODE_NAME}"))
        .arg(format!("--node-ip={NODE_ADDRESS}"));
    let lab = lab.clone();
    let ready = move || {
        probe::http_ok((Ipv4Addr::LOCALHOST, HEALTH_PORT).into(), "/healthz")?;
        let condition = r#"jsonpath={.status.conditions[?(@.type=="Ready")]['status','message']}"#;
        let ask = ["get", "node", NODE_NAME, "--output", condition];
        let said = probe::succeeds(lab.command("kubectl").args(ask))?;
        if said.starts_with("True") { Ok(()) } else { Err(format!("the node is not Ready: {said}")) }
    };
    Ok(Component { name: "kubelet", command, ready: Box::new(ready), patience_s: 180 })
}

/// Links outside the lab's directory that the kubelet makes to files inside.
pub(crate) fn strays(lab: &Lab) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(LOG_LINKS)).into_iter().flatten().flatten();
    let ours = |link: &PathBuf| link.read_link().is_ok_and(|target| target.starts_with(lab.paths.root()));
    entries.map(|entry| entry.path()).filter(ours).collect()
}
