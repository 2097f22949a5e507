//! What every adapter to functions and every wrapper is held to: one function a property, named for it.
//!
//! It needs three names from whoever runs it: a function that answers with the payload it was given, one that fails
//! with the error type `Conformance.Failed` and the message `failed on purpose`, and a name that no function has.

#![allow(
    clippy::missing_errors_doc,
    reason = "every property fails in one way: it is broken, as `Verdict` says"
)]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::limits::{CALL_PAYLOAD_BYTES, EVENT_PAYLOAD_BYTES};
use futures::future::{BoxFuture, join_all};

use crate::error::InvokeError;
use crate::invoke::Invoke;

/// The error type that the failing function must answer with.
pub const FAILED: &str = "Conformance.Failed";

/// The message that the failing function must answer with.
pub const ON_PURPOSE: &str = "failed on purpose";

/// How many callers there are at once, where it is about that.
const CALLERS: usize = 16;

/// The port under test, and the functions behind it.
#[derive(Clone, Debug)]
pub struct World {
    /// The port under test.
    pub invoke: Arc<dyn Invoke>,
    /// A function that answers with the payload it was given.
    pub echo: String,
    /// A function that fails with [`FAILED`] and [`ON_PURPOSE`].
    pub failing: String,
    /// A name that no function has.
    pub missing: String,
}

/// How a property is broken, in words.
#[derive(Debug)]
pub struct Violation(String);

/// Whether a property holds.
pub type Verdict = Result<(), Violation>;

impl From<InvokeError> for Violation {
    fn from(error: InvokeError) -> Self {
        Self(format!("an invocation that should have succeeded failed: {error}"))
    }
}

/// The properties that do not hold, by name.
#[derive(Debug)]
pub struct Broken(Vec<(&'static str, Violation)>);

impl Broken {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} properties do not hold:", self.0.len())?;
        self.0.iter().try_for_each(|(name, Violation(how))| writeln!(f, "- {name}: {how}"))
    }
}

impl std::error::Error for Broken {}

/// A property: its name, and the function that tries it.
pub struct Property {
    /// The name of the function, which is the property in words.
    pub name: &'static str,
    check: for<'a> fn(&'a World) -> BoxFuture<'a, Verdict>,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! properties {
    ($($name:ident),* $(,)?) => {
        /// All properties.
        pub const PROPERTIES: &[Property] =
            &[$(Property { name: stringify!($name), check: |world| Box::pin($name(world)) }),*];
    };
}

properties![
    a_call_gives_the_functions_answer,
    a_payload_of_megabytes_comes_back_whole,
    a_failure_inside_the_function_is_an_error,
    an_event_is_taken_and_named,
    an_event_to_a_failing_function_is_taken_all_the_same,
    a_function_that_is_not_there_is_not_found,
    a_payload_over_the_limit_is_refused,
    an_event_at_the_limit_is_taken,
    a_payload_that_is_no_json_is_refused,
    answers_of_many_callers_are_not_mixed_up,
];

/// Tries every property and says which do not hold.
///
/// # Errors
/// The properties that do not hold.
pub async fn run(world: &World) -> Result<usize, Broken> {
    let mut broken = Vec::new();
    for property in PROPERTIES {
        if let Err(violation) = (property.check)(world).await {
            broken.push((property.name, violation));
        }
    }
    if broken.is_empty() { Ok(PROPERTIES.len()) } else { Err(Broken(broken)) }
}

/// What goes in comes out, and the invocation has an id.
pub async fn a_call_gives_the_functions_answer(world: &World) -> Verdict {
    for payload in ["{}", r#"{"한":["글",1,null]}"#, "[]", r#""text""#, "0"] {
        let answer = world.invoke.call(&world.echo, payload.into()).await?;
        same_json(&answer.payload, payload)?;
        ensure(!answer.request_id.as_str().is_empty(), || "the answer has no request id".to_owned())?;
    }
    Ok(())
}

/// 4 MB each way are well within the 6 MB that a call may carry.
pub async fn a_payload_of_megabytes_comes_back_whole(world: &World) -> Verdict {
    let payload = json_of(4_000_000);
    let answer = world.invoke.call(&world.echo, payload.clone()).await?;
    ensure(answer.payload == payload, || format!("{} bytes came back", answer.payload.len()))
}

/// The service answers such a call with success; here it is an error with the function's own words.
pub async fn a_failure_inside_the_function_is_an_error(world: &World) -> Verdict {
    match world.invoke.call(&world.failing, "{}".into()).await {
        Err(InvokeError::Function { error, function }) => {
            let is = (error.error_type.as_str(), error.message.as_str(), function.as_str());
            let should_be = (FAILED, ON_PURPOSE, world.failing.as_str());
            ensure(is == should_be, || format!("the failure is {is:?}, should be {should_be:?}"))?;
            let id = &error.request_id;
            ensure(!id.as_str().is_empty(), || "the failure has no request id".to_owned())
        }
        other => Err(Violation(format!("the call should fail inside the function, but gives {other:?}"))),
    }
}

/// Each event gets an id of its own.
pub async fn an_event_is_taken_and_named(world: &World) -> Verdict {
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        ids.insert(world.invoke.send(&world.echo, r#"{"event":true}"#.into()).await?);
    }
    let named = ids.len() == 3 && ids.iter().all(|id| !id.as_str().is_empty());
    ensure(named, || format!("three events have the ids {ids:?}"))
}

/// What becomes of an event is not told to its sender.
pub async fn an_event_to_a_failing_function_is_taken_all_the_same(world: &World) -> Verdict {
    world.invoke.send(&world.failing, "{}".into()).await?;
    Ok(())
}

/// Neither called nor sent to, and the error names it.
pub async fn a_function_that_is_not_there_is_not_found(world: &World) -> Verdict {
    let called = world.invoke.call(&world.missing, "{}".into()).await.map(drop);
    let sent = world.invoke.send(&world.missing, "{}".into()).await.map(drop);
    for outcome in [called, sent] {
        let named =
            matches!(&outcome, Err(InvokeError::NotFound { function, .. }) if *function == world.missing);
        ensure(named, || format!("a function that is not there gives {outcome:?}"))?;
    }
    Ok(())
}

/// One byte too many is refused with both numbers.
pub async fn a_payload_over_the_limit_is_refused(world: &World) -> Verdict {
    let called = world.invoke.call(&world.echo, json_of(CALL_PAYLOAD_BYTES + 1)).await.map(drop);
    let sent = world.invoke.send(&world.echo, json_of(EVENT_PAYLOAD_BYTES + 1)).await.map(drop);
    for (outcome, most) in [(called, CALL_PAYLOAD_BYTES), (sent, EVENT_PAYLOAD_BYTES)] {
        let told = matches!(&outcome, Err(InvokeError::TooLarge { bytes, limit, .. }) if *bytes == most + 1 && *limit == most);
        ensure(told, || format!("a payload of {} bytes gives {outcome:?}", most + 1))?;
    }
    Ok(())
}

/// The limit itself is allowed.
pub async fn an_event_at_the_limit_is_taken(world: &World) -> Verdict {
    world.invoke.send(&world.echo, json_of(EVENT_PAYLOAD_BYTES)).await?;
    Ok(())
}

/// The service looks whether it is JSON before anything runs.
pub async fn a_payload_that_is_no_json_is_refused(world: &World) -> Verdict {
    let outcome = world.invoke.call(&world.echo, "{not json".into()).await;
    ensure(matches!(outcome, Err(InvokeError::Invalid { .. })), || format!("no JSON gives {outcome:?}"))
}

/// Each caller gets the answer to its own question, and an id of its own.
pub async fn answers_of_many_callers_are_not_mixed_up(world: &World) -> Verdict {
    let questions: Vec<String> = (0..CALLERS).map(|caller| format!(r#"{{"caller":{caller}}}"#)).collect();
    let calls = questions.iter().map(|question| world.invoke.call(&world.echo, question.clone().into()));
    let mut ids = BTreeSet::new();
    for (answer, question) in join_all(calls).await.into_iter().zip(&questions) {
        let answer = answer?;
        same_json(&answer.payload, question)?;
        ids.insert(answer.request_id);
    }
    ensure(ids.len() == CALLERS, || format!("{CALLERS} calls have {} ids", ids.len()))
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Violation(otherwise())) }
}

/// Equal but for white space and the order of fields.
fn same_json(is: &Bytes, should_be: &str) -> Verdict {
    let parsed = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    ensure(parsed(is).is_some() && parsed(is) == parsed(should_be.as_bytes()), || {
        format!("the answer is {}, should be {should_be}", String::from_utf8_lossy(is))
    })
}

/// A JSON text of exactly so many bytes.
fn json_of(bytes: usize) -> Bytes {
    let text = "x".repeat(bytes.saturating_sub(2));
    format!("\"{text}\"").into()
}
