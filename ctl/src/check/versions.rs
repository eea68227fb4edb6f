//! Which versions run, and whether they are ones that were run in tests.

use kube::Client;

use super::{Report, Weight};
use crate::arrival::Istiods;

/// Versions that every release is tested on, as `major.minor`.
const KUBERNETES: [&str; 1] = ["1.34"];
const ISTIO: [&str; 1] = ["1.31"];

pub(super) async fn look(client: &Client, root_namespace: &str, report: &mut Report) {
    match client.apiserver_version().await {
        Ok(found) => judge("Kubernetes", &found.git_version, &KUBERNETES, "CC201", report),
        Err(error) => report.issue(
            "CC202",
            Weight::Error,
            format!("the API server does not say its version: {error}"),
            "kubectl version",
        ),
    }
    let found = async { Istiods::find(client, root_namespace).await?.versions(client).await };
    match found.await {
        Ok(versions) => {
            for version in versions {
                judge("Istio", &version, &ISTIO, "CC203", report);
            }
        }
        Err(error) => report.issue(
            "CC204",
            Weight::Error,
            format!("istiod does not say its version: {error}"),
            format!("kubectl -n {root_namespace} get pods -l app=istiod; lanes need an istiod that answers"),
        ),
    }
}

fn judge(what: &str, version: &str, tested: &[&str], code: &'static str, report: &mut Report) {
    let plain = version.trim_start_matches('v');
    let minor = plain.split(['.', '-', '+']).take(2).collect::<Vec<_>>().join(".");
    match tested.contains(&minor.as_str()) {
        true => report.well(format!("{what} {plain}")),
        false => report.issue(
            code,
            Weight::Warning,
            format!("{what} {plain} is not among the versions that were tested: {}", tested.join(", ")),
            "try it on a test cluster first",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(version: &str, warns: bool) {
        let mut report = Report::default();
        judge("Istio", version, &ISTIO, "CC203", &mut report);
        assert_eq!(report.count(Weight::Warning) == 1, warns, "{version}");
    }

    #[test]
    fn only_versions_that_were_run_are_called_well() {
        check("1.31-alpha.eed52ebb66ad", false);
        check("v1.31.2", false);
        check("1.31.0+build", false);
        check("1.30.1", true);
        check("1.310.0", true);
        check("", true);
    }
}
