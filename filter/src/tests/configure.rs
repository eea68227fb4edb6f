//! Configurations: taken, refused, outlived.

use super::*;
#[cfg(feature = "edge")]
use crate::metrics::LANES_MAX;

#[test]
fn a_bad_configuration_at_a_cold_start_passes_everything_and_is_counted() {
    let worker = Worker::new();
    for bad in [&b""[..], b"{", b"null", b"[]", b"\xff", br#"{"version":1,"role":"sideways"}"#] {
        let root = worker.configured(bad);
        let passed = pass(&root, &worker.fake, &[("x-canary-lane", "gray")]);
        assert!(matches!(passed.stream, Stream::Passthrough), "{bad:?}");
    }
    assert_eq!(worker.count("canaryctl.config.rejected"), 6);
    assert_eq!(worker.count("canaryctl.config.ok"), 0);
}

#[test]
fn a_bad_update_leaves_the_last_good_configuration_in_force() {
    let worker = Worker::new();
    mesh_peer(&mut worker.fake.world_mut());
    worker.plugin(&config(Role::Inbound, &["blue"]));
    worker.plugin(&gray(Role::Inbound));
    let root = worker.configured(b"{");
    let passed = pass(&root, &worker.fake, &[("x-canary-lane", "gray")]);
    assert_eq!(passed.lines("baggage"), ["canary-lane=gray"]);
    assert_eq!(worker.count("canaryctl.config.rejected"), 1);
}

#[test]
fn a_bad_update_of_one_plugin_does_not_take_anothers_configuration() {
    let worker = Worker::new();
    worker.plugin(&gray(Role::Inbound));
    worker.fake.world_mut().properties.insert("plugin_name".to_owned(), b"another".to_vec());
    let root = worker.configured(b"{");
    assert!(matches!(root.stream(), Stream::Passthrough));
}

#[test]
fn a_refused_configuration_says_why_once_in_the_log() {
    let worker = Worker::new();
    worker.configured(br#"{"version":1,"role":"sideways"}"#);
    let world = worker.fake.world();
    let [line] = &world.log[..] else { panic!("{:?}", world.log) };
    assert!(line.starts_with("canaryctl: configuration refused: "), "{line}");
}

#[test]
fn a_newer_version_is_refused() {
    let worker = Worker::new();
    let mut config = gray(Role::Inbound);
    config.version += 1;
    let root = worker.plugin(&config);
    assert!(matches!(root.stream(), Stream::Passthrough));
    assert_eq!(worker.count("canaryctl.config.rejected"), 1);
}

#[test]
fn streams_keep_the_configuration_they_began_with() {
    let worker = Worker::new();
    mesh_peer(&mut worker.fake.world_mut());
    let old = worker.plugin(&gray(Role::Inbound));
    let mut begun = old.stream();
    worker.plugin(&config(Role::Inbound, &["blue"]));
    worker.fake.world_mut().request = vec![("x-canary-lane".to_owned(), b"gray".to_vec())];
    let Stream::Inbound(stream) = &mut begun else { panic!("an inbound stream") };
    stream.on_request_headers();
    let tagged = worker.fake.world().request.iter().any(|(name, _)| name == "baggage");
    assert!(tagged, "gray still exists for it");
}

#[test]
fn flows_recorded_under_one_configuration_are_found_under_the_next() {
    let worker = Worker::new();
    mesh_peer(&mut worker.fake.world_mut());
    let inbound = worker.plugin(&gray(Role::Inbound));
    let _flow = pass(&inbound, &worker.fake, &[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    let outbound = worker.plugin(&config(Role::Outbound, &["gray", "green"]));
    assert_eq!(pass(&outbound, &worker.fake, &[("traceparent", TRACE)]).tag(), ["gray"]);
}

#[cfg(feature = "edge")]
#[test]
fn flows_recorded_under_one_key_are_found_under_the_next() {
    let worker = Worker::new();
    mesh_peer(&mut worker.fake.world_mut());
    let inbound = worker.plugin(&gray(Role::Inbound));
    let _flow = pass(&inbound, &worker.fake, &[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    let rotated = gray(Role::Outbound).to_json().replace("\"k1\"", "\"k2\"").replace("MDEy", "ODk4");
    let mut other = FilterConfig::parse(rotated.as_bytes()).expect("a configuration");
    assert_ne!(other.keys, gray(Role::Outbound).keys);
    let found = |outbound: &Root<Fake>| pass(outbound, &worker.fake, &[("traceparent", TRACE)]).tag();
    assert_eq!(found(&worker.plugin(&other)), ["gray"]);
    other.keys = None;
    assert_eq!(found(&worker.plugin(&other)), ["gray"]);
    // A worker that starts meanwhile has the same.
    assert_eq!(found(&Worker::of(&worker.fake).plugin(&other)), ["gray"]);
}

#[test]
fn configuring_asks_for_a_tick_and_shows_the_counters() {
    let worker = Worker::new();
    worker.plugin(&gray(Role::Edge));
    let world = worker.fake.world();
    assert_eq!(world.tick_ms, 1_000);
    let counters: Vec<&str> = world.counters.keys().map(String::as_str).collect();
    for name in [
        "canaryctl.heartbeat",
        "canaryctl.inbound.header",
        "canaryctl.outbound.none",
        "canaryctl.lane.baseline.edge",
        "canaryctl.lane._other.edge",
        "canaryctl.lane.gray.edge",
    ] {
        assert!(counters.contains(&name), "{name} among {counters:?}");
    }
}

#[cfg(feature = "edge")]
#[test]
fn a_lanes_counter_name_has_no_dot_of_the_lanes() {
    let worker = Worker::new();
    worker.plugin(&config(Role::Edge, &["gray.checkout"]));
    assert_eq!(worker.count("canaryctl.lane.gray__checkout.edge"), 0);
}

#[cfg(feature = "edge")]
fn lane(n: usize) -> canary_rules::name::LaneName {
    canary_rules::name::LaneName::new(&format!("l{n}")).expect("a lane's name")
}

#[cfg(feature = "edge")]
#[test]
fn lanes_beyond_the_limit_share_a_counter() {
    let worker = Worker::new();
    worker.plugin(&gray(Role::Edge));
    for n in 0..2 * LANES_MAX {
        worker.vm.metrics.decision(worker.vm.metrics.lane(&worker.fake, &lane(n)));
    }
    let lanes =
        |world: &World| world.counters.keys().filter(|name| name.starts_with("canaryctl.lane.")).count();
    assert_eq!(lanes(&worker.fake.world()), LANES_MAX);
    // Baseline, other, gray and blue were there before.
    let others = 2 * LANES_MAX - (LANES_MAX - 4);
    assert_eq!(worker.count("canaryctl.lane._other.edge"), others as u64);
    assert_eq!(worker.count("canaryctl.lane.l0.edge"), 1);
}

#[cfg(not(feature = "edge"))]
#[test]
fn the_sidecars_module_refuses_the_roles_of_edges() {
    let worker = Worker::new();
    for role in [Role::Edge, Role::EdgeGuard] {
        let root = worker.plugin(&gray(role));
        assert!(matches!(root.stream(), Stream::Passthrough));
    }
    assert_eq!(worker.count("canaryctl.config.rejected"), 2);
}
