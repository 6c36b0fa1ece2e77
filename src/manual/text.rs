//! Reads the text at the end of a command's `--help`, so that help and man page say the same.
//!
//! Paragraphs whose first line ends in a colon and whose other lines are indented are sections: `Examples:`, `Files:`,
//! `Environment:`, `Exit status:`. A line of theirs is a term, two spaces or more, and what it means; a line that is
//! indented further goes on with what it means. All other paragraphs are notes.

/// The text, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) examples: Vec<Entry>,
    pub(super) files: Vec<Entry>,
    pub(super) environment: Vec<Entry>,
    pub(super) exit_status: Vec<Entry>,
    /// Paragraphs, or lists under a heading of their own.
    pub(super) notes: Vec<Note>,
}

/// A term and what it means, which may be empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) term: String,
    pub(super) meaning: String,
}

/// What has no section of its own on a man page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    Paragraph(String),
    List { heading: String, entries: Vec<Entry> },
}

impl Text {
    pub(super) fn read(text: &str) -> Self {
        let mut all = Self::default();
        for paragraph in text.split("\n\n").filter(|p| !p.trim().is_empty()) {
            let mut lines = paragraph.trim_matches('\n').lines();
            let first = lines.next().unwrap_or_default();
            let rest: Vec<&str> = lines.collect();
            let is_list = first.ends_with(':') && !rest.is_empty() && rest.iter().all(|line| line.starts_with("  "));
            if !is_list {
                all.notes.push(Note::Paragraph(paragraph.split_whitespace().collect::<Vec<_>>().join(" ")));
                continue;
            }
            let entries = entries(&rest);
            match first {
                "Examples:" => all.examples = entries,
                "Files:" => all.files = entries,
                "Environment:" => all.environment = entries,
                "Exit status:" => all.exit_status = entries,
                other => all.notes.push(Note::List { heading: other.to_owned(), entries }),
            }
        }
        all
    }
}

fn entries(lines: &[&str]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines {
        let line = line.strip_prefix("  ").unwrap_or(line);
        match entries.last_mut() {
            Some(entry) if line.starts_with("  ") => {
                let space = if entry.meaning.is_empty() { "" } else { " " };
                entry.meaning = format!("{}{space}{}", entry.meaning, line.trim());
            }
            _ => {
                let (term, meaning) = line.split_once("  ").unwrap_or((line, ""));
                entries.push(Entry { term: term.to_owned(), meaning: meaning.trim().to_owned() });
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(term: &str, meaning: &str) -> Entry {
        Entry { term: term.to_owned(), meaning: meaning.to_owned() }
    }

    #[test]
    fn sections_are_told_from_notes() {
        let text = Text::read(
            "Examples:\n  kvred serve      runs it\n  kvred a 'b c'\n\nIt is\nso.\n\nNote: this.\n\nExit status:\n  0    fine\n  \
             1    not fine,\n       but well\n\nFiles:\n  a-long-name\n      is long\n\nOther:\n  x  y",
        );
        assert_eq!(text.examples, [entry("kvred serve", "runs it"), entry("kvred a 'b c'", "")]);
        assert_eq!(text.exit_status, [entry("0", "fine"), entry("1", "not fine, but well")]);
        assert_eq!(text.files, [entry("a-long-name", "is long")]);
        let paragraph = |text: &str| Note::Paragraph(text.to_owned());
        let other = Note::List { heading: "Other:".to_owned(), entries: vec![entry("x", "y")] };
        assert_eq!(text.notes, [paragraph("It is so."), paragraph("Note: this."), other]);
    }
}
