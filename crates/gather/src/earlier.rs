//! What the runs before a redrive left.

use std::collections::HashMap;

use fanfold_flow::done::{Failure, Group};
use fanfold_flow::plan::Plan;
use fanfold_flow::result::ChunkResult;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

use crate::account::Account;
use crate::commit::read_groups;

/// What a run, and those that it redrives, leave for one that redrives it.
#[derive(Debug, Default)]
pub struct Left {
    /// What is to be done over, in order of the index.
    pub failures: Vec<Failure>,
    /// What stays: the results of all that did not fail and, of what did, those of the cuts that were done before.
    pub kept: Vec<ChunkResult>,
}

impl Left {
    /// What a run left by itself, given its groups.
    pub fn of(groups: Vec<Group>) -> Self {
        let Account { results, failures, partial, .. } = Account::of(groups);
        let rest_of = |failure: &Failure| failure.rest.as_ref().map_or(0, |rest| rest.cut);
        let redone: HashMap<u64, u32> =
            failures.iter().map(|failure| (failure.index, rest_of(failure))).collect();
        let before_the_rest = partial.into_iter().filter(|result| result.cut < redone[&result.index]);
        Self { kept: results.into_iter().chain(before_the_rest).collect(), failures }
    }
}

/// What became of a run's chunks: of those that it did itself, all of whose groups are merged, and, where it is a redrive,
/// of those that the runs before it did.
///
/// # Errors
/// When the store fails, or a group is missing.
pub async fn read_account(deps: &Deps, plan: &Plan) -> Result<Account, Error> {
    let mut account = Account::of(groups_of(deps, plan).await?);
    for earlier in earlier_plans(deps, plan).await? {
        account = account.with_earlier(Left::of(groups_of(deps, &earlier).await?));
    }
    Ok(account)
}

/// What is left for a redrive of a run that has ended, of its own and of the runs that it redrives.
///
/// # Errors
/// When the store fails, or a group is missing.
pub async fn read_left(deps: &Deps, plan: &Plan) -> Result<Left, Error> {
    let mut left = Left::of(groups_of(deps, plan).await?);
    for earlier in earlier_plans(deps, plan).await? {
        left.kept.extend(Left::of(groups_of(deps, &earlier).await?).kept);
    }
    Ok(left)
}

async fn earlier_plans(deps: &Deps, plan: &Plan) -> Result<Vec<Plan>, Error> {
    let mut plans = Vec::new();
    for job_id in plan.earlier() {
        plans.push(deps.store.get_json(&deps.keys(job_id).plan()).await?);
    }
    Ok(plans)
}

async fn groups_of(deps: &Deps, plan: &Plan) -> Result<Vec<Group>, Error> {
    read_groups(deps, &deps.keys(&plan.job_id), plan.grouping().groups()).await
}
