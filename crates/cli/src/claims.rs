//! What a run writes on this machine, compared as files: two things that went to one would destroy each other.

use fanfold_flow::code::Code;
use fanfold_runtime::Error;

use crate::args::ProgramRun;
use crate::find::Found;
use crate::joblog::Joblog;
use crate::stdout;
use crate::target::{Claim, Identity, Target};

/// Refuses a run in which the output, the joblog or `--json` would go to one file, or the joblog over an input, or anything to a
/// standard output that is closed.
///
/// # Errors
/// `invalid_job`, with what the user typed.
pub(crate) fn are_free(
    output: Option<Claim<'_>>,
    args: &ProgramRun,
    joblog: &Joblog,
    found: &Found,
) -> Result<(), Error> {
    let json = args.json.then(|| ("--json".to_owned(), &Target::Stdout));
    if let Some(joblog) = joblog.claim() {
        is_no_input(&joblog, found)?;
    }
    let claims: Vec<Claim<'_>> = output.into_iter().chain(joblog.claim()).chain(json).collect();
    if claims.iter().any(|(_, target)| **target == Target::Stdout) {
        stdout::is_open()?;
    }
    are_distinct(&claims)
}

/// Refuses things that go to one file, by whatever paths.
///
/// # Errors
/// `invalid_job`, for the first two.
fn are_distinct(claims: &[Claim<'_>]) -> Result<(), Error> {
    for (position, (option, target)) in claims.iter().enumerate() {
        let other = claims[..position].iter().find(|(_, other)| goes_together(other, target));
        if let Some((other, _)) = other {
            let message =
                format!("use {other} and {option}: both go to the same place; choose another for one");
            return Err(Error::new(Code::InvalidJob, message));
        }
    }
    Ok(())
}

fn goes_together(one: &Target, other: &Target) -> bool {
    matches!((one, other), (Target::Stdout, Target::Stdout)) || one.identity().is_same(&other.identity())
}

/// Refuses to write something over an input.
///
/// # Errors
/// `invalid_job`, with the input's path.
fn is_no_input((option, target): &Claim<'_>, found: &Found) -> Result<(), Error> {
    let identity = target.identity();
    // What is not there yet is no input, and the inputs need not be looked at.
    if !matches!(identity, Identity::Inode(..)) {
        return Ok(());
    }
    match found.files.iter().find(|file| Identity::of(&file.path).is_same(&identity)) {
        Some(input) => {
            let message =
                format!("use {option}: it is the input {}; choose another file", input.path.display());
            Err(Error::new(Code::InvalidJob, message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::find::LocalFile;

    fn target(address: &str, folder: &Path) -> Target {
        Target::at("-o", address, folder, true).unwrap()
    }

    #[test]
    fn two_things_never_go_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (target("out.csv", folder.path()), target("./out.csv", folder.path()));
        let claims = [("--output out.csv".to_owned(), &one), ("--joblog ./out.csv".to_owned(), &other)];
        let refusal = are_distinct(&claims).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidJob);
        assert!(
            refusal.to_string().starts_with("use --output out.csv and --joblog ./out.csv: both"),
            "{refusal}"
        );
        assert!(
            are_distinct(&[("a".to_owned(), &Target::Stdout), ("b".to_owned(), &Target::Stdout)]).is_err()
        );
        let null = Target::Stream("/dev/null".into());
        are_distinct(&[("a".to_owned(), &null), ("b".to_owned(), &null), ("c".to_owned(), &one)]).unwrap();
    }

    #[test]
    fn a_joblog_never_goes_over_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        fs::write(&path, "").unwrap();
        let file = LocalFile { path, at: "s3://b/k".parse().unwrap(), bytes: 0 };
        let found = Found { files: vec![file], ..Found::default() };
        let (same, new) = (target("./in", folder.path()), target("new", folder.path()));
        let refusal = is_no_input(&("--joblog ./in".to_owned(), &same), &found).unwrap_err();
        assert!(refusal.to_string().starts_with("use --joblog ./in: it is the input "), "{refusal}");
        is_no_input(&("--joblog new".to_owned(), &new), &found).unwrap();
    }
}
