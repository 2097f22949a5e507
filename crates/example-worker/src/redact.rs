//! Hides long numbers: of each line, runs of digits that are as long as an account's number or a card's.

use std::io::Write;
use std::num::NonZeroU32;

use anyhow::Context;
use fanfold_worker::{Chunk, Input, Output, Task};

/// A run of so many digits is hidden, unless the job says otherwise.
const DIGITS_MIN: usize = 8;

/// Loads nothing, and so needs nothing but its name and what it does.
pub(crate) struct Redact;

impl Task for Redact {
    const NAME: &'static str = "redact";

    // Keeps nothing from one chunk to the next, so a process may take many.
    const CHUNKS_PER_PROCESS: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not zero");

    fn load() -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// The job's `task.args` may have one word: how long a run must be to be hidden.
    fn run(&self, chunk: &Chunk, input: &mut Input<'_>, output: &mut Output<'_>) -> anyhow::Result<()> {
        let digits_min = match chunk.args.first() {
            Some(word) => {
                word.parse().with_context(|| format!("task.args: {word:?} is no number of digits"))?
            }
            None => DIGITS_MIN,
        };
        for line in input.lines() {
            writeln!(output, "{}", redacted(&line?, digits_min))?;
        }
        Ok(())
    }
}

fn redacted(line: &str, digits_min: usize) -> String {
    let mut result = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(first) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from_digit) = rest.split_at(first);
        let length = from_digit.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(from_digit.len());
        let (digits, after) = from_digit.split_at(length);
        result.push_str(before);
        if length >= digits_min {
            result.extend(std::iter::repeat_n('*', length));
        } else {
            result.push_str(digits);
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(chunk: &Chunk, text: &str) -> anyhow::Result<String> {
        let mut result = Vec::new();
        Redact.run(chunk, &mut Input::new(&mut text.as_bytes()), &mut Output::new(&mut result))?;
        Ok(String::from_utf8(result)?)
    }

    #[test]
    fn long_numbers_are_hidden_and_all_else_stays() {
        let chunk = Chunk::default();
        let text = "card 4111111111111111, 3 items\nñ 12345678\n";
        assert_eq!(result_of(&chunk, text).unwrap(), "card ****************, 3 items\nñ ********\n");
    }

    #[test]
    fn the_job_may_say_how_long() {
        let chunk = Chunk { args: vec!["3".to_owned()], ..Chunk::default() };
        assert_eq!(result_of(&chunk, "12 123\n").unwrap(), "12 ***\n");
        let slip = Chunk { args: vec!["three".to_owned()], ..Chunk::default() };
        assert!(result_of(&slip, "").unwrap_err().to_string().contains("\"three\" is no number of digits"));
    }
}
