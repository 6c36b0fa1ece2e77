//! `--fail-if`: an expression like `p99>2ms`, and whether it holds for a test.

use std::fmt;
use std::str::FromStr;

use super::plan::Kind;
use super::results::{Figures, Latency};

/// A condition that makes a run fail.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Threshold {
    text: String,
    test: Option<String>,
    metric: Metric,
    comparison: Comparison,
    value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    /// In microseconds; its name in `Latency::named`.
    Latency(&'static str),
    OpsPerSec,
    Operations,
    Errors,
    Wrong,
    Hits,
    Misses,
    HitRate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    More,
    AtLeast,
    Less,
    AtMost,
    Equal,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text
            .find(['<', '>', '='])
            .ok_or_else(|| format!("'{text}' has no comparison; write for instance 'p99>2ms'"))?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let signs = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            ("==", Comparison::Equal),
            (">", Comparison::More),
            ("<", Comparison::Less),
        ];
        let (value, comparison) = signs
            .iter()
            .find_map(|&(sign, comparison)| Some((rest.strip_prefix(sign)?, comparison)))
            .ok_or_else(|| format!("'{text}': compare with >, >=, <, <= or =="))?;
        let (test, name) = match name.split_once('.').map(|(test, name)| (test.to_lowercase(), name)) {
            Some((test, name)) if Kind::names().any(|known| known == test) => (Some(test), name),
            _ => (None, name),
        };
        // People write it as they say it.
        let plain = name.replace('.', "_");
        let (_, metric) = Metric::all().find(|(known, _)| *known == plain).ok_or_else(|| {
            let names: Vec<&str> = Metric::all().map(|(name, _)| name).collect();
            format!("'{name}' is no metric; there are {} (behind a test and a dot, of that test)", names.join(", "))
        })?;
        let value = number(value.trim(), metric).ok_or_else(|| match metric {
            Metric::Latency(_) => format!("'{}' is no time; write for instance 2ms, 500us or 1s", value.trim()),
            _ => format!("'{}' is no number; write for instance 0, 50k or 1.5M", value.trim()),
        })?;
        Ok(Self { text: text.to_owned(), test, metric, comparison, value })
    }
}

fn number(text: &str, metric: Metric) -> Option<f64> {
    let units: &[(&str, i32)] = match metric {
        Metric::Latency(_) => &[("ns", -3), ("us", 0), ("µs", 0), ("ms", 3), ("s", 6)],
        _ => &[("k", 3), ("K", 3), ("M", 6), ("m", 6)],
    };
    let (digits, exponent) =
        units.iter().find_map(|&(unit, exponent)| Some((text.strip_suffix(unit)?, exponent))).unwrap_or((text, 0));
    let is_plain = digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.contains(['e', 'E']);
    // A product would be rounded twice: 1.005 times 1000 is less than 1005.
    let number = format!("{}e{exponent}", digits.trim_end()).parse::<f64>().ok();
    number.filter(|n| is_plain && n.is_finite())
}

impl Threshold {
    /// The test that it is about, if it is about one.
    pub(super) fn test(&self) -> Option<&str> {
        self.test.as_deref()
    }

    /// Whether it is about keys that are looked up.
    pub(super) fn needs_lookups(&self) -> bool {
        self.metric == Metric::HitRate
    }

    /// What to say when it holds, so when the run failed.
    pub(super) fn broken_by(&self, figures: &Figures) -> Option<String> {
        if self.test.as_ref().is_some_and(|test| *test != figures.test) {
            return None;
        }
        let value = self.metric.of(figures)?;
        let holds = match self.comparison {
            Comparison::More => value > self.value,
            Comparison::AtLeast => value >= self.value,
            Comparison::Less => value < self.value,
            Comparison::AtMost => value <= self.value,
            Comparison::Equal => (value - self.value).abs() < f64::EPSILON,
        };
        let unit = if matches!(self.metric, Metric::Latency(_)) { " us" } else { "" };
        holds.then(|| format!("{} (it is {value}{unit})", self.text))
    }
}

impl Metric {
    /// All of them, with their names.
    fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let latencies = Latency::default().named().map(|(name, _)| (name, Self::Latency(name)));
        let others = [
            ("ops_per_sec", Self::OpsPerSec),
            ("operations", Self::Operations),
            ("errors", Self::Errors),
            ("wrong", Self::Wrong),
            ("hits", Self::Hits),
            ("misses", Self::Misses),
            ("hit_rate", Self::HitRate),
        ];
        latencies.into_iter().chain(others)
    }

    fn of(self, figures: &Figures) -> Option<f64> {
        Some(match self {
            Self::Latency(name) => figures.latency_us.named().into_iter().find(|(known, _)| *known == name)?.1,
            Self::OpsPerSec => figures.ops_per_sec,
            Self::Operations => figures.operations as f64,
            Self::Errors => figures.errors as f64,
            Self::Wrong => figures.wrong as f64,
            Self::Hits => figures.hits as f64,
            Self::Misses => figures.misses as f64,
            Self::HitRate => return figures.hit_rate(),
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::Latency;

    fn figures() -> Figures {
        Figures {
            server_cpu_us: None,
            test: "get".to_owned(),
            operations: 1000,
            seconds: 1.0,
            ops_per_sec: 1000.0,
            latency_us: Latency {
                mean: 10.0,
                p50: 9.0,
                p95: 20.0,
                p99: 2500.0,
                p99_9: 2600.0,
                p99_99: 2700.0,
                max: 3e6,
            },
            errors: 0,
            wrong: 2,
            hits: 990,
            misses: 10,
            partial: false,
        }
    }

    #[test]
    fn conditions_hold_or_not() {
        for (text, holds) in [
            ("p99>2ms", true),
            ("p99 > 2.5ms", false),
            ("p99>=2.5ms", true),
            ("p99.9>2600us", false),
            ("p99_9>2599", true),
            ("max<3s", false),
            ("max>=3s", true),
            ("mean>9999ns", true),
            ("ops_per_sec<50k", true),
            ("ops_per_sec<0.0005M", false),
            ("errors>0", false),
            ("errors==0", true),
            ("wrong>0", true),
            ("hit_rate<0.995", true),
            ("misses<=9", false),
            ("get.p99>2ms", true),
            ("set.p99>2ms", false),
        ] {
            let threshold: Threshold = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(threshold.broken_by(&figures()).is_some(), holds, "{text}");
        }
    }

    /// In decimal, as it is written and as the figures are.
    #[test]
    fn a_value_with_a_unit_is_the_same_as_without_one() {
        for (text, us) in [
            ("p99==1.005ms", 1005.0),
            ("p99==0.0853ms", 85.3),
            ("p99==0.0000029 s", 2.9),
            ("p99==85300ns", 85.3),
            ("p99==2.ms", 2000.0),
        ] {
            let mut figures = figures();
            figures.latency_us.p99 = us;
            let broken = |text: &str| text.parse::<Threshold>().unwrap().broken_by(&figures).is_some();
            assert!(broken(text) && !broken(&text.replace("==", ">")) && !broken(&text.replace("==", "<")), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_says_why() {
        for (text, word) in [
            ("", "no comparison"),
            ("p99", "no comparison"),
            ("p98>1", "no metric"),
            ("foo.p99>1", "no metric"),
            ("p99=1", "compare with"),
            ("p99>", "no time"),
            ("p99>2m", "no time"),
            ("p99>nan", "no time"),
            ("p99>-1", "no time"),
            ("errors>1e3", "no number"),
            ("errors>2ms", "no number"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_looked_up_has_no_hit_rate() {
        let none = Figures { hits: 0, misses: 0, ..figures() };
        assert_eq!("hit_rate<1".parse::<Threshold>().unwrap().broken_by(&none), None);
    }
}
