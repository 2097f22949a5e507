//! Who may depend on whom. A new edge is a decision: it is added here, with its reason, or not at all.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Which of our crates a crate may use.
const OURS: [(&str, &[&str]); 16] = [
    ("records", &[]),
    ("compression", &[]),
    ("flow", &["records"]),
    ("store", &["flow"]),
    ("invoke", &["flow"]),
    ("pool", &[]),
    ("runtime", &["flow", "store", "invoke"]),
    ("gather", &["flow", "store", "runtime"]),
    ("dispatcher", &["records", "compression", "flow", "store", "gather", "runtime"]),
    ("worker", &["records", "compression", "flow", "store", "gather", "pool", "runtime"]),
    ("example-worker", &["worker"]),
    ("reducer", &["flow", "store", "gather", "runtime"]),
    ("emulator", &[]),
    ("stack", &[]),
    (
        "cli",
        &[
            "flow",
            "store",
            "invoke",
            "pool",
            "runtime",
            "dispatcher",
            "worker",
            "reducer",
            "emulator",
            "stack",
        ],
    ),
    (
        "e2e",
        &[
            "records",
            "flow",
            "store",
            "invoke",
            "pool",
            "runtime",
            "dispatcher",
            "worker",
            "example-worker",
            "reducer",
            "emulator",
            "cli",
        ],
    ),
];

/// What only some crates may name, since they own it.
const OWNED: [(&str, &[&str]); 18] = [
    ("aws-sdk-s3", &["store"]),
    ("aws-sdk-lambda", &["invoke"]),
    ("aws-sdk-cloudformation", &["stack"]),
    ("aws-sdk-cloudwatchlogs", &["stack"]),
    ("aws-config", &["store", "invoke", "stack"]),
    ("lambda_runtime", &["runtime", "e2e"]),
    ("s3s", &["emulator"]),
    ("hyper", &["emulator"]),
    ("nix", &["pool"]),
    // The program for people asks whether a place can be written, and whose a folder is.
    ("rustix", &["pool", "emulator", "cli", "e2e"]),
    // It dies by the signal that stopped it.
    ("signal-hook", &["cli"]),
    ("seccompiler", &["e2e"]),
    // Compression decodes, the worker compresses; what tests decompress is held to that.
    ("flate2", &["worker", "e2e"]),
    ("zstd", &["compression", "worker", "e2e"]),
    ("zlib-rs", &["compression"]),
    ("bzip2", &["compression"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
];

/// What a crate that is pure may not have: a runtime, a clock, a network.
const IMPURE: [&str; 4] = ["tokio", "hyper", "async-trait", "fastrand"];

#[test]
fn no_crate_depends_on_what_the_table_does_not_allow() {
    let edges = edges();
    let ours: BTreeMap<&str, BTreeSet<&str>> =
        OURS.iter().map(|(name, may)| (*name, may.iter().copied().collect())).collect();
    assert_eq!(
        edges.keys().map(String::as_str).collect::<Vec<_>>(),
        ours.keys().copied().collect::<Vec<_>>()
    );
    for (name, uses) in &edges {
        for used in uses {
            let allowed = match OWNED.iter().find(|(owned, _)| owned == used) {
                Some((_, owners)) => owners.contains(&name.as_str()),
                None if ours.contains_key(used.as_str()) => ours[name.as_str()].contains(used.as_str()),
                None => true,
            };
            assert!(allowed, "{name} must not depend on {used}");
        }
    }
    for pure in ["records", "compression", "flow"] {
        for used in IMPURE {
            assert!(!edges[pure].contains(used), "{pure} is pure, {used} is not");
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_outside_the_pool() {
    for (name, _) in OURS.iter().filter(|(name, _)| *name != "pool") {
        let folder = if *name == "e2e" { "src".to_owned() } else { format!("../crates/{name}/src") };
        for root in ["lib.rs", "main.rs"] {
            let path = format!("{}/{folder}/{root}", env!("CARGO_MANIFEST_DIR"));
            if let Ok(text) = std::fs::read_to_string(&path) {
                assert!(text.contains("#![forbid(unsafe_code)]"), "{path} must forbid unsafe code");
            }
        }
    }
}

/// Each crate's normal and build dependencies, ours without their prefix.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().other_options(["--offline".to_owned()]).exec().unwrap();
    let short = |name: &str| name.strip_prefix("fanfold-").unwrap_or(name).to_owned();
    let packages = metadata.packages.iter().map(|package| {
        let shipped =
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        (short(&package.name), shipped.map(|dependency| short(&dependency.name)).collect())
    });
    packages.collect()
}
