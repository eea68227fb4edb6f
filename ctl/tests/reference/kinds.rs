//! The fields of our kinds, as the API server knows them.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::cell;

/// Conditions contain conditions; what is below these is said once.
const NESTED: [&str; 3] = ["all", "any", "not"];

/// Objects that were written out already, and where: the same fields are not said twice.
#[derive(Default)]
pub(super) struct Known(HashMap<String, String>);

pub(super) fn page(definition: &Value, known: &mut Known) -> String {
    let spec = &definition["spec"];
    let version = &spec["versions"][0];
    let kind = text(&spec["names"]["kind"]);
    let schema = &version["schema"]["openAPIV3Schema"];
    let file = format!("{}.md", kind.to_lowercase());
    let mut page = format!(
        "# {kind}\n\n`{}/{}`, {}; the definition is [{}](../../deploy/crds/{}).\n\n",
        text(&spec["group"]),
        text(&version["name"]),
        match text(&spec["scope"]) {
            "Namespaced" => "in a namespace",
            _ => "of the whole cluster",
        },
        text(&definition["metadata"]["name"]),
        format_args!("{}_{}.yaml", text(&spec["group"]), text(&spec["names"]["plural"])),
    );
    let checks = [messages(schema), messages(&schema["properties"]["spec"])].concat();
    if !checks.is_empty() {
        page +=
            &format!("What is refused as a whole, in the API server's words: *{}*.\n\n", checks.join("*; *"));
    }
    page += "What follows *Else* is what the API server says where it is otherwise.\n\n## spec\n\n| field | type | is |\n|---|---|---|\n";
    walk("spec", &schema["properties"]["spec"], &Page { file: &file, kind }, known, &mut page);
    page += "\n## status\n\nWhat the controller says of it; nobody else writes here.\n\n| field | type |\n|---|---|\n";
    list("status", &schema["properties"]["status"], &mut page);
    page.push('\n');
    page += "## Columns\n\nWhat `kubectl get` shows beside name and age:\n\n| column | is |\n|---|---|\n";
    for column in version["additionalPrinterColumns"].as_array().expect("columns") {
        if let Some(about) = column["description"].as_str() {
            page += &format!("| {} | {} |\n", text(&column["name"]), cell(about));
        }
    }
    page
}

struct Page<'a> {
    file: &'a str,
    kind: &'a str,
}

fn walk(path: &str, schema: &Value, page: &Page<'_>, known: &mut Known, out: &mut String) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let (inner, inner_path) = match field["items"].is_object() {
            true => (&field["items"], format!("{path}[]")),
            false => (field, path.clone()),
        };
        let is_nested = NESTED.contains(&name.as_str()) && path.contains(".when.");
        let fields = bare(&inner["properties"]).to_string();
        let has_fields = inner["properties"].is_object() && !is_nested;
        let place = known.0.get(&fields).filter(|_| has_fields).cloned();
        let mut said = vec![text(&field["description"]).to_owned()];
        if is_nested {
            said.push("Fields as of `when`.".into());
        }
        if let Some(place) = &place {
            said.push(format!("Fields as of {place}."));
        }
        let is_required = schema["required"].as_array().into_iter().flatten().any(|field| field == name);
        let mut limits = limits(field);
        if inner_path != path {
            limits.extend(self::limits(inner).into_iter().map(|limit| format!("each {limit}")));
        }
        let required = is_required.then(|| "required".to_owned());
        let limits: Vec<String> = required.into_iter().chain(limits).collect();
        if !limits.is_empty() {
            said.push(format!("({})", limits.join("; ")));
        }
        let own = if inner_path == path { Vec::new() } else { messages(inner) };
        said.extend(messages(field).into_iter().chain(own).map(|message| format!("Else: *{message}*.")));
        *out += &format!("| `{path}` | {} | {} |\n", type_of(field), cell(&said.join(" ")));
        if has_fields && place.is_none() {
            known.0.insert(fields, format!("`{inner_path}` in a [{}]({})", page.kind, page.file));
            walk(&inner_path, inner, page, known, out);
        }
    }
}

/// Fields without words of their own.
fn list(path: &str, schema: &Value, out: &mut String) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        *out += &format!("| `{path}` | {} |\n", type_of(field));
        match field["items"].is_object() {
            true => list(&format!("{path}[]"), &field["items"], out),
            false => list(&path, field, out),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a list or map holds is part of its type.
fn type_of(field: &Value) -> String {
    match text(&field["type"]) {
        "array" => format!("list of {}", type_of(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("map to {}", type_of(&field["additionalProperties"]))
        }
        "" => "any".into(),
        other => other.to_owned(),
    }
}

/// What a value must be beyond its type, in words.
fn limits(field: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    if let Some(values) = field["enum"].as_array() {
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", word(value))).collect();
        limits.push(format!("one of {}", values.join(", ")));
    }
    if let Some(pattern) = field["pattern"].as_str() {
        limits.push(format!("matches `{pattern}`"));
    }
    let bounds = [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " fields"),
    ];
    limits.extend(bounds.iter().filter_map(|(least, most, unit)| {
        let bounds = match (number(&field[*least]), number(&field[*most])) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) if least == "1" && !unit.is_empty() => return Some("not empty".into()),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => return None,
        };
        Some(bounds + unit)
    }));
    limits
}

/// A number as people write it.
fn number(value: &Value) -> Option<String> {
    value.is_number().then(|| value.to_string().trim_end_matches(".0").to_owned())
}

/// What the API server says where a check of more than one field fails.
fn messages(schema: &Value) -> Vec<String> {
    let checks = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    checks.map(|check| text(&check["message"]).to_owned()).collect()
}

/// A schema without words, to compare by.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, value)| !(*key == "description" && value.is_string()));
            Value::Object(kept.map(|(key, value)| (key.clone(), bare(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}
