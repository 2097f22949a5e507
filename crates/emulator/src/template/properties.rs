//! A resource's properties, read one by one: computed when they are asked for, and what is wrong with them told with the
//! resource's logical id and the property's path.

use serde_json::{Map, Value};

use super::Problem;
use super::resolve::{Resolver, text};

/// The properties of a resource, or of an object within them.
#[derive(Debug, Clone)]
pub(super) struct Properties<'a> {
    resolver: &'a Resolver<'a>,
    id: &'a str,
    /// Where they are within the resource, such as `Target.`; empty at the top.
    prefix: String,
    fields: Map<String, Value>,
}

impl<'a> Properties<'a> {
    pub(super) fn of(resolver: &'a Resolver<'a>, id: &'a str, fields: Map<String, Value>) -> Self {
        Self { resolver, id, prefix: String::new(), fields }
    }

    /// The resource's logical id.
    pub(super) fn id(&self) -> &'a str {
        self.id
    }

    /// That something is wrong with a property.
    pub(super) fn problem(&self, property: &str, problem: impl Into<String>) -> Problem {
        let property = format!("{}{property}", self.prefix);
        Problem { logical_id: self.id.to_owned(), property, problem: problem.into() }
    }

    /// The names of all that are there.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// A property, with everything in it computed.
    pub(super) fn value(&self, name: &str) -> Result<Option<Value>, Problem> {
        let Some(value) = self.fields.get(name) else { return Ok(None) };
        self.resolver.value(value).map_err(|problem| self.problem(name, problem))
    }

    /// A text, or a scalar that CloudFormation would take for one.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        text(&value).map(Some).ok_or_else(|| self.problem(name, "it is no text"))
    }

    /// A text that must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<String, Problem> {
        self.text(name)?.ok_or_else(|| self.problem(name, "it is missing"))
    }

    /// A whole number from 0.
    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number =
            text.parse().map_err(|_| self.problem(name, format!("`{text}` is no whole number from 0")));
        number.map(Some)
    }

    /// An object's properties.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Problem> {
        match self.chosen(name)? {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(self.inner(format!("{name}."), fields))),
            Some(_) => Err(self.problem(name, "it is no object")),
        }
    }

    /// The properties of each object of a list; none where there is no list.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Self>, Problem> {
        let elements = match self.chosen(name)? {
            None => return Ok(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(_) => return Err(self.problem(name, "it is no list")),
        };
        let mut objects = Vec::new();
        for (element, index) in elements.iter().zip(0..) {
            let place = format!("{name}[{index}]");
            let chosen = self.resolver.choice(element).map_err(|problem| self.problem(&place, problem))?;
            match chosen {
                None => {}
                Some(Value::Object(fields)) => objects.push(self.inner(format!("{place}."), fields)),
                Some(_) => return Err(self.problem(&place, "it is no object")),
            }
        }
        Ok(objects)
    }

    /// A list of texts; none where there is no list.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Problem> {
        let Some(value) = self.value(name)? else { return Ok(Vec::new()) };
        let texts: Option<Vec<String>> = value.as_array().and_then(|list| list.iter().map(text).collect());
        texts.ok_or_else(|| self.problem(name, "it is no list of texts"))
    }

    fn chosen(&self, name: &str) -> Result<Option<Value>, Problem> {
        let Some(value) = self.fields.get(name) else { return Ok(None) };
        self.resolver.choice(value).map_err(|problem| self.problem(name, problem))
    }

    fn inner(&self, prefix: String, fields: Map<String, Value>) -> Self {
        let Self { resolver, id, .. } = self;
        Self { resolver, id, prefix: format!("{}{prefix}", self.prefix), fields }
    }
}
