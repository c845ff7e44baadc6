//! The first exchange of a connection.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use towpath_protocol::{ClientAuth, Packet, PacketType, SEED_LEN, reply};

use super::io::{Idle, Standing};
use super::{Ending, Session, code};
use crate::config::Credentials;

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
        self.check(&auth, &seed).await?;
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
        self.standing = Standing::LoggedIn;
        self.membership.place.known();
        self.send(&reply::ok()).await
    }

    async fn unsupported_before_login(&mut self, packet_type: PacketType) -> Result<(), Ending> {
        let name = packet_type.name();
        let text = format!("packet type: {name} is NOT supported before CLIENTAUTHENTICATION!");
        self.error(code::FAILED, &text).await
    }

    /// Without a configured password everything is accepted unread: clients send hashes, plain text
    /// and nothing alike.
    async fn check(&mut self, auth: &ClientAuth<'_>, seed: &[u8; SEED_LEN]) -> Result<(), Ending> {
        let shared = Arc::clone(&self.shared);
        let Some(credentials) = &shared.credentials else { return Ok(()) };
        let now = Instant::now();
        let guess = shared.guesses.take(self.peer.ip(), now);
        if guess.wait >= shared.login_deadline {
            let ending = Ending::LoginPutOff(guess.wait);
            drop(guess);
            self.error(code::FAILED, "auth failed: too many wrong logins, try again later").await?;
            return Err(ending);
        }
        self.wait_until(now + guess.wait).await?;
        if accepts(credentials, auth, seed) {
            guess.right(now);
            return Ok(());
        }
        guess.wrong();
        let user = auth.username.unwrap_or_default();
        self.error(code::FAILED, &format!("auth failed for user:{user}")).await?;
        Err(Ending::LoginRefused)
    }

    /// Waits, unless the peer goes.
    async fn wait_until(&mut self, time: Instant) -> Result<(), Ending> {
        while Instant::now() < time {
            tokio::select! {
                () = sleep_until(time) => {}
                read = self.read_more() => read?,
            }
        }
        Ok(())
    }
}

fn accepts(credentials: &Credentials, auth: &ClientAuth<'_>, seed: &[u8; SEED_LEN]) -> bool {
    let user = auth.username.unwrap_or_default();
    credentials.user.as_deref().is_none_or(|wanted| wanted == user)
        && credentials.password.accepts(seed, auth.password.unwrap_or_default())
}
