//! What the README shows is run.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use e2e::program::Sandbox;
use fanfold_flow::job::Job;
use serde_json::Value;

use crate::{bare, data, python, sandbox};

/// What the README's command line for the program begins with.
const CARGO_RUN: &str = "cargo run --release -- ";

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap()
}

/// The contents of the README's fenced blocks in this language.
fn blocks(language: &str) -> Vec<String> {
    let (readme, fence) = (readme(), format!("```{language}\n"));
    let blocks =
        readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// A sandbox in which the README's paths lead where they do in the repository.
fn repository() -> Sandbox {
    let sandbox = sandbox();
    symlink(env!("CARGO_MANIFEST_DIR"), sandbox.path("tests")).unwrap();
    sandbox
}

#[test]
fn the_readmes_command_leaves_what_the_bare_program_would() {
    let lines: Vec<String> =
        blocks("sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let line = lines.iter().find(|line| line.starts_with(CARGO_RUN)).unwrap();
    let sandbox = repository();
    // By a shell, as a reader would.
    let line = line.replacen(CARGO_RUN, "\"$0\" ", 1);
    let mut shell = sandbox.any("sh");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_e2e-fanfold")]);
    sandbox.start(&mut shell).ended().succeeded();
    assert!(
        sandbox.read("out.csv") == bare(&["awk", "-F,", "NR==1 || $0 ~ /Minor/"], &data("birdstrikes.csv"))
    );
    sandbox.assert_clean(&["out.csv", "tests"]);
}

#[test]
fn the_readmes_jobs_are_right_and_its_bulk_query_runs() {
    let documents: Vec<Value> =
        blocks("json").iter().map(|block| serde_json::from_str(block).unwrap()).collect();
    let jobs: Vec<&Value> = documents.iter().filter(|document| document.get("source").is_some()).collect();
    for job in &jobs {
        let mut job = (*job).clone();
        // On this machine an address may be a file; the job that the functions get has none of those.
        if job["output"]["uri"].as_str().is_some_and(|uri| !uri.starts_with("s3://")) {
            job["output"]["uri"] = "s3://bucket/output".into();
        }
        Job::from_json(&job).unwrap_or_else(|problems| panic!("{problems} in {job:#}"));
    }
    let bulk = jobs.iter().find(|job| job["source"].get("range").is_some()).unwrap();
    let sandbox = repository();
    sandbox.write("job.json", bulk.to_string());
    let database = bulk["task"]["command"][2].as_str().unwrap();
    let filled = Command::new("python3")
        .arg(python("fill_database.py"))
        .args([sandbox.path(database).as_os_str(), data("birdstrikes.csv").as_ref()])
        .status();
    assert!(filled.unwrap().success());
    sandbox.run(["run", "job.json"]).succeeded().says(&["6 chunks"]);
    let output = bulk["output"]["uri"].as_str().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&sandbox.read(output)).unwrap();
    assert_eq!(rows.len(), 10_000);
    assert!(rows.iter().enumerate().all(|(number, row)| row[0] == number), "out of order");
    sandbox.assert_clean(&["job.json", database, output, "tests"]);
}
