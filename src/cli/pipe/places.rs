//! Where commands stood in the input: what an error is told with.

use std::collections::VecDeque;
use std::fmt;

/// Where a command stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this line; the first is 1.
    Line(u64),
    /// Among RESP, which has no lines: its number, counted from 1.
    Command(u64),
}

impl Place {
    fn plus(self, count: u64) -> Self {
        match self {
            Self::Line(n) => Self::Line(n + count),
            Self::Command(n) => Self::Command(n + count),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(n) => write!(f, "line {n}"),
            Self::Command(n) => write!(f, "command {n}"),
        }
    }
}

/// A queue of places. Commands that follow one another, which nearly all do, are one entry.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The first of a row, and how many there are.
    rows: VecDeque<(Place, u64)>,
    /// The place that would lengthen the last row.
    next: Option<Place>,
    len: u64,
}

impl Places {
    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends one.
    pub(crate) fn push(&mut self, place: Place) {
        self.append_row(place, 1);
    }

    /// Moves all of `other` to the end.
    pub(crate) fn append(&mut self, other: &mut Self) {
        for (first, count) in other.rows.drain(..) {
            self.append_row(first, count);
        }
        other.len = 0;
    }

    /// Takes the first.
    pub(crate) fn pop(&mut self) -> Option<Place> {
        let (first, count) = self.rows.front_mut()?;
        let place = *first;
        *first = first.plus(1);
        *count -= 1;
        if *count == 0 {
            self.rows.pop_front();
        }
        self.len -= 1;
        Some(place)
    }

    fn append_row(&mut self, first: Place, count: u64) {
        self.len += count;
        match self.rows.back_mut() {
            Some((_, row)) if self.next == Some(first) => *row += count,
            _ => self.rows.push_back((first, count)),
        }
        self.next = Some(first.plus(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_in_order_and_rows_are_one_entry() {
        use Place::{Command, Line};
        let (mut all, mut more) = (Places::default(), Places::default());
        for place in [Line(1), Line(2), Line(4)] {
            all.push(place);
        }
        for place in [Line(5), Command(4), Command(5)] {
            more.push(place);
        }
        all.append(&mut more);
        all.push(Command(6));
        assert_eq!((all.len(), more.len(), all.rows.len()), (7, 0, 3));
        let popped: Vec<Place> = std::iter::from_fn(|| all.pop()).collect();
        assert_eq!(popped, [Line(1), Line(2), Line(4), Line(5), Command(4), Command(5), Command(6)]);
        assert_eq!(all.len(), 0);
    }
}
