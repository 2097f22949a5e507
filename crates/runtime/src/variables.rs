//! The environment, read once, with all its problems told at once.
//!
//! What this module owes the deployment: whatever is read of the environment is read through [`Variables`], which
//! remembers it. So the list of what a function reads ([`recorded`]) is made by the very code that reads it, and what is
//! deployed can be compared with it.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use fanfold_flow::problem::{Problem, Problems};

type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// An environment variable that a function reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Whether the function does not start without it.
    pub required: bool,
    /// What it says: completes "it says …".
    pub meaning: &'static str,
}

/// Environment variables as they are read: what is missing or wrong is collected, not thrown, and what was asked for is
/// remembered. Whoever reads asks for all variables before giving up for want of one.
pub struct Variables<'a> {
    lookup: Lookup<'a>,
    asked: Vec<Variable>,
    problems: Vec<Problem>,
}

/// What `read` asks for, in its order, found by having it read an environment in which nothing is set.
pub(crate) fn recorded<S>(read: impl FnOnce(&mut Variables<'_>) -> Option<S>) -> Vec<Variable> {
    let mut variables = Variables::new(|_| None);
    let _settings = read(&mut variables);
    variables.asked
}

/// A function's environment is not right. The function does not start.
#[derive(Debug, thiserror::Error)]
#[error("read the environment:\n{0}")]
pub struct InvalidConfig(pub Problems);

impl<'a> Variables<'a> {
    /// Variables by whatever finds them; for the process's own, `|name| std::env::var(name).ok()`.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { lookup: Box::new(lookup), asked: Vec::new(), problems: Vec::new() }
    }

    /// A variable that must be there. `meaning` completes "it says …" in the message when it is not.
    pub fn required<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
        meaning: &'static str,
    ) -> Option<T> {
        self.remember(Variable { name, required: true, meaning });
        let value = self.parsed(name, meaning);
        if value.is_none() && self.text(name).is_none() {
            self.refuse(Problem::new(name, format!("is missing; it says {meaning}")));
        }
        value
    }

    /// A variable that may be missing. An empty one counts as missing. `meaning` completes "it says …".
    pub fn optional<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
        meaning: &'static str,
    ) -> Option<T> {
        self.remember(Variable { name, required: false, meaning });
        self.parsed(name, meaning)
    }

    /// A folder that may be missing from the environment. A relative one is relative to where Lambda unpacks the function's
    /// zip, or to the current folder where nobody says where that is.
    pub fn folder(&mut self, name: &'static str, meaning: &'static str) -> Option<PathBuf> {
        let root: Option<PathBuf> =
            self.optional("LAMBDA_TASK_ROOT", "where the function's zip is unpacked; Lambda sets it itself");
        let folder: PathBuf = self.optional(name, meaning)?;
        Some(root.map_or_else(|| folder.clone(), |root| root.join(&folder)))
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.is_empty())
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str, meaning: &str) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(Problem::new(name, format!("is not right: {error}; it says {meaning}")));
                None
            }
        }
    }

    /// One that is asked for twice is remembered once, and as required where it was so once.
    fn remember(&mut self, variable: Variable) {
        match self.asked.iter_mut().find(|known| known.name == variable.name) {
            Some(known) => known.required |= variable.required,
            None => self.asked.push(variable),
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
    fn a_relative_folder_lies_in_the_functions_zip_and_an_absolute_one_does_not() {
        let folder = |given: &'static str, root: Option<&'static str>| {
            let lookup = move |name: &str| if name == "LAMBDA_TASK_ROOT" { root } else { Some(given) };
            Variables::new(move |name| lookup(name).map(str::to_owned)).folder("TASKS", "where tasks are")
        };
        assert_eq!(folder("tasks", Some("/var/task")), Some("/var/task/tasks".into()));
        assert_eq!(folder("/opt/tasks", Some("/var/task")), Some("/opt/tasks".into()));
        assert_eq!(folder("tasks", None), Some("tasks".into()));
        assert_eq!(folder("", Some("/var/task")), None);
    }

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
    fn an_empty_variable_counts_as_missing() {
        let mut variables = Variables::new(|_| Some(String::new()));
        assert_eq!(variables.optional::<u32>("CORES", "how many cores there are"), None);
        assert_eq!(variables.required::<String>("NAME", "who it is"), None);
        let refusal = variables.finish(Some(())).unwrap_err().to_string();
        assert!(refusal.contains("NAME: is missing") && !refusal.contains("CORES"), "{refusal}");
    }

    #[test]
    fn what_was_asked_for_is_remembered_once_although_nothing_was_found() {
        let asked = recorded(|variables| {
            let _cores: Option<u32> = variables.optional("CORES", "how many cores there are");
            let _name: Option<String> = variables.required("NAME", "who it is");
            let _again: Option<u32> = variables.required("CORES", "how many cores there are");
            None::<()>
        });
        let cores = Variable { name: "CORES", required: true, meaning: "how many cores there are" };
        let name = Variable { name: "NAME", required: true, meaning: "who it is" };
        assert_eq!(asked, [cores, name]);
    }
}
