//! Standard output: in colours or not, and whether somebody still reads it.

use std::ffi::OsString;
use std::future::pending;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd as _, OwnedFd};

use clap::ColorChoice;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// For what goes there.
    pub(crate) fn is_on(self, out: &impl IsTerminal) -> bool {
        let is_unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                out.is_terminal()
                    && is_unset("NO_COLOR")
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }

    /// For what is told of the arguments themselves, before they are read.
    pub(crate) fn of_help(mut arguments: impl Iterator<Item = OsString>) -> ColorChoice {
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy();
            let when = match text.strip_prefix("--color") {
                Some("") => arguments.next().unwrap_or_default().to_string_lossy().into_owned(),
                Some(rest) => rest.trim_start_matches('=').to_owned(),
                None => continue,
            };
            return when.parse().unwrap_or_default();
        }
        ColorChoice::Auto
    }
}

/// Waits until nobody reads standard output any more, as behind `| head`. Never, when it is a file: there is
/// nothing that could go away. Without this the end would show only at the next change, which may never come.
pub(crate) async fn reader_is_gone() {
    if let Ok(out) = watched()
        && out.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}

#[expect(
    deprecated,
    reason = "the descriptor is its own, which is all that the unsafe one asks for"
)]
fn watched() -> io::Result<AsyncFd<OwnedFd>> {
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    AsyncFd::with_interest(own, Interest::ERROR)
}
