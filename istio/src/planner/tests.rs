use super::*;
use crate::finding::Severity;
use crate::simulate::apply;
use crate::testing::header;

mod connections;
mod exchange;
mod findings;
mod mirror;
mod peers;
mod properties;
mod steps;

fn planned(lanes: &[LaneRouting], observed: &Observed) -> ClusterPlan {
    let desired = Desired { lanes, tag_header: &header(), owners: &Owners::new(), edge: &[], hops: &[] };
    plan(&desired, observed).expect("a plan")
}

/// Does all that a plan says.
fn carry_out(observed: &mut Observed, plan: &ClusterPlan) {
    label_pods(observed, plan);
    for change in &plan.changes {
        apply(observed, change).expect("no conflict");
    }
}

fn label_pods(observed: &mut Observed, plan: &ClusterPlan) {
    for pod in &plan.pod_labels {
        let service =
            observed.services.iter_mut().find(|service| service.host == pod.host).expect("the service");
        let workload = service.workloads.iter_mut().find(|workload| workload.name == pod.workload);
        workload.expect("the workload").labels.extend(pod.labels.clone());
    }
}
