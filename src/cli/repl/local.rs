//! The words that the session itself understands, and its settings.

use crate::cli::output::{Format, Printer};
use crate::terminal::Paint;

/// The session's own words: what may follow each, and what it does.
const WORDS: &[(&str, &str, &str)] = &[
    ("help", "[COMMAND | @GROUP | :set]", "Tells what a command does, what is in a group, what can be set."),
    ("?", "[COMMAND | @GROUP | :set]", "The same as help."),
    ("clear", "", "Clears the screen."),
    ("connect", "HOST PORT, or a URI", "Talks to another server, or to /path/to/its/socket. The login stays behind."),
    ("quit", "", "Leaves, as Ctrl-D does."),
    ("exit", "", "Leaves, as Ctrl-D does."),
    (":set", "[NAME VALUE]", "Changes how the session behaves; alone, tells how it does."),
];

/// The names of the session's own words.
pub(crate) fn names<'a>() -> impl Iterator<Item = &'a str> {
    WORDS.iter().map(|(name, ..)| *name)
}

/// One of the session's own words: its name, what may follow it, and what it does.
pub(crate) fn word(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    WORDS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)).copied()
}

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
    ("timing", &["auto", "always", "off"], "show how long slow, or all, replies took"),
    ("pager", &["on", "off"], "page replies longer than the screen with $PAGER"),
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
            format!("  :set {name:<7} {:<6} {what} ({})\n", self.get(name), values.join("|"))
        };
        SETTINGS.iter().map(line).collect()
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
        ("help" | "?", [_]) => Some(names().map(str::to_owned).collect()),
        ("help" | "?", [_, _]) => None,
        _ => word(&name).map(|_| Vec::new()),
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
