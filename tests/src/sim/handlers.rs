//! The three real handlers, in the world of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfold_flow::code::Code;
use fanfold_flow::done::Environment;
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::written::AsWritten;
use fanfold_invoke::paced::{PacedInvoke, Pacing};
use fanfold_runtime::{Budget, Deps, Error, Functions as Names, Metrics};
use fanfold_store::Store;
use serde_json::{Value, json};

use super::functions::Functions;
use super::lambda::{Lambda, Role};
use super::life::Life;
use super::mutation::Mutated;
use super::objects::Objects;
use super::programs::Programs;
use super::scenario::BUCKET;
use super::witness::Witness;

/// Runs the handler of the life's function.
pub(crate) async fn handle(
    life: &Arc<Life>,
    lambda: &Arc<Lambda>,
    payload: &[u8],
    request_id: &str,
    deadline_ms: i64,
) -> Result<Value, Error> {
    let AsWritten(event) = serde_json::from_slice(payload)
        .map_err(|error| Error::caused(Code::Internal, "read the event", error))?;
    let deps = deps(life, lambda, request_id)?;
    let budget = Budget::until(deadline_ms);
    match life.role {
        Role::Dispatcher => {
            let settings = fanfold_dispatcher::Settings::new(life.world.scenario.machines.cores);
            fanfold_dispatcher::handle(event, &deps, &settings, budget, request_id).await
        }
        Role::Worker => {
            fanfold_worker::handle(event, &deps, &worker_settings(life), budget).await.map(|()| json!({}))
        }
        Role::Reducer => {
            let limits = &life.world.scenario.limits;
            fanfold_reducer::handle(event, &deps, limits, budget).await.map(|()| json!({}))
        }
    }
}

/// The world as an invocation sees it: at its end the objects, before them who watches what is done to them, before that
/// the guard that is broken, if one is, and foremost what goes wrong.
fn deps(life: &Arc<Life>, lambda: &Arc<Lambda>, request_id: &str) -> Result<Deps, Error> {
    let world = &life.world;
    let mut store: Arc<dyn Store> = Arc::new(Witness::new(life, world.counted.clone()));
    if let Some(mutation) = world.mutation {
        store = Arc::new(Mutated::new(mutation, life, store));
    }
    let functions = Functions { life: Arc::clone(life), lambda: Arc::clone(lambda) };
    let seed = life.random().u64(..);
    let measured = Arc::clone(world);
    let metrics = Metrics::new("Fanfold", None, move |line| measured.judge.measured(line))
        .map_err(|error| Error::caused(Code::Internal, "name the metrics", error))?;
    Ok(Deps {
        store: Arc::new(Objects::new(life, store)),
        invoke: Arc::new(PacedInvoke::new(Arc::new(functions), Pacing::default(), seed)),
        world: world.clock.clone(),
        work: ObjectUri::new(BUCKET, "work/"),
        functions: Names {
            dispatcher: Role::Dispatcher.name().to_owned(),
            worker: Role::Worker.name().to_owned(),
            reducer: Role::Reducer.name().to_owned(),
        },
        metrics,
        environment: Environment { id: format!("machine-{}", life.number), cold: true },
        request_id: request_id.to_owned(),
    })
}

fn worker_settings(life: &Arc<Life>) -> fanfold_worker::Settings {
    fanfold_worker::Settings {
        cores: life.world.scenario.machines.cores,
        memory_mb: 1_769 * life.world.scenario.machines.cores,
        process_memory_mb: None,
        rust_tasks: fanfold_worker::RustTasks::default(),
        simulation: Some(Arc::new(Programs::new(life))),
        tasks: BTreeMap::from([("translate".to_owned(), vec!["translate".to_owned()])]),
        allow_commands: false,
        directory: None,
        environment: Vec::new(),
        credentials: Vec::new(),
    }
}
