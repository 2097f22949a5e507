//! What was measured, as a Markdown table.

use std::fmt::Write as _;
use std::time::Duration;

use crate::ways::{Outcome, Took};

/// A way, and what it took in each round.
pub(crate) struct Row {
    name: String,
    took: Vec<Took>,
    outcome: Outcome,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), took: Vec::new(), outcome: Outcome::Right }
    }

    /// Adds a round. One that went wrong is what is told.
    pub(crate) fn add(&mut self, took: Option<Took>, outcome: Outcome) {
        self.took.extend(took);
        if outcome != Outcome::Right {
            self.outcome = outcome;
        }
    }

    /// The round whose time is the median.
    fn median(&self) -> Option<Took> {
        let mut took = self.took.clone();
        took.sort_unstable_by_key(|took| took.time);
        took.get(took.len() / 2).copied()
    }
}

/// The rows, of which the first is what the others are compared with.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| way | time | ratio | through the client | requests | output |\n|---|---|---|---|---|---|\n",
    );
    let first = rows.first().and_then(Row::median).map(|took| took.time);
    for row in rows {
        let Row { name, outcome, .. } = row;
        let numbers = row.median().map_or_else(|| "| | | | |".to_owned(), |took| numbers(&took, first));
        // Writing to a string cannot fail.
        let _written = writeln!(text, "| {name} {numbers} {} |", in_words(outcome));
    }
    text
}

fn numbers(took: &Took, first: Option<Duration>) -> String {
    let about = if took.is_scaled { "≈ " } else { "" };
    let seconds = took.time.as_secs_f64();
    let ratio = first.map_or(1.0, |first| seconds / first.as_secs_f64());
    let mebibytes = took.bytes as f64 / f64::from(1 << 20);
    format!(
        "| {about}{seconds:.2} s | {about}{ratio:.2} | {about}{mebibytes:.1} MiB | {about}{} |",
        took.requests
    )
}

fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Right => "right".to_owned(),
        Outcome::OtherBytes => "**wrong**: out of order".to_owned(),
        Outcome::OtherLength(bytes) => format!("**wrong**: {bytes} bytes"),
        Outcome::Failed(refusal) => format!("none: {refusal}"),
    }
}
