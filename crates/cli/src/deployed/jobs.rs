//! `fanfold jobs`: what is deployed.

use serde_json::{Value, json};

use super::Deployed;
use crate::args::stack::JobsArgs;
use crate::exit::Stop;
use crate::stdout;

/// Prints the deployed jobs.
///
/// # Errors
/// When the dispatcher cannot be asked.
pub(crate) async fn show(args: &JobsArgs) -> Result<(), Stop> {
    let deployed = Deployed::find(&args.stack).await?;
    let answer = deployed.ask(&json!({})).await?;
    if args.json {
        return Ok(stdout::print_json(&answer)?);
    }
    stdout::print_styled(&told(&answer))?;
    Ok(())
}

fn told(answer: &Value) -> String {
    format!("{answer}\n")
}
