//! The newest lines of each log group.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use super::filter::Filter;
use crate::lambda::LogLine;

/// How many lines of a log group are kept.
pub const EVENTS_KEPT: usize = 100_000;
/// How many bytes of lines of a log group are kept: those of as many lines of usual length, twice.
pub const BYTES_KEPT: usize = 64 << 20;
/// How many bytes of lines a page has, give or take one line. Source: API reference of `FilterLogEvents`, 1 MB.
const PAGE_BYTES: usize = 1_000_000;

/// All log groups.
#[derive(Debug)]
pub(crate) struct LogStore {
    /// The log group of each function.
    groups_of_functions: BTreeMap<String, String>,
    groups: Mutex<BTreeMap<String, Group>>,
}

#[derive(Debug, Default)]
struct Group {
    /// The number of the first line that is kept.
    first: u64,
    lines: VecDeque<Line>,
    /// Those of the lines.
    bytes: usize,
}

#[derive(Debug)]
struct Line {
    at_ms: i64,
    stream: String,
    message: String,
}

/// Which lines are wanted.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) filter: Filter,
    /// Milliseconds since 1970, both included.
    pub(crate) from_ms: Option<i64>,
    pub(crate) to_ms: Option<i64>,
    /// Only these streams; none for all.
    pub(crate) streams: Vec<String>,
    pub(crate) stream_prefix: String,
    /// The number of the first line to look at.
    pub(crate) start: u64,
    /// How many lines a page has at most.
    pub(crate) limit: usize,
}

/// Lines that were found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) lines: Vec<Found>,
    /// Where to go on, if there may be more.
    pub(crate) next: Option<u64>,
}

/// A line that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its place in its group.
    pub(crate) number: u64,
    pub(crate) at_ms: i64,
    pub(crate) stream: String,
    pub(crate) message: String,
}

impl LogStore {
    /// A store for these functions, each with its log group.
    pub(crate) fn new(groups_of_functions: BTreeMap<String, String>) -> Self {
        let groups = groups_of_functions.values().map(|group| (group.clone(), Group::default())).collect();
        Self { groups_of_functions, groups: Mutex::new(groups) }
    }

    /// Keeps a line.
    pub(crate) fn keep(&self, line: LogLine) {
        let Some(name) = self.groups_of_functions.get(&line.function) else { return };
        let at = line.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let at_ms = i64::try_from(at).unwrap_or(i64::MAX);
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(name) else { return };
        group.bytes += line.line.len();
        group.lines.push_back(Line { at_ms, stream: line.log_stream, message: line.line });
        while (group.lines.len() > EVENTS_KEPT || group.bytes > BYTES_KEPT)
            && let Some(oldest) = group.lines.pop_front()
        {
            group.bytes -= oldest.message.len();
            group.first += 1;
        }
    }

    /// The lines of a group that are wanted, in the order in which they came; nothing for a group that is not there.
    pub(crate) fn find(&self, group: &str, selection: &Selection) -> Option<Page> {
        let groups = self.groups();
        let group = groups.get(group)?;
        let skipped = usize::try_from(selection.start.saturating_sub(group.first)).unwrap_or(usize::MAX);
        let mut page = Page { lines: Vec::new(), next: None };
        let mut bytes = 0;
        let numbered = (group.first..).zip(&group.lines).skip(skipped);
        for (number, line) in numbered.filter(|(_, line)| selection.takes(line)) {
            if page.lines.len() >= selection.limit || bytes >= PAGE_BYTES {
                page.next = Some(number);
                break;
            }
            bytes += line.message.len();
            let (stream, message) = (line.stream.clone(), line.message.clone());
            page.lines.push(Found { number, at_ms: line.at_ms, stream, message });
        }
        Some(page)
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Selection {
    fn takes(&self, line: &Line) -> bool {
        self.from_ms.is_none_or(|from| line.at_ms >= from)
            && self.to_ms.is_none_or(|to| line.at_ms <= to)
            && (self.streams.is_empty() || self.streams.contains(&line.stream))
            && line.stream.starts_with(&self.stream_prefix)
            && self.filter.takes(&line.message)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(number: u64) -> LogLine {
        LogLine {
            function: "f".into(),
            environment: "e".into(),
            log_stream: format!("stream{}", number % 2),
            at: UNIX_EPOCH + Duration::from_millis(number),
            request_id: None,
            line: format!("line {number}"),
        }
    }

    fn store(lines: u64) -> LogStore {
        let store = LogStore::new(BTreeMap::from([("f".into(), "group".into())]));
        (0..lines).for_each(|number| store.keep(line(number)));
        store
    }

    fn numbers(page: &Page) -> Vec<u64> {
        page.lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn pages_follow_one_another_without_a_gap_while_lines_are_added() {
        let store = store(5);
        let mut selection = Selection { limit: 2, ..Selection::default() };
        let mut seen = Vec::new();
        for round in 0.. {
            let page = store.find("group", &selection).unwrap();
            seen.extend(numbers(&page));
            if round == 1 {
                store.keep(line(5));
            }
            let Some(next) = page.next else { break };
            selection.start = next;
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_selection_takes_what_meets_all_that_it_says() {
        let store = store(10);
        let selection = Selection {
            from_ms: Some(2),
            to_ms: Some(6),
            streams: vec!["stream0".into()],
            limit: 10,
            ..Selection::default()
        };
        assert_eq!(numbers(&store.find("group", &selection).unwrap()), [2, 4, 6]);
        let other = Selection { stream_prefix: "other".into(), limit: 10, ..Selection::default() };
        assert_eq!(store.find("group", &other).unwrap(), Page { lines: Vec::new(), next: None });
        assert!(store.find("elsewhere", &other).is_none());
    }

    #[test]
    fn long_lines_push_out_older_ones_by_their_bytes() {
        let store = store(3);
        let page = |store: &LogStore| {
            numbers(&store.find("group", &Selection { limit: 10, ..Selection::default() }).unwrap())
        };
        store.keep(LogLine { line: "x".repeat(BYTES_KEPT - 10), ..line(3) });
        assert_eq!(page(&store), [2, 3]);
        store.keep(LogLine { line: "x".repeat(BYTES_KEPT), ..line(4) });
        assert_eq!(page(&store), [4]);
    }

    #[test]
    fn only_the_newest_lines_are_kept_and_keep_their_numbers() {
        let store = store(EVENTS_KEPT as u64 + 3);
        let page = store.find("group", &Selection { limit: 1, ..Selection::default() }).unwrap();
        assert_eq!((page.lines[0].number, page.lines[0].message.as_str()), (3, "line 3"));
    }
}
