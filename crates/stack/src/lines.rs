//! What functions logged: the lines of several log groups as one, in the order of time.

use std::collections::VecDeque;

use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;

use crate::cloud::Cloud;
use crate::error::StackError;

/// Which lines of a log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// A filter of CloudWatch Logs, such as `{ $.job = "orders" }`.
    pub pattern: String,
    /// From when on, in milliseconds since 1970 (UTC).
    pub from_ms: i64,
}

/// A line that a function logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// Which of the log groups, by its position among those that were asked for.
    pub group: usize,
    /// What tells it from all other lines of its group.
    pub id: String,
    /// The line as it was printed.
    pub text: String,
}

/// The lines of several log groups, the earliest first. One page of each group is held, of at most 1 MB.
#[derive(Debug)]
pub struct LogLines<'a> {
    cloud: &'a Cloud,
    query: LogQuery,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    lines: VecDeque<LogLine>,
    next: Next,
}

/// Where a group's reading goes on.
#[derive(Debug)]
enum Next {
    Start,
    At(String),
    End,
}

impl Cloud {
    /// The lines of these log groups that `query` asks for. Nothing is asked before the first [`LogLines::next`].
    pub fn log_lines(&self, groups: &[String], query: LogQuery) -> LogLines<'_> {
        let groups =
            groups.iter().map(|name| Group { name: name.clone(), lines: VecDeque::new(), next: Next::Start });
        LogLines { cloud: self, query, groups: groups.collect() }
    }
}

impl LogLines<'_> {
    /// The next line; none when there is no further one yet.
    ///
    /// # Errors
    /// When a log group is not there, or cannot be read.
    ///
    /// # Cancellation
    /// No line is lost.
    pub async fn next(&mut self) -> Result<Option<LogLine>, StackError> {
        // Only when the earliest of every group is known, the earliest of all is.
        for (position, group) in self.groups.iter_mut().enumerate() {
            group.fill(self.cloud, &self.query, position).await?;
        }
        let heads = self.groups.iter_mut().filter(|group| !group.lines.is_empty());
        let earliest = heads.min_by_key(|group| group.lines.front().map(|line| line.at_ms));
        Ok(earliest.and_then(|group| group.lines.pop_front()))
    }
}

impl Group {
    /// Reads on until there is a line, or none is left. A page may be empty although others follow it.
    async fn fill(&mut self, cloud: &Cloud, query: &LogQuery, position: usize) -> Result<(), StackError> {
        while self.lines.is_empty() {
            let token = match &self.next {
                Next::Start => None,
                Next::At(token) => Some(token.clone()),
                Next::End => return Ok(()),
            };
            let page = cloud
                .logs
                .filter_log_events()
                .log_group_name(&self.name)
                .filter_pattern(&query.pattern)
                .start_time(query.from_ms)
                .set_next_token(token)
                .send()
                .await;
            let page = page.map_err(|error| {
                if error.as_service_error().is_some_and(FilterLogEventsError::is_resource_not_found_exception)
                {
                    return StackError::LogGroupMissing { group: self.name.clone() };
                }
                StackError::of(cloud.doing(&format!("read the log group {}", self.name)), error)
            })?;
            self.lines.extend(page.events().iter().map(|event| line(event, position)));
            self.next = page.next_token.map_or(Next::End, Next::At);
        }
        Ok(())
    }
}

fn line(event: &FilteredLogEvent, group: usize) -> LogLine {
    LogLine {
        at_ms: event.timestamp().unwrap_or_default(),
        group,
        id: event.event_id().unwrap_or_default().to_owned(),
        text: event.message().unwrap_or_default().trim_end().to_owned(),
    }
}
