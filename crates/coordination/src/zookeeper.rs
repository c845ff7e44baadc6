//! Canal's ZooKeeper tree: who is alive, who is active, where cursors lie (server-runtime 3).
//!
//! - [`ZkSession`] is one session: a value that owns it. Every operation has a deadline, every watch
//!   is a value, and dropping the last clone ends the session and with it every ephemeral node.
//!   [`Ensemble`] gives one to all who need it.
//! - [`Lease`] is an ephemeral node that is ours, proven again and again; a [`Fence`] asks it whether
//!   it still holds, by this machine's monotonic clock and without asking the network.
//! - [`Presence`] is a node that says that we are there.
//! - [`Servers`] is what a cluster says of a destination's servers.

mod cursor;
mod ensemble;
mod error;
mod farewell;
mod janitor;
mod lease;
mod presence;
mod servers;
mod session;
mod tree;
mod url;

pub use cursor::ZkCursors;
pub use ensemble::Ensemble;
pub use error::ZkError;
pub use lease::{Contender, Fence, Lease, LeaseLost, Taken};
pub use presence::Presence;
pub use servers::{Servers, ServersChanged};
pub use session::{NodeWatch, ZkSession, ZkStatus};
pub use tree::{Running, Tree};
pub use url::ZkUrl;
