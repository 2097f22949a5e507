//! JSON paths, as far as EventBridge's inputs use them: names behind dots, and indices.

use serde_json::Value;

/// A way into an event, such as `$.detail.object.key` or `$.resources[0]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no path of the form $.field.field[0], which is what the emulator knows")]
pub struct PathError(pub String);

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// It has a form that is not known here, such as a wildcard.
    pub fn read(text: &str) -> Result<Self, PathError> {
        let wrong = || PathError(text.to_owned());
        let rest = text.strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = Vec::new();
        let (head, fields) = rest.split_once('.').map_or((rest, None), |(head, fields)| (head, Some(fields)));
        steps.extend(indices(head).ok_or_else(wrong)?);
        for field in fields.into_iter().flat_map(|fields| fields.split('.')) {
            let end = field.find('[').unwrap_or(field.len());
            let (name, after) = field.split_at(end);
            let known = |character: char| character.is_alphanumeric() || "-_/".contains(character);
            if name.is_empty() || !name.chars().all(known) {
                return Err(wrong());
            }
            steps.push(Step::Field(name.to_owned()));
            steps.extend(indices(after).ok_or_else(wrong)?);
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// What is there in `event`.
    #[must_use]
    pub fn find<'event>(&self, event: &'event Value) -> Option<&'event Value> {
        self.steps.iter().try_fold(event, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Index(index) => value.get(index),
        })
    }

    /// As it was read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Reads `[0][1]`; nothing where something else stands there.
fn indices(text: &str) -> Option<Vec<Step>> {
    let mut rest = text;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
        steps.push(Step::Index(index.parse().ok()?));
        rest = after;
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_what_it_names() {
        let event = json!({ "detail-type": "x", "resources": ["r0", { "a/b": [1] }] });
        for (path, found) in [
            ("$", Some(event.clone())),
            ("$.detail-type", Some(json!("x"))),
            ("$.resources[1].a/b[0]", Some(json!(1))),
            ("$.resources[2]", None),
            ("$.none.more", None),
        ] {
            assert_eq!(Path::read(path).unwrap().find(&event), found.as_ref(), "{path}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for path in ["", "detail", "$.", "$.a..b", "$.a[*]", "$.a['b']", "$.*", "$..a", "$.a[0", "$x"] {
            assert_eq!(Path::read(path).unwrap_err().0, path);
        }
    }
}
