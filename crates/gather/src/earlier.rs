//! What the runs before a redrive left.

use std::collections::HashMap;
use std::pin::pin;

use fanfold_flow::done::{Failure, Group};
use fanfold_flow::plan::Plan;
use fanfold_flow::result::ChunkResult;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;
use futures::TryStreamExt;

use crate::account::Account;
use crate::commit::read_each;

/// Most groups read at once.
const GROUPS_IN_FLIGHT: usize = 8;

/// What a run, and those that it redrives, leave for one that redrives it.
#[derive(Debug, Default)]
pub struct Left {
    /// What is to be done over, in order of the index.
    pub failures: Vec<Failure>,
    /// What stays: the results of all that did not fail and, of what did, those of the cuts that were done before.
    pub kept: Vec<ChunkResult>,
}

impl Left {
    /// What a run left by itself, given what became of the chunks that it did itself.
    pub fn of(account: Account) -> Self {
        let Account { results, failures, partial, .. } = account;
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
    let mut account = own_account(deps, plan).await?;
    for earlier in earlier_plans(deps, plan).await? {
        account = account.with_earlier(Left::of(own_account(deps, &earlier).await?));
    }
    Ok(account.without_void(plan))
}

/// What is left for a redrive of a run that has ended, of its own and of the runs that it redrives.
///
/// # Errors
/// When the store fails, or a group is missing.
pub async fn read_left(deps: &Deps, plan: &Plan) -> Result<Left, Error> {
    let mut left = Left::of(own_account(deps, plan).await?);
    for earlier in earlier_plans(deps, plan).await? {
        left.kept.extend(Left::of(own_account(deps, &earlier).await?).kept);
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

/// What became of the chunks that a run did itself. Of its groups, which are large where there are many chunks, only a few are
/// in memory as they were read.
async fn own_account(deps: &Deps, plan: &Plan) -> Result<Account, Error> {
    let keys = deps.keys(&plan.job_id);
    let places = (0..plan.grouping().groups()).map(|group| keys.group(group));
    let mut groups = pin!(read_each::<Group>(deps, places, GROUPS_IN_FLIGHT));
    let mut account = Account::default();
    while let Some(group) = groups.try_next().await? {
        account.add(group);
    }
    Ok(account.in_its_order())
}

#[cfg(test)]
mod tests {
    use fanfold_flow::chunk::{Chunk, Input};
    use fanfold_flow::code::Code;
    use fanfold_flow::done::Done;
    use fanfold_flow::version::Version;
    use proptest::prelude::*;

    use super::*;

    fn chunk(index: u64, cut: u32) -> Chunk {
        Chunk { cut, ..Chunk::whole(index, Input::Items { first: index, count: 1 }) }
    }

    fn result(index: u64, cut: u32) -> ChunkResult {
        ChunkResult {
            index,
            cut,
            hop: 0,
            attempt: 1,
            stored: None,
            header: None,
            records: 1,
            input: None,
            bytes_in: 1,
            bytes_out: 0,
            started_ms: 0,
            wall_ms: 1,
        }
    }

    fn failure(chunk: &Chunk) -> Failure {
        Failure::of(chunk, 0, 1, Code::ProgramFailed, "")
    }

    /// A run over these chunks: of each, so many cuts are done; then the next one fails, or there is none.
    fn run(chunks: &[Chunk], fates: &[(u32, bool)]) -> (Vec<Group>, Vec<Chunk>) {
        let (mut results, mut failures, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for (chunk, (cuts, fails)) in chunks.iter().zip(fates.iter().cycle()) {
            results.extend((chunk.cut..chunk.cut + cuts).map(|cut| result(chunk.index, cut)));
            let next = Chunk { cut: chunk.cut + cuts, ..chunk.clone() };
            if *fails {
                failures.push(failure(&next));
                left.push(next);
            } else {
                results.push(result(chunk.index, next.cut));
            }
        }
        let done = Done {
            version: Version,
            partition: 0,
            attempts: 1,
            results,
            failures,
            tries: Vec::new(),
            deaths: Vec::new(),
            environments: Vec::new(),
        };
        (vec![Group { version: Version, number: 0, done: vec![done] }], left)
    }

    fn fates() -> impl Strategy<Value = Vec<Vec<(u32, bool)>>> {
        prop::collection::vec(prop::collection::vec((0_u32..3, any::<bool>()), 1..8), 1..5)
    }

    proptest! {
        #[test]
        fn whatever_was_cut_and_redriven_the_output_has_each_piece_once(count in 1_u64..12, fates in fates()) {
            let mut chunks: Vec<Chunk> = (0..count).map(|index| chunk(index, 0)).collect();
            let mut runs = Vec::new();
            for fate in &fates {
                let (groups, left) = run(&chunks, fate);
                runs.push(groups);
                chunks = left;
            }
            let failed: Vec<u64> = chunks.iter().map(|chunk| chunk.index).collect();
            let last = runs.pop().unwrap_or_default();
            let account = runs.into_iter().fold(Account::of(last), |account, groups| account.with_earlier(Left::of(Account::of(groups))));
            let pieces: Vec<(u64, u32)> = account.in_order().iter().map(|result| (result.index, result.cut)).collect();
            prop_assert_eq!(account.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), failed.clone());
            let indexes: Vec<u64> = pieces.iter().filter(|(_, cut)| *cut == 0).map(|(index, _)| *index).collect();
            let expected: Vec<u64> = (0..count).filter(|index| !failed.contains(index)).collect();
            prop_assert_eq!(indexes, expected, "each index that did not fail, and none that did");
            for pair in pieces.windows(2) {
                let ((index, cut), (next_index, next_cut)) = (pair[0], pair[1]);
                prop_assert!(next_cut == 0 && next_index > index || (next_index, next_cut) == (index, cut + 1), "{pair:?}");
            }
        }
    }
}
