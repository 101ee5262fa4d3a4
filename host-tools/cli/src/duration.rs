//! Spans of time, as they are written on the command line and read in reports.

use std::time::Duration;

/// `90s`, `45m`, `2h`, `1.5h`; a number alone is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        _ => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok().filter(|&number| number > 0.0);
    let duration = seconds.and_then(|s| Duration::try_from_secs_f64(s * unit).ok());
    duration.ok_or_else(|| "a time is a number with s, m or h: 90s, 45m, 1.5h".to_owned())
}

/// `45 s`, `12 min`, `2 h 05 min`: what a person plans by.
pub(crate) fn words(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [("90", 90.0), ("90s", 90.0), ("45m", 2700.0), ("1.5h", 5400.0)] {
            assert_eq!(parse(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for text in ["", "m", "-1s", "0", "NaN", "inf", "1e300h", "5 d", "2x", "1é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_said() {
        for (seconds, expected) in [
            (0.2, "0 s"),
            (119.0, "119 s"),
            (120.0, "2 min"),
            (7199.0, "120 min"),
            (7500.0, "2 h 05 min"),
        ] {
            assert_eq!(words(seconds), expected);
        }
    }
}
