use serde_json::json;

use super::*;

fn release(analysis: Value, status: Value) -> Release {
    let mut analysis = analysis;
    analysis["prometheus"] = json!({"url": "http://prometheus:9090"});
    let document = json!({
        "apiVersion": "", "kind": "", "metadata": {"name": "r"},
        "spec": {"workloads": [{"deployment": "shop/cart", "images": {"app": "cart:2"}}], "analysis": analysis},
        "status": status,
    });
    serde_json::from_value(document).expect("a release")
}

fn world(members: Value) -> World {
    let lane = json!({"status": {"members": members}});
    World { lanes: [("r".into(), lane)].into(), ..World::default() }
}

fn held() -> Value {
    json!({"phase": "Stepping", "heldSince": 1000})
}

fn query(questions: &Questions, about: About) -> &str {
    let question = questions.list.iter().find(|question| question.about == about);
    question.map_or("", |question| question.query.as_str())
}

#[test]
fn a_step_is_measured_over_its_own_time_and_no_longer_than_the_window() {
    let rate = || json!({"successRate": {"maxDrop": 1}, "intervalSeconds": 20, "windowSeconds": 60});
    let asked = |status: Value, now| questions(&release(rate(), status), &World::default(), now);
    assert_eq!(asked(held(), 1019), None, "too early to have seen anything");
    let first = asked(held(), 1030).expect("it is time");
    assert_eq!((first.at, first.step, first.url.as_str()), (1030, 0, "http://prometheus:9090"));
    assert!(query(&first, About::Requests(0, Side::Lane)).contains("[30s]"), "{first:?}");
    let later = asked(held(), 2000).expect("it is time");
    assert!(query(&later, About::Requests(0, Side::Lane)).contains("[60s]"), "{later:?}");
    let measured = |more: Value| {
        let mut status = held();
        status["analysis"] =
            json!({"step": 0, "at": 1990, "verdict": "Good", "message": "", "quantile": 0.95});
        status["analysis"]
            .as_object_mut()
            .expect("fields")
            .extend(more.as_object().cloned().unwrap_or_default());
        status
    };
    assert_eq!(asked(measured(json!({})), 2009), None);
    assert!(asked(measured(json!({})), 2010).is_some());
    assert_eq!(asked(measured(json!({"failed": true})), 2010), None, "what it stopped for stays to be seen");
    assert!(asked(measured(json!({"step": 3})), 2009).is_some(), "of another step");
    assert_eq!(asked(json!({"phase": "Promoting"}), 2000), None);
    let mut paused = release(rate(), held());
    paused.spec.paused = true;
    assert_eq!(questions(&paused, &World::default(), 2000), None);
}

#[test]
fn istios_metrics_tell_a_copy_from_its_deployment_by_name() {
    let rate = json!({"successRate": {"maxDrop": 1}});
    let asked = questions(&release(rate, held()), &World::default(), 1030).expect("it is time");
    let of = |workload: &str| {
        format!(
            "{{reporter=\"destination\",destination_workload=\"{workload}\",destination_workload_namespace=\"shop\"}}"
        )
    };
    for (side, workload) in [(Side::Lane, "cart-r"), (Side::Base, "cart")] {
        let requests = query(&asked, About::Requests(0, side));
        assert!(requests.contains(&format!("istio_requests_total{}", of(workload))), "{requests}");
    }
}

#[test]
fn envoys_metrics_tell_a_lane_by_its_subset() {
    let rate = || json!({"successRate": {"maxDrop": 1}, "metrics": "envoy"});
    let members = json!([
        {"service": "shop/cart", "workload": "cart-r", "pods": 1},
        {"service": "shop/cart-grpc", "workload": "cart-r", "pods": 1},
        {"service": "other/cart", "workload": "cart-r", "pods": 1},
        {"service": "shop/stock", "workload": "stock-r", "pods": 1},
    ]);
    let asked = questions(&release(rate(), held()), &world(members), 1030).expect("it is time");
    let host = "(cart[.]shop|cart-grpc[.]shop)[.]svc[.].+";
    let lane =
        format!("{{cluster_name=~\"outbound[|][0-9]+[|]canary-r[|]{host}\",response_code_class=\"5xx\"}}");
    let failures = query(&asked, About::Failures(0, Side::Lane));
    assert!(failures.contains(&lane), "{failures}");
    let base = query(&asked, About::Requests(0, Side::Base));
    assert!(base.contains("cluster_name!~\"outbound[|][0-9]+[|]canary-.*\""), "{base}");
    // Nobody can be asked about a copy that no Service leads to.
    assert!(
        questions(&release(rate(), held()), &world(json!([])), 1030).expect("it is time").list.is_empty()
    );
}

#[test]
fn a_query_of_ones_own_may_name_the_lane_and_the_window() {
    let own =
        json!({"promql": [{"name": "q", "query": "sum(increase(x{lane=\"$lane\"}[$window]))", "max": 1}]});
    let asked = questions(&release(own, held()), &World::default(), 1050).expect("it is time");
    assert_eq!(query(&asked, About::Own(0)), "sum(increase(x{lane=\"r\"}[50s]))");
}
