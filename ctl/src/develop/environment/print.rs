//! An environment as a file that shells or other programs read.

use serde_json::{Map, Value};

use super::Environment;

/// How to write it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// NAME=value on each line, as `docker --env-file`'s relatives and IDEs read it.
    #[default]
    Dotenv,
    /// One object.
    Json,
    /// For a shell to read: export NAME='value'.
    Shell,
}

impl Format {
    /// The environment as text.
    #[must_use]
    pub fn write(self, environment: &Environment) -> String {
        let variables = environment.variables();
        let lines = |line: &dyn Fn(&str, &str) -> String| {
            variables.iter().map(|(name, value)| line(name, value)).collect::<String>()
        };
        match self {
            Self::Dotenv => lines(&|name, value| format!("{name}={}\n", dotenv(value))),
            Self::Shell => {
                lines(&|name, value| format!("export {name}='{}'\n", value.replace('\'', r"'\''")))
            }
            Self::Json => {
                let object: Map<String, Value> =
                    variables.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                format!("{:#}\n", Value::Object(object))
            }
        }
    }
}

/// Bare where that is clear, in single quotes where nothing in it ends them, in double quotes else.
fn dotenv(value: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-./:@%+,".contains(char);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\n', '\r']) {
        return format!("'{value}'");
    }
    let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('$', r"\$");
    format!("\"{}\"", escaped.replace('\n', r"\n").replace('\r', r"\r"))
}
