//! `fanfold verify`: a deployed run's output, held against its records.

use std::sync::Arc;

use fanfold_store::Store;
use fanfold_store::s3::{S3Settings, S3Store};

use super::{Deployed, redrive};
use crate::args::stack::{StackArgs, VerifyArgs};
use crate::exit::Stop;
use crate::verify::{self, Looking};

/// Asks the dispatcher what the records say and what the store keeps of the output, has it read where that is wanted or
/// needed, and tells.
///
/// # Errors
/// That there is no such run, or it has not ended, or has no output; that the output is not right.
pub(crate) async fn verify(args: &VerifyArgs) -> Result<(), Stop> {
    let deployed = Deployed::find(&args.stack).await.map_err(redrive::or_on_this_machine)?;
    let mut looking = Looking::asked(deployed.ask(&verify::event(args)).await?)?;
    if let Some(file) = &args.file {
        looking.at_file(file, file.display()).await?;
    } else if looking.has_to_read(args.read) {
        looking.by_reading(&store(&args.stack).await).await?;
    }
    looking.told(args)
}

/// The stack's own S3, as who asks may read it.
async fn store(stack: &StackArgs) -> Arc<dyn Store> {
    let (region, profile) = (stack.region.clone(), stack.profile.clone());
    Arc::new(S3Store::new(S3Settings { region, profile, ..S3Settings::from_environment() }).await)
}
