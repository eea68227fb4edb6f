//! What verbs print for programs: the same objects as JSON, YAML or names.

use serde_json::{Value, json};

use crate::failure::{Code, Failure};

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For people, with more columns.
    Wide,
    /// Whole, as JSON.
    Json,
    /// Whole, as YAML.
    Yaml,
    /// Names alone, as kubectl takes them.
    Name,
}

/// How to print what has one form for people and one for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TextOrJson {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// Whether it is for people.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Wide)
    }

    /// YAML where nothing was chosen, for what can only be printed whole.
    #[must_use]
    pub fn or_yaml(self) -> Self {
        if self.is_text() { Self::Yaml } else { self }
    }
}

/// Prints objects: one as itself, several as a List.
///
/// # Errors
/// When they cannot be written in that form.
pub fn objects(objects: &[Value], format: Format) -> Result<(), Failure> {
    match format {
        Format::Name => {
            for object in objects {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
                anstream::println!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]));
            }
            Ok(())
        }
        Format::Json => match objects {
            [one] => value(one, format),
            many => value(&json!({"apiVersion": "v1", "kind": "List", "items": many}), format),
        },
        Format::Text | Format::Wide | Format::Yaml => {
            let documents = objects.iter().map(yaml).collect::<Result<Vec<_>, _>>()?;
            anstream::print!("{}", documents.join("---\n"));
            Ok(())
        }
    }
}

/// Prints anything whole.
///
/// # Errors
/// When it cannot be written in that form.
pub fn value(value: &Value, format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|error| Failure::new(Code::Failed, error))?,
        _ => yaml(value)?,
    };
    anstream::print!("{text}");
    Ok(())
}

/// A document of YAML.
///
/// # Errors
/// When it cannot be written so.
pub fn yaml(value: &Value) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value).map_err(|error| Failure::new(Code::Failed, error))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}
