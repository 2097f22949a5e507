//! `fanfold fire`: a schedule of a stack that `fanfold local --template` keeps up, as if its time had come.

use std::fmt::Write as _;

use fanfold_emulator::Fired;
use fanfold_emulator::events::Receiver;
use fanfold_emulator::services::{self, ClientError};
use fanfold_flow::code::Code;
use fanfold_runtime::Error;

use crate::args::FireArgs;
use crate::exit::Stop;
use crate::stdout;

/// Fires the schedule, and tells who was told what.
///
/// # Errors
/// `stack` when nobody is there to fire it, or it is not among the stack's schedules.
pub(crate) async fn fire(args: &FireArgs) -> Result<(), Stop> {
    let Some(endpoint) = &args.endpoint else {
        let message = "find the emulator: start `fanfold local --template`, and take over the environment that it prints";
        return Err(Error::new(Code::Stack, message).into());
    };
    let at = args.at.map(|at| at.to_string());
    let fired = services::fire(endpoint, &args.schedule, at.as_deref()).await;
    let fired = fired.map_err(|error| failed(&args.schedule, error))?;
    if args.json {
        stdout::print_json(&fired)?;
    } else {
        stdout::print(&told(&fired))?;
    }
    Ok(())
}

fn failed(schedule: &str, error: ClientError) -> Error {
    let code = match &error {
        ClientError::Address(_) | ClientError::Stranger { .. } | ClientError::Unreachable { .. } => {
            Code::Stack
        }
        // Its words say all.
        ClientError::Refused { .. } => Code::InvalidJob,
    };
    Error::caused(code, format!("fire {schedule}"), error)
}

fn told(fired: &Fired) -> String {
    let mut text = format!("fired {} for {}\n", fired.schedule, fired.at);
    for told in &fired.told {
        let receiver = match &told.receiver {
            Receiver::Function(name) => format!("function {name}"),
            Receiver::Queue(name) => format!("queue {name}"),
        };
        let request = told.request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _written = writeln!(text, "  {receiver}{request}: {}", told.payload);
    }
    text
}

#[cfg(test)]
mod tests {
    use fanfold_emulator::Told;

    use super::*;

    #[test]
    fn it_is_told_who_was_given_what() {
        let told_to = |receiver, request_id: Option<&str>| Told {
            receiver,
            payload: "{\"run\":\"nightly\"}".into(),
            request_id: request_id.map(str::to_owned),
        };
        let fired = Fired {
            schedule: "nightly".into(),
            at: "2026-11-22T03:00:00Z".into(),
            told: vec![
                told_to(Receiver::Function("dispatcher".into()), Some("id")),
                told_to(Receiver::Queue("late".into()), None),
            ],
        };
        assert_eq!(
            told(&fired),
            "fired nightly for 2026-11-22T03:00:00Z\n  function dispatcher, request id: {\"run\":\"nightly\"}\n  \
             queue late: {\"run\":\"nightly\"}\n"
        );
    }

    #[test]
    fn what_the_emulator_refuses_is_told_in_its_words() {
        let error =
            failed("nightly", ClientError::Refused { status: 404, message: "there is no schedule".into() });
        assert_eq!(
            (error.code, error.chain().to_string().as_str()),
            (Code::InvalidJob, "fire nightly: there is no schedule")
        );
    }
}
