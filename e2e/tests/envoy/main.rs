//! The built filter in real Envoys. `CANARY_ENVOY` names the Envoy, `CANARY_FILTER` the filter.
//!
//! Tests of one group share a mesh and run one after the other; a mesh ends with its last test. With
//! `CANARY_KEEP=1` the meshes' run directories stay.

mod carriers;
mod harness;
mod shop;
mod stage;

use std::process::ExitCode;

use crate::harness::Suite;

fn main() -> ExitCode {
    let mut suite = Suite::new();

    let mut group = suite.group("shop", || Box::pin(shop::http1()));
    group.test("each_carrier_alone_keeps_a_flow_in_its_lane", carriers::each_alone);
    group.test("a_flow_whose_apps_hand_on_nothing_goes_to_the_baseline_and_is_counted", carriers::nothing);
    group.test("a_coloured_pod_colours_the_flows_that_it_starts", carriers::colour);

    let mut group = suite.group("shop_http2", || Box::pin(shop::http2()));
    group.test("each_carrier_alone_keeps_a_flow_in_its_lane", carriers::each_alone);

    suite.run()
}
