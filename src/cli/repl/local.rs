//! The words that the session itself understands, and its settings.

use crate::cli::output::{Format, Printer};
use crate::cli::terminal::Paint;

/// The session's own commands.
pub(crate) const NAMES: &[&str] = &["help", "?", "clear", "connect", "quit", "exit", ":set"];

/// When the time of a reply is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// For slow replies.
    Auto,
    Always,
    Off,
}

/// What `:set` sets.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) printer: Printer,
    pub(crate) timing: Timing,
    pub(crate) pager: bool,
    pub(crate) confirm: bool,
    pub(crate) hints: bool,
}

/// Each setting: its name, its values, and what it does.
pub(crate) const SETTINGS: &[(&str, &[&str], &str)] = &[
    ("output", &["pretty", "raw", "csv", "json"], "how replies are printed"),
    ("color", &["on", "off"], "colours"),
    ("timing", &["auto", "always", "off"], "show how long a reply took; auto: from half a second on"),
    ("pager", &["on", "off"], "show replies longer than the screen with $PAGER"),
    ("confirm", &["on", "off"], "ask before FLUSHALL and FLUSHDB"),
    ("hints", &["on", "off"], "show arguments as you type"),
];

impl Settings {
    /// The settings of a session that starts.
    pub(crate) fn new(printer: Printer) -> Self {
        Self { printer, timing: Timing::Auto, pager: true, confirm: true, hints: true }
    }

    /// Sets one.
    ///
    /// # Errors
    /// What is wrong with the name or the value.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some((name, values, _)) = SETTINGS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("there is no setting '{name}'; there are {}", known.join(", ")));
        };
        let Some(value) = values.iter().find(|known| known.eq_ignore_ascii_case(value)) else {
            return Err(format!("{name} is one of {}", values.join(", ")));
        };
        let on = *value == "on";
        match *name {
            "output" => {
                let format = Format::ALL.into_iter().find(|format| format.name() == *value);
                self.printer.format = format.unwrap_or(self.printer.format);
            }
            "color" => self.printer.paint = Paint(on),
            "timing" => {
                self.timing = match *value {
                    "always" => Timing::Always,
                    "off" => Timing::Off,
                    _ => Timing::Auto,
                }
            }
            "pager" => self.pager = on,
            "confirm" => self.confirm = on,
            _ => self.hints = on,
        }
        Ok(())
    }

    /// What a setting is now.
    pub(crate) fn get(&self, name: &str) -> &'static str {
        let on_off = |on: bool| if on { "on" } else { "off" };
        match name {
            "output" => self.printer.format.name(),
            "color" => on_off(self.printer.paint.0),
            "timing" => match self.timing {
                Timing::Auto => "auto",
                Timing::Always => "always",
                Timing::Off => "off",
            },
            "pager" => on_off(self.pager),
            "confirm" => on_off(self.confirm),
            _ => on_off(self.hints),
        }
    }

    /// All settings, a line each.
    pub(crate) fn list(&self) -> String {
        let line = |(name, values, what): &(&str, &[&str], &str)| {
            format!("  :set {name:<8} {:<7} {what} ({})\n", self.get(name), values.join("|"))
        };
        SETTINGS.iter().map(line).collect()
    }
}

/// What follows one of the session's own words, for the hint; `None`: it is not one of them.
pub(crate) fn usage(name: &[u8]) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_slice() {
        b"help" | b"?" => Some("[COMMAND | @GROUP | :set]"),
        b"connect" => Some("HOST PORT, or a URI"),
        b":set" => Some("[NAME VALUE]"),
        b"clear" | b"quit" | b"exit" => Some(""),
        _ => None,
    }
}

/// What may follow these words, where the first is one of the session's own.
pub(crate) fn completions(words: &[&str]) -> Option<Vec<String>> {
    let name = words.first()?.to_ascii_lowercase();
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    match (name.as_str(), words) {
        (":set", [_]) => Some(SETTINGS.iter().map(|(name, ..)| (*name).to_owned()).collect()),
        (":set", [_, setting]) => {
            SETTINGS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(setting)).map(|(_, values, _)| owned(values))
        }
        ("help" | "?", [_]) => Some(owned(&[":set"])),
        ("help" | "?", [_, _]) => None,
        (":set" | "connect" | "clear" | "quit" | "exit" | "help" | "?", _) => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_takes_each_of_its_values() {
        let printer = Printer { format: Format::Pretty, paint: Paint(false), newline: true };
        let mut settings = Settings::new(printer);
        for (name, values, _) in SETTINGS {
            for value in *values {
                settings.set(name, value).unwrap();
                assert_eq!(settings.get(name), *value);
            }
            assert!(settings.set(name, "nonsense").unwrap_err().contains(values[0]));
        }
        assert!(settings.set("nonsense", "on").unwrap_err().contains("output"));
        assert_eq!(settings.list().lines().count(), SETTINGS.len());
    }
}
