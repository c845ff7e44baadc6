//! The frames that the protocol's description works out.

use towpath_protocol::{
    BatchRef, ClientAuth, Get, Packet, PacketError, Reply, Request, Subscription, Text, frame,
    reply, request, token,
};

use crate::hex;

const SEED: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

const BATCH: BatchRef<'static> =
    BatchRef { destination: Some("example"), client_id: Some("1001"), batch_id: None };

const SUB: Subscription<'static> =
    Subscription { destination: Some("example"), client_id: Some("1001"), filter: None };

const GET: Get<'static> = Get {
    destination: Some("example"),
    client_id: Some("1001"),
    fetch_size: Some(1000),
    timeout: Some(-1),
    unit: Some(2),
    auto_ack: Some(false),
};

fn auth() -> ClientAuth<'static> {
    ClientAuth {
        net_read_timeout: Some(3_600_000),
        net_write_timeout: Some(3_600_000),
        ..ClientAuth::default()
    }
}

#[test]
fn requests_have_their_bytes() {
    let no_credentials = "0000000e 18022a0a1880dddb012080dddb01";
    assert_eq!(request::login(&auth()).unwrap(), hex(no_credentials));
    let token = token("canal", &SEED);
    let login = ClientAuth { username: Some("canal"), password: Some(token.as_bytes()), ..auth() };
    let mut expected = hex("0000003f 18022a3b 0a0563616e616c 1228");
    expected.extend_from_slice(b"7de44690d8e53782cb61804a2455c284a3bbfb06");
    expected.extend(hex("1880dddb012080dddb01"));
    assert_eq!(request::login(&login).unwrap(), expected);
    assert_eq!(request::login(&ClientAuth::default()).unwrap(), hex("00000002 1802"));

    let sub = Subscription { filter: Some(r".*\..*"), ..SUB };
    let expected = "0000001b 18042a170a076578616d706c651204313030313a062e2a5c2e2e2a";
    assert_eq!(request::subscribe(&sub).unwrap(), hex(expected));
    let expected = "00000013 18042a0f0a076578616d706c65120431303031";
    assert_eq!(request::subscribe(&SUB).unwrap(), hex(expected));
    let expected = "00000013 18052a0f0a076578616d706c65120431303031";
    assert_eq!(request::unsubscribe(&SUB).unwrap(), hex(expected));
    let expected = "00000013 180c2a0f0a076578616d706c65120431303031";
    assert_eq!(request::rollback(&BATCH).unwrap(), hex(expected));
    let expected = "00000015 18082a110a076578616d706c651204313030311805";
    assert_eq!(request::ack(&BatchRef { batch_id: Some(5), ..BATCH }).unwrap(), hex(expected));
    let expected = "0000001e 18082a1a0a076578616d706c6512043130303118ffffffffffffffffff01";
    assert_eq!(request::ack(&BatchRef { batch_id: Some(-1), ..BATCH }).unwrap(), hex(expected));

    let expected = "00000025 18062a210a076578616d706c6512043130303118e807\
                    20ffffffffffffffffff01 2802 3000";
    assert_eq!(request::get(&GET).unwrap(), hex(expected));
    let expected = "0000002d 18062a290a076578616d706c651204313030311864\
                    20ffffffffffffffffff01 28ffffffffffffffffff01 3000";
    let get = Get { fetch_size: Some(100), unit: Some(-1), ..GET };
    assert_eq!(request::get(&get).unwrap(), hex(expected));
}

#[test]
fn replies_have_their_bytes() {
    let expected = "00000010 100118012a0a1208 0102030405060708";
    assert_eq!(reply::handshake(&SEED), hex(expected));
    assert_eq!(reply::ok(), hex("00000004 10011803"));
    let mut expected = hex("00000025 100118032a1f0890 03121a");
    expected.extend_from_slice(b"auth failed for user:canal");
    assert_eq!(reply::error(400, "auth failed for user:canal"), expected);
    assert_eq!(reply::no_messages(), hex("00000011 100118072a0b08ffffffffffffffffff01"));
    let mut batch = reply::messages_head(5, 7).unwrap();
    batch.extend(hex("1202aabb 1201cc"));
    assert_eq!(batch, hex("0000000d 18072a0908051202aabb1201cc"));
}

#[test]
fn replies_of_old_servers_are_understood() {
    for digits in ["18012a00", "1801"] {
        let bytes = hex(digits);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.version, None);
        let Reply::Handshake(handshake) = Reply::parse(&packet).unwrap() else { panic!() };
        assert_eq!(handshake.seeds, None);
    }
    let bytes = hex("1001 1807 2a09 0805 1202aabb 1201cc");
    let Reply::Messages(messages) = Reply::parse(&Packet::parse(&bytes).unwrap()).unwrap() else {
        panic!()
    };
    assert_eq!(messages.batch_id, Some(5));
    assert_eq!(messages.entries, [&[0xaa, 0xbb][..], &[0xcc]]);
}

#[test]
fn a_frame_has_at_most_what_its_length_can_say() {
    let largest = i32::MAX.unsigned_abs() as usize;
    assert!(reply::messages_head(1, largest).is_err());
    assert!(reply::messages_head(1, usize::MAX).is_err());
    assert!(reply::messages_head(i64::MAX, largest - 32).is_ok());
    assert_eq!(frame(b"").unwrap(), [0; 4]);
}

#[test]
fn texts_of_requests_are_protobufs() {
    let empty = Subscription { destination: Some(""), client_id: Some("1003"), filter: Some("") };
    assert_eq!(Text::Subscription(empty).to_string(), "client_id: \"1003\"\n");
    let get = Get { destination: None, fetch_size: Some(0), ..GET };
    assert_eq!(
        Text::Get(get).to_string(),
        "client_id: \"1001\"\ntimeout: -1\nunit: 2\nauto_ack: false\n"
    );
    let odd = BatchRef { destination: Some("a\"\né\u{1}"), batch_id: Some(0), ..BATCH };
    assert_eq!(
        Text::BatchRef(odd).to_string(),
        "destination: \"a\\\"\\n\\303\\251\\001\"\nclient_id: \"1001\"\n"
    );
}

#[test]
fn malformed_packets_are_errors_and_unknown_fields_are_not() {
    let unknown = hex("18 06 32 03 616263 3d 01020304 41 0102030405060708 48 01");
    let packet = Packet::parse(&unknown).unwrap();
    assert_eq!((packet.type_code, packet.body), (Some(6), None));
    for (digits, error) in [
        ("1a0106", PacketError::WireType { field: 3 }),
        ("2801", PacketError::WireType { field: 5 }),
        ("2d01020304", PacketError::WireType { field: 5 }),
        ("2a05ff", PacketError::Truncated { offset: 2 }),
        ("2affffffffffffffffff01", PacketError::Truncated { offset: 11 }),
        ("18ffffffffffffffffffff01", PacketError::Truncated { offset: 1 }),
        ("0001", PacketError::Key { offset: 0 }),
        ("2b2c", PacketError::Key { offset: 0 }),
    ] {
        assert_eq!(Packet::parse(&hex(digits)), Err(error), "{digits}");
    }
    let not_utf8 = hex("1804 2a03 0a01ff");
    let packet = Packet::parse(&not_utf8).unwrap();
    assert_eq!(Request::parse(&packet), Err(PacketError::NotUtf8 { field: 1 }));
    let compressed = hex("1807 2002");
    let packet = Packet::parse(&compressed).unwrap();
    assert_eq!(Reply::parse(&packet), Err(PacketError::Compressed { code: 2 }));
}

/// T-PARSE: no input makes the parsers panic; each is a value or an error.
#[test]
fn every_mutation_of_a_request_is_a_value_or_an_error() {
    let good = request::get(&GET).unwrap();
    let packet = good.get(4..).unwrap();
    for index in 0..packet.len() {
        for byte in 0..=u8::MAX {
            let mut bad = packet.to_vec();
            if let Some(at) = bad.get_mut(index) {
                *at = byte;
            }
            for cut in [bad.len(), index + 1] {
                let bytes = bad.get(..cut).unwrap();
                if let Ok(packet) = Packet::parse(bytes) {
                    let parsed = (Request::parse(&packet), Reply::parse(&packet));
                    assert!(parsed.0.is_ok() || parsed.0.is_err());
                }
            }
        }
    }
}
