//! The Services that developers have put into a cluster, as verbs use them: list, look who has one, and end it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use tokio::time::{Instant, sleep};

use super::job::{MANAGED_BY, OWNER_ANNOTATION};
use super::launch::{self, Launched};
use super::offered::{COMPONENT_LABEL, LABEL, Offered, PURPOSE};
use crate::arrival::is_ready;
use crate::cluster::api_failure;
use crate::duration;
use crate::failure::{Code, Failure};
use crate::names::FIELD_MANAGER;
use crate::takeovers::until;

/// How long the agent of a process that has died may go on being ready.
const LEFT_WITHIN: Duration = Duration::from_secs(6);
/// How often is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The Services of a namespace, or of all, that developers have put there; none where one may not know.
///
/// # Errors
/// When they cannot be listed.
pub async fn list(client: &Client, namespace: Option<&str>) -> Result<Vec<Service>, Failure> {
    let api: Api<Service> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (key, value) = MANAGED_BY;
    let ours = ListParams::default().labels(&format!("{key}={value},{COMPONENT_LABEL}={PURPOSE}"));
    match api.list(&ours).await {
        Ok(found) => Ok(found.items),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Vec::new()),
        Err(error) => Err(api_failure("list services", &error)),
    }
}

/// Whether a Service is one of these.
fn is_offered(service: &Service) -> bool {
    let is = |(key, value): (&str, &str)| service.labels().get(key).is_some_and(|found| found == value);
    is(MANAGED_BY) && is((COMPONENT_LABEL, PURPOSE))
}

/// Whose it is, on which machine.
#[must_use]
pub fn owner(service: &Service) -> &str {
    service.annotations().get(OWNER_ANNOTATION).map_or("somebody", String::as_str)
}

/// Since when it is there, Unix, in seconds.
#[must_use]
pub fn since_unix_s(service: &Service) -> Option<i64> {
    service.meta().creation_timestamp.as_ref().map(|time| time.0.as_second())
}

/// As people call it: `namespace/name`.
#[must_use]
pub fn place(service: &Service) -> String {
    format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any())
}

/// Whether a machine answers for it now.
///
/// # Errors
/// When its pods cannot be listed.
pub async fn is_served(client: &Client, service: &Service) -> Result<bool, Failure> {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let Some(mark) = selector.and_then(|selector| selector.get(LABEL)) else { return Ok(false) };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
    let found = pods.list(&ListParams::default().labels(&format!("{LABEL}={mark}"))).await;
    let found = found.map_err(|error| api_failure("list the agent's pods", &error))?;
    Ok(found.items.iter().any(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod)))
}

/// Refuses a name that is taken; what an earlier run of one's own has left of it is ended.
///
/// # Errors
/// When there is such a Service, with whose it is.
pub async fn free(client: &Client, offered: &Offered, tell: impl Fn(&str)) -> Result<(), Failure> {
    let Some(found) = get(client, offered).await? else { return Ok(()) };
    if !is_offered(&found) || owner(&found) != offered.owner {
        return Err(taken(&found, offered));
    }
    let deadline = Instant::now() + LEFT_WITHIN;
    while is_served(client, &found).await? {
        if Instant::now() > deadline {
            return Err(taken(&found, offered));
        }
        sleep(LOOK_EVERY).await;
    }
    tell("ending what an earlier run has left");
    end(client, &found).await.map(drop)
}

/// Makes the Service of an agent that runs.
///
/// # Errors
/// When the API server refuses it, or somebody else has one of this name.
pub async fn create(client: &Client, offered: &Offered, agent: &Launched) -> Result<Service, Failure> {
    let tried = format!("make Service {}/{}", offered.namespace, offered.name);
    let failed = |error: &kube::Error| api_failure(&tried, error);
    let service = serde_json::from_value(offered.owned_by(agent))
        .map_err(|error| failed(&kube::Error::SerdeError(error)))?;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let api: Api<Service> = Api::namespaced(client.clone(), &offered.namespace);
    match api.create(&params, &service).await {
        Ok(made) => Ok(made),
        Err(kube::Error::Api(status)) if status.code == 409 => match get(client, offered).await? {
            Some(found) => Err(taken(&found, offered)),
            None => Err(failed(&kube::Error::Api(status))),
        },
        Err(error) => Err(failed(&error)),
    }
}

/// Takes a Service away, and the agent behind it; false where it was gone.
///
/// # Errors
/// When the API server refuses it.
pub async fn end(client: &Client, service: &Service) -> Result<bool, Failure> {
    let namespace = service.namespace().unwrap_or_default();
    let api: Api<Service> = Api::namespaced(client.clone(), &namespace);
    // Another of the same name is not meant.
    let this = Preconditions { uid: service.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(this), ..DeleteParams::background() };
    let was_there = match api.delete(&service.name_any(), &params).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => false,
        Err(error) => return Err(api_failure(&format!("delete Service {}", place(service)), &error)),
    };
    for job in service.owner_references().iter().filter(|owner| owner.kind == "Job") {
        launch::end(client, &namespace, &job.name).await;
    }
    Ok(was_there)
}

/// Waits until a Service is gone, and says so.
pub async fn lost(client: &Client, service: &Service) -> Failure {
    let api: Api<Service> = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
    let uid = &service.metadata.uid;
    until(&api, &service.name_any(), |found: Option<&Service>| {
        found.is_none_or(|found| found.metadata.uid != *uid)
    })
    .await;
    let what = format!("Service {} is gone", place(service));
    Failure::new(Code::Conflict, what).help(
        "somebody ended it, or this machine was away for longer than --keep: canaryctl preview makes it anew",
    )
}

async fn get(client: &Client, offered: &Offered) -> Result<Option<Service>, Failure> {
    let api: Api<Service> = Api::namespaced(client.clone(), &offered.namespace);
    let found = api.get_opt(&offered.name).await;
    found
        .map_err(|error| api_failure(&format!("read Service {}/{}", offered.namespace, offered.name), &error))
}

/// Why a name cannot be had, and what to do about it.
fn taken(found: &Service, offered: &Offered) -> Failure {
    let (place, namespace, name) = (place(found), &offered.namespace, &offered.name);
    let since = since_unix_s(found).map_or(String::new(), |since| {
        format!(", for {}", duration::short(Timestamp::now().as_second() - since))
    });
    if !is_offered(found) {
        let manager = found.labels().get(MANAGED_BY.0);
        let manager = manager.map_or(String::new(), |manager| format!(", managed by {manager}"));
        let what = format!("there is a Service {place} already{manager}{since}");
        return Failure::new(Code::Conflict, what).help(format!(
            "choose another name; to have its requests here: canaryctl -n {namespace} exchange {name} --to PORT, or your own \
             requests alone: canaryctl -n {namespace} mesh {name} --to PORT"
        ));
    }
    let stop = format!("canaryctl -n {namespace} dev stop {name} ends it");
    match owner(found) {
        own if own == offered.owner => {
            Failure::new(Code::Conflict, format!("you have {place} in another terminal{since}"))
                .help(format!("Ctrl-C there, or {stop}; or choose another name"))
        }
        other => Failure::new(Code::Conflict, format!("{other} has {place}{since}"))
            .help(format!("choose another name, or ask them: {stop}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::develop::offered::tests;

    fn offered(owner: &str) -> Offered {
        Offered { owner: owner.into(), ..tests::offered() }
    }

    #[track_caller]
    fn check(found: &Service, what: &str, help: &str) {
        let failure = taken(found, &offered("alice@laptop"));
        assert_eq!(failure.to_string(), what);
        assert!(failure.advice().expect("advice").contains(help), "{:?}", failure.advice());
        assert_eq!(failure.code(), Code::Conflict);
    }

    #[test]
    fn who_comes_second_is_told_whose_it_is_and_what_to_do() {
        let of = |owner: &str| serde_json::from_value(offered(owner).manifest()).expect("a Service");
        check(&of("bob@desk"), "bob@desk has shop/coupons", "choose another name, or ask them");
        check(&of("alice@laptop"), "you have shop/coupons in another terminal", "Ctrl-C there");
        let others = json!({"metadata": {
            "name": "coupons", "namespace": "shop", "labels": {"app.kubernetes.io/managed-by": "Helm"},
        }});
        let others: Service = serde_json::from_value(others).expect("a Service");
        check(
            &others,
            "there is a Service shop/coupons already, managed by Helm",
            "canaryctl -n shop exchange coupons --to PORT",
        );
    }

    #[test]
    fn only_what_a_preview_has_made_is_one() {
        let mut service: Service = serde_json::from_value(offered("a").manifest()).expect("a Service");
        assert!(is_offered(&service));
        service.labels_mut().insert(COMPONENT_LABEL.into(), "controller".into());
        assert!(!is_offered(&service));
    }
}
