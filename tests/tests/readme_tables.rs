//! The README's tables that are made from code, and the tests that it names.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fanfold_flow::code::Code;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");

#[test]
fn the_table_of_codes_is_the_codes_own() {
    let mut table = String::from("\n| exit | code | what happened | what to do |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let (exit, meaning, advice) = (code.exit_status(), code.meaning(), code.advice());
        writeln!(table, "| {exit} | `{code}` | {meaning} | {advice} |").unwrap();
    }
    let readme = std::fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once("<!-- codes -->").unwrap();
    let (found, after) = rest.split_once("<!-- /codes -->").unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(README, format!("{before}<!-- codes -->{table}<!-- /codes -->{after}")).unwrap();
        return;
    }
    assert!(
        found == table,
        "the codes have changed; write the table anew with UPDATE=1 cargo test -p e2e --test readme_tables"
    );
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let readme = std::fs::read_to_string(README).unwrap();
    let (_, promises) = readme.split_once("## Promises").unwrap();
    let (promises, _) = promises.split_once("\n## ").unwrap();
    let sources = sources(&Path::new(README).parent().unwrap().join("crates"))
        + &sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    let named: Vec<&str> =
        promises.split('`').skip(1).step_by(2).filter_map(|name| name.rsplit("::").next()).collect();
    assert!(named.len() >= 10, "{named:?}");
    for name in named {
        let is_test = sources.contains(&format!("fn {name}("));
        assert!(is_test, "the README promises a test called {name}, and there is none");
    }
}

/// All Rust below a folder, in one text.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let rust = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let own: String = rust.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    folders.iter().fold(own, |all, folder| all + &sources(folder))
}
