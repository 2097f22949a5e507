//! What the runs before a redrive left.

use fanfold_flow::done::Group;
use fanfold_flow::plan::Plan;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

use crate::account::Account;
use crate::commit::read_groups;

/// What became of a run's chunks: of those that it did itself, all of whose groups are merged, and, where it is a redrive,
/// of those that the runs before it did.
///
/// # Errors
/// When the store fails, or a group is missing.
pub async fn read_account(deps: &Deps, plan: &Plan) -> Result<Account, Error> {
    let mut account = Account::of(groups_of(deps, plan).await?);
    // The last first: what a later run did counts more.
    for job_id in plan.earlier().iter().rev() {
        let earlier: Plan = deps.store.get_json(&deps.keys(job_id).plan()).await?;
        account = account.with_earlier(groups_of(deps, &earlier).await?);
    }
    Ok(account)
}

async fn groups_of(deps: &Deps, plan: &Plan) -> Result<Vec<Group>, Error> {
    read_groups(deps, &deps.keys(&plan.job_id), plan.grouping().groups()).await
}
