//! `fanfold verify`: an output, held against the records of its run.
//!
//! The dispatcher says what follows from the records and what the store keeps of the output; this program reads, where that is
//! wanted or where the store keeps no checksum: an output may be larger than an invocation has time for.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fanfold_emulator::s3::ETags;
use fanfold_flow::code::Code;
use fanfold_flow::crc::RunningCrc;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::verification::{Found, Look, Verdict, Verification};
use fanfold_runtime::Error;
use fanfold_store::{ETag, ErrorKind, ObjectReader, ReadOptions, Store, StoreError, StoreExt};
use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::args::MachineArgs;
use crate::args::stack::{StackArgs, VerifyArgs};
use crate::exit::Stop;
use crate::home::Home;
use crate::machine::{self, Machine, Wishes};
use crate::measures::counted;
use crate::progress::{Phase, Progress};
use crate::redrive::unknown;
use crate::signals::Signals;
use crate::summary::SUCCESS;
use crate::{dispatcher, functions, stdout};

/// Bytes that are read of a file at a time.
const READ_BYTES: usize = 1 << 20;

/// What is said to whoever stops it.
const KEPT: &str = "nothing was verified, and nothing was changed";

/// An output that is being looked at.
#[derive(Debug)]
pub(crate) struct Looking {
    verification: Verification,
    /// What the user calls the place, where that is not the object's address.
    place: Option<String>,
}

/// What the dispatcher is asked.
pub(crate) fn event(args: &VerifyArgs) -> Value {
    json!({ "verify": args.job_id })
}

/// Verifies the output of a run on this machine, whose objects were kept: the file that its job named, or the object.
///
/// # Errors
/// That there is no such run, or it has not ended, or has no output; that the output is not right.
pub(crate) async fn here(args: &VerifyArgs) -> Result<(), Stop> {
    if args.stack != StackArgs::default() {
        let message =
            "use --data or --s3 environment: they mean a run on this machine, and not one of a stack";
        return Err(Error::new(Code::InvalidJob, message).into());
    }
    // Else a folder would be made.
    machine::kept_data(&args.place)?;
    let mut signals = Signals::listen()?;
    let wishes = Wishes { etags: ETags::Opaque, ..Wishes::default() };
    let machine = Machine::start(&MachineArgs::of(args.place.clone()), wishes).await?;
    let looked = tokio::select! {
        looked = look(args, &machine) => looked.map_err(Stop::Failed),
        signal = signals.next() => Err(Stop::Signalled { signal, kept: KEPT }),
    };
    machine.stop(&[]).await;
    looked?.told(args)
}

async fn look(args: &VerifyArgs, machine: &Machine) -> Result<Looking, Error> {
    let file = match &args.file {
        Some(file) => Some((file.clone(), file.display().to_string())),
        None => file_of(args, machine).await?,
    };
    let mut looking =
        Looking::asked(dispatcher::ask(&*machine.invoke, functions::DISPATCHER, &event(args)).await?)?;
    match file {
        Some((_, address)) if address == "-" => {
            let message = format!(
                "verify the output of {}: it went to standard output, and is not kept; name a copy: --file FILE",
                args.job_id
            );
            return Err(Error::new(Code::InvalidJob, message));
        }
        Some((path, address)) => looking.at_file(&path, address).await?,
        None if looking.has_to_read(args.read) => looking.by_reading(&machine.store).await?,
        None => {}
    }
    Ok(looking)
}

/// The file that a run's output went to, and what the run calls it; none where it went to an s3:// address.
async fn file_of(args: &VerifyArgs, machine: &Machine) -> Result<Option<(PathBuf, String)>, Error> {
    let keys = JobKeys::new(&machine.work, &args.job_id);
    let plan: Plan = match machine.store.get_json(&keys.plan()).await {
        Ok(plan) => plan,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(unknown("verify the output of", &args.job_id, &args.place));
        }
        Err(error) => return Err(error.into()),
    };
    let job: Job = machine.store.get_json(&keys.job()).await?;
    let home = Home::of(&machine.store, &machine.work, &plan).await?;
    let address = home.address(&plan, &job);
    Ok(address.map(|address| (home.directory.join(&address), address)))
}

impl Looking {
    /// What the dispatcher answered.
    ///
    /// # Errors
    /// `internal` when that cannot be read.
    pub(crate) fn asked(answer: Value) -> Result<Self, Error> {
        let verification = Verification::deserialize(&answer).map_err(|error| {
            Error::caused(Code::Internal, format!("read the dispatcher's answer: {answer}"), error)
        })?;
        Ok(Self { verification, place: None })
    }

    /// Whether the object must be read: as only that can tell, or as it is wanted and what the store says is not against it.
    pub(crate) fn has_to_read(&self, wanted: bool) -> bool {
        match self.verification.verdict {
            Verdict::Unread => true,
            Verdict::Verified => wanted,
            Verdict::Missing | Verdict::Replaced | Verdict::Corrupt | Verdict::Disputed => false,
        }
    }

    /// Reads the object that was found.
    ///
    /// # Errors
    /// `output_replaced` when it is another one by now; `store` when it cannot be read.
    pub(crate) async fn by_reading(&mut self, store: &Arc<dyn Store>) -> Result<(), Error> {
        let Some(Found { bytes, etag: Some(etag), .. }) = self.verification.found.clone() else {
            return Ok(());
        };
        let at = self.verification.at();
        let progress = reading(bytes);
        let (options, mark) = (ReadOptions::default(), ETag::new(&etag));
        let reader = ObjectReader::new(Arc::clone(store), at.clone(), mark, 0..bytes, options);
        let (mut crc, mut pieces) = (RunningCrc::new(), reader.into_stream());
        let failed = |error| unreadable(at, error);
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            crc.update(&piece);
            progress.moved(piece.len() as u64);
        }
        progress.end();
        self.found(&crc, Some(etag));
        Ok(())
    }

    /// Reads a file in place of the object, which the user calls `place`.
    ///
    /// # Errors
    /// `input_missing` when it is there and cannot be read.
    pub(crate) async fn at_file(&mut self, path: &Path, place: impl Display) -> Result<(), Error> {
        self.place = Some(place.to_string());
        let failed = |error| Error::caused(Code::InputMissing, format!("read {}", path.display()), error);
        let mut file = match tokio::fs::File::open(path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.verification = self.verification.clone().without();
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        let progress = reading(file.metadata().await.map_err(failed)?.len());
        let (mut crc, mut buffer) = (RunningCrc::new(), vec![0; READ_BYTES]);
        loop {
            let bytes = file.read(&mut buffer).await.map_err(failed)?;
            if bytes == 0 {
                break;
            }
            crc.update(&buffer[..bytes]);
            progress.moved(bytes as u64);
        }
        progress.end();
        self.found(&crc, None);
        Ok(())
    }

    fn found(&mut self, read: &RunningCrc, etag: Option<String>) {
        let found = Found { bytes: read.bytes(), crc64nvme: Some(read.crc()), etag, by: Look::Read };
        self.verification = self.verification.clone().with(found);
    }

    /// Tells what came of it.
    ///
    /// # Errors
    /// That the output is not right, with what is wrong with it.
    pub(crate) fn told(self, args: &VerifyArgs) -> Result<(), Stop> {
        let message = self.in_the_users_words();
        if args.json {
            stdout::print_json(&self.json(&message))?;
        }
        match self.verification.verdict.code() {
            Some(code) => {
                Err(Error::new(code, format!("verify the output of {}: {message}", args.job_id)).into())
            }
            None if args.json => Ok(()),
            None => {
                stdout::print_styled(&self.text(&message))?;
                Ok(())
            }
        }
    }

    /// The message with the place as the user knows it.
    fn in_the_users_words(&self) -> String {
        let Verification { message, output, .. } = &self.verification;
        match &self.place {
            Some(place) => message.replace(&output.uri.to_string(), place),
            None => message.clone(),
        }
    }

    fn json(&self, message: &str) -> Value {
        let mut value = json!(self.verification);
        value["message"] = json!(message);
        if let Some(place) = &self.place {
            value["output"]["uri"] = json!(place);
        }
        value
    }

    fn text(&self, message: &str) -> String {
        let expected = match self.verification.recorded {
            Some(recorded) => {
                let results = counted(recorded.results, "result", "results");
                format!("combined from the records of {results}, and the same as in the report")
            }
            None => "as the report has it; the records of the results are gone".to_owned(),
        };
        let looked = match self.verification.found.as_ref().map(|found| found.by) {
            Some(Look::Read) => "every byte was read",
            Some(Look::Head) | None => "as the store keeps them; no byte was read (--read does)",
        };
        format!("{SUCCESS}verified{SUCCESS:#}: {message}\n  expected  {expected}\n  found     {looked}\n")
    }
}

fn reading(bytes: u64) -> Progress {
    let progress = Progress::on_stderr();
    progress.begin(Phase::Copy { verb: "reading", done: 0, total: bytes });
    progress
}

fn unreadable(at: &impl Display, error: StoreError) -> Error {
    match error.kind() {
        ErrorKind::PreconditionFailed | ErrorKind::NotFound => {
            let message = format!("read {at}: it was replaced or taken away meanwhile; verify it again");
            Error::caused(Code::OutputReplaced, message, error)
        }
        _ => error.into(),
    }
}
