//! Istio, installed as its users install it.

use crate::build::{HUB, TAG};
use crate::error::{LabError, file};
use crate::interrupt::Interrupt;
use crate::lab::Lab;
use crate::{program, template};

/// How long istiod and the gateway may take, in seconds.
const READY_WITHIN_S: u64 = 240;

/// Installs istiod and an ingress gateway and waits until both are ready.
pub(crate) fn install(lab: &Lab, interrupt: &Interrupt) -> Result<(), LabError> {
    let operator = lab.istio_operator();
    let text = template::fill(include_str!("../templates/istio.yaml"), &[("HUB", &HUB), ("TAG", &TAG)]);
    std::fs::write(&operator, text).map_err(file("write", &operator))?;
    let mut istioctl = lab.command("istioctl");
    istioctl
        .args(["install", "--skip-confirmation", "--readiness-timeout"])
        .arg(format!("{READY_WITHIN_S}s"))
        .arg("--filename")
        .arg(&operator);
    lab.namespace.inside(|| program::watch(&mut istioctl, interrupt, |_| {}))??;
    Ok(())
}
