//! A JSON Schema as Kubernetes wants it: structural, without references, and so without recursion.

use serde_json::{Map, Value, json};

/// How many levels of nested conditions are spelled out. Each level is three times the one above; below the last
/// anything goes, and the controller judges it.
pub(super) const CONDITION_LEVELS: usize = 3;
/// How many of them say in words what is wrong with an alternative. The API server refuses a definition whose
/// checks could cost too much, and below these there may be a million tests.
pub(super) const WORDED_LEVELS: usize = 2;
/// The one definition that contains itself.
const RECURSIVE: &str = "Condition";
/// Most parts of an `all` or `any`.
const PARTS_MAX: u32 = 64;
/// Formats that the API server knows.
const FORMATS: [&str; 4] = ["date-time", "double", "int32", "int64"];

/// The structural form of a schema whose references lead to its own `$defs`.
pub(super) fn of(schema: &Value) -> Value {
    convert(schema, &Context { definitions: &schema["$defs"], level: 0 })
}

#[derive(Clone, Copy)]
struct Context<'a> {
    definitions: &'a Value,
    /// Conditions around this place.
    level: usize,
}

fn convert(schema: &Value, context: &Context<'_>) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    if let Some(name) = fields.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return referred(name, fields, context);
    }
    let mut out = Map::new();
    for (key, value) in fields {
        match key.as_str() {
            // Defaults would be written into people's objects.
            "$schema" | "$defs" | "title" | "default" => {}
            "format" if !value.as_str().is_some_and(|format| FORMATS.contains(&format)) => {}
            // The same is said by having properties at all.
            "additionalProperties" if *value == false => {}
            // Another language than that of other systems in between.
            "description" if context.level > 1 => {}
            "const" => drop(out.insert("enum".into(), json!([value]))),
            "type" => set_type(value, &mut out),
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                let converted = properties.map(|(name, property)| (name.clone(), convert(property, context)));
                out.insert(key.clone(), Value::Object(converted.collect()));
            }
            "items" | "additionalProperties" => drop(out.insert(key.clone(), convert(value, context))),
            "oneOf" | "anyOf" => {
                choose(key, value.as_array().map_or(&[][..], Vec::as_slice), context, &mut out)
            }
            _ => drop(out.insert(key.clone(), value.clone())),
        }
    }
    if out.get("type") == Some(&json!("array")) && context.level > 0 {
        out.entry("maxItems").or_insert(PARTS_MAX.into());
    }
    Value::Object(out)
}

fn referred(name: &str, fields: &Map<String, Value>, context: &Context<'_>) -> Value {
    let level = context.level + usize::from(name == RECURSIVE);
    let mut out = match level > CONDITION_LEVELS {
        true => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        false => convert(&context.definitions[name], &Context { level, ..*context }),
    };
    if let Some(description) = fields.get("description").filter(|_| level <= 2) {
        out["description"] = description.clone();
    }
    out
}

/// `["string", "null"]` is a string that may be null.
fn set_type(value: &Value, out: &mut Map<String, Value>) {
    let named = value.as_array().and_then(|types| types.iter().find(|kind| **kind != "null"));
    out.insert("type".into(), named.unwrap_or(value).clone());
    if value.is_array() {
        out.insert("nullable".into(), true.into());
    }
}

/// Alternatives: of values, of fields that exclude each other, or of null and something.
fn choose(key: &str, options: &[Value], context: &Context<'_>, out: &mut Map<String, Value>) {
    let is_null = |option: &&Value| option["type"] == "null";
    if options.iter().any(|option| is_null(&option)) {
        let rest = options.iter().find(|option| !is_null(option));
        if let Some(Value::Object(fields)) = rest.map(|option| convert(option, context)) {
            out.extend(fields);
        }
        out.insert("nullable".into(), true.into());
        if let Some(Value::Array(values)) = out.get_mut("enum") {
            values.push(Value::Null);
        }
        return;
    }
    let constants: Vec<&Value> = options.iter().filter_map(|option| option.get("const")).collect();
    if constants.len() == options.len() {
        out.insert("type".into(), "string".into());
        out.insert("enum".into(), json!(constants));
        return;
    }
    let with_fields = options.iter().filter(|option| option.get("properties").is_some());
    let mut properties = Map::new();
    for option in with_fields {
        if let Value::Object(fields) = convert(&option["properties"], context) {
            let converted = fields.into_iter().map(|(name, field)| (name, convert(&field, context)));
            properties.extend(converted);
        }
    }
    if !properties.is_empty() {
        out.insert("type".into(), "object".into());
        out.insert("properties".into(), Value::Object(properties));
    }
    let alternatives: Vec<&str> =
        options.iter().filter_map(|option| option["required"][0].as_str()).collect();
    match alternatives.as_slice() {
        [only] => drop(out.insert("required".into(), json!([only]))),
        several if key == "oneOf" && context.level <= WORDED_LEVELS => {
            out.insert("x-kubernetes-validations".into(), json!([exactly_one(several)]));
        }
        several => {
            let required = several.iter().map(|field| json!({"required": [field]}));
            out.insert(key.into(), required.collect());
        }
    }
}

/// The check that one of these fields is there, in words: of a `oneOf` the API server says only that it failed.
fn exactly_one(fields: &[&str]) -> Value {
    let count = fields.iter().map(|field| format!("(has(self.{}) ? 1 : 0)", escaped(field)));
    json!({
        "rule": format!("{} == 1", count.collect::<Vec<_>>().join(" + ")),
        "message": format!("give exactly one of {}", fields.join(", ")),
    })
}

/// A field as the API server's expressions name it.
///
/// Source: "Validation rules", Extend the Kubernetes API with CustomResourceDefinitions (Kubernetes 1.34).
fn escaped(field: &str) -> String {
    // The one field of ours that is a word of the language.
    if field == "in" { "__in__".into() } else { field.into() }
}
