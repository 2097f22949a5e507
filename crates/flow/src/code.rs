//! The stable short codes of what can go wrong.
//!
//! One code is at once a Lambda's `errorType`, the report's `code` and the command line's exit status. The table of all of
//! them is [`Code::ALL`]; the README's table is made from it and compared by a test.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $what:literal])+ $name:ident = $text:literal, exit $exit:literal, advice $advice:literal;)+) => {
        /// What kind of failure it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[doc = $what])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as text: what stands in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The exit status of the command line.
            pub fn exit_status(self) -> u8 {
                match self { $(Self::$name => $exit,)+ }
            }

            /// What happened, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($what),+).trim_ascii(),)+ }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

codes! {
    /// The job or the event is not right, and nothing was started.
    InvalidJob = "invalid_job", exit 2, advice "mend the fields that the message names";
    /// An input object is not there, or may not be read.
    InputMissing = "input_missing", exit 3, advice "check the address and the permissions";
    /// An input object changed after the job was planned.
    InputChanged = "input_changed", exit 3, advice "run the job again, with an input that stays as it is";
    /// An input object is not what the job says that it is.
    InputFormat = "input_format", exit 3, advice "set what the message names";
    /// A quoted field of a CSV is never closed.
    RecordCut = "record_cut", exit 3, advice "mend the file, or set how it is quoted: quote, escape, delimiter, or \"split\": \"lines\"";
    /// The objects of a CSV source do not begin with the same header.
    HeaderDiffers = "header_differs", exit 3, advice "run files with different headers as jobs of their own";
    /// The program ended with a status other than 0.
    ProgramFailed = "program_failed", exit 4, advice "read the end of its standard error, and mend the program";
    /// The program was ended by a signal.
    ProgramKilled = "program_killed", exit 4, advice "SIGKILL most often means memory: fewer processes, smaller chunks, or a larger worker";
    /// The program took more memory than there was, or than the job's memory_mb.
    OutOfMemory = "out_of_memory", exit 4, advice "a larger worker or memory_mb, fewer processes at once, or smaller chunks";
    /// A chunk was still running when its worker's time was up, though it had all the time there is.
    OutOfTime = "out_of_time", exit 4, advice "make chunks smaller, give the worker more time, or use a source and a program that can be cut at records";
    /// The program could not be started.
    ProgramNotStarted = "program_not_started", exit 4, advice "check the command, and that the worker has the program";
    /// The program ended, but a process that it left behind kept its standard output open.
    OutputHeld = "output_held", exit 4, advice "let the program wait for the processes that it starts";
    /// The program's result is not what the output's format asks for.
    ResultMalformed = "result_malformed", exit 4, advice "mend what the program prints, or choose another output format";
    /// There is an object already where the output should go.
    OutputExists = "output_exists", exit 5, advice "choose another address, or set \"overwrite\": true";
    /// The output would be larger than an object can be.
    OutputTooLarge = "output_too_large", exit 5, advice "split the job";
    /// What was put together is not what the workers wrote.
    OutputCorrupt = "output_corrupt", exit 5, advice "run the job again, and tell us";
    /// The output is no longer where the job has put it.
    OutputMissing = "output_missing", exit 5, advice "find out who took it away; the run cannot put it back, so run the job again";
    /// Another object stands where the job has put its output.
    OutputReplaced = "output_replaced", exit 5, advice "find out who wrote it; to have the job's own again, run the job again";
    /// A worker ended without an outcome: it was killed, or ran into its time limit.
    WorkerDied = "worker_died", exit 6, advice "smaller chunks, or a larger worker";
    /// The store refused an operation or was out of reach.
    Store = "store", exit 7, advice "check permissions and the service's state, then try again";
    /// A function could not be invoked.
    Invoke = "invoke", exit 7, advice "check permissions and concurrency, then try again";
    /// The deployed stack is not there, or could not be asked.
    Stack = "stack", exit 7, advice "check the stack's name, the profile and the region";
    /// The job was stopped before its end.
    Cancelled = "cancelled", exit 130, advice "redrive the run, where it is to be finished after all";
    /// A fault of Fanfold itself.
    Internal = "internal", exit 70, advice "tell us";
}

impl Code {
    /// Whether what failed so may go well from the same input in the same chunks: once a program or a permission was mended,
    /// say. Else only another job helps. Whether a whole run can be redriven follows from this, and is told by
    /// [`Report::undone`](crate::report::Report::undone) alone.
    pub fn can_be_redriven(self) -> bool {
        match self {
            Self::InvalidJob
            | Self::InputChanged
            | Self::InputFormat
            | Self::RecordCut
            | Self::HeaderDiffers
            | Self::OutputTooLarge
            | Self::OutputCorrupt
            | Self::OutputMissing
            | Self::OutputReplaced
            | Self::Stack => false,
            Self::InputMissing
            | Self::ProgramFailed
            | Self::ProgramKilled
            | Self::OutOfMemory
            | Self::OutOfTime
            | Self::ProgramNotStarted
            | Self::OutputHeld
            | Self::ResultMalformed
            | Self::OutputExists
            | Self::WorkerDied
            | Self::Store
            | Self::Invoke
            | Self::Cancelled
            | Self::Internal => true,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_the_same_as_text_and_as_json() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(serde_json::from_value::<Code>(code.as_str().into()).unwrap(), *code);
            assert!(code.exit_status() > 1, "1 is left to what has no code");
        }
    }

    #[test]
    fn no_two_codes_share_a_text_and_each_says_what_happened_and_what_to_do() {
        let texts: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.meaning().ends_with('.'), "{code}: a sentence");
            assert!(!code.advice().is_empty() && !code.advice().ends_with('.'), "{code}: a fragment");
        }
    }
}
