//! A container's environment from its manifest, and what it is written as.

use std::process::Command;

use serde_json::json;

use super::*;

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "cart"}, "namespace": "shop"},
        "spec": {"containers": [
            {
                "name": "cart",
                "envFrom": [
                    {"configMapRef": {"name": "common"}},
                    {"prefix": "DB_", "secretRef": {"name": "database"}},
                    {"configMapRef": {"name": "nowhere", "optional": true}},
                ],
                "env": [
                    {"name": "LEVEL", "value": "debug"},
                    {"name": "URL", "value": "http://$(HOST)/$(LEVEL)"},
                    {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "looks", "key": "colour"}}},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
                    {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                ],
            },
            {"name": "other"},
        ]},
    })
}

fn objects() -> Objects {
    let object = |data: Value| json!({"data": data});
    [
        ((Kind::ConfigMap, "common"), object(json!({"HOST": "stock", "LEVEL": "info"}))),
        ((Kind::ConfigMap, "looks"), object(json!({"colour": "gray"}))),
        ((Kind::Secret, "database"), object(json!({"USER": "Y2FydA==", "KEY": "/w=="}))),
        ((Kind::Secret, "api"), object(json!({"token": "czNjcjN0"}))),
    ]
    .map(|((kind, name), value)| ((kind, name.to_owned()), value))
    .into()
}

fn read(with_secrets: bool) -> Environment {
    let template = template();
    let container = container(&template, None).expect("a container");
    environment(&template, container, &objects(), with_secrets)
}

#[test]
fn a_container_has_what_its_manifest_gives_it() {
    let environment = read(true);
    let variables: Vec<(&str, &str)> =
        environment.variables().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let want = [
        ("HOST", "stock"),
        ("DB_USER", "cart"),
        ("LEVEL", "debug"),
        ("URL", "http://stock/debug"),
        ("COLOUR", "gray"),
        ("TOKEN", "s3cr3t"),
        ("APP", "cart"),
        ("SPACE", "shop"),
    ];
    assert_eq!(variables, want);
    let left_out: Vec<&str> = environment.left_out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left_out, ["DB_KEY", "ConfigMap nowhere", "IP", "CPU"]);
}

#[test]
fn secrets_are_neither_read_nor_given_without_being_wanted() {
    let template = template();
    let cart = container(&template, Some("cart")).expect("a container");
    assert!(needed(cart, false).iter().all(|(kind, _)| *kind == Kind::ConfigMap));
    assert_eq!(needed(cart, true).len(), 5);
    let environment = read(false);
    assert_eq!((environment.get("TOKEN"), environment.get("DB_USER")), (None, None));
    let why: Vec<&str> = environment
        .left_out
        .iter()
        .filter(|(_, why)| why == NO_SECRETS)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(why, ["Secret database", "TOKEN"]);
}

/// What cannot be written plainly.
const ODD: [&str; 7] =
    ["", "two words", "it's", "a \"b\" $HOME `id`", "line\nline's", "back\\slash", "#no comment"];

#[test]
fn a_shell_reads_what_is_written_for_it() {
    for value in ODD {
        let mut environment = Environment::default();
        environment.set("ODD", value.to_owned());
        let script = format!("{}printf %s \"$ODD\"", Format::Shell.write(&environment));
        let ran = Command::new("sh").args(["-c", &script]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&ran.stdout), value);
    }
}

#[test]
fn values_are_quoted_as_they_need_it() {
    let written = |value: &str| {
        let mut environment = Environment::default();
        environment.set("ODD", value.to_owned());
        Format::Dotenv.write(&environment)
    };
    let want = [
        "ODD=\n",
        "ODD='two words'\n",
        "ODD=\"it's\"\n",
        "ODD='a \"b\" $HOME `id`'\n",
        "ODD=\"line\\nline's\"\n",
        "ODD='back\\slash'\n",
        "ODD='#no comment'\n",
    ];
    assert_eq!(ODD.map(written), want.map(str::to_owned));
}
