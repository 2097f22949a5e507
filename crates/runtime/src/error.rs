//! Failures as Lambda, the report and people want them.

use fanfold_flow::code::Code;
use fanfold_flow::problem::Problems;
use fanfold_invoke::InvokeError;
use fanfold_store::StoreError;
use lambda_runtime::Diagnostic;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a handler failed: a stable code, what happened, and the cause below it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Lambda's `errorType`.
    pub code: Code,
    /// What happened, without the cause.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Source>,
}

impl Error {
    /// A failure without a cause below it.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// A failure with its cause.
    pub fn caused(code: Code, message: impl Into<String>, source: impl Into<Source>) -> Self {
        Self { code, message: message.into(), source: Some(source.into()) }
    }

    /// The message, and those of all causes, the outermost first.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::caused(Code::Store, "use the store", error)
    }
}

impl From<InvokeError> for Error {
    fn from(error: InvokeError) -> Self {
        Self::caused(Code::Invoke, "use a function", error)
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let lines = problems.to_string().replace('\n', "\n  ");
        let separator = if problems.0.len() > 1 { "\n  " } else { " " };
        Self::new(Code::InvalidJob, format!("make sense of the job:{separator}{lines}"))
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.code.to_string(), error_message: error.chain() }
    }
}
