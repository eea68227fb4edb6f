//! The environment of a workload as the cluster has it.

use std::collections::BTreeSet;

use kube::Client;
use serde_json::Value;

use super::environment::{self, Environment, Files, Kind, Objects, files};
use crate::cluster::{Cluster, api_failure};
use crate::failure::{Code, Failure};
use crate::world;

/// What may be named, by the words of kubectl; a Deployment where nothing is said.
const KINDS: [(&[&str], &str, &str); 4] = [
    (&["deploy", "deployment", "deployments"], "apps/v1", "Deployment"),
    (&["sts", "statefulset", "statefulsets"], "apps/v1", "StatefulSet"),
    (&["ds", "daemonset", "daemonsets"], "apps/v1", "DaemonSet"),
    (&["po", "pod", "pods"], "v1", "Pod"),
];

/// Which container, and whether with Secrets.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The container; default the first.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// With variables and files that come from Secrets.
    #[arg(long)]
    pub with_secrets: bool,
}

/// Reads the environment of a workload's container.
///
/// # Errors
/// When there is no such workload or container, or it may not be read.
pub async fn environment(cluster: &Cluster, workload: &str, which: &Which) -> Result<Environment, Failure> {
    Container::read(cluster, workload, which).await?.environment(cluster).await
}

/// A container of a workload's pods.
pub struct Container {
    pod: Value,
    container: Value,
    with_secrets: bool,
}

impl Container {
    /// Finds it.
    ///
    /// # Errors
    /// When there is no such workload or container, or it may not be read.
    pub async fn read(cluster: &Cluster, workload: &str, which: &Which) -> Result<Self, Failure> {
        let namespace = cluster.namespace.as_str();
        let (api, kind, name) = named(workload)?;
        let object = get(&cluster.client, (api, kind), namespace, name).await?;
        let help = format!("kubectl -n {namespace} get deployments; another namespace: -n NAME");
        let object = object.ok_or_else(|| {
            Failure::new(Code::Failed, format!("there is no {kind} {namespace}/{name}")).help(&help)
        })?;
        let mut pod = if kind == "Pod" { object } else { object["spec"]["template"].clone() };
        pod["metadata"]["namespace"] = namespace.into();
        let container = environment::container(&pod, which.container.as_deref());
        let container = container.ok_or_else(|| {
            let names = pod["spec"]["containers"].as_array().into_iter().flatten();
            let names =
                names.filter_map(|container| container["name"].as_str()).collect::<Vec<_>>().join(", ");
            Failure::new(Code::Usage, format!("{kind} {namespace}/{name} has no such container"))
                .help(format!("name one with --container; there are: {names}"))
        })?;
        let container = container.clone();
        Ok(Self { pod, container, with_secrets: which.with_secrets })
    }

    /// Its environment.
    ///
    /// # Errors
    /// When what that comes from may not be read.
    pub async fn environment(&self, cluster: &Cluster) -> Result<Environment, Failure> {
        let needed = environment::needed(&self.container, self.with_secrets);
        let objects = objects(cluster, needed).await?;
        Ok(environment::environment(&self.pod, &self.container, &objects, self.with_secrets))
    }

    /// Its files.
    ///
    /// # Errors
    /// Likewise.
    pub async fn files(&self, cluster: &Cluster) -> Result<Files, Failure> {
        let needed = files::needed(&self.pod, &self.container, self.with_secrets);
        let objects = objects(cluster, needed).await?;
        Ok(files::files(&self.pod, &self.container, &objects, self.with_secrets))
    }
}

/// What of these there is.
async fn objects(cluster: &Cluster, needed: BTreeSet<(Kind, String)>) -> Result<Objects, Failure> {
    let mut objects = Objects::new();
    for (kind, name) in needed {
        if let Some(found) = get(&cluster.client, ("v1", kind.name()), &cluster.namespace, &name).await? {
            objects.insert((kind, name), found);
        }
    }
    Ok(objects)
}

/// Says what is left out, on standard error.
pub fn tell_left_out(left_out: &[(String, String)]) {
    for (name, why) in left_out {
        anstream::eprintln!("  without {name}: {why}");
    }
}

async fn get(
    client: &Client,
    (api, kind): (&str, &str),
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, Failure> {
    let found = world::get(client, api, kind, Some(namespace), name).await;
    found.map_err(|error| {
        let failure = api_failure(&format!("read {kind} {namespace}/{name}"), &error);
        match kind == Kind::Secret.name() {
            true => failure.help("without --with-secrets no Secret is read"),
            false => failure,
        }
    })
}

fn named(workload: &str) -> Result<(&'static str, &'static str, &str), Failure> {
    let (kind, name) = workload.split_once('/').unwrap_or(("deployment", workload));
    let known = KINDS.iter().find(|(words, ..)| words.contains(&kind.to_ascii_lowercase().as_str()));
    known.filter(|_| !name.is_empty()).map(|(_, api, kind)| (*api, *kind, name)).ok_or_else(|| {
        Failure::new(Code::Usage, format!("`{workload}` names no workload"))
            .help("NAME of a Deployment, or deployment/NAME, statefulset/NAME, daemonset/NAME, pod/NAME")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_named_as_for_kubectl() {
        for (text, want) in [
            ("cart", Some(("Deployment", "cart"))),
            ("deploy/cart", Some(("Deployment", "cart"))),
            ("StatefulSet/db", Some(("StatefulSet", "db"))),
            ("po/cart-1", Some(("Pod", "cart-1"))),
            ("svc/cart", None),
            ("deploy/", None),
        ] {
            assert_eq!(named(text).ok().map(|(_, kind, name)| (kind, name)), want, "{text}");
        }
    }
}
