//! An output that one upload has too few parts for: it is made of nodes, each by a reducer of its own.
//!
//! ```text
//! the output's reducer: plans of all nodes written -> its lease handed on, the number of nodes noted -> a reducer for each
//! a node's reducer:     its plan executed -> its record written once -> the last one starts the output's reducer again
//! the output's reducer: all records there -> the output planned over the nodes, and put together
//! ```
//! Each step is written down before the next one begins, and may be done again by whoever comes: plans and records are
//! written once, and each node has a lease like the output's. The price of nodes is that every byte is copied twice.

use std::num::TryFromIntError;

use fanfold_flow::code::Code;
use fanfold_flow::concat::{ConcatPlan, Element};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::node::Node;
use fanfold_gather::{Goal, Tried, nodes_made, read_nodes, start_reducer};
use fanfold_runtime::Error;
use fanfold_store::{Condition, StoreExt};
use futures::{StreamExt, TryStreamExt, stream};

use crate::execute::{Made, Trouble, Work};

/// Most requests to store or functions at once.
const REQUESTS_IN_FLIGHT: usize = 16;

/// How far the nodes of an output are.
pub(crate) enum Nodes {
    /// All are made, and this is their output as elements, of which so many bytes went through a reducer.
    Made { elements: Vec<Element>, streamed_bytes: u64 },
    /// Some are not; whoever makes the last one starts the output's reducer again.
    UnderWay,
}

/// The nodes that these plans make, where they are made; else has those made that are not.
///
/// # Errors
/// When store or invoke fail; when a node was made that is not what its plan makes.
pub(crate) async fn nodes(work: &mut Work<'_>, keys: &JobKeys, plans: &[ConcatPlan]) -> Result<Nodes, Error> {
    let deps = work.deps;
    let count = number(plans.len())?;
    let made = nodes_made(deps, keys).await?;
    let missing: Vec<u32> = (0..count).filter(|node| !made.contains(node)).collect();
    if missing.is_empty() {
        return read(work, keys, plans).await;
    }
    let places = missing.iter().map(|node| keys.node_plan(*node));
    let planned = missing.iter().filter_map(|node| plans.get(*node as usize));
    let writes: Vec<_> = places
        .zip(planned)
        .map(|(at, plan)| async move { deps.store.create_json(&at, plan).await.map(drop) })
        .collect();
    stream::iter(writes).buffer_unordered(REQUESTS_IN_FLIGHT).try_collect::<()>().await?;
    // First the note, then the events: whoever finds the lease so looks after the nodes, should this end here.
    work.lease.leave_to_nodes(deps, &work.lease_at, count).await?;
    tracing::info!(job = %keys.job_id(), nodes = count, missing = missing.len(), "the output is made of nodes");
    let sends: Vec<_> = missing
        .into_iter()
        .map(|node| start_reducer(deps, keys.job_id(), Goal::Node(node), Tried::FIRST))
        .collect();
    stream::iter(sends).buffer_unordered(REQUESTS_IN_FLIGHT).try_collect::<()>().await?;
    Ok(Nodes::UnderWay)
}

async fn read(work: &Work<'_>, keys: &JobKeys, plans: &[ConcatPlan]) -> Result<Nodes, Error> {
    let nodes = read_nodes(work.deps, keys, number(plans.len())?).await?;
    if let Some((node, plan)) = nodes.iter().zip(plans).find(|(node, plan)| !node.is_of(plan)) {
        let message = format!(
            "put the output together of its nodes: node {} has {} bytes with CRC64NVME {}, and is planned with {} and {}; it \
             was planned by another version of Fanfold",
            node.number, node.bytes, node.crc, plan.bytes, plan.crc
        );
        return Err(Error::new(Code::Internal, message));
    }
    let streamed_bytes = nodes.iter().map(|node| node.streamed_bytes).sum();
    Ok(Nodes::Made { elements: nodes.iter().map(Node::element).collect(), streamed_bytes })
}

/// How far a node came.
pub(crate) enum Came {
    /// It is made.
    ToItsEnd,
    /// Time was up, when so many of its parts were there.
    Partly {
        /// Parts that are there.
        made: usize,
        /// All parts.
        of: usize,
    },
}

/// Makes a node, unless it is made.
pub(crate) async fn make(work: &mut Work<'_>, keys: &JobKeys, number: u32) -> Result<Came, Trouble> {
    let (deps, record) = (work.deps, keys.node_made(number));
    if deps.store.exists(&record).await? {
        return Ok(Came::ToItsEnd);
    }
    let concat: ConcatPlan = deps.store.get_json(&keys.node_plan(number)).await?;
    let at = keys.node(number);
    // Two reducers that are at it make the same; what stands there is what is recorded.
    match work.execute(&concat, &at, Condition::IfAbsent).await? {
        Made::Partly(made) => Ok(Came::Partly { made, of: concat.parts.len() }),
        Made::Object(etag) => {
            let node = Node::made(number, &concat, at, etag.to_string());
            deps.store.create_json(&record, &node).await?;
            Ok(Came::ToItsEnd)
        }
    }
}

fn number(nodes: usize) -> Result<u32, Error> {
    nodes.try_into().map_err(|error: TryFromIntError| {
        Error::caused(Code::Internal, format!("count {nodes} nodes of an output"), error)
    })
}
