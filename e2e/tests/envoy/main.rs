//! The built filter in real Envoys. `CANARY_ENVOY` names the Envoy, `CANARY_FILTER` the filter.
//!
//! Tests of one group share a mesh and run one after the other; a mesh ends with its last test. With
//! `CANARY_KEEP=1` the meshes' run directories stay.

mod bytes;
mod carriers;
mod changes;
mod cold;
mod fallback;
mod forgery;
mod harness;
mod load;
mod pair;
mod protocols;
mod random;
mod raw;
mod responses;
mod shop;
mod stage;
mod trace;

use std::process::ExitCode;

use crate::harness::Suite;

fn main() -> ExitCode {
    let mut suite = Suite::new();

    suite.group(
        "shop",
        || Box::pin(shop::http1()),
        |group| {
            group.test("each_carrier_alone_keeps_a_flow_in_its_lane", carriers::each_alone);
            group.test(
                "a_flow_whose_apps_hand_on_nothing_goes_to_the_baseline_and_is_counted",
                carriers::nothing,
            );
            group.test("a_coloured_pod_colours_the_flows_that_it_starts", carriers::colour);
            group.test("no_tag_from_outside_is_believed", forgery::tags);
            group.test("no_request_id_from_outside_is_believed", forgery::request_ids);
            group.test("no_token_is_believed_that_we_have_not_signed_for_its_purpose", forgery::tokens);
            group.test("cookies_are_set_on_change_and_the_apps_own_stay", responses::cookies);
            group.test("no_shared_cache_keeps_a_lanes_answer", responses::caches);
            group.test("the_lane_is_shown_where_wanted", responses::lane_shown);
            group.test("answers_that_are_no_success_bear_both_cookies", responses::failures);
            group.test("websockets_stay_in_their_lane", protocols::websockets);
            group.test("grpc_stays_in_its_lane_with_trailers_and_trailers_only", protocols::grpc);
            group.test("server_sent_events_stay_in_their_lane", protocols::events);
            group.test("large_bodies_pass", protocols::large_bodies);
            group.test("http2_clients_stay_in_their_lane", protocols::http2_clients);
            group.test("bytes_that_are_no_text_kill_no_filter", bytes::everywhere);
        },
    );

    suite.group(
        "shop_http2",
        || Box::pin(shop::http2()),
        |group| {
            group.test("each_carrier_alone_keeps_a_flow_in_its_lane", carriers::each_alone);
            group.test("websockets_stay_in_their_lane", protocols::websockets);
            group.test("grpc_stays_in_its_lane_with_trailers_and_trailers_only", protocols::grpc);
            group.test("server_sent_events_stay_in_their_lane", protocols::events);
            group.test("large_bodies_pass", protocols::large_bodies);
            group.test("http2_clients_stay_in_their_lane", protocols::http2_clients);
            group.test("no_tag_from_outside_is_believed", forgery::tags);
        },
    );

    suite.group(
        "pair",
        || Box::pin(pair::start()),
        |group| {
            group.test("a_parent_lane_serves_where_its_child_has_nobody", fallback::parents);
            group.test("a_strict_lane_states_its_refusal", fallback::strict);
            group.test("a_lanes_pod_refuses_a_foreign_tag", fallback::foreign);
            group.test("no_tag_of_a_stranger_is_believed_in_the_mesh", fallback::strangers);
            group.test("lanes_come_and_go_under_load_and_no_request_fails", changes::lanes_come_and_go);
            group.test("no_flow_moves_when_a_setting_changes_under_load", changes::no_flow_moves);
            group.test("keys_rotate_under_load_and_nobody_moves", changes::keys_rotate);
            group.test("a_bad_configuration_is_counted_and_the_one_before_stays", changes::bad_ones);
            group.test("a_lanes_instance_dies_and_no_request_fails", fallback::death);
            group.test("the_gateways_own_answer_bears_the_cookie", fallback::nobody);
        },
    );

    suite.alone("proxies_that_start_with_a_bad_configuration_serve", cold::bad_configuration);

    suite.group(
        "random",
        || Box::pin(random::shop()),
        |group| {
            group.test("no_hop_of_a_chain_is_in_a_wrong_lane", random::chain);
        },
    );
    suite.alone("no_hop_of_a_pod_whose_flows_share_ids_is_in_a_wrong_lane", random::one_pod);

    suite.alone("a_trace_of_a_random_mesh_is_what_its_applications_saw", trace::random);
    suite.alone("a_trace_tells_calls_that_are_made_at_once", trace::at_once);
    suite.alone("a_trace_tells_calls_that_are_made_after_the_response", trace::after_the_response);
    suite.alone("a_lane_that_is_watched_has_one_of_its_flows_told", trace::watched);

    suite.run()
}
