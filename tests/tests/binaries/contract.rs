//! Code and infrastructure agree: what the functions read of their environment is what the synthesized template sets.

use std::collections::BTreeSet;

use e2e::deployment::synthesized_template;
use serde_json::Value;

use crate::sandbox;

const ROLES: [&str; 3] = ["dispatcher", "worker", "reducer"];

fn names<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.map(str::to_owned).collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    names(object.as_object().unwrap().keys().map(String::as_str))
}

#[test]
fn each_function_is_given_what_it_needs_and_nothing_that_it_does_not_read() {
    let Some(path) = synthesized_template() else { return };
    let template: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let schema: Value =
        serde_json::from_slice(&sandbox().run(["config", "--schema"]).succeeded().stdout).unwrap();
    assert_eq!(keys(&schema["functions"]), names(ROLES.into_iter()));
    for role in ROLES {
        let read = &schema["functions"][role];
        let is_lambdas = |name: &String| read["properties"][name]["readOnly"] == true;
        let known = keys(&read["properties"]);
        let required = names(read["required"].as_array().unwrap().iter().filter_map(Value::as_str));
        let required: BTreeSet<String> = required.into_iter().filter(|name| !is_lambdas(name)).collect();
        let set = keys(variables_of(&template, role));

        let missing: Vec<&String> = required.difference(&set).collect();
        assert!(missing.is_empty(), "the {role} needs {missing:?}, which the template does not set");
        let unread: Vec<&String> =
            set.difference(&known).filter(|name| name.starts_with("FANFOLD_")).collect();
        assert!(unread.is_empty(), "the template sets {unread:?}, which the {role} does not read");
        let reserved: Vec<&String> = set.iter().filter(|name| is_lambdas(name)).collect();
        assert!(reserved.is_empty(), "the template sets {reserved:?} of the {role}, which Lambda sets");
        assert!(!required.is_empty());
    }
}

/// The environment of the function whose name ends with its role.
fn variables_of<'a>(template: &'a Value, role: &str) -> &'a Value {
    let functions = template["Resources"].as_object().unwrap().values();
    let functions = functions.filter(|resource| resource["Type"] == "AWS::Lambda::Function");
    let is_it =
        |it: &&Value| it["Properties"]["FunctionName"].as_str().unwrap().ends_with(&format!("-{role}"));
    let found: Vec<&Value> = functions.filter(is_it).collect();
    let [function] = found[..] else { panic!("{} functions of the role {role}", found.len()) };
    &function["Properties"]["Environment"]["Variables"]
}
