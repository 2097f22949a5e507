//! Cron expressions as EventBridge reads them.
//!
//! The rules are those of the EventBridge Scheduler user guide, "Schedule types", section "Cron-based schedules". What this
//! module lets pass the service may still refuse (a day that no month has), but not for its form.

use std::fmt::Write as _;

/// A field of a cron expression.
struct Field {
    name: &'static str,
    least: u16,
    most: u16,
    /// What may stand for the numbers from `least` on.
    words: &'static [&'static str],
    /// What else may stand there.
    signs: Signs,
}

/// The signs that only some fields know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    None,
    /// `?`, `L` and `15W`.
    OfDayOfMonth,
    /// `?`, `L`, `6L` and `6#3`.
    OfDayOfWeek,
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const fn field(name: &'static str, least: u16, most: u16) -> Field {
    Field { name, least, most, words: &[], signs: Signs::None }
}

const FIELDS: [Field; 6] = [
    field("minute", 0, 59),
    field("hour", 0, 23),
    Field { signs: Signs::OfDayOfMonth, ..field("day of the month", 1, 31) },
    Field { words: &MONTHS, ..field("month", 1, 12) },
    Field { words: &DAYS, signs: Signs::OfDayOfWeek, ..field("day of the week", 1, 7) },
    field("year", 1970, 2199),
];

/// What is wrong with a cron expression, in one sentence; none where it is right.
pub(super) fn problem(cron: &str) -> Option<String> {
    let advice =
        "write minute, hour, day of the month, month, day of the week, year, such as \"0 3 * * ? *\"";
    if let Some(inner) = cron.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')) {
        return Some(format!("goes without 'cron(…)': \"{inner}\""));
    }
    let texts: Vec<&str> = cron.split_whitespace().collect();
    if texts.len() != FIELDS.len() {
        return Some(format!("'{cron}' has {} fields, not six; {advice}", texts.len()));
    }
    let mut problems = String::new();
    for (field, text) in FIELDS.iter().zip(&texts) {
        if !field.takes(text) {
            let separator = if problems.is_empty() { "" } else { "; " };
            let _written = write!(
                problems,
                "{separator}'{text}' is no {}, which goes from {} to {}",
                field.name, field.least, field.most
            );
        }
    }
    if !problems.is_empty() {
        return Some(problems);
    }
    let unsaid = [texts[2], texts[4]].iter().filter(|text| **text == "?").count();
    (unsaid != 1)
        .then(|| format!("'{cron}' must have '?' for one of the two days, and for one only; {advice}"))
}

impl Field {
    fn takes(&self, text: &str) -> bool {
        if text == "?" {
            return self.signs != Signs::None;
        }
        text.split(',').all(|part| self.takes_part(part))
    }

    /// One of the parts between commas: a value, a range, either of them in steps, or a sign.
    fn takes_part(&self, part: &str) -> bool {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step_is_right =
            step.is_none_or(|step| number(step).is_some_and(|step| (1..=self.most).contains(&step)));
        let range_is_right = match range.split_once('-') {
            Some((from, to)) => self.value(from).zip(self.value(to)).is_some(),
            None => range == "*" || self.value(range).is_some() || (step.is_none() && self.takes_sign(range)),
        };
        step_is_right && range_is_right
    }

    fn takes_sign(&self, text: &str) -> bool {
        match self.signs {
            Signs::None => false,
            Signs::OfDayOfMonth => {
                text == "L"
                    || text == "LW"
                    || text.strip_suffix('W').is_some_and(|day| self.value(day).is_some())
            }
            Signs::OfDayOfWeek => {
                let last =
                    text.strip_suffix('L').is_some_and(|day| day.is_empty() || self.value(day).is_some());
                let of_month = text.split_once('#').is_some_and(|(day, week)| {
                    self.value(day).is_some() && number(week).is_some_and(|week| (1..=5).contains(&week))
                });
                last || of_month
            }
        }
    }

    fn value(&self, text: &str) -> Option<u16> {
        let named = self.words.iter().position(|word| text.eq_ignore_ascii_case(word));
        let value =
            named.and_then(|position| u16::try_from(position).ok()).map(|position| position + self.least);
        value.or_else(|| number(text)).filter(|value| (self.least..=self.most).contains(value))
    }
}

fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of the service's own guide, and more of each sign.
    #[test]
    fn what_the_service_takes_is_taken() {
        for cron in [
            "15 10 * * ? *",
            "0/5 8-17 ? * MON-FRI *",
            "0 9 ? * 2#1 *",
            "0 0 1 1 ? 2026-2030",
            "0 0 L * ? *",
            "0 12 15W JAN,jul ? *",
            "30 4 ? * 6L 2026/2",
            "0,30 */2 ? * sun,SAT *",
        ] {
            assert_eq!(problem(cron), None, "{cron}");
        }
    }

    #[test]
    fn what_the_service_refuses_is_told_what_to_mend() {
        for (cron, part) in [
            ("0 3 * * *", "has 5 fields, not six"),
            ("0 3 * * * *", "'?' for one of the two days"),
            ("0 3 ? * ? *", "for one only"),
            ("60 3 * * ? *", "'60' is no minute, which goes from 0 to 59"),
            ("0 24 * * ? *", "no hour"),
            ("? 3 * * ? *", "no minute"),
            ("0 3 0 13 ? 1969", "'0' is no day of the month, which goes from 1 to 31; '13' is no month"),
            ("0 3 ? * MON#6 *", "no day of the week"),
            ("0 3 ? * 0-6 *", "no day of the week"),
            ("0/0 3 * * ? *", "no minute"),
            ("a,b 3 * * ? *", "'a,b' is no minute"),
            ("cron(0 3 * * ? *)", "goes without 'cron(…)': \"0 3 * * ? *\""),
            ("", "has 0 fields"),
        ] {
            let problem = problem(cron).unwrap_or_default();
            assert!(problem.contains(part), "{cron}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(cron in "[0-9*?LW#/,a-z -]{0,24}") {
            let _ = problem(&cron);
        }
    }
}
