//! containerd, with sockets, state and pod network of the lab's own.

use std::path::Path;
use std::process::Command;

use super::{Component, probe};
use crate::build::PAUSE_IMAGE;
use crate::error::{LabError, file};
use crate::lab::Lab;
use crate::name::LabName;
use crate::network::{BRIDGE, POD_RANGE, POD_RANGE_START};
use crate::template;

/// Where containerd's CNI library keeps one file per pod, whatever its configuration says.
const CNI_RESULTS: &str = "/var/lib/cni/results";
/// Where shims listen, whatever containerd's configuration says; the names are hashes.
const BUNDLES: &str = "containerd-run/io.containerd.runtime.v2.task/k8s.io";

pub(crate) fn component(lab: &Lab) -> Result<Component, LabError> {
    let state = lab.paths.root().display();
    let configuration = lab.paths.at("containerd.toml");
    let text = template::fill(
        include_str!("../../templates/containerd.toml"),
        &[("STATE", &state), ("SOCKET", &lab.paths.containerd_socket().display()), ("PAUSE", &PAUSE_IMAGE)],
    );
    std::fs::write(&configuration, text).map_err(file("write", &configuration))?;
    write_network(lab)?;

    let mut command = Command::new("containerd");
    command.arg("--config").arg(&configuration);
    let lab = lab.clone();
    // The socket is there before the plugin that the kubelet needs, and the kubelet gives up at once.
    let ready = move || {
        let plugins = probe::succeeds(lab.containerd_client().args(["plugins", "list"]))?;
        let cri = plugins.lines().find(|line| line.split_whitespace().nth(1) == Some("cri"));
        match cri.map(|line| line.trim().ends_with("ok")) {
            Some(true) => Ok(()),
            _ => Err(format!("its CRI plugin is not ok: {}", cri.unwrap_or("not there"))),
        }
    };
    Ok(Component { name: "containerd", command, ready: Box::new(ready), patience_s: 60 })
}

fn write_network(lab: &Lab) -> Result<(), LabError> {
    let directory = lab.paths.at("cni");
    std::fs::create_dir_all(&directory).map_err(file("create", &directory))?;
    let text = template::fill(
        include_str!("../../templates/cni.conflist"),
        &[
            ("STATE", &lab.paths.root().display()),
            ("NETWORK", &pod_network(&lab.name)),
            ("BRIDGE", &BRIDGE),
            ("PODS", &POD_RANGE),
            ("FIRST_POD", &POD_RANGE_START),
        ],
    );
    let path = directory.join("10-lab.conflist");
    std::fs::write(&path, text).map_err(file("write", &path))
}

/// Files outside the lab's directory that containerd makes in the lab's name.
pub(crate) fn strays(lab: &Lab) -> Vec<std::path::PathBuf> {
    let files_in = |directory: &Path| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let of_our_network = format!("{}-", pod_network(&lab.name));
    let mut strays = files_in(Path::new(CNI_RESULTS));
    strays.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&of_our_network))
    });
    let sockets = files_in(&lab.paths.at(BUNDLES)).into_iter().filter_map(|bundle| {
        let address = std::fs::read_to_string(bundle.join("address")).ok()?;
        address.trim().strip_prefix("unix://").map(Into::into)
    });
    strays.extend(sockets);
    strays
}

/// The dot keeps one lab's name from being the beginning of another's.
fn pod_network(lab: &LabName) -> String {
    format!("canary-lab.{lab}.pods")
}
