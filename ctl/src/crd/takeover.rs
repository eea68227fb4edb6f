//! The CustomResourceDefinition of Takeovers.

use serde_json::{Value, json};

use super::{Definition, Scope, column, conditions, number, object, text};
use crate::takeover::KIND;

/// Most ports, rules and bytes of names.
const PORTS_MAX: u32 = 32;
const RULES_MAX: u32 = 16;
const NAME_BYTES_MAX: u32 = 63;
const USER_BYTES_MAX: u32 = 512;

/// What the API server is told of Takeovers. The controller judges what takes a look at others.
#[must_use]
pub fn takeover() -> Value {
    let columns = [
        column("Service", "string", ".spec.service", "Whose requests are taken"),
        column("Owner", "string", ".spec.owner.user", "Who has them"),
        column("Rule", "string", ".status.rule", "Which they are"),
        column(
            "State",
            "string",
            ".status.state",
            "Whether every proxy has it, and whether somebody answers",
        ),
    ];
    let of = Definition {
        kind: KIND,
        plural: "takeovers",
        singular: "takeover",
        scope: Scope::Namespaced,
        columns: &columns,
        schema: &schema(),
    };
    super::definition(&of)
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": text(),
            "kind": text(),
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": NAME_BYTES_MAX}}},
            "spec": spec(),
            "status": status(),
        },
    })
}

fn spec() -> Value {
    let lane = super::schema();
    let mut rules = lane["properties"]["spec"]["properties"]["rules"].clone();
    rules["maxItems"] = RULES_MAX.into();
    let about = |mut schema: Value, description: &str| {
        schema["description"] = description.into();
        schema
    };
    let port = json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535});
    json!({
        "type": "object",
        "required": ["service", "ports", "owner"],
        "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "a takeover does not change: end it and make another"},
            {
                "rule": "(has(self.mode) && self.mode != 'mesh') \
                         ? !has(self.lane) && (!has(self.rules) || size(self.rules) == 0) \
                         : has(self.lane) && has(self.rules) && size(self.rules) > 0",
                "message": "mesh takes rules and a lane, exchange and mirror take neither",
            },
            {
                "rule": "!has(self.percent) || (has(self.mode) && self.mode == 'mirror')",
                "message": "percent is for mirror",
            },
            {
                "rule": "!has(self.by) || self.by == 'routes' || (has(self.mode) && self.mode == 'exchange')",
                "message": "by its selector all that comes to a service is taken: it is for exchange",
            },
            {
                "rule": "!has(self.connections) || size(self.connections) == 0 \
                         || ((!has(self.by) || self.by == 'routes') && (!has(self.mode) || self.mode != 'mirror'))",
                "message": "connections are for mesh and exchange, by routes",
            },
            super::in_hundredths("percent", "percent goes in steps of 0.01"),
        ],
        "properties": {
            "service": about(
                json!({"type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX}),
                "The Service, in this namespace.",
            ),
            "ports": {
                "type": "array", "minItems": 1, "maxItems": PORTS_MAX, "items": port,
                "description": "Ports of the Service that are taken.",
            },
            "connections": {
                "type": "array", "maxItems": PORTS_MAX, "items": port,
                "description": "Ports of the Service that are not HTTP, taken or not: by routes the agent has to know them.",
            },
            "mode": {"type": "string", "enum": ["mesh", "exchange", "mirror"], "description": "What is taken: the requests that a rule matches, all that no lane of the service has, or copies of those."},
            "by": {
                "type": "string", "enum": ["routes", "selector"],
                "description": "What brings it to the agent: routes of the mesh, or, for pods without sidecars, the Service's selector. Default: routes.",
            },
            "percent": {
                "type": "number", "exclusiveMinimum": true, "minimum": 0, "maximum": 100,
                "description": "Of how many requests copies are made, in percent, in steps of 0.01; default: of all.",
            },
            "rules": about(rules, "What a request must be like, as in a Lane: each asks for a value of a header, a cookie or the query."),
            "lane": about(
                lane["properties"]["metadata"]["properties"]["name"].clone(),
                "The lane that carries them; several Takeovers of one user may share it.",
            ),
            "owner": {
                "type": "object",
                "required": ["user"],
                "description": "Whose it is.",
                "properties": {
                    "user": {
                        "type": "string", "minLength": 1, "maxLength": USER_BYTES_MAX,
                        "description": "The user, as the API server knows them: yourself.",
                    },
                    "machine": {
                        "type": "string", "maxLength": 253, "description": "The machine that answers.",
                    },
                },
            },
        },
    })
}

/// What the controller says of a Takeover.
fn status() -> Value {
    let mut status = object(&json!({
        "observedGeneration": number(),
        "conditions": conditions(),
        "lane": text(),
        "rule": text(),
        "state": text(),
        "message": text(),
        "tagHeader": text(),
        "agent": text(),
    }));
    status["description"] = "What the controller last said of it.".into();
    status
}
