//! What the functions read of their environment, as the code that reads it tells.
//!
//! What this module owes a deployment: a list that cannot drift from the functions, to compare a template with.

use std::fmt::Write as _;

use fanfold_runtime::Variable;
use serde_json::{Map, Value, json};

use crate::args::ConfigArgs;
use crate::exit::Stop;
use crate::functions::Role;
use crate::stdout;

/// The version of what `--schema` prints.
const VERSION: u32 = 1;

/// The dialect of JSON Schema.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Prints what one function reads, or what each does.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn show(args: &ConfigArgs) -> Result<(), Stop> {
    let roles = args.role.map_or_else(|| Role::ALL.to_vec(), |role| vec![role]);
    let printed =
        if args.schema { stdout::print_json(&schema(&roles)) } else { stdout::print(&table(&roles)) };
    Ok(printed?)
}

fn table(roles: &[Role]) -> String {
    let mut text = String::new();
    for (position, role) in roles.iter().enumerate() {
        let variables = role.variables();
        let width = variables.iter().map(|variable| variable.name.len()).max().unwrap_or_default();
        let gap = if position > 0 { "\n" } else { "" };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{gap}{}", role.name());
        for Variable { name, required, meaning } in variables {
            let need = if required { "required" } else { "optional" };
            let _written = writeln!(text, "  {name:<width$}  {need}  {meaning}");
        }
    }
    text
}

/// A JSON Schema for the environment of each function. What Lambda itself sets is `readOnly`: a deployment may not.
fn schema(roles: &[Role]) -> Value {
    let functions: Map<String, Value> =
        roles.iter().map(|role| (role.name().to_owned(), of_one(*role))).collect();
    json!({ "version": VERSION, "functions": functions })
}

fn of_one(role: Role) -> Value {
    let variables = role.variables();
    let required: Vec<&str> = variables.iter().filter(|it| it.required).map(|it| it.name).collect();
    let properties: Map<String, Value> = variables
        .iter()
        .map(|variable| {
            let mut property = json!({ "type": "string", "description": variable.meaning });
            if is_set_by_lambda(variable.name) {
                property["readOnly"] = json!(true);
            }
            (variable.name.to_owned(), property)
        })
        .collect();
    json!({
        "$schema": DIALECT,
        "title": format!("environment of the {}", role.name()),
        "type": "object",
        "required": required,
        "properties": properties,
    })
}

/// Lambda reserves these names.
fn is_set_by_lambda(name: &str) -> bool {
    name.starts_with("AWS_LAMBDA_") || name.starts_with("LAMBDA_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn the_table_and_the_schema_are_what_was_reviewed() {
        insta::assert_snapshot!("config", table(&[Role::Reducer]));
        insta::assert_json_snapshot!("config_schema", schema(&[Role::Reducer]));
    }

    /// The source files below a folder, without comments and tests.
    fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
        let shipped = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap();
            let (shipped, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            let code = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code = code.collect::<Vec<_>>().join("\n");
            (path, code)
        };
        folders.iter().flat_map(|folder| sources(folder)).chain(files.into_iter().map(shipped)).collect()
    }

    /// The names that the functions' sources ask their environment for, which they do through one door.
    fn asked_for_in_the_sources() -> BTreeSet<String> {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut names = BTreeSet::new();
        for name in ["runtime", "dispatcher", "worker", "reducer"] {
            for (path, code) in sources(&crates.join(name).join("src")) {
                let doors = usize::from(path.ends_with("runtime/src/serve.rs"));
                assert_eq!(code.matches("env::var(").count(), doors, "{}", path.display());
                for way in [".required(", ".optional(", ".folder("] {
                    let calls = code.split(way).skip(1);
                    let named =
                        calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
                    names.extend(named.map(str::to_owned));
                }
            }
        }
        names
    }

    #[test]
    fn whatever_the_functions_ask_their_environment_for_is_listed() {
        let listed = Role::ALL.iter().flat_map(|role| role.variables()).map(|it| it.name.to_owned());
        assert_eq!(listed.collect::<BTreeSet<_>>(), asked_for_in_the_sources());
    }
}
