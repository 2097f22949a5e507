//! Where the joblog of a job that ran here goes: to a file, or it stays where the job's objects stay.

use std::path::Path;

use fanfold_flow::code::Code;
use fanfold_flow::report::Report;
use fanfold_runtime::Error;

use crate::args::ProgramRun;
use crate::copy_out::copy_joblog;
use crate::machine::Machine;
use crate::target::{Claim, Target};

/// Where the joblog is wanted.
#[derive(Debug)]
pub(crate) struct Joblog {
    /// Where it is copied to, with the address as it was written.
    file: Option<(Target, String)>,
    /// Whether it outlives the program where the job has put it.
    stays: bool,
}

impl Joblog {
    /// What the command line says, or why it cannot be: found out before any work is done.
    ///
    /// # Errors
    /// `invalid_job` for a folder, and for one that is missing or may not be written.
    pub(crate) fn wanted(args: &ProgramRun, directory: &Path) -> Result<Self, Error> {
        let stays = args.machine.place.keeps_objects();
        let Some(address) = &args.joblog else { return Ok(Self { file: None, stays }) };
        let target = Target::at("--joblog", address, directory, true)?;
        Ok(Self { file: Some((target, address.clone())), stays })
    }

    /// What it takes on this machine.
    pub(crate) fn claim(&self) -> Option<Claim<'_>> {
        self.file.as_ref().map(|(target, address)| (format!("--joblog {address}"), target))
    }

    /// Copies the joblog of a job that has ended to where it is wanted, and says where it is for the user; nothing where it
    /// goes when the program ends.
    ///
    /// # Errors
    /// When there is none, or it cannot be copied.
    pub(crate) async fn brought_home(
        &self,
        report: &Report,
        machine: &Machine,
    ) -> Result<Option<String>, Error> {
        match (&report.joblog, &self.file) {
            (Some(at), Some((target, address))) => {
                copy_joblog(at, target, &machine.store, machine.embedded_s3()).await?;
                Ok(Some(address.clone()))
            }
            (Some(at), None) => Ok(self.stays.then(|| at.to_string())),
            (None, None) => Ok(None),
            (None, Some((_, address))) => {
                let message = format!("write the joblog to {address}: the job could not store it");
                Err(Error::new(Code::Store, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: ProgramRun,
    }

    #[test]
    fn a_joblog_that_could_not_be_written_is_refused_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = |line: &[&str]| {
            let Line { run } = Line::try_parse_from([&["x"], line].concat()).unwrap();
            Joblog::wanted(&run, folder.path())
        };
        for (address, says) in
            [("no/jobs.tsv", "use --joblog: there is no folder"), (".", "use --joblog: . is a folder")]
        {
            let refusal = wanted(&["--joblog", address]).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidJob);
            assert!(refusal.to_string().contains(says), "{refusal}");
        }
        let kept = wanted(&["--joblog", "jobs.tsv", "--data", "d"]).unwrap();
        assert!(kept.stays && kept.file.is_some());
        let gone = wanted(&[]).unwrap();
        assert!(!gone.stays && gone.file.is_none());
    }
}
