//! The first exchange of a connection.

use towpath_protocol::{ClientAuth, Packet, PacketType, SEED_LEN, reply};

use super::io::Idle;
use super::{Ending, Session, code};

impl Session {
    /// Greets, and reads the login. Any other packet, and any wrong login, is answered and refused:
    /// a guess costs a connection.
    pub(super) async fn login(&mut self, seed: [u8; SEED_LEN]) -> Result<(), Ending> {
        self.send(&reply::handshake(&seed)).await?;
        let frame = self.next_frame().await?;
        let packet = Packet::parse(&frame)?;
        if packet.packet_type() != PacketType::ClientAuthentication {
            self.unsupported_before_login(packet.packet_type()).await?;
            return Err(Ending::LoginRefused);
        }
        let auth = ClientAuth::parse(packet.body())?;
        if !self.accepts(&auth, &seed) {
            let user = auth.username.unwrap_or_default();
            self.error(code::FAILED, &format!("auth failed for user:{user}")).await?;
            return Err(Ending::LoginRefused);
        }
        self.idle = Idle::of(auth.net_read_timeout, auth.net_write_timeout);
        let filled = |text: Option<&'_ str>| text.is_some_and(|text| !text.is_empty());
        if filled(auth.destination) && filled(auth.client_id) {
            let id = (auth.destination.unwrap_or_default(), auth.client_id.unwrap_or_default());
            if let Err(error) = self.subscribe(id, auth.filter.unwrap_or_default()).await {
                self.failure(&error).await?;
                return Err(Ending::LoginRefused);
            }
        }
        tracing::debug!(peer = %self.peer, user = auth.username, "logged in");
        self.send(&reply::ok()).await
    }

    async fn unsupported_before_login(&mut self, packet_type: PacketType) -> Result<(), Ending> {
        let name = packet_type.name();
        let text = format!("packet type: {name} is NOT supported before CLIENTAUTHENTICATION!");
        self.error(code::FAILED, &text).await
    }

    /// Without a configured password everything is accepted unread: clients send hashes, plain text
    /// and nothing alike.
    fn accepts(&self, auth: &ClientAuth<'_>, seed: &[u8; SEED_LEN]) -> bool {
        let Some(credentials) = &self.shared.credentials else { return true };
        let user = auth.username.unwrap_or_default();
        credentials.user.as_deref().is_none_or(|wanted| wanted == user)
            && credentials.password.accepts(seed, auth.password.unwrap_or_default())
    }
}
