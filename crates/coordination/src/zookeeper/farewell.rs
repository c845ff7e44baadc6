//! The tasks behind a session, which outlive their owner by a bounded time: to say goodbye.
//!
//! A session that is dropped ends at ZooKeeper when the closing request gets there; a connect that is
//! dropped half-way may have made a session already, which only its end can close. Neither can be waited
//! for in a drop, so the tasks go on alone, for [`FAREWELL`] at most.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use zookeeper_client::{Client, Error};

/// Time for it. What is left then ends by the session's timeout.
const FAREWELL: Duration = Duration::from_secs(2);

/// The owner of a session's tasks. They end with it.
#[derive(Debug)]
pub(super) struct Owner {
    _guard: DropGuard,
}

/// Starts the library's tasks as ours.
struct Library(CancellationToken);

impl spawns::Spawn for Library {
    fn spawn(&self, task: spawns::Task) {
        spawn(Box::into_pin(task.future), self.0.clone());
    }
}

/// Makes a session. Dropping the future ends what was made of it, as dropping the owner does.
pub(super) async fn connect(
    connecting: impl Future<Output = Result<Client, Error>> + Send + 'static,
) -> Result<(Client, Owner), Error> {
    let owner = CancellationToken::new();
    let guard = owner.clone().drop_guard();
    let (made, coming) = oneshot::channel();
    let library = Library(owner.clone());
    let task = async move {
        let mut connecting = pin!(connecting);
        let client = poll_fn(|context| {
            let _scope = spawns::enter(&library);
            connecting.as_mut().poll(context)
        });
        // With nobody to take it, it is dropped, which closes the session.
        let _taken: bool = made.send(client.await).is_ok();
    };
    spawn(Box::pin(task), owner);
    let client = coming.await.unwrap_or(Err(Error::ClientClosed))?;
    Ok((client, Owner { _guard: guard }))
}

#[expect(clippy::disallowed_methods, reason = "it outlives its owner, and is bounded")]
fn spawn(task: Pin<Box<dyn Future<Output = ()> + Send>>, owner: CancellationToken) {
    let bounded = async move {
        let over = async {
            owner.cancelled().await;
            sleep(FAREWELL).await;
        };
        tokio::select! {
            () = task => {}
            () = over => {}
        }
    };
    drop(tokio::spawn(bounded));
}
