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

/// A time in seconds as people read it, to two units: `45s`, `12m`, `2h30m`, `3d4h`.
#[must_use]
pub fn short(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let two = |big: i64, one: &str, small: i64, other: &str| match small {
        0 => format!("{big}{one}"),
        small => format!("{big}{one}{small}{other}"),
    };
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => two(hours, "h", minutes, "m"),
        (days, hours, _) => two(days, "d", hours, "h"),
    }
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

    #[test]
    fn times_are_told_in_two_units() {
        for (seconds, want) in
            [(-5, "0s"), (45, "45s"), (119, "1m"), (9000, "2h30m"), (7200, "2h"), (273_600, "3d4h")]
        {
            assert_eq!(short(seconds), want);
        }
    }
}
