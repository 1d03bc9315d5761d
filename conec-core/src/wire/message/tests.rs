use super::*;
use crate::{Code, error::ErrorCode};

fn round_trip<M: RoleMessage + PartialEq + std::fmt::Debug>(message: M) {
    let bytes = message.encode();
    for len in 0..bytes.len() {
        assert_eq!(M::decode(bytes.slice(..len)), Err(Malformed));
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(M::decode(longer.into()), Err(Malformed));
    assert_eq!(M::decode(bytes), Ok(Some(message)));
}

#[test]
fn messages_round_trip_and_no_other_length_decodes() {
    let name: Option<Name> = "alice".parse().ok();
    let route = Route::from_bits(77);
    let code = WireCode::Application(Code(9));
    round_trip(ClientMessage::Hello {
        version: 1,
        name: name.clone(),
        token: "secret".into(),
        instance: u64::MAX,
    });
    for (role, direct) in [(Role::Initiator, true), (Role::Acceptor, false)] {
        round_trip(ClientMessage::Resume(Claim {
            role,
            own_route: route,
            peer_route: Route::from_bits(78),
            channel: 12,
            peer: ClientId([4; 32]),
            label: Bytes::from_static(b"files"),
            direct,
            ticket: Bytes::from_static(&[7; MAX_TICKET]),
        }));
    }
    round_trip(CoordinatorMessage::Ticket {
        route,
        ticket: Bytes::from_static(b"ticket"),
    });
    round_trip(CoordinatorMessage::Resumed { route });
    for count in 0..=MAX_ALTERNATIVES {
        let address = "192.0.2.1:4433".parse().expect("an address");
        round_trip(CoordinatorMessage::Draining {
            spread: 10_000,
            alternatives: vec![("conec.example.org".into(), address); count],
        });
    }
    for target in [
        name.clone().map(Target::Name),
        Some(Target::Id(ClientId([3; 32]))),
    ] {
        let target = target.expect("the name is valid");
        round_trip(ClientMessage::Introduce {
            request: 6,
            from: target.clone(),
            to: Target::Id(ClientId([4; 32])),
            label: Bytes::from_static(b"files"),
        });
        round_trip(ClientMessage::OpenChannel {
            request: 5,
            target,
            label: Bytes::from_static(b"files"),
        });
    }
    for direct in [false, true] {
        round_trip(ClientMessage::Accept { route, direct });
        round_trip(ClientMessage::PathReport { route, direct });
    }
    round_trip(ClientMessage::CloseChannel { route, code });
    round_trip(ClientMessage::AddressEcho { nonce: u64::MAX });
    for observed in ["192.0.2.1:7", "[2001:db8::1]:65535"] {
        round_trip(CoordinatorMessage::Welcome {
            name: None,
            observed: observed.parse().expect("a valid address"),
        });
    }
    for request in [None, Some(70)] {
        round_trip(CoordinatorMessage::Offer(Offer {
            request,
            role: Role::Acceptor,
            own_route: route,
            peer_route: Route::from_bits(78),
            channel: 12,
            peer: ClientId([4; 32]),
            peer_name: name.clone(),
            label: Bytes::new(),
        }));
    }
    round_trip(CoordinatorMessage::Start { route });
    for neighbour in [false, true] {
        round_trip(CoordinatorMessage::Neighbour { route, neighbour });
    }
    round_trip(CoordinatorMessage::ChannelClosed {
        route,
        code: WireCode::Protocol(ErrorCode::PeerGone),
    });
    round_trip(CoordinatorMessage::OpenFailed { request: 1, code });
    round_trip(CoordinatorMessage::Introduced { request: 1 });
    let id = ClientId([5; 32]);
    round_trip(CoordinatorMessage::Introducer { route, id });
    round_trip(CoordinatorMessage::Throttled { packets: 1 << 40 });
    round_trip(CoordinatorMessage::SecondPort { route, port: 4434 });
    round_trip(CoordinatorMessage::SeenAt {
        echo: u64::MAX,
        address: "192.0.2.1:4433".parse().unwrap(),
    });
    round_trip(PeerMessage::Bind {
        channel: 12,
        initiator: ClientId([1; 32]),
        acceptor: ClientId([2; 32]),
        label: Bytes::from_static(b"l"),
    });
    round_trip(PeerMessage::Bound);
    round_trip(PeerMessage::Direct { required: true });
    let address = |number: u16| match number % 2 {
        0 => SocketAddr::from(([192, 0, 2, 1], number)),
        _ => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], number)),
    };
    for count in 0..=MAX_CANDIDATES as u16 {
        round_trip(PeerMessage::Candidates {
            generation: 1 << 40,
            addresses: (0..count).map(address).collect(),
        });
    }
}

#[test]
fn messages_of_all_channels_round_trip_and_no_other_length_decodes() {
    for message in [
        ChannelMessage::Closing {
            bi: 1,
            uni: 1 << 40,
        },
        ChannelMessage::Drained,
        ChannelMessage::HeldUp,
    ] {
        let bytes = message.encode();
        for len in 0..bytes.len() {
            assert_eq!(ChannelMessage::decode(&bytes.slice(..len)), Err(Malformed));
        }
        let longer = [&bytes[..], &[0]].concat().into();
        assert_eq!(ChannelMessage::decode(&longer), Err(Malformed));
        assert_eq!(ChannelMessage::decode(&bytes), Ok(Some(message)));
    }
}

#[test]
fn more_candidates_than_allowed_are_malformed() {
    let mut payload = vec![CANDIDATES as u8, 0, MAX_CANDIDATES as u8 + 1];
    for _ in 0..=MAX_CANDIDATES {
        payload.extend_from_slice(&[4, 192, 0, 2, 1, 0x10, 0]);
    }
    assert_eq!(PeerMessage::decode(payload.into()), Err(Malformed));
}

#[test]
fn unknown_odd_types_are_skipped_and_even_ones_refused() {
    let odd = Bytes::from_static(&[0x3f, 1, 2, 3]);
    let even = Bytes::from_static(&[0x3e, 1, 2, 3]);
    assert_eq!(PeerMessage::decode(odd), Ok(None));
    assert_eq!(PeerMessage::decode(even), Err(Malformed));
}
