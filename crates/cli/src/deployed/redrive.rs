//! `fanfold redrive`: what is left of a deployed run, done by another.

use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use serde_json::json;

use super::{Deployed, submit};
use crate::args::stack::RedriveArgs;
use crate::exit::Stop;

/// Has what is left of a run done, and tells what the dispatcher answers; with `--wait`, follows the run that does it.
///
/// # Errors
/// That there is no such run, or it has not ended, or cannot be redriven; with `--wait`, that the job failed.
pub(crate) async fn redrive(args: &RedriveArgs) -> Result<(), Stop> {
    if args.run.joblog.is_some() || args.run.quiet {
        let message = "use --joblog and --quiet: they go with a run on this machine, which --data or --s3 environment mean";
        return Err(Error::new(Code::InvalidJob, message).into());
    }
    let deployed = Deployed::find(&args.stack).await?;
    let answer = deployed.ask(&json!({ "redrive": args.job_id })).await?;
    submit::answered(answer, &deployed, args.wait, args.run.json).await
}
