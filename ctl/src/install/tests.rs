use canary_istio::plugins::{EdgeGateway, Presence};

use super::*;

fn plan(webhook: bool) -> Plan {
    let source = FilterSource { url: "http://f/x".into(), sha256: "00".into(), pull_secret: None };
    let presence = Presence {
        root_namespace: "istio-system".into(),
        edges: vec![EdgeGateway { namespace: "istio-system".into(), labels: [].into() }],
        namespaces: Vec::new(),
        gateway_filter: source.clone(),
        sidecar_filter: source,
    };
    Plan {
        namespace: "canaryctl-system".into(),
        image: "registry.example/canaryctl:1".into(),
        installation: Installation::new(presence),
        collect_after: Duration::from_secs(120),
        serves_filter: true,
        webhook,
    }
}

fn objects(plan: &Plan) -> Vec<Value> {
    let secrets = Secrets::new(&plan.namespace).expect("random bytes");
    let mut objects = plan.objects(&secrets).expect("settings");
    for object in &mut objects {
        if object["kind"] == "Secret" {
            object["data"] = "secret".into();
        }
        let webhooks = object.get_mut("webhooks").and_then(Value::as_array_mut);
        for webhook in webhooks.into_iter().flatten() {
            assert_eq!(webhook["clientConfig"]["caBundle"], secrets.certificates.ca_bundle());
            webhook["clientConfig"]["caBundle"] = "bundle".into();
        }
    }
    objects
}

fn names(objects: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        format!("{} {}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
    };
    objects.iter().map(name).collect()
}

#[test]
fn an_installation_consists_of_these_in_this_order() {
    insta::assert_yaml_snapshot!(names(&objects(&plan(true))));
}

#[test]
fn the_api_server_asks_narrowly_and_waits_for_nobody() {
    let objects = objects(&plan(true));
    let named = objects.iter().filter(|object| object["metadata"]["name"] == names::WEBHOOK);
    insta::assert_yaml_snapshot!(named.collect::<Vec<_>>());
}

#[test]
fn the_controller_may_do_no_more_than_it_does() {
    let objects = objects(&plan(true));
    let rules = objects.iter().filter(|object| object["rules"].is_array());
    let rules = rules.map(|role| serde_json::json!({"role": role["metadata"], "rules": role["rules"]}));
    insta::assert_yaml_snapshot!(rules.collect::<Vec<_>>());
}

#[test]
fn without_the_webhook_nothing_of_it_is_there() {
    let objects = objects(&plan(false));
    for object in &objects {
        let text = object.to_string();
        assert!(!text.contains(names::WEBHOOK) && !text.contains("webhookconfigurations"), "{object}");
    }
    let all = names(&self::objects(&plan(true)));
    let left_out: Vec<&String> = all.iter().filter(|name| !names(&objects).contains(name)).collect();
    assert_eq!(
        left_out,
        [
            "Secret canaryctl-system/canaryctl-webhook",
            "Service canaryctl-system/canaryctl-webhook",
            "MutatingWebhookConfiguration /canaryctl-webhook",
        ]
    );
}
