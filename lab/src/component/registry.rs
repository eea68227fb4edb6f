//! An OCI registry, on the bridge: what `oci://` addresses in the lab lead to.

use std::process::Command;

use super::{Component, probe};
use crate::error::{LabError, file};
use crate::lab::Lab;
use crate::network::REGISTRY_ADDRESS;
use crate::template;

pub(crate) fn component(lab: &Lab) -> Result<Component, LabError> {
    let configuration = lab.paths.at("registry.yaml");
    let text = template::fill(
        include_str!("../../templates/registry.yaml"),
        &[("STATE", &lab.paths.root().display()), ("ADDRESS", &REGISTRY_ADDRESS)],
    );
    std::fs::write(&configuration, text).map_err(file("write", &configuration))?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&configuration);
    let ready = || probe::http_ok(REGISTRY_ADDRESS, "/v2/").map(drop);
    Ok(Component { name: "registry", command, ready: Box::new(ready), patience_s: 60 })
}
