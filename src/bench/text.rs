//! Numbers that fit a column of seven.

/// A rate or a count to three digits or more: `812`, `98123`, `1.23M`.
pub(super) fn compact(n: f64) -> String {
    match n {
        n if n < 10.0 && n.fract() != 0.0 => format!("{n:.1}"),
        n if n < 999_999.5 => format!("{n:.0}"),
        n if n < 99.995e6 => format!("{:.2}M", n / 1e6),
        n if n < 999_950e6 => format!("{:.0}M", n / 1e6),
        n => format!("{n:.1e}"),
    }
}

/// A rate or a count to three digits at most: `98.1k`.
pub(super) fn short(n: f64) -> String {
    let scaled = |n: f64, unit: &str| match n {
        n if n < 9.995 => format!("{n:.2}{unit}"),
        n if n < 99.95 => format!("{n:.1}{unit}"),
        n => format!("{n:.0}{unit}"),
    };
    match n {
        n if n < 999.5 => compact(n.round()),
        n if n < 999_500.0 => scaled(n / 1e3, "k"),
        n => scaled(n / 1e6, "M"),
    }
}

/// Microseconds: `85.3`, `1234`, and where that takes more than five digits `124ms` or `1.02s`.
pub(super) fn micros(us: f64) -> String {
    match us {
        us if us < 99.95 => format!("{us:.1}"),
        us if us < 99_999.5 => format!("{us:.0}"),
        us if us < 999_500.0 => format!("{:.0}ms", us / 1e3),
        us if us < 99.995e6 => format!("{:.2}s", us / 1e6),
        us => format!("{:.0}s", us / 1e6),
    }
}

/// Microseconds that may be less than one: `0.25`, `14.2`.
pub(super) fn fine(us: f64) -> String {
    if us < 9.995 { format!("{us:.2}") } else { micros(us) }
}

/// A share of one, in percent; 100 only where it is all.
pub(super) fn percent(share: f64) -> String {
    if share >= 1.0 { "100%".to_owned() } else { format!("{:.1}%", (share * 1000.0).floor() / 10.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit() {
        for (n, text) in [(0.0, "0"), (1.5, "1.5"), (999.0, "999"), (98_123.4, "98123"), (999_999.9, "1.00M")] {
            assert_eq!(compact(n), text);
        }
        for (n, text) in [(0.0, "0"), (12.4, "12"), (999.6, "1.00k"), (98_123.0, "98.1k"), (1_234_567.0, "1.23M")] {
            assert_eq!(short(n), text);
        }
        for (us, text) in [
            (0.0, "0.0"),
            (85.26, "85.3"),
            (1234.4, "1234"),
            (99_999.9, "100ms"),
            (999_400.0, "999ms"),
            (1_020_000.0, "1.02s"),
            (3.6e9, "3600s"),
        ] {
            assert_eq!(micros(us), text);
        }
        for (us, text) in [(0.25, "0.25"), (9.994, "9.99"), (9.996, "10.0"), (1234.4, "1234")] {
            assert_eq!(fine(us), text);
        }
        assert_eq!((&percent(1.0)[..], &percent(0.999_99)[..], &percent(0.0)[..]), ("100%", "99.9%", "0.0%"));
    }
}
