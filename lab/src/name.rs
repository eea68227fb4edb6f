//! What a lab is called. The name becomes part of a network namespace, a control group and a directory.

use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes: socket paths below the lab's directory must stay under 108 bytes.
const NAME_BYTES_MAX: usize = 24;

/// A lab's name: lower-case letters, digits and `-`, e.g. `dev` or `test-4711`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabName(Box<str>);

/// A text that names no lab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no lab: lower-case letters, digits and `-`, a letter first, at most {NAME_BYTES_MAX}")]
pub struct NameError(String);

impl LabName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LabName {
    fn default() -> Self {
        Self("dev".into())
    }
}

impl FromStr for LabName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let fits = bytes.len() <= NAME_BYTES_MAX
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if fits { Ok(Self(text.into())) } else { Err(NameError(text.into())) }
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(text.parse::<LabName>().is_ok(), fits, "{text:?}");
    }

    #[test]
    fn a_name_fits_everywhere_it_becomes_part_of_a_name() {
        check("dev", true);
        check("test-4711", true);
        check(&"a".repeat(NAME_BYTES_MAX), true);
        check(&"a".repeat(NAME_BYTES_MAX + 1), false);
        check("", false);
        check("-dev", false);
        check("4711", false);
        check("a.b", false);
        check("a/b", false);
        check("Dev", false);
    }
}
