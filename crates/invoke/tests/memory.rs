//! What the functions in memory promise beyond the port.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fanfold_invoke::faults::{Call, Decision, Faulty};
use fanfold_invoke::memory::{Failure, MemoryInvoke, MemorySettings};
use fanfold_invoke::{FunctionError, Invoke, InvokeError};
use tokio::sync::Semaphore;

const EVENT: Bytes = Bytes::from_static(b"{}");

#[tokio::test]
async fn a_failed_event_is_tried_again_under_the_same_id() {
    let functions = MemoryInvoke::new();
    functions.register("f", async |invocation| match invocation.attempt {
        3 => Ok(EVENT),
        _ => Err(Failure::new("Early", "not yet")),
    });
    let id = functions.send("f", EVENT).await.unwrap();
    functions.idle().await;
    let deliveries = functions.deliveries();
    let attempts: Vec<u32> = deliveries.iter().map(|delivery| delivery.invocation.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(deliveries.iter().all(|delivery| delivery.invocation.request_id == id));
    assert_eq!(deliveries[2].outcome, Some(Ok(EVENT)));
}

#[tokio::test]
async fn an_event_is_given_up_after_its_last_attempt() {
    let event_attempts = NonZeroU32::new(2).unwrap();
    let functions =
        MemoryInvoke::with_settings(MemorySettings { event_attempts, ..MemorySettings::default() });
    functions.register("f", async |_| Err::<Bytes, _>(Failure::new("Always", "never")));
    functions.send("f", EVENT).await.unwrap();
    functions.idle().await;
    assert_eq!(functions.deliveries().len(), 2);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_frees_the_environment() {
    let environments = NonZeroUsize::MIN;
    let functions = MemoryInvoke::with_settings(MemorySettings { environments, ..MemorySettings::default() });
    functions.register("f", async |_| panic!("on purpose"));
    functions.register("g", async |_| Ok(EVENT));
    let error = functions.call("f", EVENT).await.unwrap_err();
    assert_eq!(error.function_error().map(|error| error.error_type.as_str()), Some(FunctionError::EXITED));
    functions.call("g", EVENT).await.unwrap();
}

#[tokio::test]
async fn without_a_free_environment_a_call_is_throttled_and_an_event_waits() {
    let environments = NonZeroUsize::MIN;
    let functions = MemoryInvoke::with_settings(MemorySettings { environments, ..MemorySettings::default() });
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    functions.register("slow", move |_| {
        let held = Arc::clone(&held);
        async move {
            let _open = held.acquire().await;
            Ok(EVENT)
        }
    });
    functions.register("quick", async |_| Ok(EVENT));
    functions.send("slow", EVENT).await.unwrap();
    while functions.deliveries().is_empty() {
        tokio::task::yield_now().await;
    }
    let called = functions.call("quick", EVENT).await;
    assert!(matches!(called, Err(InvokeError::Throttled { .. })), "{called:?}");
    functions.send("quick", EVENT).await.unwrap();
    gate.add_permits(1);
    functions.idle().await;
    let order: Vec<String> = functions.deliveries().into_iter().map(|run| run.invocation.function).collect();
    assert_eq!(order, ["slow", "quick"]);
}

#[tokio::test]
async fn idle_waits_for_events_that_functions_send() {
    let functions = Arc::new(MemoryInvoke::new());
    let runs = Arc::new(AtomicUsize::new(0));
    let (weak, counted) = (Arc::downgrade(&functions), Arc::clone(&runs));
    functions.register("chain", move |invocation| {
        let (weak, counted) = (weak.clone(), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let left: u32 = serde_json::from_slice(&invocation.payload).unwrap();
            if left > 0 {
                let next = (left - 1).to_string().into();
                weak.upgrade().unwrap().send("chain", next).await.unwrap();
            }
            Ok(EVENT)
        }
    });
    functions.send("chain", Bytes::from_static(b"5")).await.unwrap();
    functions.idle().await;
    assert_eq!(runs.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_a_failure_of_the_function() {
    let functions = MemoryInvoke::new();
    functions.register("f", async |_| Ok(Bytes::from(vec![b'x'; 6_291_557])));
    let error = functions.call("f", EVENT).await.unwrap_err();
    let kind = error.function_error().map(|error| error.error_type.as_str());
    assert_eq!(kind, Some("Function.ResponseSizeTooLarge"));
}

#[tokio::test]
async fn a_doubled_event_is_delivered_twice_and_a_dropped_one_never() {
    let functions = Arc::new(MemoryInvoke::new());
    functions.register("f", async |_| Ok(EVENT));
    let decide = |call: &Call<'_>| if call.nth == 0 { Decision::Double } else { Decision::Drop };
    let faulty = Faulty::new(functions.clone(), decide);
    faulty.send("f", EVENT).await.unwrap();
    faulty.send("f", EVENT).await.unwrap();
    functions.idle().await;
    assert_eq!(functions.deliveries().len(), 2);
}
