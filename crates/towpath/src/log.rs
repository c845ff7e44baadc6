//! The log on standard error.

use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::outlet::Color;

/// What is logged without a wish: what this project does, and warnings of what it is made of.
const FILTER: &str = "warn,towpath=info";

/// How lines of the log look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line: timestamp, level, target, fields.
    Json,
}

/// The least that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    const fn filter(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => FILTER,
            Self::Debug => "warn,towpath=debug",
            Self::Trace => "warn,towpath=trace",
        }
    }
}

/// Whether the log is JSON, once it has begun.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Whether what is said on standard error has to be JSON.
pub(crate) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Options of all commands.
#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// Form of the log, which goes to standard error.
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t)]
    log_format: LogFormat,
    /// The least that is logged; info if absent, or what RUST_LOG says, module by module.
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
}

impl LogArguments {
    /// Begins the log.
    pub(crate) fn start(&self, color: Color) {
        let filter = match self.log_level {
            Some(level) => EnvFilter::new(level.filter()),
            None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER)),
        };
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(color.is_on(&std::io::stderr()))
            // Else a closed standard error ends the task that logs.
            .log_internal_errors(false);
        match self.log_format {
            LogFormat::Text => log.with_target(false).init(),
            LogFormat::Json => {
                IS_JSON.store(true, Ordering::Relaxed);
                log.json().flatten_event(true).with_ansi(false).init();
            }
        }
    }
}
