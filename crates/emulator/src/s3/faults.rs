//! S3's bad days, on demand: refused requests, lost answers, bodies that break off, delays.
//!
//! Off until a test turns them on with [`FaultsHandle::set`], which it may do, and undo, at any moment. Each fault is
//! logged (`tracing::debug!`) and counted. Only requests whose signature holds are hit, and none that is signed with a
//! key that is spared.
//!
//! # What a fault does
//! - A refused request (503, 500) has done nothing. Copies and completed uploads get half of their 500s inside of an
//!   answer with status 200, as on S3, which begins to answer before it is done.
//! - A request whose answer is lost has done everything that it does without the fault, be that a refusal; then the
//!   connection is closed.
//! - A body that is cut off has its full length announced; the connection is closed somewhere before its end.
//! - A delayed request waits before it does anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey, SimpleAuth};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::fate::{Fate, decree};
use super::service::OPERATIONS;
use crate::faults::{Active, Switch, WrongFaults, delay, pick, problems};

/// What goes wrong, and how often.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// What is drawn depends on it, and on how many requests of the same operation there were before.
    pub seed: u64,
    /// For every operation but those below.
    pub rates: Rates,
    /// For operations by their names in S3's API, such as `GetObject`.
    pub operations: BTreeMap<String, Rates>,
}

/// Probabilities from 0.0 (never) to 1.0, of which at most one happens to a request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// 503 `SlowDown`.
    pub slow_down: f64,
    /// 500 `InternalError`.
    pub internal_error: f64,
    /// It is carried out, and its answer is lost.
    pub answer_lost: f64,
    /// The body breaks off before its end. Only `GetObject` has such a body; a rate for another operation is refused,
    /// unless it is one for all.
    pub body_cut: f64,
    /// It is carried out later.
    pub late: f64,
    /// The longest delay.
    pub delay_max: Duration,
}

/// How often each fault has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in `Rates`")]
pub struct FaultCounts {
    pub slow_down: u64,
    pub internal_error: u64,
    pub answer_lost: u64,
    pub body_cut: u64,
    pub late: u64,
}

/// Switches the faults of a running S3 on and off, and tells how many there were. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct FaultsHandle(Arc<Switch<Faults, FaultCounts>>);

/// What befalls a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    SlowDown,
    InternalError,
    AnswerLost,
    BodyCut,
    Late,
}

impl Rates {
    fn alternatives(&self) -> [(&'static str, f64, Fault); 5] {
        [
            ("slow_down", self.slow_down, Fault::SlowDown),
            ("internal_error", self.internal_error, Fault::InternalError),
            ("answer_lost", self.answer_lost, Fault::AnswerLost),
            ("body_cut", self.body_cut, Fault::BodyCut),
            ("late", self.late, Fault::Late),
        ]
    }
}

impl Faults {
    fn problems(&self) -> Vec<String> {
        let mut all = problems("rates", &self.rates.alternatives());
        for (name, rates) in &self.operations {
            all.extend(problems(name, &rates.alternatives()));
            if known(name).is_none() {
                all.push(format!("operations: `{name}` is none of this S3's, such as `{GET_OBJECT}`"));
            } else if rates.body_cut != 0.0 && name != GET_OBJECT {
                all.push(format!("{name}: `body_cut` is for {GET_OBJECT} alone"));
            }
        }
        all
    }
}

const GET_OBJECT: &str = "GetObject";

/// Operations whose errors may come inside of an answer with status 200. Source: S3 API reference, of each of them.
const ANSWERED_EARLY: [&str; 3] = ["CompleteMultipartUpload", "CopyObject", "UploadPartCopy"];

impl FaultsHandle {
    /// Has these faults happen from now on, in place of those before.
    ///
    /// # Errors
    /// What is wrong with them; then nothing changes.
    pub fn set(&self, faults: Faults) -> Result<(), WrongFaults> {
        WrongFaults::unless_none(faults.problems())?;
        self.0.turn(Some((faults.seed, faults)));
        Ok(())
    }

    /// Has no fault happen from now on. Delays that have begun go on.
    pub fn clear(&self) {
        self.0.turn(None);
    }

    /// How often each fault has happened since the start.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.0.counts()
    }

    /// Lets another access key in, whose requests are spared: a test uses it for its own.
    pub fn spare(&self, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) {
        self.0.spare(access_key_id.into(), secret_access_key.into());
    }

    async fn befall(&self, active: &Active<Faults>, about: &mut S3AccessContext<'_>) -> S3Result<()> {
        // What this S3 does not offer is refused without any fault.
        let Some(operation) = known(about.s3_op().name()) else { return Ok(()) };
        let mut dice = active.dice(operation);
        let rates = active.faults.operations.get(operation).unwrap_or(&active.faults.rates);
        let Some(fault) = pick(&mut dice, &rates.alternatives()) else { return Ok(()) };
        let at = about.uri().clone();
        match fault {
            Fault::SlowDown => {
                tracing::debug!(operation, %at, "a fault: a request is answered 503");
                self.0.count(|counts| counts.slow_down += 1);
                Err(S3Error::with_message(S3ErrorCode::SlowDown, "Please reduce your request rate."))
            }
            Fault::InternalError => {
                let late = ANSWERED_EARLY.contains(&operation) && dice.bool();
                tracing::debug!(operation, %at, late, "a fault: a request is answered 500, if not too late");
                self.0.count(|counts| counts.internal_error += 1);
                Err(internal_error(late))
            }
            Fault::Late => {
                let delay = delay(&mut dice, rates.delay_max);
                tracing::debug!(operation, %at, ?delay, "a fault: a request is delayed");
                self.0.count(|counts| counts.late += 1);
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Fault::AnswerLost => {
                tracing::debug!(operation, %at, "a fault: an answer will be lost");
                self.0.count(|counts| counts.answer_lost += 1);
                decree(about, Fate::AnswerLost);
                Ok(())
            }
            Fault::BodyCut if operation == GET_OBJECT => {
                // Told and counted when it is known that there is a body.
                decree(about, Fate::BodyCut { place: dice.f64(), at, faults: self.clone() });
                Ok(())
            }
            Fault::BodyCut => Ok(()),
        }
    }

    /// Tells of a body that is cut after so many bytes of its length.
    pub(super) fn body_is_cut(&self, at: &Uri, bytes: u64, length: u64) {
        tracing::debug!(operation = GET_OBJECT, %at, bytes, length, "a fault: a body is cut");
        self.0.count(|counts| counts.body_cut += 1);
    }
}

/// The operation of this name, if it is offered.
fn known(name: &str) -> Option<&'static str> {
    OPERATIONS.iter().filter_map(|input| input.strip_suffix("Input")).find(|operation| *operation == name)
}

/// `late`: the answer has begun, with status 200.
fn internal_error(late: bool) -> S3Error {
    let message = "We encountered an internal error. Please try again.";
    let mut error = S3Error::with_message(S3ErrorCode::InternalError, message);
    if late {
        error.set_status_code(StatusCode::OK);
    }
    error
}

/// Who is let in: by the one key of the configuration, and by those that are spared.
pub(crate) struct Keys {
    pub(crate) known: SimpleAuth,
    pub(crate) faults: FaultsHandle,
}

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.faults.0.spared(access_key) {
            Some(secret) => Ok(SecretKey::from(secret)),
            None => self.known.get_secret_key(access_key).await,
        }
    }
}

/// Where faults befall requests: between the check of their signature and what they ask for.
#[async_trait::async_trait]
impl S3Access for FaultsHandle {
    async fn check(&self, about: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = about.credentials() else {
            return Err(S3Error::with_message(S3ErrorCode::AccessDenied, "Signature is required"));
        };
        match self.0.active() {
            Some(active) if self.0.spared(&credentials.access_key).is_none() => {
                self.befall(&active, about).await
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_changes_nothing() {
        let cut = Rates { body_cut: 0.5, ..Rates::default() };
        let of =
            |name: &str, rates| Faults { operations: [(name.to_owned(), rates)].into(), ..Faults::default() };
        let faults = FaultsHandle::default();
        for (wrong, said) in [
            (of("PutObject", cut), "PutObject: `body_cut` is for GetObject alone"),
            (of("Get", cut), "`Get` is none of this S3's"),
            (of("HeadObject", Rates { late: 2.0, ..Rates::default() }), "HeadObject: `late` is 2"),
            (
                Faults {
                    rates: Rates { slow_down: 0.9, body_cut: 0.9, ..Rates::default() },
                    ..Faults::default()
                },
                "1.8",
            ),
        ] {
            let WrongFaults(problems) = faults.set(wrong).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(said), "{problems:?}");
        }
        assert!(faults.0.active().is_none());
        faults.set(of("GetObject", cut)).unwrap();
        faults.set(of("HeadObject", Rates { late: 1.0, ..Rates::default() })).unwrap();
    }
}
