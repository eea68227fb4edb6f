//! Files of `templates/`, with a lab's own values for their `@NAME@`s.

/// The template with every `@NAME@` replaced.
pub(crate) fn fill(template: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
    let replace = |text: String, (name, value): &(&str, &dyn std::fmt::Display)| {
        text.replace(&format!("@{name}@"), &value.to_string())
    };
    values.iter().fold(template.to_owned(), replace)
}
