//! An object with template expressions in some of its places. Pure.

use serde_json::Value;

use crate::failure::{Code, Failure};
use crate::output;

/// An expression for a place in objects of a kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    kind: &'static str,
    pointer: &'static str,
    expression: &'static str,
    /// Only in the last object of the kind.
    last: bool,
}

impl Edit {
    pub(super) const fn new(kind: &'static str, pointer: &'static str, expression: &'static str) -> Self {
        Self { kind, pointer, expression, last: false }
    }

    pub(super) const fn last(self) -> Self {
        Self { last: true, ..self }
    }

    /// Whether it is for an object, with these after it.
    pub(super) fn is_for(&self, object: &Value, later: &[Value]) -> bool {
        object["kind"] == self.kind && !(self.last && later.iter().any(|other| other["kind"] == self.kind))
    }
}

/// An object whose places are taken by expressions.
pub(super) struct Template {
    value: Value,
    expressions: Vec<String>,
    /// Fields that are there only if a value is, as their key and that value.
    optional: Vec<(String, String, String)>,
}

impl Template {
    pub(super) fn new(value: Value) -> Self {
        Self { value, expressions: Vec::new(), optional: Vec::new() }
    }

    pub(super) fn edit(&mut self, edit: &Edit) -> Result<(), Failure> {
        self.put(edit.pointer, edit.expression)
    }

    /// Puts an expression where something is.
    ///
    /// # Errors
    /// When nothing is there.
    pub(super) fn put(&mut self, pointer: &str, expression: &str) -> Result<(), Failure> {
        let kind = self.value["kind"].as_str().unwrap_or("object").to_owned();
        let place = self.value.pointer_mut(pointer);
        let place = place.ok_or_else(|| {
            Failure::new(Code::Failed, format!("the {kind} has no {pointer} to be a value"))
        })?;
        *place = token(self.expressions.len()).into();
        self.expressions.push(expression.to_owned());
        Ok(())
    }

    /// Puts a field in that is there only where a value is.
    pub(super) fn put_if(&mut self, pointer: &str, value: &str) {
        let Some((parent, key)) = pointer.rsplit_once('/') else { return };
        if let Some(Value::Object(fields)) = self.value.pointer_mut(parent) {
            let token = token(self.expressions.len());
            fields.insert(key.into(), token.clone().into());
            self.expressions.push(String::new());
            self.optional.push((token, key.to_owned(), value.to_owned()));
        }
    }

    /// As YAML.
    ///
    /// # Errors
    /// When it cannot be written, or holds what Helm would take for an expression.
    pub(super) fn yaml(self) -> Result<String, Failure> {
        let text = output::yaml(&self.value)?;
        self.fill(text)
    }

    /// As JSON; expressions there write JSON.
    ///
    /// # Errors
    /// As [`Template::yaml`].
    pub(super) fn json(self) -> Result<String, Failure> {
        let mut text =
            serde_json::to_string_pretty(&self.value).map_err(|error| Failure::new(Code::Failed, error))?;
        for index in 0..self.expressions.len() {
            text = text.replace(&format!("\"{}\"", token(index)), &token(index));
        }
        self.fill(text)
    }

    fn fill(&self, mut text: String) -> Result<String, Failure> {
        if text.contains("{{") {
            return Err(Failure::new(
                Code::Failed,
                "an object holds `{{`, which Helm would take for its own",
            ));
        }
        for (token, key, value) in &self.optional {
            let lines = text.lines().map(|line| match line.split_once(key.as_str()) {
                Some((indent, rest)) if rest.ends_with(token.as_str()) => {
                    format!("{indent}{{{{- with {value} }}}}\n{indent}{key}: {{{{ . | quote }}}}\n{indent}{{{{- end }}}}\n")
                }
                _ => format!("{line}\n"),
            });
            text = lines.collect();
        }
        for (index, expression) in self.expressions.iter().enumerate() {
            text = text.replace(&token(index), expression);
        }
        Ok(text)
    }
}

/// Stands for an expression while the object is written; no YAML has to quote it.
fn token(index: usize) -> String {
    format!("expression-{index}-of-the-chart")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Template {
        Template::new(json!({"kind": "X", "spec": {"a": 1, "b": "c"}}))
    }

    #[test]
    fn expressions_take_the_place_of_values() {
        let mut yaml = template();
        yaml.put("/spec/a", "{{ .Values.a }}").expect("a place");
        yaml.put_if("/spec/d", ".Values.d");
        let want = "kind: X\nspec:\n  a: {{ .Values.a }}\n  b: c\n  {{- with .Values.d }}\n  d: {{ . | quote }}\n  {{- end }}\n";
        assert_eq!(yaml.yaml().expect("YAML"), want);
        let mut json = template();
        json.put("/spec", "{{ toJson .Values.spec }}").expect("a place");
        assert_eq!(
            json.json().expect("JSON"),
            "{\n  \"kind\": \"X\",\n  \"spec\": {{ toJson .Values.spec }}\n}"
        );
    }

    #[test]
    fn what_cannot_be_a_template_is_refused() {
        let error = template().put("/spec/z", "x").expect_err("no place").to_string();
        assert_eq!(error, "the X has no /spec/z to be a value");
        let error = Template::new(json!({"a": "{{ x }}"})).yaml().expect_err("braces").to_string();
        assert!(error.contains("Helm would take"), "{error}");
    }

    #[test]
    fn an_edit_may_be_for_the_last_of_a_kind() {
        let (role, other) = (json!({"kind": "Role"}), json!({"kind": "Other"}));
        let edit = Edit::new("Role", "/x", "y").last();
        for (object, later, want) in [
            (&role, vec![other.clone()], true),
            (&role, vec![other.clone(), role.clone()], false),
            (&other, vec![], false),
        ] {
            assert_eq!(edit.is_for(object, &later), want, "{object} {later:?}");
        }
    }
}
