//! kube-controller-manager.

use super::{Component, probe};
use crate::lab::Lab;

pub(crate) fn component(lab: &Lab) -> Component {
    let pki = |file: &str| lab.identity.at(file).display().to_string();
    let mut command = lab.command("kube-controller-manager");
    command.args([
        format!("--kubeconfig={}", lab.kubeconfig().display()),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--service-account-private-key-file={}", pki("service-accounts.key")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        "--use-service-account-credentials=true".into(),
        // It is alone, and a lease would only make it wait.
        "--leader-elect=false".into(),
        // Who restarts the API server or etcd wants to see what that does, and not what a node does whose word is late.
        "--node-monitor-grace-period=10m".into(),
    ]);
    let lab = lab.clone();
    // The first thing that others need of it.
    let ready = move || {
        let ask = ["get", "serviceaccount", "default", "--namespace", "default"];
        probe::succeeds(lab.command("kubectl").args(ask)).map(drop)
    };
    Component { name: "kube-controller-manager", command, ready: Box::new(ready), patience_s: 120 }
}
