//! What was measured, as a Markdown table.

use std::fmt::Write as _;
use std::time::Duration;

use crate::measure::Took;
use crate::ways::Way;
use crate::work::Work;

/// A way, and what it took in each round.
pub(crate) struct Row {
    pub(crate) way: Way,
    took: Vec<Took>,
    failure: Option<String>,
}

impl Row {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, took: Vec::new(), failure: None }
    }

    /// Adds a round. One that went wrong is what is told.
    pub(crate) fn add(&mut self, took: Result<Took, String>) {
        match took {
            Ok(took) => self.took.push(took),
            Err(failure) => self.failure = Some(failure),
        }
    }

    fn median<T: Ord>(&self, of: impl Fn(&Took) -> T) -> Option<T> {
        let mut all: Vec<T> = self.took.iter().map(of).collect();
        all.sort_unstable();
        let middle = all.len() / 2;
        all.into_iter().nth(middle)
    }

    /// What the whole work would have taken, where it did a part of it.
    fn time(&self, work: Work) -> Option<Duration> {
        let share = work.chunks() as f64 / self.way.part_of(work).chunks() as f64;
        Some(self.median(|took| took.time)?.mul_f64(share))
    }
}

/// The rows. Ratios are to the first one, and to the floor.
pub(crate) fn markdown(work: Work, rows: &[Row]) -> String {
    let rate = if let Work::Tiny(_) = work { " chunks a second |" } else { "" };
    let line = if rate.is_empty() { "" } else { "---|" };
    let mut text = format!(
        "| way | time |{rate} to the first | to the floor | processors | memory of all | of the parent |\n\
         |---|---|{line}---|---|---|---|---|\n"
    );
    let first = rows.first().and_then(|row| row.time(work));
    let floor = rows.iter().find(|row| row.way.is_floor()).and_then(|row| row.time(work));
    for row in rows {
        // Writing to a string cannot fail.
        let _written = match (&row.failure, numbers(row, work, first, floor)) {
            (Some(failure), _) => writeln!(text, "| {} | none: {failure} |", row.way.title),
            (None, numbers) => writeln!(text, "| {} {} |", row.way.title, numbers.unwrap_or_default()),
        };
    }
    text
}

fn numbers(row: &Row, work: Work, first: Option<Duration>, floor: Option<Duration>) -> Option<String> {
    let time = row.time(work)?;
    let is_scaled = row.way.part_of(work) != work;
    let about = if is_scaled { "≈ " } else { "" };
    let ratio = |to: Option<Duration>| {
        to.map_or_else(|| "-".to_owned(), |to| format!("{:.2}", time.as_secs_f64() / to.as_secs_f64()))
    };
    let rate = match work {
        Work::Tiny(count) => format!(" {:.0} |", count as f64 / time.as_secs_f64()),
        _ => String::new(),
    };
    Some(format!(
        "| {about}{} |{rate} {} | {} | {} | {} | {}",
        seconds(time),
        ratio(first),
        ratio(floor),
        if is_scaled { "-".to_owned() } else { seconds(row.median(|took| took.cpu)?) },
        mebibytes(row.median(|took| took.tree_bytes)?),
        mebibytes(row.median(|took| took.parent_bytes)?),
    ))
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1_000.0) } else { format!("{seconds:.2} s") }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
