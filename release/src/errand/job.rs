//! The Job of a step: what is made, and what is read of it.

use canary_rules::lane::API_VERSION;
use serde_json::{Value, json};

use super::{ErrandStatus, JobSpec};
use crate::document::{KIND, Release, WorkloadRef};
use crate::lane::RELEASE_LABEL;
use crate::workload::{called, digest};

/// What a Job has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Runs,
    Succeeded,
    /// Why, in words.
    Failed(String),
}

/// What the Job of a step is called: another for each try, and for each Release of one name.
pub(crate) fn name(release: &Release, step: usize, spec: &JobSpec) -> WorkloadRef {
    let first = release.spec.workloads.first().map(|workload| workload.deployment.namespace.as_str());
    let own = first.unwrap_or_default();
    let namespace = spec.cron_job.as_ref().map_or(own, |cron_job| cron_job.namespace.as_str()).to_owned();
    let number = step.saturating_add(1);
    let digest = digest(&super::id(release, step));
    let name =
        called(&release.metadata.name.as_str().replace('.', "-"), &format!("-step-{number}-{digest:08x}"));
    WorkloadRef { namespace, name }
}

/// The Job of a step, from the `jobTemplate` of a CronJob or the `spec` that the step gives.
pub(crate) fn document(release: &Release, errand: &ErrandStatus, template: &Value) -> Value {
    let (namespace, name) =
        errand.job.as_ref().map_or_else(Default::default, |job| (job.namespace.clone(), job.name.clone()));
    let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(RELEASE_LABEL.into(), release.metadata.name.as_str().into());
    let mut spec = template["spec"].clone();
    let told = told(release, errand.step);
    for list in ["initContainers", "containers"] {
        let containers = spec["template"]["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let own = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
            let is_own = |variable: &&Value| own.iter().any(|own| own["name"] == variable["name"]);
            let told = told.iter().filter(|variable| !is_own(variable)).cloned();
            container.insert("env".into(), told.chain(own.iter().cloned()).collect());
        }
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels,
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [{
                "apiVersion": API_VERSION, "kind": KIND, "name": release.metadata.name.as_str(),
                "uid": release.metadata.uid, "controller": true,
            }],
        },
        "spec": spec,
    })
}

/// What its programs are told by their environment.
fn told(release: &Release, step: usize) -> [Value; 4] {
    let variable = |name: &str, value: String| json!({"name": name, "value": value});
    [
        variable("CANARY_RELEASE", release.metadata.name.to_string()),
        variable("CANARY_LANE", release.lane().to_string()),
        variable("CANARY_STEP", step.saturating_add(1).to_string()),
        variable("CANARY_SHARE", release.share(step).to_string()),
    ]
}

/// Whether a Job is this release's, and not one of its name.
pub(crate) fn is_of(job: &Value, release: &Release) -> bool {
    let owners = job["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.into_iter().any(|owner| owner["uid"].as_str() == release.metadata.uid.as_deref())
}

pub(crate) fn state(job: &Value) -> JobState {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let ended = conditions.filter(|condition| condition["status"] == "True").find_map(|condition| {
        let text = |field: &str| condition[field].as_str().unwrap_or_default();
        match text("type") {
            "Complete" => Some(JobState::Succeeded),
            "Failed" => Some(JobState::Failed([text("reason"), text("message")].join(": "))),
            _ => None,
        }
    });
    ended.unwrap_or(JobState::Runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        serde_json::from_value(json!({
            "apiVersion": "", "kind": "", "metadata": {"name": "r-1", "uid": "u-1"},
            "spec": {
                "workloads": [{"deployment": "shop/cart", "images": {"app": "cart:2"}}],
                "steps": [{"share": 10}, {"job": {"spec": {}}}],
            },
        }))
        .expect("a release")
    }

    #[test]
    fn a_job_is_the_releases_and_its_programs_are_told_of_it() {
        let release = release();
        let job = name(&release, 1, &JobSpec::default());
        assert_eq!(job.namespace, "shop");
        let errand = ErrandStatus { step: 1, job: Some(job.clone()), ..ErrandStatus::default() };
        let containers = json!([{"name": "smoke", "env": [{"name": "CANARY_SHARE", "value": "mine"}]}]);
        let template = json!({
            "metadata": {"labels": {"team": "shop"}},
            "spec": {"backoffLimit": 0, "template": {"spec": {"containers": containers}}},
        });
        let made = document(&release, &errand, &template);
        assert_eq!(made["metadata"]["name"], job.name);
        assert_eq!(made["metadata"]["labels"], json!({"team": "shop", "canaryctl.io/release": "r-1"}));
        assert!(is_of(&made, &release));
        assert_eq!(made["spec"]["backoffLimit"], 0);
        let env = &made["spec"]["template"]["spec"]["containers"][0]["env"];
        let told = |name: &str, value: &str| json!({"name": name, "value": value});
        let want = [
            told("CANARY_RELEASE", "r-1"),
            told("CANARY_LANE", "r-1"),
            told("CANARY_STEP", "2"),
            told("CANARY_SHARE", "mine"),
        ];
        assert_eq!(*env, json!(want));
    }

    #[test]
    fn each_try_and_each_release_of_a_name_has_a_job_of_its_own() {
        let mut release = release();
        let first = name(&release, 1, &JobSpec::default());
        release.spec.retries = 1;
        let second = name(&release, 1, &JobSpec::default());
        release.metadata.uid = Some("u-2".into());
        let third = name(&release, 1, &JobSpec::default());
        assert!(first != second && second != third, "{first}, {second}, {third}");
        release.metadata.name = serde_json::from_value(json!("r".repeat(63))).expect("a name");
        assert!(name(&release, 1, &JobSpec::default()).name.len() <= 63);
    }

    #[test]
    fn a_job_has_ended_once_kubernetes_says_so() {
        let of = |condition: Value| state(&json!({"status": {"conditions": [condition]}}));
        assert_eq!(state(&json!({})), JobState::Runs);
        assert_eq!(of(json!({"type": "Complete", "status": "False"})), JobState::Runs);
        assert_eq!(of(json!({"type": "Complete", "status": "True"})), JobState::Succeeded);
        let failed =
            json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"});
        assert_eq!(of(failed), JobState::Failed("DeadlineExceeded: too long".into()));
    }
}
