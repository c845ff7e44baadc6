//! Standard output: whether somebody still reads it.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
