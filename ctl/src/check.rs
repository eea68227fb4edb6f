//! Whether a cluster is fit for lanes: facts are read, judged, and said with what mends them.

mod builds;
pub mod codes;
mod egress;
mod installation;
mod mesh;
mod policies;
mod rights;
mod selector;
mod versions;

use canary_istio::{Finding, Severity};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::Serialize;

use crate::cluster::api_failure;
use crate::failure::Failure;
use crate::names;
use crate::preview::Scene;
use crate::steer::{Course, course};

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// Stable, e.g. `CC201`.
    pub code: &'static str,
    /// How bad it is.
    pub weight: Weight,
    /// What is so.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

/// How bad it is. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Good to know.
    Info,
    /// Works, within the limit that is stated.
    Warning,
    /// Does not work.
    Error,
}

/// What a check saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is well, a line each.
    pub well: Vec<String>,
    /// What is not, the worst first.
    pub issues: Vec<Issue>,
}

impl Report {
    fn well(&mut self, line: impl Into<String>) {
        self.well.push(line.into());
    }

    fn issue(
        &mut self,
        code: &'static str,
        weight: Weight,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.issues.push(Issue { code, weight, message: message.into(), mend: mend.into() });
    }

    /// How many there are of a weight.
    #[must_use]
    pub fn count(&self, weight: Weight) -> usize {
        self.issues.iter().filter(|issue| issue.weight == weight).count()
    }
}

/// Looks at a cluster; with `before` only at what an installation needs.
///
/// # Errors
/// When the cluster cannot be read at all.
pub async fn look(client: &Client, before: bool) -> Result<Report, Failure> {
    let mut report = Report::default();
    versions::look(client, names::ROOT_NAMESPACE, &mut report).await;
    if before {
        rights::look(client, &mut report).await?;
        installation::before(client, &mut report).await?;
    } else {
        installation::after(client, &mut report).await?;
        let scene = Scene::live(client).await?;
        let planned = course(&scene.seen, &scene.settings, jiff::Timestamp::now().as_second());
        for namespace in
            scene.seen.undiscovered_of([names::NAMESPACE, &scene.seen.observed.mesh.root_namespace])
        {
            installation::undiscovered(namespace, &mut report);
        }
        mesh::judge(&scene.seen, &planned, &mut report);
        let network = network_policies(client).await?;
        egress::look(client, &scene.seen.pods, network.as_deref(), &mut report).await?;
        policies::look(client, network.as_deref(), &scene.seen, &planned, &mut report).await?;
        planner(&planned, &mut report);
    }
    report.issues.sort_by(|a, b| (b.weight, a.code, &a.message).cmp(&(a.weight, b.code, &b.message)));
    Ok(report)
}

/// The cluster's NetworkPolicies; none where they may not be read.
async fn network_policies(client: &Client) -> Result<Option<Vec<NetworkPolicy>>, Failure> {
    match Api::<NetworkPolicy>::all(client.clone()).list(&ListParams::default()).await {
        Ok(found) => Ok(Some(found.items)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(api_failure("list NetworkPolicies", &error)),
    }
}

/// What the planner found, in its own codes.
fn planner(course: &Course, report: &mut Report) {
    for finding in &course.plan.findings {
        report.issues.push(of(finding));
    }
}

/// One of the planner's findings.
pub(crate) fn of(finding: &Finding) -> Issue {
    let weight = match finding.severity() {
        Severity::Info => Weight::Info,
        Severity::Warning => Weight::Warning,
        Severity::Refused => Weight::Error,
    };
    Issue { code: finding.code(), weight, message: finding.to_string(), mend: finding.help().to_owned() }
}
