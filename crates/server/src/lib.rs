//! Canal's client protocol over TCP, and what is seen of a server over HTTP.
//!
//! Sessions hand the entries of an [`Engine`]'s destinations to clients, in Canal's packets and with Canal's
//! sentences. A session does not know where entries come from, nor how they are kept.
//!
//! [`Server::bind`] takes the port and the state directory, [`Server::run`] does the rest until it is
//! told to stop. Every task belongs to a set that `run` owns.

mod config;
mod crowd;
mod error;
mod figures;
mod listen;
mod server;
mod session;
mod status;

pub use config::{Credentials, ServerConfig, TlsFiles};
pub use error::{ServerError, TlsError};
pub use server::Server;
pub use status::Observer;
pub use towpath_engine::Engine;
