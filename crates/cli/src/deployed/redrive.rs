//! `fanfold redrive`: what is left of a deployed run, done by another.

use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use serde_json::json;

use super::{Deployed, NONE_MEANT, submit};
use crate::args::stack::RedriveArgs;
use crate::exit::Stop;

/// Has what is left of a run done, and tells what the dispatcher answers; with `--wait`, follows the run that does it.
///
/// # Errors
/// That there is no such run, or it has not ended, or cannot be redriven; that the run which does it has failed, where it
/// has ended before or is followed with `--wait`.
pub(crate) async fn redrive(args: &RedriveArgs) -> Result<(), Stop> {
    if args.run.joblog.is_some() || args.run.quiet {
        let message = "use --joblog and --quiet: they go with a run on this machine, which --data or --s3 environment mean";
        return Err(Error::new(Code::InvalidJob, message).into());
    }
    let deployed = Deployed::find(&args.stack).await.map_err(or_on_this_machine)?;
    let answer = deployed.ask(&json!({ "redrive": args.job_id })).await?;
    submit::answered(answer, &deployed, args.wait, args.run.json).await
}

/// Where nothing says which stack is meant, a run on this machine may be.
pub(super) fn or_on_this_machine(error: Error) -> Error {
    if error.message != NONE_MEANT {
        return error;
    }
    let message = format!("{NONE_MEANT}; or, for a run on this machine, say where it was kept: --data DIR");
    Error { message, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_stack_is_named_the_run_may_have_been_on_this_machine() {
        let told = or_on_this_machine(Error::new(Code::Stack, NONE_MEANT));
        assert!(told.message.starts_with(NONE_MEANT) && told.message.ends_with("--data DIR"), "{told}");
        let other = or_on_this_machine(Error::new(Code::Stack, "use the stack"));
        assert_eq!(other.message, "use the stack");
    }
}
