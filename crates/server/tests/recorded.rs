//! What a real Canal server answered to real clients and to odd requests, asked again of ours.

use std::collections::HashSet;

use towpath_protocol::{BatchRef, Messages, Packet, PacketType, Reply, frame};

use crate::fixture::{Peer, Served, block};

const ODD: &str = include_str!("../../protocol/tests/fixtures/unusual-requests.txt");

const SESSIONS: [(&str, &str); 4] = [
    ("go", include_str!("../../protocol/tests/fixtures/go.txt")),
    ("java-117", include_str!("../../protocol/tests/fixtures/java-117.txt")),
    ("java-118", include_str!("../../protocol/tests/fixtures/java-118.txt")),
    ("python", include_str!("../../protocol/tests/fixtures/python.txt")),
];

fn hex(digits: &str) -> Vec<u8> {
    let digit = |c: char| u8::try_from(c.to_digit(16).unwrap()).unwrap();
    let digits: Vec<char> = digits.chars().collect();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// An answer without what differs from run to run: seed, channel, stack trace.
fn shown(body: &[u8]) -> String {
    let packet = Packet::parse(body).unwrap();
    match Reply::parse(&packet).unwrap() {
        Reply::Handshake(handshake) => {
            format!("handshake {:?} {}", packet.version, handshake.seeds.unwrap().len())
        }
        Reply::Ack(ack) => {
            let text = ack.error_message.unwrap_or_default();
            let (code, line) = (ack.error_code, text.lines().next().unwrap_or_default());
            let line = match (line.find("[id: "), line.find("], exception")) {
                (Some(from), Some(to)) => format!("{}{}", &line[..from], &line[to + 1..]),
                _ => line.to_owned(),
            };
            format!("ack {:?} {code:?} {line}", packet.version)
        }
        Reply::Messages(messages) => {
            let count = messages.entries.len();
            format!("messages {:?} {:?} {count} entries", packet.version, messages.batch_id)
        }
    }
}

/// Requests that Canal answers otherwise, and what we say: `docs/differences.md`.
const DIFFERENT: [(&str, &[&str]); 5] = [
    (
        "subscribe before authentication",
        &[
            "handshake Some(1) 8",
            "ack Some(1) Some(400) packet type: SUBSCRIPTION is NOT supported before \
             CLIENTAUTHENTICATION!",
            "closed",
        ],
    ),
    (
        "get before authentication",
        &[
            "handshake Some(1) 8",
            "ack Some(1) Some(400) packet type: GET is NOT supported before CLIENTAUTHENTICATION!",
            "closed",
        ],
    ),
    (
        "subscribe with a broken regex",
        &[
            "handshake Some(1) 8",
            "ack Some(1) None ",
            "open",
            "ack Some(1) Some(400) something goes wrong with channel: , exception: \
             com.alibaba.otter.canal.server.exception.CanalServerException: filter `a([` is not a \
             regular expression: a `[` is not closed, at offset 3",
            "open",
        ],
    ),
    (
        "get with size 0",
        &[
            "handshake Some(1) 8",
            "ack Some(1) None ",
            "open",
            "ack Some(1) None ",
            "open",
            "messages None Some(1) 3 entries",
            "open",
        ],
    ),
    (
        "get with size -1",
        &[
            "handshake Some(1) 8",
            "ack Some(1) None ",
            "open",
            "ack Some(1) None ",
            "open",
            "messages None Some(1) 3 entries",
            "open",
        ],
    ),
];

/// The recording stops where the answer was cut, with data that is not ours, or with the error of a
/// request without an answer, after which we close.
fn expected(name: &str, lines: &[&str]) -> Vec<String> {
    if let Some((_, different)) = DIFFERENT.iter().find(|(known, _)| *known == name) {
        return different.iter().map(|line| (*line).to_owned()).collect();
    }
    let one_way = matches!(name, "ack of an unknown batch" | "rollback of an unknown batch");
    let mut expected: Vec<String> = Vec::new();
    for line in lines {
        match line.split_once(' ').unwrap() {
            ("C", _) => {}
            (_, "closed") => expected.push("closed".to_owned()),
            (_, "(open, silent)") => expected.push("open".to_owned()),
            (_, digits) if Packet::parse(&hex(digits)).is_err() => {
                // Cut at 600 bytes: the head tells what it is.
                let trace = digits.starts_with("10011803");
                let text = String::from_utf8_lossy(&hex(digits)).into_owned();
                let line = text.lines().next().unwrap().to_owned();
                let from = line.find("something").unwrap_or(0);
                let (head, tail) = (line.find("[id: "), line.find("], exception"));
                match (trace, head, tail) {
                    (true, Some(head), Some(tail)) => expected.push(format!(
                        "ack Some(1) Some(400) {}{}",
                        &line[from..head],
                        &line[tail + 1..]
                    )),
                    _ => expected.push("messages None Some(1) 3 entries".to_owned()),
                }
            }
            (_, digits) => expected.push(shown(&hex(digits))),
        }
    }
    if one_way {
        *expected.last_mut().unwrap() = "closed".to_owned();
    }
    expected
}

/// Asks what the recorded client asked, and notes what comes where something was noted.
async fn asked(lines: &[&str]) -> Vec<String> {
    let (served, _directory) = Served::new().await;
    served.push(block(0, &[b"one", b"two", b"three"])).await;
    let mut peer = Peer { stream: tokio::net::TcpStream::connect(served.address).await.unwrap() };
    let mut noted = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match line.split_once(' ').unwrap() {
            ("C", "00000000") => peer.send(&[0; 4]).await,
            ("C", "fffffffb") => peer.send(&hex("fffffffb")).await,
            ("C", digits) => {
                let mut body = hex(digits);
                if digits == "08111001180b2a00" {
                    // As `expect_open` asks; its answer is the recorded one.
                    body = hex("180b");
                }
                peer.send(&frame(&body).unwrap()).await;
            }
            (_, "closed") => {
                peer.expect_closed().await;
                noted.push("closed".to_owned());
            }
            (_, "(open, silent)") => {
                if closes(&noted) {
                    peer.expect_closed().await;
                    noted.push("closed".to_owned());
                    break;
                }
                // Before login a question would be a login: silence shows at the next answer.
                if index > 2 || noted.len() > 1 {
                    peer.expect_open().await;
                }
                noted.push("open".to_owned());
            }
            (_, _) => noted.push(shown(&peer.receive().await)),
        }
    }
    served.stop().await.unwrap();
    noted
}

fn closes(noted: &[String]) -> bool {
    noted.last().is_some_and(|last| {
        last.contains("before CLIENTAUTHENTICATION") || last.contains("is not exist")
    })
}

#[tokio::test(crate = "towpath_testkit")]
async fn odd_requests_are_answered_as_canal_answers_but_for_the_named_differences() {
    let mut count = 0;
    for section in ODD.split("## ").skip(1) {
        let mut lines = section.lines();
        let name = lines.next().unwrap();
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        assert_eq!(asked(&lines).await, expected(name, &lines), "{name}");
        count += 1;
    }
    assert_eq!(count, 28);
}

fn messages(body: &[u8]) -> Option<(i64, Vec<Vec<u8>>)> {
    let packet = Packet::parse(body).unwrap();
    let Reply::Messages(messages) = Reply::parse(&packet).unwrap() else { return None };
    let id = messages.batch_id.filter(|id| *id != -1)?;
    Some((id, messages.entries.iter().map(|entry| entry.to_vec()).collect()))
}

/// The recorded entries go in as the source's, the recorded requests are asked again, and each answer
/// is the recorded one, batch ids counted from 1.
#[tokio::test(crate = "towpath_testkit")]
async fn recorded_sessions_run_again_byte_for_byte() {
    for (name, session) in SESSIONS {
        let lines: Vec<(&str, &str)> =
            session.lines().filter_map(|line| line.split_once(' ')?.1.split_once(' ')).collect();
        let (served, _directory) = Served::new().await;
        let mut peer =
            Peer { stream: tokio::net::TcpStream::connect(served.address).await.unwrap() };
        let (mut known, mut shift, mut answers) = (HashSet::new(), None, 0);
        for (index, (side, digits)) in lines.iter().enumerate() {
            if *digits == "closed" {
                continue;
            }
            let mut body = hex(digits);
            if *side == "C" {
                // What the next answer brings has to be there before.
                let next = lines
                    .get(index + 1)
                    .filter(|(side, digits)| *side == "S" && *digits != "closed");
                if let Some((id, entries)) = next.and_then(|(_, digits)| messages(&hex(digits))) {
                    shift.get_or_insert(id - 1);
                    let new: Vec<&[u8]> = entries
                        .iter()
                        .filter(|entry| known.insert((*entry).clone()))
                        .map(Vec::as_slice)
                        .collect();
                    if !new.is_empty() {
                        served.push(block(index as u64, &new)).await;
                        // The channel holds one: the second is in when it has been taken.
                        served.push(towpath_entry::Block::default()).await;
                        served.push(towpath_entry::Block::default()).await;
                    }
                }
                renumber(&mut body, shift.unwrap_or(0));
                peer.send(&frame(&body).unwrap()).await;
                continue;
            }
            let answer = peer.receive().await;
            renumber(&mut body, shift.unwrap_or(0));
            answers += 1;
            if index == 0 || shown(&body).contains("exception") {
                assert_eq!(shown(&answer), shown(&body), "{name}:{}", index + 1);
            } else {
                assert_eq!(answer, body, "{name}:{}", index + 1);
            }
            if shown(&body).contains("is not exist") {
                // Here Canal goes on, one answer out of step; we end.
                peer.expect_closed().await;
                break;
            }
        }
        assert!(answers >= 6, "{name}: {answers} answers");
        served.stop().await.unwrap();
    }
}

/// Shifts the batch id of an ack, a rollback or a batch.
fn renumber(body: &mut Vec<u8>, shift: i64) {
    let original = body.clone();
    let packet = Packet::parse(&original).unwrap();
    let mut inner = Vec::new();
    // Ids in the recordings count from a run's own start; -1, none and an invented one stay.
    let shifted =
        |id: Option<i64>| id.map(|id| if (1..100).contains(&id) { id - shift } else { id });
    match packet.packet_type() {
        PacketType::ClientAck | PacketType::ClientRollback => {
            let batch = BatchRef::parse(packet.body()).unwrap();
            BatchRef { batch_id: shifted(batch.batch_id), ..batch }.write(&mut inner);
        }
        PacketType::Messages => {
            let Reply::Messages(batch) = Reply::parse(&packet).unwrap() else { return };
            Messages { batch_id: shifted(batch.batch_id), ..batch }.write(&mut inner);
        }
        PacketType::Compatible
        | PacketType::Handshake
        | PacketType::ClientAuthentication
        | PacketType::Ack
        | PacketType::Subscription
        | PacketType::Unsubscription
        | PacketType::Get
        | PacketType::Shutdown
        | PacketType::Dump
        | PacketType::Heartbeat
        | PacketType::Unrecognized(_) => return,
    }
    body.clear();
    Packet { body: Some(&inner), ..packet }.write(body);
}
