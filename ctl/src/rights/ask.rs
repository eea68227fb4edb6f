//! Asks the API server what one may do; nothing is tried.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Command, Right, Whose, rights};
use crate::cluster::api_failure;
use crate::failure::{Code, Failure};

/// How many rights are asked for at a time.
const AT_A_TIME: usize = 8;

/// Those of these rights that one lacks, in order.
///
/// # Errors
/// When the API server does not say.
pub async fn missing(client: &Client, rights: BTreeSet<Right>) -> Result<Vec<Right>, kube::Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = stream::iter(rights).map(|right| {
        let api = api.clone();
        async move { Ok::<_, kube::Error>((is_granted(&api, &right).await?, right)) }
    });
    let answers: Vec<(bool, Right)> = asked.buffer_unordered(AT_A_TIME).try_collect().await?;
    let mut missing: Vec<Right> =
        answers.into_iter().filter(|(granted, _)| !granted).map(|(_, right)| right).collect();
    missing.sort();
    Ok(missing)
}

/// Refuses before anything is written what would come to a halt half-way: a command by somebody who lacks one of its
/// rights. Beside what all need, these are meant.
///
/// # Errors
/// With each right that is lacking.
pub async fn held(
    client: &Client,
    command: Command,
    namespaces: &[&str],
    besides: &[Whose],
) -> Result<(), Failure> {
    let rules = command.rules(namespaces)?;
    let needed = rules.iter().filter(|rule| rule.whose == Whose::All || besides.contains(&rule.whose));
    let lacking = match missing(client, rights(needed)).await {
        Ok(lacking) => lacking,
        // Who may not even ask is told by what is tried.
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(()),
        Err(error) => return Err(api_failure("ask for your rights", &error)),
    };
    match lacking.is_empty() {
        true => Ok(()),
        false => {
            let messages = lacking.iter().map(|right| format!("you may not {right}"));
            Err(Failure::list(Code::Failed, messages).help(format!(
                "nothing was changed; canaryctl rbac {} prints what it takes, for somebody who may grant it",
                command.argument()
            )))
        }
    }
}

async fn is_granted(api: &Api<SelfSubjectAccessReview>, right: &Right) -> Result<bool, kube::Error> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.clone()),
                group: Some(right.group.clone()),
                resource: Some(resource.to_owned()),
                subresource,
                name: right.name.clone(),
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
