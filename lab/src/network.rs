//! Addresses inside a lab, and the links that carry them.
//!
//! Each lab has all of these addresses to itself: its namespace has no link to the outside.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use crate::error::{LabError, file};
use crate::namespace::NetworkNamespace;

/// The node: where the apiserver and the kubelet listen, and NodePorts are reached.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 87, 0, 1);
/// The bridge that pods are on: what pods reach the host's processes by.
pub const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
/// The OCI registry, over plain HTTP.
pub const REGISTRY_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(BRIDGE_ADDRESS), 5000);

pub(crate) const POD_RANGE: &str = "10.88.0.0/16";
pub(crate) const POD_RANGE_START: &str = "10.88.1.1";
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The address of service `kubernetes`: the first of the range.
pub(crate) const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
pub(crate) const BRIDGE: &str = "cni0";
pub(crate) const APISERVER_PORT: u16 = 6443;
pub(crate) const NODE_NAME: &str = "node1";

/// The node's own link is a veth pair: components look for an address and a default route, and not every
/// kernel has dummy links.
fn links() -> String {
    format!(
        "link set lo up\n\
         link add {BRIDGE} type bridge\n\
         addr add {BRIDGE_ADDRESS}/16 dev {BRIDGE}\n\
         link set {BRIDGE} up\n\
         link add node0 type veth peer name node0-far\n\
         addr add {NODE_ADDRESS}/24 dev node0\n\
         link set node0 up\n\
         link set node0-far up\n\
         route add default dev node0\n"
    )
}

/// Sets the links up, inside the namespace.
pub(crate) fn set_up(namespace: &NetworkNamespace) -> Result<(), LabError> {
    const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
    namespace.inside(|| {
        // The file is the namespace's own: it speaks of the network of whoever opens it.
        std::fs::write(FORWARDING, "1").map_err(file("write", FORWARDING))?;
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = |source| LabError::Start { program: "ip".into(), source };
        let mut ip = command.spawn().map_err(start)?;
        if let Some(mut stdin) = ip.stdin.take() {
            stdin.write_all(links().as_bytes()).map_err(start)?;
        }
        let output = ip.wait_with_output().map_err(start)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(LabError::Failed { command: "ip -batch -".into(), status: output.status, said })
    })?
}
