//! A job file, and what the deployment or its trigger would add to it.

use std::path::PathBuf;

use clap::Args;
use fanfold_flow::uri::ObjectUri;
use jiff::Timestamp;

/// A job file, what is changed in it, and what it is run for.
#[derive(Args, Debug)]
pub(crate) struct JobArgs {
    /// The job file, JSON; - for standard input.
    #[arg(value_name = "JOB.json")]
    pub(crate) file: PathBuf,
    /// Sets a field of the job: JSON where the value is JSON, else text. May be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// What {deployment.NAME} stands for in the job. May be given several times; {deployment.bucket} is always there, the
    /// bucket of Fanfold's own objects unless it is given.
    #[arg(long, value_name = "NAME=TEXT", value_parser = value)]
    pub(crate) value: Vec<(String, String)>,
    /// The object that a job with on_object_created is run for: what {object_uri}, {object_key} and the like stand for. To
    /// read a file of this machine in its place, add --set source.objects.uri=FILE.
    #[arg(long, value_name = "S3-URI")]
    pub(crate) object: Option<ObjectUri>,
    /// What {scheduled_date} and {scheduled_time} stand for, such as 2026-11-22T03:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) scheduled_time: Option<Timestamp>,
}

fn value(text: &str) -> Result<(String, String), String> {
    let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = named.ok_or("write it as NAME=TEXT, such as team=sales")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A registered task: its name, and its argv.
pub(super) fn task(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, command) =
        value(text).map_err(|_| "write it as NAME=COMMAND, such as squares='sh squares.sh'")?;
    let argv: Vec<String> = if command.trim_start().starts_with('[') {
        serde_json::from_str(&command)
            .map_err(|error| format!("the command is no JSON list of texts: {error}"))?
    } else {
        command.split_whitespace().map(str::to_owned).collect()
    };
    if argv.is_empty() { Err(format!("the command of '{name}' is empty")) } else { Ok((name, argv)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_words_or_a_json_list() {
        let argv = |text| task(text).map(|(_, argv)| argv);
        assert_eq!(argv("t=sh  a.sh -x=1").unwrap(), ["sh", "a.sh", "-x=1"]);
        assert_eq!(argv("t=[\"awk\", \"{ print $1 }\"]").unwrap(), ["awk", "{ print $1 }"]);
        for text in ["t", "=sh", "t=", "t=[]", "t=[1]", "t=["] {
            assert!(argv(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_may_hold_anything_but_its_name_something() {
        assert_eq!(value("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(value("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(value("=a").is_err() && value("a").is_err());
    }
}
