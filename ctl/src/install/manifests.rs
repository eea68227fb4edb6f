//! An installation as files, for those who apply them themselves: plain manifests, or a Helm chart.
//!
//! Neither holds signing keys, for files are passed on; nor what plugins are told: the controller writes that, and
//! a file that is applied again takes no lane away.

use serde_json::Value;

use super::Plan;
use crate::failure::{Code, Failure};
use crate::output;

#[cfg(test)]
mod tests;

/// What stands before the manifests.
const HEAD: &str = "\
# canaryctl, as canaryctl install --print manifests wrote it. No lane is on afterwards, and nothing is routed otherwise.
#   kubectl apply --server-side -f FILE
# The signing keys are made once, and kept:
#   canaryctl install --print keys | kubectl create -f -
";

/// Every object of an installation but the Secret with the keys, as `kubectl apply` takes them.
///
/// # Errors
/// When one cannot be written.
pub fn manifests(plan: &Plan) -> Result<String, Failure> {
    let texts = objects(plan)?.iter().map(output::yaml).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{HEAD}{}", texts.join("---\n")))
}

fn objects(plan: &Plan) -> Result<Vec<Value>, Failure> {
    let mut objects = plan.without_keys().map_err(|error| Failure::from_error(Code::Failed, &error))?;
    objects.extend(plan.controller());
    objects.extend(plan.installation.presence.unconfigured().into_iter().map(|(_, plugin)| plugin));
    Ok(objects)
}
