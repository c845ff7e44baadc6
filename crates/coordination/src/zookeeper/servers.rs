//! Which servers a destination has (client-protocol 6.3).

use super::{NodeWatch, Running, ZkError, ZkSession};

/// What the tree says of a destination's servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    /// The one that serves it.
    pub running: Option<String>,
    /// All that can, in the tree's order; only `host:port` counts.
    pub cluster: Vec<String>,
    /// Nodes below `cluster`, those without a usable address included.
    pub cluster_nodes: usize,
    /// Why the `running` node could not be read.
    pub garbage: Option<String>,
    /// Whether the tree has the destination at all.
    pub is_known: bool,
}

/// The watches behind a [`Servers`].
#[derive(Debug)]
#[must_use]
pub struct ServersChanged {
    running: NodeWatch,
    cluster: NodeWatch,
}

impl ServersChanged {
    /// Waits until a look would show something else.
    pub async fn wait(self) {
        tokio::select! {
            () = self.running.fired() => {}
            () = self.cluster.fired() => {}
        }
    }
}

impl Servers {
    /// Looks, and watches what was seen.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn look(
        session: &ZkSession,
        destination: &str,
    ) -> Result<(Self, ServersChanged), ZkError> {
        let path = session.tree().running(destination);
        let (node, running) = session.get_and_watch(&path).await?;
        let mut servers = Self { is_known: node.is_some(), ..Self::default() };
        match node.map(|(data, _)| Running::parse(&path, &data)) {
            None => {}
            Some(Ok(found)) if is_address(&found.address) => servers.running = Some(found.address),
            Some(Ok(found)) => {
                servers.garbage = Some(format!("{path}: `{}` is no host:port", found.address));
            }
            Some(Err(error)) => servers.garbage = Some(error.to_string()),
        }
        let path = session.tree().cluster(destination);
        let (children, cluster) = session.children_and_watch(&path).await?;
        servers.is_known |= children.is_some();
        servers.cluster = children.unwrap_or_default();
        servers.cluster_nodes = servers.cluster.len();
        servers.cluster.retain(|address| is_address(address));
        servers.cluster.sort_unstable();
        Ok((servers, ServersChanged { running, cluster }))
    }

    /// True when there is nobody to connect to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_none() && self.cluster.is_empty()
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}
