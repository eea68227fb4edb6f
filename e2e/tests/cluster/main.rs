//! The product on a real Kubernetes with a real Istio: what people type, and what it does to their requests.
//!
//! `CANARY_LAB` names a lab of this machine; else `CANARY_KUBECONFIG` any cluster with Istio whose pods can be
//! reached from here and whose nodes have the images. Tests run one after the other, on one shop, and after one
//! that failed on a new one; with `CANARY_KEEP=1` all of it stays.

mod bench;
mod bug_reports;
mod bytes;
mod charts;
mod cluster;
mod colleagues;
mod control_plane;
mod copies;
mod dashboard;
mod database;
mod definition;
mod develop;
mod discovery;
mod doctor;
mod documents;
mod errands;
mod explains;
mod far;
mod faults;
mod faulty_api;
mod flows;
mod interrupted;
mod jobs;
mod judge;
mod lanes;
mod laptop;
mod link;
mod load;
mod manifests;
mod measured;
mod mirrored;
mod outside;
mod policies;
mod postgres;
mod programs;
mod prometheus;
mod protocols;
mod races;
mod registry;
mod releases;
mod repository;
mod revisions;
mod rights;
mod rivals;
mod rows;
mod shop;
mod skew;
mod strategies;
mod suite;
mod takeovers;
mod traces;
mod users_objects;
mod whole_machine;
mod zones;

use std::process::ExitCode;

use crate::suite::Suite;

fn main() -> ExitCode {
    if let Some(document) = std::env::var_os(bench::DOCUMENT_ENV) {
        return bench::run(document.as_ref());
    }
    if let Some(document) = std::env::var_os(bench::tunnel::DOCUMENT_ENV) {
        return bench::tunnel::run(document.as_ref());
    }
    let mut suite = Suite::new();
    suite.test("an_installation_comes_under_load_and_no_request_fails", lanes::install);
    suite.test("a_lane_comes_and_goes_under_load_and_nobody_is_misled", lanes::come_and_go);
    suite.test("chosen_users_stay_and_no_tag_from_outside_is_believed", lanes::edges);
    suite.test("lanes_beside_each_other_never_spill", lanes::beside);
    suite.test("a_lane_moves_to_other_pods_and_leaves_none_marked", lanes::moved);
    suite.test("a_strict_lane_refuses_where_it_has_nobody", lanes::strict);
    suite.test("a_lane_that_cannot_be_is_refused_with_the_reason", lanes::refused);
    suite.test("a_lane_that_is_changed_into_what_cannot_be_stays_as_it_was", lanes::kept);
    suite.test("check_says_what_stands_in_the_way", lanes::check);
    suite.test("the_api_server_refuses_what_no_lane_can_be", definition::judges);
    suite.test("who_may_put_what_into_a_lane_is_judged", definition::grants);
    suite.test("a_trace_tells_what_applications_saw_and_leaves_no_key", traces::told);
    suite.test("a_lane_that_is_watched_shows_others_flows_and_leaves_no_key", traces::watched);
    suite.test("what_takes_a_call_at_a_service_is_explained", explains::at_a_service);
    suite.test("what_doctor_says_of_workloads_is_so", doctor::told);
    suite.test("a_bug_report_names_no_user_and_no_key", bug_reports::redacted);
    suite.test("what_diff_says_is_what_happens", lanes::diff);
    suite.test("a_users_objects_are_edited_and_given_back_as_they_were", users_objects::restored);
    suite.test("a_users_own_edit_stays_and_a_wiped_route_comes_back", users_objects::edited);
    suite.test("a_file_applied_over_and_over_is_never_seen_without_its_lane", users_objects::reapplied);
    suite.test("a_members_pod_is_born_with_its_labels", users_objects::born);
    suite.test("an_installation_without_the_webhook_repairs_a_moment_later", users_objects::unasked);
    suite.test("the_baseline_rolls_and_lane_pods_die_beside_a_lane", faults::pods);
    suite.test("a_controller_that_dies_is_followed_by_one_that_finishes", faults::controller);
    suite.test("istiods_come_and_go_and_nobody_is_misled", faults::istiods);
    suite.test("a_proxy_that_hangs_is_named_and_nothing_goes_on_without_it", faults::frozen_proxy);
    suite.test("proxies_that_see_only_their_own_namespace_are_waited_for_too", faults::restricted);
    suite.test("what_a_proxy_refuses_elsewhere_keeps_nothing_back", faults::refused_elsewhere);
    suite.test("two_that_prove_at_the_same_time_do_not_hinder_each_other", faults::provers);
    suite.test("a_namespace_that_istio_does_not_look_at_is_left_alone", discovery::left_out);
    suite.test("two_revisions_of_istio_are_beside_each_other", revisions::beside);
    suite.test("the_control_plane_goes_away_and_comes_back", control_plane::restarts);
    suite.test("nobody_is_led_to_a_lane_before_its_pods_are_endpoints", control_plane::endpoints_late);
    suite.test("an_api_server_that_refuses_is_asked_again", interrupted::refused);
    suite.test("a_controller_that_dies_between_two_writes_leaves_a_mesh_that_serves", interrupted::cut);
    suite.test("a_controller_that_wakes_up_deposed_writes_nothing", rivals::woken);
    suite.test("two_people_who_want_the_same_lane_get_it", races::people);
    suite.test("the_kill_switch_needs_no_controller", faults::kill_switch);
    suite.test("a_release_of_two_services_goes_to_everybody_and_back_under_load", releases::through);
    suite.test("a_release_is_seen_and_promoted_on_the_dashboard", dashboard::driven);
    suite.test("a_release_is_aborted_at_every_step_under_load", releases::aborted);
    suite.test("a_release_copies_requests_and_nobody_sees_who_gets_them", copies::of_a_release);
    suite.test("a_release_goes_on_whoever_dies", releases::killed);
    suite.test("a_release_that_cannot_go_on_says_why_and_harms_nobody", releases::stuck);
    suite.test("a_release_of_each_strategy_fails_no_request_while_the_stable_pods_roll", strategies::each);
    suite.test(
        "a_release_of_each_strategy_by_requests_fails_none_of_fifty_thousand",
        strategies::at_full_length,
    );
    suite.test("a_share_of_requests_is_drawn_for_each_anew", strategies::by_requests);
    suite.test("a_release_beside_a_repository_is_neither_fought_nor_fights", repository::applied);
    suite.test("a_release_that_measures_failures_is_taken_back_by_itself", measured::bad);
    suite.test("a_release_that_measures_well_goes_on_and_is_undone_at_once", measured::good);
    suite.test("a_release_waits_for_its_job_and_for_leave", errands::asked);
    suite.test("no_lane_is_routed_at_a_headless_service", rows::headless);
    suite.test("a_client_without_a_sidecar_meets_lane_pods_in_the_selector_only", rows::without_sidecar);
    suite.test("no_lane_is_routed_where_another_namespace_has_a_rule_of_its_own", rows::foreign_rule);
    suite.test("grpc_calls_between_pods_stay_in_their_lane", protocols::grpc);
    suite.test("a_websocket_stays_where_it_was_opened", protocols::websockets);
    suite.test("a_host_outside_the_mesh_is_in_no_lane", rows::external);
    suite.test("a_service_that_prefers_its_zone_keeps_to_it_beside_a_lane", zones::kept);
    suite.test("a_filter_of_another_build_keeps_its_lanes_and_is_upgraded", skew::upgraded);
    suite.test("pods_of_a_lane_are_under_the_policies_of_the_stable_ones", policies::govern);
    suite.test("takeovers_are_beside_each_other_and_leave_nothing", takeovers::beside);
    suite.test("a_laptop_has_its_developers_requests_and_everything_comes_back", laptop::mesh_and_back);
    suite.test("a_laptop_has_all_requests_of_a_service_and_none_fails", laptop::exchanged);
    suite.test("a_laptop_has_all_of_a_service_outside_the_mesh_and_no_connection_fails", outside::exchanged);
    suite.test("a_laptop_has_a_databases_new_sessions_and_open_ones_stay", database::exchanged);
    suite.test("a_laptop_has_a_databases_new_sessions_in_the_mesh", database::exchanged_in_the_mesh);
    suite.test("a_laptop_gets_copies_of_a_services_requests_and_nobody_can_tell", mirrored::of_a_service);
    suite.test("two_developers_have_one_service_and_nobody_else_notices", colleagues::on_one_service);
    suite.test("a_laptop_that_falls_silent_keeps_nobody_waiting", laptop::silent);
    suite.test("a_laptop_whose_network_is_cut_is_answered_for_and_comes_back", far::cut);
    suite.test("a_laptop_behind_a_link_that_loses_packets_loses_nothing", far::lossy);
    suite.test("a_laptop_whose_clock_jumps_keeps_what_it_has", far::clock);
    suite.test("a_laptop_is_spoken_to_by_websockets_and_grpc", protocols::to_a_laptop);
    suite.test("a_gibibyte_arrives_whole_each_way_and_is_kept_nowhere", far::gibibyte);
    suite.test("what_a_developers_file_names_comes_and_goes_at_once", laptop::together);
    suite.test("a_new_service_from_here_answers_says_when_it_cannot_and_goes_by_itself", laptop::previewed);
    suite.test("takeovers_get_nothing_of_clients_without_a_sidecar", takeovers::strangers);
    suite.test("takeovers_that_cannot_be_are_refused_with_the_owner_or_the_right", takeovers::refused);
    suite.test("a_job_without_a_sidecar_fails_no_call_while_a_lane_comes_and_goes", jobs::beside_a_lane);
    suite.test("the_filter_comes_from_a_registry_too", registry::filter);
    suite.test("a_registry_that_wants_a_password_gets_it_or_says_so", registry::password);
    suite.test("a_machine_beside_the_cluster_reaches_what_a_pod_reaches", develop::reached);
    suite.test("a_machine_beside_the_cluster_has_services_at_addresses_of_its_own", develop::on_loopback);
    suite.test("a_machine_beside_the_cluster_is_in_the_lane_it_names", develop::in_a_lane);
    suite.test("a_whole_machine_reaches_what_a_pod_reaches", whole_machine::reached);
    suite.test("a_whole_machine_reaches_a_cluster_whose_addresses_it_has_itself", whole_machine::translated);
    suite.test("a_whole_machine_is_in_the_lane_it_names_whoever_carries_it", whole_machine::in_a_lane);
    suite.test("a_whole_machine_is_put_back_whatever_ends", whole_machine::put_back);
    suite.test("a_program_reaches_what_a_pod_reaches", programs::reach);
    suite.test("a_program_reaches_this_machine_as_before", programs::machine);
    suite.test("a_program_is_reached_by_ports_that_are_published", programs::published);
    suite.test("a_program_has_sent_what_it_wrote_when_it_ends", programs::written);
    suite.test("a_program_is_in_the_lane_it_is_run_in", programs::in_a_lane);
    suite.test("a_program_is_run_as_if_it_were_run_directly", programs::as_directly);
    suite.test("a_program_is_given_a_workloads_environment", programs::with_environment);
    suite.test("a_databases_client_is_run_and_its_sessions_last", database::reached);
    suite.test("a_program_is_run_without_root", programs::without_root);
    suite.test("an_agent_whose_machine_is_gone_ends_by_itself", develop::killed);
    suite.test("an_agent_that_dies_is_followed_by_another", develop::replaced);
    suite.test("a_way_to_the_cluster_that_breaks_is_taken_again", develop::resumed);
    suite.test("what_the_documents_say_to_type_works", documents::cluster);
    suite.test("what_the_documents_say_of_takeovers_works", documents::takeovers);
    suite.test("what_the_documents_say_of_releases_works", documents::releases);
    suite.test("what_the_documents_say_of_developing_works", documents::develop);
    suite.test("who_may_just_read_reads_and_hears_which_right_is_lacking", rights::reading);
    suite.test("who_may_just_release_does_and_nothing_is_changed_without_a_right", rights::writing);
    suite.test("who_may_just_develop_does_and_nothing_is_begun_without_a_right", rights::developing);
    suite.test("who_may_just_install_does_and_nothing_is_changed_without_a_right", rights::installing);
    suite.test("an_uninstallation_under_load_leaves_no_trace", lanes::uninstall);
    suite.test("an_uninstallation_needs_no_controller", lanes::uninstall_alone);
    suite.test("a_chart_comes_in_is_upgraded_beside_a_lane_and_leaves_nothing", charts::helm);
    suite.test("what_the_readme_shows_of_a_cluster_is_what_is_said", documents::readme);
    suite.run()
}
