//! Intrinsic functions, conditions and parameters: what CloudFormation computes before it makes anything.
//!
//! What it owes its neighbours: a value without anything left to compute, or a sentence that names what cannot be computed
//! here. Only what is asked for is computed, so that a template may hold what nobody here understands.

use serde_json::{Map, Value};

use super::document::{Document, Parameter};
use super::reference;
use crate::account::ACCOUNT;

/// How deep values may refer to values; CloudFormation refuses circles, and so do we.
const DEPTH_LIMIT: u32 = 64;

/// A value, or nothing, where the template says `AWS::NoValue`.
pub(super) type Resolved = Result<Option<Value>, String>;

/// A template, and where it is deployed.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    pub(super) document: &'a Document,
    pub(super) stack: &'a str,
    pub(super) region: &'a str,
}

/// The intrinsic that an object is, and its argument.
fn intrinsic(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let (name, argument) = fields.iter().next()?;
    (name == "Ref" || name.starts_with("Fn::")).then_some((name, argument))
}

impl Resolver<'_> {
    /// The value with everything in it computed.
    pub(super) fn value(&self, value: &Value) -> Resolved {
        self.at(value, 0)
    }

    /// As [`Resolver::value`], `depth` references deep already.
    pub(super) fn value_at(&self, value: &Value, depth: u32) -> Resolved {
        self.at(value, depth)
    }

    /// The value with nothing computed but what decides which value it is.
    pub(super) fn choice(&self, value: &Value) -> Resolved {
        match intrinsic(value) {
            Some(("Fn::If", argument)) => self.choice_of(argument, 0).and_then(|chosen| self.choice(chosen)),
            Some(("Ref", Value::String(name))) if name == "AWS::NoValue" => Ok(None),
            Some(_) => self.value(value),
            None => Ok(Some(value.clone())),
        }
    }

    /// Whether the condition of this name holds; no name always does.
    pub(super) fn holds(&self, condition: Option<&str>) -> Result<bool, String> {
        self.holds_at(condition, 0)
    }

    /// As [`Resolver::holds`], `depth` references deep already.
    pub(super) fn holds_at(&self, condition: Option<&str>, depth: u32) -> Result<bool, String> {
        condition.map_or(Ok(true), |name| self.condition(name, depth))
    }

    fn at(&self, value: &Value, depth: u32) -> Resolved {
        if depth > DEPTH_LIMIT {
            return Err("values refer to one another in a circle".into());
        }
        if let Some((name, argument)) = intrinsic(value) {
            return self.compute(name, argument, depth + 1);
        }
        match value {
            Value::Object(fields) => {
                let mut resolved = Map::new();
                for (name, value) in fields {
                    if let Some(value) = self.at(value, depth + 1)? {
                        resolved.insert(name.clone(), value);
                    }
                }
                Ok(Some(resolved.into()))
            }
            Value::Array(elements) => {
                let elements = elements.iter().filter_map(|element| self.at(element, depth + 1).transpose());
                Ok(Some(elements.collect::<Result<Vec<_>, _>>()?.into()))
            }
            scalar => Ok(Some(scalar.clone())),
        }
    }

    fn compute(&self, name: &str, argument: &Value, depth: u32) -> Resolved {
        match name {
            "Ref" => self.reference(argument.as_str().ok_or("Ref takes a name")?, depth),
            "Fn::GetAtt" => self.attribute(argument, depth).map(some_text),
            "Fn::Join" => self.join(argument, depth).map(some_text),
            "Fn::Sub" => self.substitute(argument, depth).map(some_text),
            "Fn::Select" => self.select(argument, depth),
            "Fn::Split" => self.split(argument, depth).map(Some),
            "Fn::If" => self.at(self.choice_of(argument, depth)?, depth),
            "Fn::FindInMap" => self.find_in_map(argument, depth).map(Some),
            other => Err(format!("the emulator does not know {other}")),
        }
    }

    fn reference(&self, name: &str, depth: u32) -> Resolved {
        let text = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::AccountId" => ACCOUNT.to_owned(),
            "AWS::Region" => self.region.to_owned(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            "AWS::StackName" => self.stack.to_owned(),
            "AWS::StackId" => reference::stack_id(self.stack, self.region),
            name => match self.document.parameters.get(name) {
                Some(parameter) => return parameter_value(name, parameter).map(Some),
                None => reference::reference(self, name, depth)?,
            },
        };
        Ok(Some(text.into()))
    }

    fn attribute(&self, argument: &Value, depth: u32) -> Result<String, String> {
        let (resource, attribute) = match argument {
            Value::String(path) => {
                path.split_once('.').ok_or("Fn::GetAtt takes a resource and an attribute")?
            }
            Value::Array(parts) => match &parts[..] {
                [Value::String(resource), Value::String(attribute)] => {
                    (resource.as_str(), attribute.as_str())
                }
                _ => return Err("Fn::GetAtt takes a resource and an attribute".into()),
            },
            _ => return Err("Fn::GetAtt takes a resource and an attribute".into()),
        };
        reference::attribute(self, resource, attribute, depth)
    }

    fn join(&self, argument: &Value, depth: u32) -> Result<String, String> {
        let wrong = "Fn::Join takes a delimiter and a list of texts";
        let [delimiter, parts] = elements(argument).ok_or(wrong)?;
        let parts = self.at(parts, depth)?;
        let parts = parts.as_ref().and_then(Value::as_array).ok_or(wrong)?;
        let parts: Option<Vec<String>> = parts.iter().map(text).collect();
        Ok(parts.ok_or(wrong)?.join(delimiter.as_str().ok_or(wrong)?))
    }

    fn select(&self, argument: &Value, depth: u32) -> Resolved {
        let wrong = "Fn::Select takes an index and a list";
        let [index, list] = elements(argument).ok_or(wrong)?;
        let index = self.at(index, depth)?.as_ref().and_then(text);
        let index: usize = index.and_then(|index| index.parse().ok()).ok_or(wrong)?;
        let list = self.at(list, depth)?.unwrap_or_default();
        let list = list.as_array().ok_or(wrong)?;
        let chosen = list.get(index).cloned();
        chosen.map(Some).ok_or_else(|| format!("Fn::Select asks for element {index} of {}", list.len()))
    }

    fn split(&self, argument: &Value, depth: u32) -> Result<Value, String> {
        let wrong = "Fn::Split takes a delimiter and a text";
        let [delimiter, source] = elements(argument).ok_or(wrong)?;
        let source = self.at(source, depth)?.as_ref().and_then(text).ok_or(wrong)?;
        Ok(source.split(delimiter.as_str().ok_or(wrong)?).collect())
    }

    /// The branch that the condition chooses.
    fn choice_of<'value>(&self, argument: &'value Value, depth: u32) -> Result<&'value Value, String> {
        let wrong = "Fn::If takes a condition's name and two values";
        let [condition, then, otherwise] = elements(argument).ok_or(wrong)?;
        let holds = self.condition(condition.as_str().ok_or(wrong)?, depth)?;
        Ok(if holds { then } else { otherwise })
    }

    fn find_in_map(&self, argument: &Value, depth: u32) -> Result<Value, String> {
        let wrong = "Fn::FindInMap takes a map's name and two keys";
        let keys = self.at(argument, depth)?.unwrap_or_default();
        let keys: Option<Vec<String>> = keys.as_array().and_then(|keys| keys.iter().map(text).collect());
        let keys = keys.ok_or(wrong)?;
        let [map, first, second] = &keys[..] else { return Err(wrong.into()) };
        let found = self.document.mappings.get(map).and_then(|map| map.get(first)?.get(second));
        found.cloned().ok_or_else(|| format!("there is nothing at {map}.{first}.{second} in the mappings"))
    }

    fn substitute(&self, argument: &Value, depth: u32) -> Result<String, String> {
        let wrong = "Fn::Sub takes a text, and perhaps variables";
        let nothing = Map::new();
        let (mut rest, variables) = match argument {
            Value::String(template) => (template.as_str(), &nothing),
            Value::Array(parts) => match &parts[..] {
                [Value::String(template), Value::Object(variables)] => (template.as_str(), variables),
                _ => return Err(wrong.into()),
            },
            _ => return Err(wrong.into()),
        };
        let mut filled = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("a ${ in Fn::Sub is not closed")?;
            filled.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                filled.push_str(&format!("${{{literal}}}"));
            } else {
                let value = match variables.get(name) {
                    Some(value) => self.at(value, depth)?,
                    None if name.contains('.') => some_text(self.attribute(&name.into(), depth)?),
                    None => self.reference(name, depth)?,
                };
                let value = value.as_ref().and_then(text);
                filled.push_str(&value.ok_or_else(|| format!("${{{name}}} in Fn::Sub is no text"))?);
            }
            rest = after;
        }
        Ok(filled + rest)
    }

    fn condition(&self, name: &str, depth: u32) -> Result<bool, String> {
        let conditions = &self.document.conditions;
        let condition = conditions.get(name).ok_or_else(|| format!("there is no condition `{name}`"))?;
        self.test(condition, depth + 1).map_err(|problem| format!("condition `{name}`: {problem}"))
    }

    fn test(&self, condition: &Value, depth: u32) -> Result<bool, String> {
        if depth > DEPTH_LIMIT {
            return Err("conditions refer to one another in a circle".into());
        }
        let fields = condition.as_object().filter(|fields| fields.len() == 1);
        let (name, argument) = fields
            .and_then(|fields| fields.iter().next())
            .ok_or("a condition is an object with one field")?;
        let all = || argument.as_array().ok_or_else(|| format!("{name} takes a list"));
        match name.as_str() {
            "Condition" => self.condition(argument.as_str().ok_or("Condition takes a name")?, depth),
            "Fn::Equals" => {
                let [left, right] = elements(argument).ok_or("Fn::Equals takes two values")?;
                let (left, right) = (self.at(left, depth)?, self.at(right, depth)?);
                Ok(left == right
                    || left
                        .as_ref()
                        .and_then(text)
                        .zip(right.as_ref().and_then(text))
                        .is_some_and(|(left, right)| left == right))
            }
            "Fn::Not" => {
                let [inner] = elements(argument).ok_or("Fn::Not takes one condition")?;
                self.test(inner, depth + 1).map(|holds| !holds)
            }
            "Fn::And" => {
                all()?.iter().try_fold(true, |holds, inner| Ok(holds & self.test(inner, depth + 1)?))
            }
            "Fn::Or" => {
                all()?.iter().try_fold(false, |holds, inner| Ok(holds | self.test(inner, depth + 1)?))
            }
            other => Err(format!("the emulator does not know {other} in a condition")),
        }
    }
}

fn parameter_value(name: &str, parameter: &Parameter) -> Result<Value, String> {
    let default = parameter.default.clone();
    let default = default
        .ok_or_else(|| format!("the parameter `{name}` has no default, and nobody here gives it a value"))?;
    let is_list = parameter.kind == "CommaDelimitedList" || parameter.kind.starts_with("List<");
    match (is_list, default) {
        (true, Value::String(list)) => Ok(list.split(',').map(str::trim).collect()),
        (_, default) => Ok(default),
    }
}

fn elements<const COUNT: usize>(value: &Value) -> Option<&[Value; COUNT]> {
    value.as_array()?.as_slice().try_into().ok()
}

fn some_text(text: String) -> Option<Value> {
    Some(text.into())
}

/// A scalar as CloudFormation writes it where a text is wanted.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve(value: Value) -> Resolved {
        let document: Document = serde_json::from_value(json!({
            "Parameters": {
                "Stage": { "Type": "String", "Default": "test" },
                "Zones": { "Type": "CommaDelimitedList", "Default": "a, b" },
                "Wanted": { "Type": "String" },
                "BootstrapVersion": { "Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version" },
            },
            "Mappings": { "Regions": { "eu-west-1": { "size": 3 } } },
            "Conditions": {
                "IsTest": { "Fn::Equals": [{ "Ref": "Stage" }, "test"] },
                "IsNot": { "Fn::Not": [{ "Condition": "IsTest" }] },
                "Both": { "Fn::And": [{ "Condition": "IsTest" }, { "Condition": "IsNot" }] },
                "Either": { "Fn::Or": [{ "Condition": "IsTest" }, { "Condition": "IsNot" }] },
                "Circle": { "Condition": "Circle" },
            },
            "Resources": {
                "Queue": { "Type": "AWS::SQS::Queue", "Properties": { "QueueName": "dead" } },
                "Circle": { "Type": "AWS::SQS::Queue", "Properties": { "QueueName": { "Fn::GetAtt": ["Circle", "QueueName"] } } },
                "Off": { "Type": "AWS::SQS::Queue", "Condition": "IsNot" },
                "Bucket": { "Type": "AWS::S3::Bucket" },
            },
        }))
        .unwrap();
        Resolver { document: &document, stack: "Stack", region: "eu-west-1" }.value(&value)
    }

    #[test]
    fn every_intrinsic_gives_what_cloudformation_gives() {
        for (value, expected) in [
            (json!({ "Ref": "Stage" }), json!("test")),
            (json!({ "Ref": "Zones" }), json!(["a", "b"])),
            (json!({ "Ref": "AWS::AccountId" }), json!("000000000000")),
            (json!({ "Fn::GetAtt": ["Queue", "Arn"] }), json!("arn:aws:sqs:eu-west-1:000000000000:dead")),
            (json!({ "Fn::GetAtt": "Queue.QueueName" }), json!("dead")),
            (
                json!({ "Fn::Join": ["", ["arn:", { "Ref": "AWS::Partition" }, ":", 1, true]] }),
                json!("arn:aws:1true"),
            ),
            (json!({ "Fn::Join": ["-", { "Ref": "Zones" }] }), json!("a-b")),
            (
                json!({ "Fn::Sub": "${AWS::Region} ${Queue.Arn} ${!Literal} $x" }),
                json!("eu-west-1 arn:aws:sqs:eu-west-1:000000000000:dead ${Literal} $x"),
            ),
            (
                json!({ "Fn::Sub": ["${A}-${Stage}", { "A": { "Ref": "AWS::StackName" } }] }),
                json!("Stack-test"),
            ),
            (json!({ "Fn::Select": [1, { "Fn::Split": [":", "a:b:c"] }] }), json!("b")),
            (json!({ "Fn::If": ["IsTest", 1, { "Ref": "Nothing" }] }), json!(1)),
            (json!({ "Fn::If": ["Both", 1, 2] }), json!(2)),
            (json!({ "Fn::If": ["Either", 1, 2] }), json!(1)),
            (
                json!({ "a": [{ "Ref": "AWS::NoValue" }, 1], "b": { "Ref": "AWS::NoValue" } }),
                json!({ "a": [1] }),
            ),
            (json!({ "Fn::FindInMap": ["Regions", { "Ref": "AWS::Region" }, "size"] }), json!(3)),
            (json!({ "Ref": "BootstrapVersion" }), json!("/cdk-bootstrap/hnb659fds/version")),
        ] {
            assert_eq!(resolve(value.clone()), Ok(Some(expected)), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_named() {
        for (value, part) in [
            (json!({ "Ref": "Wanted" }), "the parameter `Wanted` has no default"),
            (json!({ "Ref": "Nothing" }), "there is no resource `Nothing`"),
            (json!({ "Ref": "Off" }), "`Off` is not made: its condition `IsNot` does not hold"),
            (json!({ "Fn::GetAtt": ["Bucket", "WebsiteURL"] }), "attribute WebsiteURL of `Bucket`"),
            (json!({ "Fn::GetAtt": ["Circle", "Arn"] }), "in a circle"),
            (json!({ "Fn::If": ["Circle", 1, 2] }), "in a circle"),
            (json!({ "Fn::If": ["None", 1, 2] }), "no condition `None`"),
            (json!({ "Fn::ImportValue": "x" }), "does not know Fn::ImportValue"),
            (json!({ "Fn::Select": [3, ["a"]] }), "element 3 of 1"),
            (json!({ "Fn::Sub": "${open" }), "is not closed"),
        ] {
            let error = resolve(value.clone()).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}
