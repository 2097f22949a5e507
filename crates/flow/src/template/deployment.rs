//! Values that a deployment gives to its jobs.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;

use super::document::places;
use super::{DEPLOYMENT, Piece, is_deployment, pieces};
use crate::problem::{Problem, nearest};

/// The texts that `{deployment.NAME}` stands for, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment(BTreeMap<String, String>);

/// Why something cannot be a value of a deployment.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// It is no JSON object of texts.
    #[error("it must be a JSON object of text to text: {0}")]
    Json(serde_json::Error),
    /// A name that no placeholder could have.
    #[error("'{0}' is no name of a value; it has one or more letters, digits, '_' and '-'")]
    Name(String),
    /// A value that could be taken for a placeholder itself.
    #[error("the value '{1}' of '{0}' must not hold braces, nor end with a backslash")]
    Braces(String, String),
}

impl Deployment {
    /// Adds a value; an earlier one of this name is replaced.
    ///
    /// # Errors
    /// When the name or the value is not right.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), DeploymentError> {
        if !is_name(name) {
            return Err(DeploymentError::Name(name.to_owned()));
        }
        if value.contains(['{', '}']) || value.ends_with('\\') {
            return Err(DeploymentError::Braces(name.to_owned(), value.to_owned()));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Fills `{deployment.NAME}` wherever a job document may have it, and lists the names that nobody gave a value. What
    /// else may be wrong with the document is for [`Job::from_json`](crate::job::Job::from_json) to say.
    pub fn fill(&self, document: &mut Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        for place in places(document) {
            let Some(Value::String(text)) = document.pointer_mut(&place.pointer) else { continue };
            let missing = |name: &&str| is_name(name) && !self.0.contains_key(*name);
            let names = super::names(text).filter_map(|name| name.strip_prefix(DEPLOYMENT));
            problems.extend(names.filter(missing).map(|name| self.unknown(name, &place.path)));
            *text = self.filled(text);
        }
        problems
    }

    /// Escaped placeholders stay as they are written, so that filling twice is filling once: a run unescapes them.
    fn filled(&self, text: &str) -> String {
        let filled = pieces(text).into_iter().map(|piece| {
            let Piece::Braced(braced) = piece else { return piece.to_string() };
            let value = braced.name.strip_prefix(DEPLOYMENT).and_then(|name| self.0.get(name));
            match value.filter(|_| !braced.is_escaped()) {
                Some(value) => "\\".repeat(braced.backslashes / 2) + value,
                None => piece.to_string(),
            }
        });
        filled.collect()
    }

    fn unknown(&self, name: &str, path: &str) -> Problem {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let known = if names.is_empty() { "none".to_owned() } else { format!("only {}", names.join(", ")) };
        let message =
            format!("placeholder '{{{DEPLOYMENT}{name}}}' has no value: the deployment gives {known}");
        Problem::new(path, message).meaning(nearest(name, names))
    }
}

impl FromStr for Deployment {
    type Err = DeploymentError;

    fn from_str(text: &str) -> Result<Self, DeploymentError> {
        let values: BTreeMap<String, String> = serde_json::from_str(text).map_err(DeploymentError::Json)?;
        let mut deployment = Self::default();
        for (name, value) in &values {
            deployment.insert(name, value)?;
        }
        Ok(deployment)
    }
}

/// What is wrong with the name in `{deployment.NAME}`.
pub(super) fn misnamed(placeholder: &str) -> bool {
    is_deployment(placeholder) && !is_name(&placeholder[DEPLOYMENT.len()..])
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_reach_every_place_that_may_have_them_and_no_other() {
        let deployment: Deployment = r#"{ "bucket": "b-1", "mode": "fast" }"#.parse().unwrap();
        let mut document = json!({
            "name": "{deployment.bucket}",
            "source": { "objects": { "uri": ["s3://{deployment.bucket}/{a,{deployment.mode}}*", "s3://x/{name}"] } },
            "task": { "command": ["a", "{deployment.mode}{x}", "\\{deployment.mode}"], "environment": { "a/b~": "{deployment.mode}" } },
            "output": { "uri": "s3://{deployment.bucket}/{object_key}" },
            "on_object_created": { "bucket": "{deployment.bucket}" }
        });
        assert_eq!(deployment.fill(&mut document), []);
        let expected = json!({
            "name": "{deployment.bucket}",
            "source": { "objects": { "uri": ["s3://b-1/{a,fast}*", "s3://x/{name}"] } },
            "task": { "command": ["a", "fast{x}", "\\{deployment.mode}"], "environment": { "a/b~": "fast" } },
            "output": { "uri": "s3://b-1/{object_key}" },
            "on_object_created": { "bucket": "b-1" }
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn a_value_that_nobody_gave_is_named_with_its_place_and_the_nearest() {
        let deployment: Deployment = r#"{ "bucket": "b" }"#.parse().unwrap();
        let mut document = json!({ "output": { "uri": "s3://{deployment.buckt}/{deployment.zzz}" }, "task": { "args": ["{deployment.}"] } });
        let problems: Vec<String> = deployment.fill(&mut document).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(
            problems[0],
            "output.uri: placeholder '{deployment.buckt}' has no value: the deployment gives only bucket; did you mean 'bucket'?"
        );
    }

    #[test]
    fn values_that_could_be_taken_for_placeholders_are_refused() {
        for text in [
            "[]",
            "{\"a\": 1}",
            "{\"a b\": \"x\"}",
            "{\"\": \"x\"}",
            "{\"a\": \"{name}\"}",
            "{\"a\": \"x\\\\\"}",
        ] {
            assert!(text.parse::<Deployment>().is_err(), "{text}");
        }
    }
}
