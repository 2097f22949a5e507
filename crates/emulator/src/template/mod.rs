//! A synthesized CloudFormation template, read for what the emulator can be set up from: functions, buckets, queues, rules
//! and schedules. So what was synthesized is what runs.
//!
//! **The decision.** Only what is emulated is looked at closely; a template may hold anything else, and is told of what is
//! left out, resource by resource. What is looked at is read strictly: where it says something that cannot be done here, it is
//! refused by logical id and property, since a pipeline that silently lacks a piece is worse than none. **The price:**
//! stacks stand alone. Imports from other stacks and parameters without a default are refused where they are needed.
//!
//! | module | owes its neighbours |
//! |---|---|
//! | `document` | the template as it is written |
//! | `resolve`, `reference` | values without intrinsics; names and ARNs as CloudFormation gives them |
//! | `properties` | properties by name, with problems that say where |
//! | `functions`, `assets` | functions and their code |
//! | `buckets`, `triggers` | who is told of what |
//! | `kinds` | what may be left out, and why |

use std::fmt;
use std::path::{Path, PathBuf};

use crate::events::{Receiver, Rule, Schedule};
use crate::lambda::Function;
use crate::queues::is_queue_name;

mod assets;
mod buckets;
mod document;
mod functions;
mod kinds;
mod properties;
mod reference;
mod resolve;
mod triggers;

pub use buckets::{Bucket, Notification};

use assets::Assets;
use document::{Document, Resource};
use properties::Properties;
pub(crate) use reference::stack_id;
use resolve::{Resolver, text};

/// What a template describes, as far as it can be emulated.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// The stack's name: that of the file, up to `.template.json`.
    pub stack: String,
    /// The stack's description.
    pub description: Option<String>,
    /// The functions, with their code in the folders beside the template.
    pub functions: Vec<Function>,
    /// The buckets, and those of others that rules listen to.
    pub buckets: Vec<Bucket>,
    /// The names of the queues.
    pub queues: Vec<String>,
    /// The rules of event buses.
    pub rules: Vec<Rule>,
    /// The schedules of EventBridge Scheduler.
    pub schedules: Vec<Schedule>,
    /// The stack's outputs.
    pub outputs: Vec<Output>,
    /// What is left out.
    pub warnings: Vec<Warning>,
}

/// An output of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its logical id.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Its description.
    pub description: Option<String>,
    /// The name under which other stacks import it.
    pub export: Option<String>,
}

/// Something of the template that is not there in the emulator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The resource's type, or `Output`.
    pub kind: String,
    /// Its logical id.
    pub logical_id: String,
    /// What is left out, and perhaps what to do.
    pub why: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}): {}", self.logical_id, self.kind, self.why)
    }
}

/// Something of the template that cannot be done here as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The resource's logical id.
    pub logical_id: String,
    /// The property's path within it.
    pub property: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}: {}", self.logical_id, self.property, self.problem)
    }
}

/// Why a template is not read.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file's name does not say the stack's.
    #[error("{} is not called <Stack>.template.json, as CDK calls templates", .0.display())]
    Name(PathBuf),
    /// The template, or the list of its assets, is not there or is none.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It describes what cannot be emulated: all of that.
    #[error("{} cannot be emulated:{}", path.display(), list(problems))]
    Refused {
        /// The template's file.
        path: PathBuf,
        /// Everything that stands in the way.
        problems: Vec<Problem>,
    },
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

impl Template {
    /// Reads `cdk.out/<Stack>.template.json` and what CDK has laid beside it, for a stack in `region`. Blocks.
    ///
    /// # Errors
    /// [`TemplateError`], with every problem at once.
    pub fn read(path: &Path, region: &str) -> Result<Self, TemplateError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let stack =
            name.and_then(|name| name.strip_suffix(".template.json")).filter(|stack| !stack.is_empty());
        let stack = stack.ok_or_else(|| TemplateError::Name(path.to_owned()))?;
        let failed = |path: &Path, source| TemplateError::Read { path: path.to_owned(), source };
        let text = std::fs::read(path).map_err(|error| failed(path, error.into()))?;
        let document: Document = serde_json::from_slice(&text).map_err(|error| failed(path, error.into()))?;
        let manifest = path.with_file_name(format!("{stack}.assets.json"));
        let assets = Assets::read(&manifest).map_err(|error| failed(&manifest, error))?;
        let resolver = Resolver { document: &document, stack, region };
        Reading::new(&resolver)
            .read(&assets)
            .map_err(|problems| TemplateError::Refused { path: path.to_owned(), problems })
    }
}

/// A template that is being read: what was found so far, and what is wrong.
struct Reading<'a> {
    resolver: &'a Resolver<'a>,
    template: Template,
    problems: Vec<Problem>,
}

impl<'a> Reading<'a> {
    fn new(resolver: &'a Resolver<'a>) -> Self {
        let template = Template {
            stack: resolver.stack.to_owned(),
            description: resolver.document.description.clone(),
            ..Template::default()
        };
        Self { resolver, template, problems: Vec::new() }
    }

    fn read(mut self, assets: &Assets) -> Result<Template, Vec<Problem>> {
        self.warn_of_what_is_left_out();
        self.read_queues();
        self.read_functions(assets);
        self.read_event_invoke_configs();
        self.read_buckets();
        self.read_notifications();
        self.read_rules();
        self.read_schedules();
        self.read_outputs();
        self.template.warnings.sort();
        if self.problems.is_empty() { Ok(self.template) } else { Err(self.problems) }
    }

    /// The resources of a type that are made.
    fn resources(&mut self, kind: &str) -> Vec<(&'a str, &'a Resource)> {
        let mut made = Vec::new();
        for (id, resource) in &self.resolver.document.resources {
            if resource.kind != kind {
                continue;
            }
            match self.resolver.holds(resource.condition.as_deref()) {
                Ok(true) => made.push((id.as_str(), resource)),
                Ok(false) => {}
                Err(problem) => self.refuse(id, "Condition", problem),
            }
        }
        made
    }

    /// Reads each resource of a type, and notes what is wrong with it.
    fn each(&mut self, kind: &str, mut read: impl FnMut(&mut Self, Properties<'a>) -> Result<(), Problem>) {
        for (id, resource) in self.resources(kind) {
            let properties = Properties::of(self.resolver, id, resource.properties.clone());
            if let Err(problem) = read(self, properties) {
                self.problems.push(problem);
            }
        }
    }

    /// The name of the resource that these properties are of.
    fn name(&self, properties: &Properties<'_>) -> Result<String, Problem> {
        let id = properties.id();
        let named = self.resolver.document.resources.get(id).map_or_else(
            || Err(format!("there is no resource `{id}`")),
            |resource| reference::name(self.resolver, id, resource),
        );
        named.map_err(|problem| properties.problem("name", problem))
    }

    fn refuse(&mut self, id: &str, property: &str, problem: String) {
        self.problems.push(Problem { logical_id: id.to_owned(), property: property.to_owned(), problem });
    }

    fn warn(&mut self, kind: &str, id: &str, why: impl Into<String>) {
        let warning = Warning { kind: kind.to_owned(), logical_id: id.to_owned(), why: why.into() };
        self.template.warnings.push(warning);
    }

    fn warn_of_what_is_left_out(&mut self) {
        for (id, resource) in &self.resolver.document.resources {
            let made = self.resolver.holds(resource.condition.as_deref()).unwrap_or(true);
            if let Some(why) = kinds::why_left_out(&resource.kind).filter(|_| made) {
                self.warn(&resource.kind, id, why);
            }
        }
    }

    fn read_queues(&mut self) {
        self.each(kinds::QUEUE, |reading, properties| {
            let name = reading.name(&properties)?;
            if !is_queue_name(&name) {
                let rule = "a queue's name has 1 to 80 letters, digits, hyphens and underscores";
                return Err(properties.problem("QueueName", format!("`{name}`: {rule}")));
            }
            reading.template.queues.push(name);
            Ok(())
        });
    }

    /// Who an ARN names, if that is a function or queue of this stack.
    fn receiver(&self, arn: &str) -> Option<Receiver> {
        let mut parts = arn.splitn(7, ':');
        let place = format!("{}:{}", self.resolver.region, crate::account::ACCOUNT);
        let service = parts.nth(2)?;
        if [parts.next()?, parts.next()?].join(":") != place {
            return None;
        }
        match (service, parts.next()?, parts.next()) {
            ("lambda", "function", Some(function)) => {
                let name = function.strip_suffix(":$LATEST").unwrap_or(function);
                let known = self.template.functions.iter().any(|function| function.name == name);
                known.then(|| Receiver::Function(name.to_owned()))
            }
            ("sqs", name, None) => {
                let known = self.template.queues.iter().any(|queue| queue == name);
                known.then(|| Receiver::Queue(name.to_owned()))
            }
            _ => None,
        }
    }

    fn read_outputs(&mut self) {
        for (key, output) in &self.resolver.document.outputs {
            match self.resolver.holds(output.condition.as_deref()) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(problem) => {
                    self.refuse(key, "Condition", problem);
                    continue;
                }
            }
            let value = self.resolver.value(&output.value);
            let value = value.and_then(|value| value.as_ref().and_then(text).ok_or("it is no text".into()));
            let export = output.export.as_ref().and_then(|export| self.resolver.value(export).ok().flatten());
            let export = export.and_then(|export| export.get("Name").and_then(text));
            let description = output.description.clone();
            match value {
                Ok(value) => {
                    self.template.outputs.push(Output { key: key.clone(), value, description, export });
                }
                Err(why) => self.warn("Output", key, format!("it has no value here: {why}")),
            }
        }
    }
}
