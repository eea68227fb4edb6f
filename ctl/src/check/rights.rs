//! Whether one may do what an installation does: each right is asked for, none is tried.

use std::collections::BTreeSet;

use canary_istio::plugins::{EdgeGateway, FilterSource, Presence};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;

use super::{Report, Weight};
use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::install::{Plan, Secrets};
use crate::settings::Installation;
use crate::{names, world};

/// How many rights are asked for at a time.
const AT_A_TIME: usize = 8;

/// A right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: &'static str,
    group: String,
    resource: String,
    namespace: Option<String>,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

pub(super) async fn look(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let rights = needed()?;
    let count = rights.len();
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = stream::iter(rights).map(|right| {
        let api = api.clone();
        async move { Ok::<_, kube::Error>((is_granted(&api, &right).await?, right)) }
    });
    let answers: Vec<(bool, Right)> = asked
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
        .map_err(|error| api_failure("ask for your rights", &error))?;
    let mut missing: Vec<Right> =
        answers.into_iter().filter(|(granted, _)| !granted).map(|(_, right)| right).collect();
    missing.sort();
    if missing.is_empty() {
        report.well(format!("you may install ({count} permissions)"));
    }
    for right in missing {
        let namespace = right.namespace.as_ref().map_or(String::new(), |name| format!(" -n {name}"));
        report.issue(
            "CC210",
            Weight::Error,
            format!("you may not {right}"),
            format!("kubectl auth can-i {} {}{namespace} must say yes", right.verb, right.resource),
        );
    }
    Ok(())
}

async fn is_granted(api: &Api<SelfSubjectAccessReview>, right: &Right) -> Result<bool, kube::Error> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.into()),
                group: Some(right.group.clone()),
                resource: Some(right.resource.clone()),
                namespace: right.namespace.clone(),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// What an installation writes, taken from what it writes; and what it grants its controller, for nobody may
/// grant what they have not.
fn needed() -> Result<BTreeSet<Right>, Failure> {
    let plan = example();
    let objects = plan.objects(&Secrets::new(&plan.namespace)?);
    let objects = objects.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    let mut rights = BTreeSet::new();
    for object in &objects {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = world::resource(&text(&object["apiVersion"]), &text(&object["kind"]));
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        for verb in ["create", "patch"] {
            rights.insert(Right {
                verb,
                group: resource.group.clone(),
                resource: resource.plural.clone(),
                namespace: namespace.clone(),
            });
        }
        granted(object, namespace.as_deref(), &mut rights);
    }
    Ok(rights)
}

fn granted(object: &Value, namespace: Option<&str>, rights: &mut BTreeSet<Right>) {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];
    for rule in
        object["rules"].as_array().into_iter().flatten().filter(|rule| rule["resourceNames"].is_null())
    {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                for said in list(&rule["verbs"]) {
                    let Some(verb) = VERBS.into_iter().find(|verb| *verb == said) else { continue };
                    let (group, resource) = (group.clone(), resource.clone());
                    rights.insert(Right { verb, group, resource, namespace: namespace.map(str::to_owned) });
                }
            }
        }
    }
}

/// An installation like any other: which rights it takes does not depend on its details.
fn example() -> Plan {
    let source = FilterSource { url: String::new(), sha256: String::new(), pull_secret: None };
    let presence = Presence {
        root_namespace: names::ROOT_NAMESPACE.into(),
        edges: vec![EdgeGateway { namespace: names::ROOT_NAMESPACE.into(), labels: [].into() }],
        namespaces: Vec::new(),
        gateway_filter: source.clone(),
        sidecar_filter: source,
    };
    Plan {
        namespace: names::NAMESPACE.into(),
        image: String::new(),
        installation: Installation::new(presence),
        collect_after: std::time::Duration::ZERO,
        serves_filter: true,
        webhook: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_installation_writes_and_grants_is_asked_for() {
        let rights: Vec<String> = needed().expect("rights").iter().map(ToString::to_string).collect();
        for wanted in [
            "create customresourcedefinitions.apiextensions.k8s.io",
            "patch wasmplugins.extensions.istio.io in istio-system",
            "create secrets in canaryctl-system",
            "create mutatingwebhookconfigurations.admissionregistration.k8s.io",
            "delete virtualservices.networking.istio.io",
            "create pods/portforward in istio-system",
        ] {
            assert!(rights.iter().any(|right| right == wanted), "{wanted} in {rights:#?}");
        }
    }
}
