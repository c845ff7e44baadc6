//! Talk to the person at the terminal: the log, errors with their causes, exit codes.
//!
//! Exit codes: 0 all went well, 1 something failed (the message says what), 2 the arguments are
//! wrong.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use towpath_server::ServerError;
use towpath_source::SourceError;

use crate::log;
use crate::secret::masked;

/// Why a command ended.
#[derive(Debug)]
pub(crate) struct Failure {
    doing: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(doing: &str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { doing: doing.to_owned(), cause: Some(Box::new(cause)), hint: None }
    }

    /// The same with what can be typed.
    pub(crate) fn with_hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }

    /// A failure whose cause is said.
    pub(crate) fn of(text: &str) -> Self {
        Self { doing: text.to_owned(), cause: None, hint: None }
    }

    pub(crate) fn source(error: SourceError) -> Self {
        let hint = error.hint().map(ToOwned::to_owned);
        Self { doing: "cannot follow the source".to_owned(), cause: Some(Box::new(error)), hint }
    }

    pub(crate) fn server(doing: &str, error: ServerError) -> Self {
        let hint = error.hint().map(ToOwned::to_owned);
        Self { doing: doing.to_owned(), cause: Some(Box::new(error)), hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.doing)?;
        let mut cause = self.cause.as_deref().map(|cause| cause as &dyn Error);
        let mut said = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors say their cause in their own text.
            if !said.contains(&text) {
                write!(f, "\n  {text}")?;
            }
            said = text;
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Prints a failure; returns its exit code.
pub(crate) fn fail(failure: &Failure) -> ExitCode {
    // A URL in the wrong place, as in that of a file, is shown by whoever cannot use it.
    let text = masked(&failure.to_string(), std::env::args().skip(1));
    say_as("ERROR", &text);
    ExitCode::from(1)
}

/// One line on standard error, in the form of the log. Nobody is left to tell when that fails.
pub(crate) fn say(line: &str) {
    say_as("INFO", line);
}

fn say_as(level: &str, text: &str) {
    let _written: bool = match log::is_json() {
        true => {
            let line = serde_json::json!({ "level": level, "message": text });
            writeln!(std::io::stderr(), "{line}").is_ok()
        }
        false => writeln!(std::io::stderr(), "{text}").is_ok(),
    };
}
