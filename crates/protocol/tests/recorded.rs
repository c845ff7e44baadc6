//! Every recorded frame is understood, and written again as it was.

use towpath_protocol::{Packet, PacketType, Reply, Request, reply};

use crate::hex;

const SESSIONS: [(&str, &str); 5] = [
    ("go", include_str!("fixtures/go.txt")),
    ("java-117", include_str!("fixtures/java-117.txt")),
    ("java-118", include_str!("fixtures/java-118.txt")),
    ("python", include_str!("fixtures/python.txt")),
    ("unusual-requests", include_str!("fixtures/unusual-requests.txt")),
];

fn again(packet: &Packet<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Packet { body: packet.body.map(|_| body), ..*packet }.write(&mut out);
    out
}

fn request_again(packet: &Packet<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    match Request::parse(packet).unwrap() {
        Request::Login(auth) => auth.write(&mut body),
        Request::Subscribe(sub) | Request::Unsubscribe(sub) => sub.write(&mut body),
        Request::Get(get) => get.write(&mut body),
        Request::Ack(batch) | Request::Rollback(batch) => batch.write(&mut body),
        Request::Unsupported(_) => body.extend_from_slice(packet.body()),
    }
    again(packet, &body)
}

fn reply_again(packet: &Packet<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    let built = match Reply::parse(packet).unwrap() {
        Reply::Handshake(handshake) => {
            handshake.write(&mut body);
            reply::handshake(handshake.seeds.unwrap().try_into().unwrap())
        }
        Reply::Ack(ack) => {
            ack.write(&mut body);
            ack.error_code
                .map_or_else(reply::ok, |code| reply::error(code, ack.error_message.unwrap()))
        }
        Reply::Messages(messages) if messages.entries.is_empty() => {
            messages.write(&mut body);
            reply::no_messages()
        }
        Reply::Messages(messages) => {
            messages.write(&mut body);
            let mut entries = Vec::new();
            towpath_protocol::Messages { batch_id: None, ..messages.clone() }.write(&mut entries);
            let mut frame =
                reply::messages_head(messages.batch_id.unwrap(), entries.len()).unwrap();
            frame.extend_from_slice(&entries);
            frame
        }
    };
    let written = again(packet, &body);
    assert_eq!(built.get(4..), Some(&written[..]), "the builder's frame differs");
    written
}

#[test]
fn every_recorded_frame_is_written_again_as_it_was() {
    let (mut requests, mut replies) = (0, 0);
    for (name, session) in SESSIONS {
        for (index, line) in session.lines().enumerate() {
            let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            let Some((side, digits)) = line.split_once(' ') else { continue };
            if !matches!(side, "C" | "S") || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                continue;
            }
            let bytes = hex(digits);
            let place = format!("{name}:{}", index + 1);
            // Bad frames on purpose, and answers that the recorder cut.
            if name == "unusual-requests"
                && matches!(digits, "ffffffffff" | "fffffffb" | "00000000")
            {
                continue;
            }
            let Ok(packet) = Packet::parse(&bytes) else {
                assert_eq!((name, side), ("unusual-requests", "S"), "{place}");
                assert_eq!(bytes.len(), 600, "{place}");
                continue;
            };
            let long_trace = packet.body().len() > 3000;
            if side == "C" {
                requests += 1;
                assert_eq!(request_again(&packet), bytes, "{place}");
            } else if !long_trace {
                replies += 1;
                assert_eq!(reply_again(&packet), bytes, "{place}");
            }
        }
    }
    assert!(requests > 100 && replies > 100, "{requests} requests, {replies} replies");
}

#[test]
fn the_odd_requests_have_the_types_that_canal_names() {
    for (digits, name) in [
        ("", "PACKAGETYPECOMPATIBLEPROTO2"),
        ("08111001180b2a00", "HEARTBEAT"),
        ("08111001184d2a00", "UNRECOGNIZED"),
        ("0811100118022a0a1880dddb012080dddb01", "CLIENTAUTHENTICATION"),
    ] {
        let bytes = hex(digits);
        assert_eq!(Packet::parse(&bytes).unwrap().packet_type().name(), name);
    }
    assert!(Packet::parse(&hex("ffffffffff")).is_err());
    for code in -1..14 {
        assert_eq!(PacketType::from_code(code).code(), code);
    }
}
