//! The JSON Schema of Lane documents, for editors and for the CRD. It says what the types cannot: limits,
//! defaults, and which fields go together.

use alloc::string::String;
use alloc::vec::Vec;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::condition::{REGEX_BYTES_MAX, VALUES_MAX};
use crate::lane::Lane;

/// The schema of a Lane document, JSON Schema 2020-12.
#[must_use]
pub fn lane() -> Value {
    let mut schema =
        Value::from(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Lane>());
    tidy(&mut schema);
    schema
}

/// Fields of a test that are no operators.
const OPERANDS: [&str; 3] = ["name", "from", "ignoreCase"];

/// A test takes exactly one operator, and operators have limits.
pub(crate) fn one_operator(schema: &mut Schema) {
    let Some(Value::Object(fields)) = schema.get_mut("properties") else { return };
    let mut operators: Vec<String> =
        fields.keys().filter(|field| !OPERANDS.contains(&field.as_str())).cloned().collect();
    // The order of a map's keys depends on how serde_json was built.
    operators.sort_unstable();
    for (field, limits) in fields {
        let more = match field.as_str() {
            "in" | "cidr" => json!({ "minItems": 1, "maxItems": VALUES_MAX }),
            "regex" => json!({ "minLength": 1, "maxLength": REGEX_BYTES_MAX, "format": "regex" }),
            "prefix" | "suffix" | "contains" | "glob" | "name" => json!({ "minLength": 1 }),
            "ignoreCase" => json!({ "default": false }),
            _ => continue,
        };
        if let (Value::Object(limits), Value::Object(more)) = (limits, more) {
            limits.extend(more);
        }
    }
    let one: Vec<Value> = operators.iter().map(|operator| json!({ "required": [operator] })).collect();
    schema.insert("oneOf".into(), one.into());
}

/// A rule says whom it takes, or how many.
pub(crate) fn when_or_percent(schema: &mut Schema) {
    schema.insert("anyOf".into(), json!([{ "required": ["when"] }, { "required": ["percent"] }]));
}

/// Definitions in which null means something of its own.
const NULLABLE: [&str; 1] = ["CookieAttributes"];

/// Takes `null` out of types, as a field that may be absent is left out, not null; and line breaks out of
/// descriptions.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            drop_null(fields);
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("\n\n", "\n").replace('\n', " ");
            }
            let inner = fields.iter_mut().filter(|(name, _)| !NULLABLE.contains(&name.as_str()));
            inner.for_each(|(_, inner)| tidy(inner));
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn drop_null(fields: &mut Map<String, Value>) {
    if fields.get("default").is_some_and(Value::is_null) {
        fields.remove("default");
    }
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            fields.remove("anyOf");
            fields.extend(only);
        }
    }
}
