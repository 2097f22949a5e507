//! The net under what died between two steps.

use fanfold_flow::code::Code;
use fanfold_runtime::{Budget, Deps, Error};
use serde_json::Value;

use crate::Settings;

/// Looks for what died between two steps, and takes it on.
pub(crate) async fn sweep(_deps: &Deps, _settings: &Settings, _budget: Budget) -> Result<Value, Error> {
    Err(Error::new(Code::Internal, "sweep: not built yet"))
}
