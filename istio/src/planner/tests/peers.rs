//! What users of Istio have reported, and no plan of ours makes happen. Each is named by the report.

use super::properties::{leads, walk};
use crate::testing::{lane, mesh_of};

/// A route to a subset that proxies did not have yet, or not any more: 503.
#[test]
fn istio_8420_no_route_leads_to_a_subset_that_is_not_there() {
    let mut observed = mesh_of(&[("web.shop", &["v1", "v2:gray"]), ("cart.shop", &["v1", "v2:gray"])]);
    let original = observed.clone();
    walk(&mut observed, &original, &[lane("gray")]).expect("no step leads nowhere");
    assert!(!leads(&observed).0.is_empty(), "routes lead to subsets");
    walk(&mut observed, &original, &[]).expect("no step leads nowhere");
    assert_eq!(leads(&observed), (vec![], vec![]));
}
