//! kube-apiserver.

use super::{Component, etcd, probe};
use crate::lab::Lab;
use crate::network::{APISERVER_PORT, NODE_ADDRESS, SERVICE_RANGE};

pub(crate) fn component(lab: &Lab) -> Component {
    let pki = |file: &str| lab.identity.at(file).display().to_string();
    let mut command = lab.command("kube-apiserver");
    command.args([
        format!("--etcd-servers={}", etcd::url()),
        format!("--secure-port={APISERVER_PORT}"),
        format!("--advertise-address={NODE_ADDRESS}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--service-account-key-file={}", pki("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", pki("service-accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--kubelet-client-certificate={}", pki("admin.crt")),
        format!("--kubelet-client-key={}", pki("admin.key")),
        // The node's name resolves nowhere.
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--authorization-mode=Node,RBAC".into(),
        // Sidecars' init containers set up iptables.
        "--allow-privileged=true".into(),
    ]);
    let lab = lab.clone();
    let ready = move || probe::succeeds(lab.command("kubectl").args(["get", "--raw", "/readyz"])).map(drop);
    Component { name: "kube-apiserver", command, ready: Box::new(ready), patience_s: 120 }
}
