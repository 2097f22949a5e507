//! The environment, read once, with all its problems told at once.

use std::fmt::{self, Display};
use std::str::FromStr;

use fanfold_flow::problem::{Problem, Problems};

type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// Environment variables as they are read: what is missing or wrong is collected, not thrown.
pub struct Variables<'a> {
    lookup: Lookup<'a>,
    problems: Vec<Problem>,
}

/// A function's environment is not right. The function does not start.
#[derive(Debug, thiserror::Error)]
#[error("read the environment:\n{0}")]
pub struct InvalidConfig(pub Problems);

impl<'a> Variables<'a> {
    /// Variables by whatever finds them; for the process's own, `|name| std::env::var(name).ok()`.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { lookup: Box::new(lookup), problems: Vec::new() }
    }

    /// A variable that must be there. `meaning` completes "it says …" in the message when it is not.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str, meaning: &str) -> Option<T> {
        let value = self.optional(name);
        if value.is_none() && (self.lookup)(name).is_none() {
            self.refuse(Problem::new(name, format!("is missing; it says {meaning}")));
        }
        value
    }

    /// A variable that may be missing. An empty one counts as missing.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = (self.lookup)(name).filter(|text| !text.is_empty())?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(Problem::new(name, format!("is not right: {error}")));
                None
            }
        }
    }

    /// Adds a problem that the caller found.
    pub fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// `config`, unless anything was wrong on the way to it.
    ///
    /// # Errors
    /// All problems found since the beginning.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, InvalidConfig> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(InvalidConfig(Problems(self.problems))),
        }
    }
}

impl fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").field("problems", &self.problems).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_of_an_environment_are_told_at_once() {
        let mut variables = Variables::new(|name| (name == "CORES").then(|| "many".to_owned()));
        let cores: Option<u32> = variables.required("CORES", "how many cores there are");
        let name: Option<String> = variables.required("NAME", "who it is");
        let refusal = variables.finish(cores.zip(name)).unwrap_err().to_string();
        assert!(
            refusal.contains("CORES: is not right") && refusal.contains("NAME: is missing; it says who"),
            "{refusal}"
        );
    }

    #[test]
    fn an_empty_variable_counts_as_missing_where_it_may_be() {
        let mut variables = Variables::new(|_| Some(String::new()));
        assert_eq!(variables.optional::<u32>("CORES"), None);
        assert!(variables.finish(Some(())).is_ok());
    }
}
