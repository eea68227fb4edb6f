//! Times as people type them: `30s`, `2m`, `1h30m`.

use std::time::Duration;

/// Reads a time.
///
/// # Errors
/// What was wanted instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is no time such as 30s, 2m or 1h30m"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is less than nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_typed() {
        for (text, want) in
            [("30s", Some(30)), ("2m", Some(120)), ("1h30m", Some(5400)), ("-1s", None), ("soon", None)]
        {
            assert_eq!(parse(text).ok(), want.map(Duration::from_secs), "{text}");
        }
    }
}
