//! How long plans take and what they write: in this process, without a cluster and without a proxy.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use canary_istio::lane::LANE_LABEL;
use canary_istio::observed::{HttpRoutes, Port};
use canary_istio::own::Owners;
use canary_istio::service::Labels;
use canary_istio::{
    ClusterPlan, Desired, Host, LaneRouting, Mode, Observed, ObservedService, Workload, plan_cluster,
    simulate,
};
use canary_release::{Release, World};
use canary_rules::name::{HeaderName, LaneName};
use serde_json::{Value, json};

use super::stats::Sample;

/// Lanes of every mesh.
pub const LANES: usize = 50;
/// Services that a lane has a version of its own of.
pub const MEMBERS: usize = 4;
/// Services of the meshes, the smallest first.
const SERVICES: [usize; 3] = [250, 500, 1000];
/// Members of the lanes that are added to the largest mesh, one at a time.
const ADDED_MEMBERS: [usize; 3] = [1, 4, 16];
/// Deployments of the release.
pub const RELEASED: usize = 200;

/// What planning took.
#[derive(Debug)]
pub struct Planning {
    /// Of meshes, the smallest first.
    pub meshes: Vec<MeshPlans>,
    /// Writes that one more lane takes in the largest mesh, by its members.
    pub added: Vec<(usize, usize)>,
    /// Milliseconds for the plan of a release of [`RELEASED`] Deployments.
    pub release_ms: Sample,
}

/// Plans of one mesh with [`LANES`] lanes.
#[derive(Debug)]
pub struct MeshPlans {
    /// How many services it has.
    pub services: usize,
    /// Milliseconds for the plan that turns all lanes on.
    pub first_ms: Sample,
    /// How much that plan writes.
    pub writes: usize,
    /// Milliseconds for the plan that finds nothing to do.
    pub settled_ms: Sample,
}

/// Makes every plan so many times, all in turns.
///
/// # Errors
/// A plan is refused, or is not what it is there for: one that is carried out leaves nothing to do.
pub fn run(rounds: usize) -> Result<Planning> {
    let lanes = (0..LANES).map(lane).collect::<Result<Vec<_>>>()?;
    let meshes = SERVICES.iter().map(|services| Case::new(*services, &lanes)).collect::<Result<Vec<_>>>()?;
    let (release, world) = release()?;
    let mut times = vec![(Vec::new(), Vec::new()); meshes.len()];
    let mut release_ms = Vec::new();
    for _ in 0..rounds {
        for (case, (first, settled)) in meshes.iter().zip(&mut times) {
            first.push(timed(|| plan(&lanes, &case.found))?);
            settled.push(timed(|| plan(&lanes, &case.settled))?);
        }
        release_ms.push(timed(|| {
            let planned = canary_release::plan(&release, &world, None);
            ensure!(planned.refused.is_none(), "the release is refused: {:?}", planned.refused);
            Ok(planned)
        })?);
    }
    let largest = meshes.last().context("there are meshes")?;
    let added =
        ADDED_MEMBERS.iter().map(|members| Ok((*members, largest.writes_for_one_more(&lanes, *members)?)));
    let added = added.collect::<Result<_>>()?;
    let meshes = meshes.iter().zip(times).map(|(case, (first, settled))| MeshPlans {
        services: case.found.services.len(),
        first_ms: Sample::new(first),
        writes: case.writes,
        settled_ms: Sample::new(settled),
    });
    Ok(Planning { meshes: meshes.collect(), added, release_ms: Sample::new(release_ms) })
}

/// A mesh before its lanes are on, and with them.
struct Case {
    found: Observed,
    settled: Observed,
    writes: usize,
}

impl Case {
    fn new(services: usize, lanes: &[LaneRouting]) -> Result<Self> {
        let found = mesh(services)?;
        let mut settled = found.clone();
        let writes = carry_out(lanes, &mut settled)?;
        let left = plan(lanes, &settled)?.changes.len();
        ensure!(left == 0, "{left} changes are left of a plan for {services} services");
        Ok(Self { found, settled, writes })
    }

    fn writes_for_one_more(&self, lanes: &[LaneRouting], members: usize) -> Result<usize> {
        let mut mesh = self.settled.clone();
        let more = lane(LANES)?;
        for service in mesh.services.iter_mut().step_by(7).take(members) {
            service.workloads.push(workload("one-more", Some(&more.name)));
        }
        carry_out(&[lanes, &[more]].concat(), &mut mesh)
    }
}

fn timed<T>(plan: impl FnOnce() -> Result<T>) -> Result<f64> {
    let started = Instant::now();
    let planned = plan()?;
    let took = started.elapsed();
    drop(std::hint::black_box(planned));
    Ok(took.as_secs_f64() * 1000.0)
}

fn plan(lanes: &[LaneRouting], mesh: &Observed) -> Result<ClusterPlan> {
    let tag_header = HeaderName::new("x-canary-lane")?;
    let owners = Owners::new();
    let desired = Desired { lanes, tag_header: &tag_header, owners: &owners, edge: &[], hops: &[] };
    Ok(plan_cluster(&desired, mesh)?)
}

/// Does all that a plan says; how much it was.
fn carry_out(lanes: &[LaneRouting], mesh: &mut Observed) -> Result<usize> {
    let changes = plan(lanes, mesh)?.changes;
    changes.iter().try_for_each(|change| simulate::apply(mesh, change))?;
    Ok(changes.len())
}

fn lane(number: usize) -> Result<LaneRouting> {
    let name = LaneName::new(&format!("lane-{number}"))?;
    Ok(LaneRouting { name, parent: None, mode: Mode::Permissive, members: BTreeMap::new(), mirror: 0 })
}

/// A mesh in which each lane has [`MEMBERS`] members, all of different services.
fn mesh(services: usize) -> Result<Observed> {
    let mut mesh = Observed::default();
    for number in 0..services {
        mesh.services.push(ObservedService {
            host: Host::new(&format!("service-{number}"), &format!("team-{}", number % 20))?,
            ports: vec![Port { name: Some("http".into()), number: 80, app_protocol: None, udp: false }],
            headless: false,
            selector: Labels::from([("app".into(), format!("service-{number}"))]),
            workloads: vec![workload("stable", None)],
            http_routes: HttpRoutes::default(),
            distribution: None,
            exchanged: None,
            copies: Vec::new(),
        });
    }
    for number in 0..LANES * MEMBERS {
        let service = mesh.services.get_mut(number).context("a service for every member")?;
        service.workloads.push(workload("gray", Some(&lane(number / MEMBERS)?.name)));
    }
    Ok(mesh)
}

fn workload(name: &str, lane: Option<&LaneName>) -> Workload {
    let mut labels = Labels::from([("version".into(), name.into())]);
    labels.extend(lane.map(|lane| (LANE_LABEL.into(), lane.to_string())));
    Workload { name: name.into(), labels }
}

/// A release of [`RELEASED`] Deployments, and the Deployments.
fn release() -> Result<(Release, World)> {
    let names = || (0..RELEASED).map(|number| format!("service-{number}"));
    let workloads: Vec<Value> = names()
        .map(|name| json!({"deployment": format!("shop/{name}"), "images": {"app": format!("{name}:2")}}))
        .collect();
    let release = serde_json::from_value(json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": canary_release::KIND,
        "metadata": {"name": "next", "generation": 1},
        "spec": {"workloads": workloads, "steps": [{"share": 1.0}, {"share": 10.0}, {"share": 50.0}]},
    }))?;
    let mut world = World::default();
    for name in names() {
        let labels = json!({"app": name});
        let deployment = json!({
            "metadata": {"name": name, "namespace": "shop", "generation": 1},
            "spec": {
                "replicas": 3, "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "app", "image": format!("{name}:1")}]},
                },
            },
            "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
        });
        let place = format!("shop/{name}").try_into().map_err(anyhow::Error::msg)?;
        world.deployments.insert(place, deployment);
    }
    Ok((release, world))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_more_is_written_by_its_members_and_not_by_the_mesh() {
        let lanes = vec![lane(0).expect("a lane")];
        for services in [LANES * MEMBERS, 2 * LANES * MEMBERS] {
            let mesh = Case::new(services, &lanes).expect("a mesh");
            let writes = [1, 4].map(|members| mesh.writes_for_one_more(&lanes, members).expect("a plan"));
            // Of each member's service a VirtualService and a DestinationRule.
            assert_eq!(writes, [2, 8]);
        }
    }
}
