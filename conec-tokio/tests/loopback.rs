//! The adapter over real sockets: what the core cannot be asked about, because it has neither sockets nor tasks.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for some events only"
)]

use std::{
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use conec_tokio::{
    BindError, Certificate, Channel, ChannelEvent, Client, ClientConfig, CloseReason, Code,
    ConfigError, ConnectError, Coordinator, CoordinatorConfig, CoordinatorEvent, ErrorCode,
    Identity, Name, Offer, OpenChannelError, OpenError, OpenStreamError, Policy, Receiver, RecvEnd,
    SendDatagramError, SendEnd, SendError, Sender, Trust, TryRecvError,
};
use futures_util::{SinkExt, StreamExt, stream};

/// Far more than anything here takes, unless it hangs.
const LIMIT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_who_it_says() {
    within(async {
        let coordinator = coordinator().await;
        let identity = Identity::generate().unwrap();
        let config = ClientConfig {
            name: Some(name("alice")),
            ..ClientConfig::new(identity.clone(), Trust::Pin(coordinator.pin()))
        };
        let client = Client::connect(&format!("localhost:{}", coordinator.local_addr().port()), config)
            .await
            .unwrap();
        assert_eq!(client.id(), identity.id());
        assert_eq!(client.name(), Some(name("alice")));
        assert!(client.observed_address().unwrap().ip().is_loopback());
        assert_eq!(client.home().peer(), None);
        assert!(client.home().rtt().is_some());

        let event = coordinator.next_event().await.unwrap();
        let CoordinatorEvent::ClientConnected { client: home, id, name: granted, address } = event else {
            panic!("{event:?}");
        };
        assert_eq!((id, granted), (client.id(), client.name()));
        assert_eq!(Some(address), client.observed_address());
        assert_eq!(coordinator.find(id), Some(home));
        assert_eq!(coordinator.find(name("alice")), Some(home));
        assert_eq!(coordinator.clients(), 1);
        assert_eq!(coordinator.channel(home).unwrap().peer().unwrap().id, id);

        client.close(PATIENCE).await;
        assert_eq!(client.closed().await, CloseReason::Local);
        let event = coordinator.next_event().await.unwrap();
        assert!(
            matches!(
                event,
                CoordinatorEvent::Channel { channel, event: ChannelEvent::Closed { .. } } if channel == home
            ),
            "{event:?}"
        );
        assert_eq!(coordinator.clients(), 0);
        assert!(coordinator.channel(home).is_none());
        coordinator.close(PATIENCE).await;
        assert_eq!(coordinator.next_event().await, None);
}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_tried_in_turn() {
    within(async {
        let coordinator = coordinator().await;
        let config = config(&coordinator, "alice");
        // Nobody is there, and the system may say so.
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addresses = [silent.local_addr().unwrap(), coordinator.local_addr()];
        let config = ClientConfig {
            limits: conec_tokio::Limits {
                handshake_timeout: Duration::from_millis(300),
                ..config.limits
            },
            ..config
        };
        let client = Client::connect_to("localhost", &addresses, config)
            .await
            .unwrap();
        assert_eq!(client.name(), Some(name("alice")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_socket_serves_both_ip_versions() {
    within(async {
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let bound = Coordinator::bind("[::]:0", CoordinatorConfig::new(certificate)).await;
        // Not every machine has IPv6.
        let Ok(coordinator) = bound else { return };
        let port = coordinator.local_addr().port();
        for ip in ["127.0.0.1", "[::1]"] {
            let client = Client::connect(&format!("{ip}:{port}"), config(&coordinator, "alice"))
                .await
                .unwrap();
            let observed = client.observed_address().unwrap();
            assert_eq!(observed.is_ipv4(), ip == "127.0.0.1", "{observed}");
            client.close(PATIENCE).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_fails_for_a_reason() {
    within(async {
        let coordinator = coordinator().await;
        let _alice = client(&coordinator, "alice").await;
        let at = coordinator.local_addr().to_string();

        let taken = Client::connect(&at, config(&coordinator, "alice"))
            .await
            .unwrap_err();
        assert!(
            matches!(
                taken,
                ConnectError::Closed(CloseReason::Remote(ErrorCode::NameInUse))
            ),
            "{taken}"
        );
        let another = Certificate::self_signed(["localhost"]).unwrap();
        let config = ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(another.pin()));
        let stranger = Client::connect(&at, config.clone()).await.unwrap_err();
        assert!(
            matches!(stranger, ConnectError::Closed(CloseReason::Identity)),
            "{stranger}"
        );
        for nonsense in ["localhost", "localhost:port", "no.such.host.invalid:1"] {
            let unresolved = Client::connect(nonsense, config.clone()).await.unwrap_err();
            assert!(
                matches!(unresolved, ConnectError::Resolve { .. }),
                "{unresolved}"
            );
        }
        let nowhere = Client::connect_to("localhost", &[], config.clone())
            .await
            .unwrap_err();
        assert!(matches!(nowhere, ConnectError::Address(_)), "{nowhere}");
        let config = ClientConfig {
            token: Bytes::from(vec![0; 5000]),
            ..config
        };
        let invalid = Client::connect(&at, config).await.unwrap_err();
        assert!(
            matches!(
                invalid,
                ConnectError::Bind(BindError::Config(ConfigError::OutOfRange(..)))
            ),
            "{invalid}"
        );
        let occupied = Coordinator::bind(
            &at,
            CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap()),
        )
        .await
        .unwrap_err();
        assert!(matches!(occupied, BindError::Io(_)), "{occupied}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_open_by_name_and_by_id() {
    within(async {
        let coordinator = coordinator().await;
        let (alice, bob) = (
            client(&coordinator, "alice").await,
            client(&coordinator, "bob").await,
        );
        for by_id in [false, true] {
            let target = if by_id {
                bob.id().into()
            } else {
                conec_tokio::Target::from(name("bob"))
            };
            let (opened, accepted) = tokio::join!(alice.open(target, "for a chat"), accept(&bob));
            let (opened, accepted) = (opened.unwrap(), accepted);
            assert_eq!(opened.peer().unwrap().id, bob.id());
            let peer = accepted.peer().unwrap();
            assert_eq!(peer.id, alice.id());
            assert_eq!(peer.name, Some(name("alice")));
            assert_eq!(&peer.label[..], b"for a chat");
            assert!(opened.rtt().is_some());
        }
        let unknown = alice.open(name("carol"), "").await.unwrap_err();
        assert_eq!(
            unknown,
            OpenError::Closed(CloseReason::Remote(ErrorCode::NotFound))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_are_rejected_by_word_and_by_dropping_them() {
    within(async {
        let coordinator = coordinator().await;
        let (alice, bob) = (
            client(&coordinator, "alice").await,
            client(&coordinator, "bob").await,
        );
        let (opened, ()) = tokio::join!(alice.open(bob.id(), ""), async {
            offer(&bob).await.reject(Code(7));
        });
        assert_eq!(
            opened.unwrap_err(),
            OpenError::Closed(CloseReason::Application(Code(7)))
        );
        let (opened, ()) = tokio::join!(alice.open(bob.id(), ""), async {
            drop(offer(&bob).await);
        });
        assert!(
            matches!(opened, Err(OpenError::Closed(CloseReason::Remote(_)))),
            "{opened:?}"
        );
        // And the other way round: an offer that was given up is gone, or says so.
        {
            let mut opening = pin!(alice.open(bob.id(), ""));
            assert!(poll_once(opening.as_mut()).is_pending());
            let offer = tokio::select! {
                _ = opening => unreachable!("nobody has accepted"),
                offer = offer(&bob) => offer,
            };
            assert_eq!(offer.peer().unwrap().id, alice.id());
            // Alice's call is dropped here, with the offer at hand.
            drop(tokio::spawn(async move { drop(offer.accept().await) }));
        }
        let (_, _) = pair_of(&alice, &bob).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_can_be_accepted_automatically() {
    within(async {
        let coordinator = coordinator().await;
        let alice = client(&coordinator, "alice").await;
        let config = ClientConfig {
            auto_accept: true,
            ..config(&coordinator, "bob")
        };
        let at = coordinator.local_addr().to_string();
        let bob = Client::connect(&at, config).await.unwrap();
        let opened = alice.open(bob.id(), "at once").await.unwrap();
        let offer = offer(&bob).await;
        assert_eq!(&offer.peer().unwrap().label[..], b"at once");
        let accepted = offer.accept().await.unwrap();
        round_trip(&opened, &accepted).await;
        let opened = alice.open(bob.id(), "not wanted").await.unwrap();
        self::offer(&bob).await.reject(Code(5));
        assert_eq!(opened.closed().await, CloseReason::Application(Code(5)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinator_connects_clients_and_decides() {
    within(async {
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let config_ = CoordinatorConfig {
            admission: Policy::Ask,
            channels: Policy::Ask,
            ..CoordinatorConfig::new(certificate)
        };
        let coordinator = Coordinator::bind("127.0.0.1:0", config_).await.unwrap();
        let at = coordinator.local_addr().to_string();
        let judge = tokio::spawn({
            let coordinator = coordinator.clone();
            async move {
                let mut events = coordinator.events();
                let mut started = 0;
                while let Some(event) = events.next().await {
                    match event {
                        CoordinatorEvent::ClientAsks {
                            client,
                            name: Some(name),
                            token,
                            ..
                        } => match &token[..] {
                            b"secret" => coordinator.admit(client, Some(name)).unwrap(),
                            _ => coordinator.refuse(client, Code(1)).unwrap(),
                        },
                        CoordinatorEvent::PairAsks { pair, label, .. } => match &label[..] {
                            b"please" => coordinator.grant(pair).unwrap(),
                            _ => coordinator.deny(pair).unwrap(),
                        },
                        CoordinatorEvent::PairStarted { pair, .. } => {
                            started += 1;
                            if started == 2 {
                                coordinator.disconnect(pair, Code(2)).unwrap();
                            }
                        }
                        _ => {}
                    }
                }
            }
        });
        let join = |who: &str, token: &'static str| {
            let config = ClientConfig {
                token: Bytes::from(token),
                ..config(&coordinator, who)
            };
            let at = at.clone();
            async move { Client::connect(&at, config).await }
        };
        let refused = join("mallory", "guess").await.unwrap_err();
        assert!(
            matches!(
                refused,
                ConnectError::Closed(CloseReason::Application(Code(1)))
            ),
            "{refused}"
        );
        let alice = join("alice", "secret").await.unwrap();
        let bob = join("bob", "secret").await.unwrap();
        let denied = alice.open(bob.id(), "now!").await.unwrap_err();
        assert_eq!(
            denied,
            OpenError::Closed(CloseReason::Remote(ErrorCode::NotFound))
        );
        let (opened, accepted) = tokio::join!(alice.open(bob.id(), "please"), accept(&bob));
        round_trip(&opened.unwrap(), &accepted).await;
        // On the Coordinator's own account: both are offered the channel. It takes it from them again.
        coordinator
            .connect(alice.id(), name("bob"), "introduction")
            .unwrap();
        let (a, b) = tokio::join!(offer(&alice), offer(&bob));
        assert_eq!(a.peer().unwrap().id, bob.id());
        let (a, b) = tokio::join!(a.accept(), b.accept());
        for end in [a, b] {
            let reason = match end {
                Ok(channel) => channel.closed().await,
                Err(reason) => reason,
            };
            assert_eq!(reason, CloseReason::Application(Code(2)));
        }
        tokio::join!(alice.close(PATIENCE), bob.close(PATIENCE));
        coordinator.close(PATIENCE).await;
        judge.await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_carry_messages_both_ways() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver, mut echo) = world.bi().await;
        let mut back = echo.sender.take().unwrap();
        assert_eq!(&echo.label[..], b"bi");
        assert_eq!(echo.receiver.id().channel(), world.bob.id());
        for message in ["", "one", "two"] {
            sender.send(message.into()).await.unwrap();
            assert_eq!(echo.receiver.recv().await, Ok(Some(message.into())));
            back.send(message.into()).await.unwrap();
            assert_eq!(receiver.recv().await, Ok(Some(message.into())));
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Blocked));
        sender.finish().unwrap();
        assert_eq!(sender.finish(), Err(SendError::Finished));
        assert_eq!(sender.send("late".into()).await, Err(SendError::Finished));
        assert_eq!(echo.receiver.recv().await, Ok(None));
        assert_eq!(sender.finished().await, SendEnd::Finished);
        assert_eq!(echo.receiver.try_recv(), Ok(None));
        // The other direction is a matter of its own.
        back.try_send("still here".into()).unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("still here".into())));
        back.reset(Code(3));
        assert_eq!(receiver.recv().await, Err(RecvEnd::Reset(Code(3))));
        assert_eq!(receiver.recv().await, Err(RecvEnd::Reset(Code(3))));
        assert_eq!(back.finished().await, SendEnd::Reset);
        assert_eq!(
            back.send("late".into()).await,
            Err(SendError::Ended(SendEnd::Reset))
        );

        // The other end can open streams, too.
        let mut sender = world.bob.open_uni("uni").await.unwrap();
        let mut incoming = world.alice.incoming();
        sender.send("hello".into()).await.unwrap();
        let mut stream = incoming.next().await.unwrap();
        assert!(stream.sender.is_none());
        assert_eq!(stream.receiver.recv().await, Ok(Some("hello".into())));
        stream.receiver.stop(Code(4));
        assert_eq!(stream.receiver.recv().await, Err(RecvEnd::Stopped));
        assert_eq!(sender.finished().await, SendEnd::Stopped(Code(4)));
        assert_eq!(
            sender.try_send("late".into()),
            Err(SendError::Ended(SendEnd::Stopped(Code(4))))
        );
        let long = world.alice.open_uni([0; 256]).await;
        assert_eq!(long.unwrap_err(), OpenStreamError::LabelTooLong);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_can_be_large_but_not_too_large() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        let large = Bytes::from_iter((0..16u32 << 20).map(|at| (at ^ (at >> 11)) as u8));
        sender.send(large.clone()).await.unwrap();
        assert!(receiver.recv().await.unwrap().unwrap() == large);
        let max = large.len();
        let more = Bytes::from(vec![0; max + 1]);
        assert_eq!(
            sender.send(more.clone()).await,
            Err(SendError::TooLarge { max })
        );
        assert_eq!(sender.try_send(more), Err(SendError::TooLarge { max }));
        sender.send("small".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("small".into())));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_are_sinks_and_streams() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        let sent = (0..5000).map(message).collect::<Vec<_>>();
        let all = stream::iter(sent.clone()).map(Ok);
        let send = tokio::spawn(async move {
            // Sends all, finishes, and waits until they are there.
            all.forward(&mut sender).await.unwrap();
            assert_eq!(sender.finished().await, SendEnd::Finished);
        });
        let received = (&mut receiver)
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .await;
        assert!(received == sent);
        assert_eq!(receiver.next().await, None);
        send.await.unwrap();

        let (mut sender, mut receiver) = world.uni().await;
        sender.feed("last words".into()).await.unwrap();
        assert_eq!(receiver.next().await, Some(Ok("last words".into())));
        drop(sender);
        assert_eq!(
            receiver.next().await,
            Some(Err(RecvEnd::Refused(ErrorCode::Dropped)))
        );
        assert_eq!(receiver.next().await, None);
        let (mut sender, receiver) = world.uni().await;
        drop(receiver);
        let end = SendEnd::Refused(ErrorCode::Dropped);
        assert_eq!(sender.close().await, Err(SendError::Ended(end)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_stops_the_writer() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        let piece = |at: usize| Bytes::from(vec![at as u8; 100_000]);
        let mut sent = 0;
        // Full when nothing was taken for a while; until then packets and credit are under way.
        loop {
            let full = tokio::time::timeout(Duration::from_millis(200), sender.send(piece(sent)));
            match full.await {
                Ok(done) => done.unwrap(),
                Err(_) => break,
            }
            sent += 1;
            assert!(sent < 200, "more than the windows hold");
        }
        assert_eq!(sender.try_send(piece(sent)), Err(SendError::Blocked));
        assert!(sent * 100_000 > 2 << 20, "less than the stream's window");
        let writer = tokio::spawn(async move {
            for at in sent..sent + 100 {
                sender.send(piece(at)).await.unwrap();
            }
            sender.finish().unwrap();
            sender.finished().await
        });
        for at in 0..sent + 100 {
            assert!(receiver.recv().await.unwrap().unwrap() == piece(at), "{at}");
        }
        assert_eq!(receiver.recv().await, Ok(None));
        assert_eq!(writer.await.unwrap(), SendEnd::Finished);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_a_stream_waits_for_its_turn() {
    within(async {
        let world = World::new().await;
        // The default.
        let limit = 64;
        let mut held = Vec::new();
        for _ in 0..limit {
            held.push(world.alice.open_uni("held").await.unwrap());
        }
        let mut blocked = pin!(world.alice.open_uni("blocked"));
        assert!(poll_once(blocked.as_mut()).is_pending());
        // Another kind is not affected, nor are those who gave up waiting.
        drop(world.alice.open_bi("another").await.unwrap());
        assert!(poll_once(pin!(world.alice.open_uni("given up"))).is_pending());
        // The engine tells of freed streams in steps of an eighth of the limit.
        for mut held in held.drain(..9) {
            held.reset(Code(0));
        }
        let mut sender = blocked.await.unwrap();
        sender.send("through".into()).await.unwrap();
        loop {
            let mut stream = world.bob.accept().await.unwrap();
            if &stream.label[..] == b"blocked" {
                assert_eq!(stream.receiver.recv().await, Ok(Some("through".into())));
                break;
            }
            assert_ne!(&stream.label[..], b"given up");
        }
        // Those freed before come in several steps: until nothing comes any more.
        let wait = Duration::from_millis(300);
        while let Ok(opened) = tokio::time::timeout(wait, world.alice.open_uni("held")).await {
            held.push(opened.unwrap());
        }
        // One who waits learns that the channel is being closed.
        let alice = world.alice.clone();
        let mut blocked = pin!(world.alice.open_uni("blocked"));
        assert!(poll_once(blocked.as_mut()).is_pending());
        let closing = tokio::spawn(async move { alice.close(PATIENCE).await });
        assert_eq!(blocked.await.unwrap_err(), OpenStreamError::Closed);
        // So does the other side, once it hears of it.
        while world.bob.open_uni("late").await.map(drop) != Err(OpenStreamError::Closed) {}
        drop((held, sender));
        assert_eq!(closing.await.unwrap(), CloseReason::Local);
    })
    .await;
}

/// Every waiting call is given up again and again, at each point where it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_a_call_loses_nothing() {
    within(async {
        const COUNT: usize = 3000;
        let world = World::new().await;
        let mut sender = patiently(|| world.alice.open_uni("")).await.unwrap();
        let writer = tokio::spawn(async move {
            for at in 0..COUNT {
                let mut tries = 0;
                while poll_once(pin!(sender.send(message(at)))).is_pending() {
                    tries += 1;
                    // Let others work, and be woken for what nobody waits for.
                    tokio::task::yield_now().await;
                    assert!(tries < 10_000_000);
                }
            }
            sender.finish().unwrap();
            while poll_once(pin!(sender.finished())).is_pending() {
                tokio::task::yield_now().await;
            }
        });
        let mut stream = patiently(|| world.bob.accept()).await.unwrap();
        for at in 0..COUNT {
            let received = loop {
                if let Poll::Ready(received) = poll_once(pin!(stream.receiver.recv())) {
                    break received;
                }
                tokio::task::yield_now().await;
            };
            assert!(received == Ok(Some(message(at))), "{at}");
        }
        assert_eq!(stream.receiver.recv().await, Ok(None));
        writer.await.unwrap();
        for at in 0..100 {
            let datagram = message(at).slice(..20);
            // Loss is allowed, even here.
            loop {
                patiently(|| world.alice.send_datagram(datagram.clone()))
                    .await
                    .unwrap();
                let arrives = patiently(|| world.bob.recv_datagram());
                match tokio::time::timeout(Duration::from_millis(100), arrives).await {
                    // One that was late is there twice.
                    Ok(received) if received != Some(datagram.clone()) => {}
                    Ok(_) => break,
                    Err(_) => {}
                }
            }
        }
        // Opening a channel must not be given up, but the other side's part can.
        let opening = tokio::spawn({
            let client = world.alice_client.clone();
            let bob = world.bob_client.id();
            async move { client.open(bob, "").await }
        });
        let offer = patiently(|| world.bob_client.accept()).await.unwrap();
        let accepted = offer.accept().await.unwrap();
        let opened = opening.await.unwrap().unwrap();
        round_trip(&opened, &accepted).await;
        assert!(poll_once(pin!(opened.closed())).is_pending());
        // Given up or not, it is being closed; now and then it already is.
        let _ = poll_once(pin!(opened.close(PATIENCE)));
        assert_eq!(
            accepted.closed().await,
            CloseReason::Remote(ErrorCode::None)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_call_is_woken_where_it_waits_now() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        let count = Arc::new(Count::default());
        {
            let waker = Waker::from(Arc::clone(&count));
            let mut recv = pin!(receiver.recv());
            let first = recv.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(first.is_pending());
            // Handed from one task to another, like in a `FuturesUnordered` that moves.
            sender.send("moved".into()).await.unwrap();
            assert_eq!(recv.await, Ok(Some("moved".into())));
        }
        let before = count.get();
        sender.send("again".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("again".into())));
        assert_eq!(count.get(), before, "woken after giving up");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_says_what_it_must() {
    within(async {
        let world = World::new().await;
        // A sender that was not finished is no clean end.
        let (mut sender, mut receiver) = world.uni().await;
        sender.send("half of it".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("half of it".into())));
        drop(sender);
        assert_eq!(
            receiver.recv().await,
            Err(RecvEnd::Refused(ErrorCode::Dropped))
        );
        // One that was, is.
        let (mut sender, mut receiver) = world.uni().await;
        sender.send(message(1)).await.unwrap();
        sender.finish().unwrap();
        drop(sender);
        assert_eq!(receiver.recv().await, Ok(Some(message(1))));
        assert_eq!(receiver.recv().await, Ok(None));
        // A receiver stops the sender.
        let (mut sender, receiver) = world.uni().await;
        drop(receiver);
        assert_eq!(
            sender.finished().await,
            SendEnd::Refused(ErrorCode::Dropped)
        );
        // Halves keep their channel, with or without a handle to it.
        let (mut sender, mut receiver) = world.uni().await;
        let World {
            alice,
            bob,
            alice_client,
            bob_client,
            ..
        } = &world;
        let (second, second_bob) = pair_of(alice_client, bob_client).await;
        let mut kept = second.open_uni("kept").await.unwrap();
        drop(second);
        kept.send("still open".into()).await.unwrap();
        let mut stream = second_bob.accept().await.unwrap();
        assert_eq!(stream.receiver.recv().await, Ok(Some("still open".into())));
        // The last one that is dropped closes it, gracefully: what was finished arrives.
        kept.send("goodbye".into()).await.unwrap();
        kept.finish().unwrap();
        drop(kept);
        assert_eq!(stream.receiver.recv().await, Ok(Some("goodbye".into())));
        assert_eq!(stream.receiver.recv().await, Ok(None));
        assert_eq!(
            second_bob.closed().await,
            CloseReason::Remote(ErrorCode::None)
        );
        assert!(second_bob.accept().await.is_none());
        assert_eq!(second_bob.recv_datagram().await, None);
        // The others were not affected.
        sender.send("fine".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("fine".into())));
        round_trip(alice, bob).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_handle_closes_the_endpoint() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        let World {
            coordinator,
            alice_client,
            bob_client,
            alice,
            bob,
        } = world;
        drop((alice_client, alice));
        // A sender alone keeps the Client.
        sender.send("last".into()).await.unwrap();
        sender.finish().unwrap();
        assert_eq!(sender.finished().await, SendEnd::Finished);
        drop(sender);
        assert_eq!(receiver.recv().await, Ok(Some("last".into())));
        assert_eq!(receiver.recv().await, Ok(None));
        assert_eq!(bob.closed().await, CloseReason::Remote(ErrorCode::None));
        while coordinator.clients() > 1 {
            coordinator.next_event().await.unwrap();
        }
        drop((bob, receiver));
        // The Coordinator is held by events and home channels as well.
        let home = coordinator
            .channel(coordinator.find(bob_client.id()).unwrap())
            .unwrap();
        drop(coordinator);
        round_trip(&bob_client.home(), &home).await;
        drop(home);
        assert_eq!(
            bob_client.closed().await,
            CloseReason::Remote(ErrorCode::None)
        );
        assert!(bob_client.accept().await.is_none());
        assert!(bob_client.open(bob_client.id(), "").await.is_err());
        bob_client.close(PATIENCE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_run_between_client_and_coordinator() {
    within(async {
        let coordinator = coordinator().await;
        let alice = client(&coordinator, "alice").await;
        let home = coordinator.find(name("alice")).unwrap();
        let at_coordinator = coordinator.channel(home).unwrap();
        round_trip(&alice.home(), &at_coordinator).await;
        round_trip(&at_coordinator, &alice.home()).await;
        // Letting go of a home channel does not end it; aborting does.
        drop((at_coordinator, alice.home()));
        let at_coordinator = coordinator.channel(home).unwrap();
        round_trip(&at_coordinator, &alice.home()).await;
        at_coordinator.abort(Code(9));
        assert_eq!(alice.closed().await, CloseReason::Application(Code(9)));
        assert_eq!(at_coordinator.closed().await, CloseReason::Local);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_arrive_whole_or_not_at_all() {
    within(async {
        let world = World::new().await;
        let mut got = 0;
        // Loss is allowed, even here.
        for at in 0..100 {
            world.alice.send_datagram(message(at)).await.unwrap();
            let wait = tokio::time::timeout(Duration::from_millis(100), world.bob.recv_datagram());
            if let Ok(datagram) = wait.await {
                assert!(datagram == Some(message(at)));
                got += 1;
            }
        }
        assert!(got > 90);
        let max = world.alice.max_datagram_size();
        let result = world
            .alice
            .send_datagram(Bytes::from(vec![0; max + 500]))
            .await;
        assert!(
            matches!(result, Err(SendDatagramError::TooLarge { .. })),
            "{result:?}"
        );
        // More than the buffer holds: waits, never fails.
        for at in 0..2000 {
            world.alice.send_datagram(message(at)).await.unwrap();
        }
        world.alice.abort(Code(1));
        assert_eq!(world.bob.closed().await, CloseReason::Application(Code(1)));
        let closed = world.alice.send_datagram(message(0)).await;
        assert_eq!(closed, Err(SendDatagramError::Closed));
    })
    .await;
}

/// A stream that was given up before anybody accepted it takes no memory, and leaves no trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_given_up_early_are_not_seen() {
    within(async {
        let world = World::new().await;
        for _ in 0..500 {
            let mut sender = world.alice.open_uni("gone").await.unwrap();
            sender.reset(Code(1));
        }
        let mut sender = world.alice.open_uni("meant").await.unwrap();
        sender.send("here".into()).await.unwrap();
        loop {
            let mut stream = world.bob.accept().await.unwrap();
            if &stream.label[..] == b"meant" {
                assert_eq!(stream.receiver.recv().await, Ok(Some("here".into())));
                break;
            }
            // Caught in the act.
            assert!(stream.receiver.recv().await.is_err());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_coordinator_has_freed_its_port() {
    within(async {
        let mut coordinator = coordinator().await;
        for _ in 0..20 {
            let client = client(&coordinator, "alice").await;
            let address = coordinator.local_addr();
            coordinator.close(PATIENCE).await;
            let reason = client.closed().await;
            assert_eq!(reason, CloseReason::Remote(ErrorCode::None));
            let certificate = Certificate::self_signed(["localhost"]).unwrap();
            coordinator = Coordinator::bind(address, CoordinatorConfig::new(certificate))
                .await
                .unwrap();
        }
    })
    .await;
}

/// Its task goes with the runtime that it was made in; handles can live elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_its_runtime_says_so() {
    within(async {
        let coordinator = coordinator().await;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let connect = {
            let coordinator = coordinator.clone();
            async move { client(&coordinator, "alice").await }
        };
        let alice = runtime.spawn(connect).await.unwrap();
        let mut sender = alice.home().open_uni("").await.unwrap();
        runtime.shutdown_background();
        assert_eq!(alice.closed().await, CloseReason::Local);
        let opened = alice.open(alice.id(), "").await;
        assert_eq!(
            opened.unwrap_err(),
            OpenError::Refused(OpenChannelError::NotConnected)
        );
        assert!(alice.accept().await.is_none());
        assert!(alice.home().open_uni("").await.is_err());
        let end = SendEnd::Closed(CloseReason::Local);
        assert_eq!(sender.send("x".into()).await, Err(SendError::Ended(end)));
        alice.close(PATIENCE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinators_death_is_noticed_by_all_who_wait() {
    within(async {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let coordinator = runtime.spawn(coordinator()).await.unwrap();
        let alice = fragile(&coordinator, "alice").await;
        let bob = fragile(&coordinator, "bob").await;
        let (a, b) = pair_of(&alice, &bob).await;
        let home = coordinator
            .channel(coordinator.find(alice.id()).unwrap())
            .unwrap();
        let mut to_alice = home.open_uni("").await.unwrap();
        let (mut sender, mut receiver) = uni(&a, &b).await;
        let waiting = tokio::spawn(async move {
            let full = async {
                while sender.send(Bytes::from(vec![0; 1 << 20])).await.is_ok() {}
                sender.finished().await
            };
            let (sent, stream, datagram, offer, closed, home) = tokio::join!(
                full,
                b.accept(),
                b.recv_datagram(),
                bob.accept(),
                a.closed(),
                bob.closed(),
            );
            assert!(matches!(sent, SendEnd::Closed(_)), "{sent}");
            assert!(stream.is_none() && datagram.is_none() && offer.is_none());
            for reason in [closed, home] {
                assert!(
                    matches!(reason, CloseReason::TimedOut | CloseReason::CoordinatorLost),
                    "{reason}"
                );
            }
            while let Ok(message) = receiver.recv().await {
                assert!(message.is_some());
            }
        });
        // No goodbye: its task is gone, and the socket with it.
        tokio::task::block_in_place(|| drop(runtime));
        // Whoever still holds it hears of it at once.
        assert_eq!(home.closed().await, CloseReason::Local);
        assert_eq!(
            to_alice.finished().await,
            SendEnd::Closed(CloseReason::Local)
        );
        assert_eq!(
            to_alice.send("anybody?".into()).await,
            Err(SendError::Ended(SendEnd::Closed(CloseReason::Local)))
        );
        assert!(home.open_uni("").await.is_err());
        assert!(home.accept().await.is_none());
        while coordinator.next_event().await.is_some() {}
        coordinator.close(PATIENCE).await;
        waiting.await.unwrap();
        assert!(matches!(
            alice.closed().await,
            CloseReason::TimedOut | CloseReason::Reset
        ));
        let refused = alice.open(name("bob"), "").await.unwrap_err();
        assert!(matches!(refused, OpenError::Refused(_)), "{refused}");
    })
    .await;
}

#[test]
fn handles_can_be_sent_and_shared() {
    fn is<T: Send + Sync + Unpin + 'static>() {}
    is::<Client>();
    is::<Coordinator>();
    is::<Channel>();
    is::<Offer>();
    is::<Sender>();
    is::<Receiver>();
    fn future<T: Send>(_: &T) {}
    let _ = |client: &Client, channel: &Channel, sender: &mut Sender, receiver: &mut Receiver| {
        future(&client.accept());
        future(&client.open(client.id(), "label"));
        future(&channel.open_bi("label"));
        future(&channel.close(PATIENCE));
        future(&sender.send(Bytes::new()));
        future(&receiver.recv());
    };
}

/// A Coordinator and two Clients with a channel between them.
struct World {
    coordinator: Coordinator,
    alice_client: Client,
    bob_client: Client,
    alice: Channel,
    bob: Channel,
}

impl World {
    async fn new() -> Self {
        let coordinator = coordinator().await;
        let alice_client = client(&coordinator, "alice").await;
        let bob_client = client(&coordinator, "bob").await;
        let (alice, bob) = pair_of(&alice_client, &bob_client).await;
        Self {
            coordinator,
            alice_client,
            bob_client,
            alice,
            bob,
        }
    }

    async fn uni(&self) -> (Sender, Receiver) {
        uni(&self.alice, &self.bob).await
    }

    async fn bi(&self) -> (Sender, Receiver, conec_tokio::IncomingStream) {
        let (sender, receiver) = self.alice.open_bi("bi").await.unwrap();
        (sender, receiver, self.bob.accept().await.unwrap())
    }
}

async fn uni(from: &Channel, to: &Channel) -> (Sender, Receiver) {
    let sender = from.open_uni("uni").await.unwrap();
    (sender, to.accept().await.unwrap().receiver)
}

async fn coordinator() -> Coordinator {
    let certificate = Certificate::self_signed(["localhost"]).unwrap();
    Coordinator::bind("127.0.0.1:0", CoordinatorConfig::new(certificate))
        .await
        .unwrap()
}

fn config(coordinator: &Coordinator, as_: &str) -> ClientConfig {
    ClientConfig {
        name: Some(name(as_)),
        ..ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(coordinator.pin()))
    }
}

async fn client(coordinator: &Coordinator, as_: &str) -> Client {
    let at: SocketAddr = coordinator.local_addr();
    Client::connect_to("localhost", &[at], config(coordinator, as_))
        .await
        .unwrap()
}

/// A Client that notices soon when nobody is there any more.
async fn fragile(coordinator: &Coordinator, as_: &str) -> Client {
    let mut config = config(coordinator, as_);
    for channel in [&mut config.home, &mut config.peer] {
        channel.idle_timeout = Duration::from_secs(1);
        channel.keep_alive = Some(Duration::from_millis(300));
    }
    Client::connect_to("localhost", &[coordinator.local_addr()], config)
        .await
        .unwrap()
}

async fn offer(client: &Client) -> Offer {
    client.accept().await.unwrap()
}

async fn accept(client: &Client) -> Channel {
    offer(client).await.accept().await.unwrap()
}

async fn pair_of(a: &Client, b: &Client) -> (Channel, Channel) {
    let (opened, accepted) = tokio::join!(a.open(b.id(), "pair"), accept(b));
    (opened.unwrap(), accepted)
}

async fn round_trip(from: &Channel, to: &Channel) {
    let (mut sender, mut receiver) = from.open_bi("round trip").await.unwrap();
    sender.send("there".into()).await.unwrap();
    let mut stream = to.accept().await.unwrap();
    let there = stream.receiver.recv().await.unwrap().unwrap();
    assert_eq!(there, "there");
    let mut back = stream.sender.unwrap();
    back.send("and back".into()).await.unwrap();
    assert_eq!(receiver.recv().await, Ok(Some("and back".into())));
    sender.finish().unwrap();
    back.finish().unwrap();
    assert_eq!(receiver.recv().await, Ok(None));
    assert_eq!(stream.receiver.recv().await, Ok(None));
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// Messages that differ, mostly small ones.
fn message(at: usize) -> Bytes {
    let len = if at % 100 == 99 { 1100 } else { 20 + at % 7 };
    format!("{at:0len$}").into()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("hangs")
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a new future each time, and gives it up if it has to wait.
async fn patiently<F: Future>(mut call: impl FnMut() -> F) -> F::Output {
    loop {
        if let Poll::Ready(result) = poll_once(pin!(call())) {
            return result;
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Count(std::sync::atomic::AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}
