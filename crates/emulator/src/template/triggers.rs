//! Rules and schedules.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kinds;
use super::properties::Properties;
use super::{Problem, Reading};
use crate::events::{DEFAULT_BUS, Input, Path, Pattern, Rule, Schedule, Target};

/// Ways to tell a target what it is to have; it has one of them at most.
const INPUTS: [&str; 3] = ["Input", "InputPath", "InputTransformer"];

impl<'a> Reading<'a> {
    pub(super) fn read_rules(&mut self) {
        self.each(kinds::RULE, |reading, properties| {
            let pattern = pattern(&properties)?;
            let expression = properties.text("ScheduleExpression")?;
            let bus = properties.text("EventBusName")?.unwrap_or_else(|| DEFAULT_BUS.to_owned());
            let mut targets = Vec::new();
            for target in properties.objects("Targets")? {
                let arn = target.required_text("Arn")?;
                let Some(receiver) = reading.receiver(&arn) else {
                    reading.warn_of_receiver(kinds::RULE, &properties, &arn);
                    continue;
                };
                targets.push(Target { id: target.required_text("Id")?, receiver, input: input(&target)? });
            }
            reading.template.rules.push(Rule {
                name: reading.name(&properties)?,
                // It may be named by its ARN.
                bus: bus.rsplit('/').next().unwrap_or_default().to_owned(),
                pattern,
                expression,
                enabled: properties.text("State")?.as_deref() != Some("DISABLED"),
                targets,
            });
            Ok(())
        });
        self.take_in_buckets_of_rules();
    }

    pub(super) fn read_schedules(&mut self) {
        self.each(kinds::SCHEDULE, |reading, properties| {
            let target = properties.object("Target")?;
            let target = target.ok_or_else(|| properties.problem("Target", "it is missing"))?;
            let arn = target.required_text("Arn")?;
            let Some(receiver) = reading.receiver(&arn) else {
                reading.warn_of_receiver(kinds::SCHEDULE, &properties, &arn);
                return Ok(());
            };
            let input = target.text("Input")?;
            if let Some(input) = &input {
                // Its attributes stand within texts of the JSON, or the JSON is none.
                check_json(&target, "Input", input)?;
            }
            reading.template.schedules.push(Schedule {
                name: reading.name(&properties)?,
                group: properties.text("GroupName")?.unwrap_or_else(|| "default".to_owned()),
                expression: properties.required_text("ScheduleExpression")?,
                time_zone: properties.text("ScheduleExpressionTimezone")?.unwrap_or_else(|| "UTC".to_owned()),
                enabled: properties.text("State")?.as_deref() != Some("DISABLED"),
                receiver,
                input,
            });
            Ok(())
        });
    }

    fn warn_of_receiver(&mut self, kind: &str, properties: &Properties<'_>, arn: &str) {
        let why = format!("its target {arn} is no function or queue of this stack; it is not told");
        self.warn(kind, properties.id(), why);
    }
}

fn pattern(properties: &Properties<'_>) -> Result<Option<Pattern>, Problem> {
    let refused = |problem: String| properties.problem("EventPattern", problem);
    let Some(mut pattern) = properties.value("EventPattern")? else { return Ok(None) };
    if let Value::String(text) = &pattern {
        pattern = serde_json::from_str(text).map_err(|error| refused(format!("it is no JSON: {error}")))?;
    }
    Pattern::read(&pattern).map(Some).map_err(|error| refused(error.to_string()))
}

fn input(target: &Properties<'_>) -> Result<Input, Problem> {
    let given: Vec<&str> = INPUTS.into_iter().filter(|name| target.has(name)).collect();
    let name = match given[..] {
        [] => return Ok(Input::Event),
        [name] => name,
        [_, other, ..] => {
            return Err(target.problem(other, format!("a target has only one of {}", INPUTS.join(", "))));
        }
    };
    match name {
        "Input" => {
            let text = target.required_text(name)?;
            check_json(target, name, &text)?;
            Ok(Input::Constant(text))
        }
        "InputPath" => {
            let path = Path::read(&target.required_text(name)?);
            path.map(Input::Part).map_err(|error| target.problem(name, error.to_string()))
        }
        _ => {
            let transformer = target.object(name)?;
            let transformer = transformer.ok_or_else(|| target.problem(name, "it is missing"))?;
            let text = transformer.required_text("InputTemplate")?;
            let mut paths = BTreeMap::new();
            if let Some(map) = transformer.object("InputPathsMap")? {
                for variable in map.names() {
                    let path = Path::read(&map.required_text(variable)?);
                    let path = path.map_err(|error| map.problem(variable, error.to_string()))?;
                    paths.insert(variable.to_owned(), path);
                }
            }
            let template = Input::template(paths, text);
            template.map_err(|error| transformer.problem("InputTemplate", error.to_string()))
        }
    }
}

fn check_json(properties: &Properties<'_>, name: &str, text: &str) -> Result<(), Problem> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(properties.problem(name, format!("it is no JSON, which a function needs: {error}")))
        }
    }
}
