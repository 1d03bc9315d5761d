//! The handles for threads: what they add to what the core does, which is to wait, and to stop waiting.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{
    io::{self, BufRead, Read, Write},
    net::UdpSocket,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_mio::blocking::*;

/// Longer than anything takes that happens at all.
const LONG: Duration = Duration::from_secs(10);
/// Long enough to see that something does not happen.
const SHORT: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn connecting_is_waited_for_no_longer_than_the_limit() {
    within(|| {
        let coordinator = coordinator();
        // Somebody is there, who says nothing.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let (config, to) = (config(&coordinator), [address]);
        let started = Instant::now();
        let late = Client::connect_timeout(&address.to_string(), config.clone(), SHORT);
        assert_eq!(late.err(), Some(TimedOut));
        let late = Client::connect_to_timeout("localhost", &to, config.clone(), SHORT);
        assert_eq!(late.err(), Some(TimedOut));
        let socket = Socket::any().unwrap();
        let late = Client::connect_over_timeout(socket, "localhost", &to, config.clone(), SHORT);
        assert_eq!(late.err(), Some(TimedOut));
        assert!(started.elapsed() >= 3 * SHORT);
        let address = format!("localhost:{}", coordinator.local_addr().port());
        let connected = Client::connect_timeout(&address, config, LONG);
        assert!(connected.unwrap().is_ok());
    });
}

#[test]
fn iterators_give_what_calls_would_give_until_that_ends() {
    within(|| {
        let world = World::new();
        let (mut sender, mut receiver) = world.uni();
        sender.send("half of it".into()).unwrap();
        assert_eq!(receiver.next(), Some(Ok("half of it".into())));
        drop(sender);
        let dropped = RecvEnd::Refused(ErrorCode::Dropped);
        assert_eq!(receiver.next(), Some(Err(dropped.into())));
        assert_eq!(receiver.next(), None);
        let (mut sender, mut receiver) = world.uni();
        sender.finish().unwrap();
        assert_eq!(receiver.next(), None);

        let World {
            coordinator,
            alice,
            b,
            ..
        } = world;
        coordinator.close(PATIENCE);
        assert_eq!(alice.closed(), CloseReason::Remote(ErrorCode::None));
        b.closed();
        assert!(alice.accept().is_none() && alice.incoming().next().is_none());
        assert!(b.accept().is_none() && b.incoming().next().is_none());
        let gone = coordinator.events().last().unwrap();
        let CoordinatorEvent::Channel { event, .. } = gone else {
            panic!("{gone:?}");
        };
        assert!(matches!(event, ChannelEvent::Closed { .. }), "{event:?}");
        assert_eq!(coordinator.next_event(), None);
    });
}

#[test]
fn streams_are_read_and_written_as_bytes() {
    within(|| {
        let world = World::new();
        let mut a = ByteStream::from(world.a.open_bi("bytes").unwrap());
        writeln!(a, "one").unwrap();
        writeln!(a, "two").unwrap();
        let mut b = ByteStream::try_from(world.b.accept().unwrap()).unwrap();
        let mut line = String::new();
        b.read_line(&mut line).unwrap();
        assert_eq!(line, "one\n");
        // What is waited for too long can be tried again.
        a.reader().set_timeout(Some(SHORT));
        let late = a.fill_buf().unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(late.get_ref().unwrap().is::<TimedOut>());
        assert_eq!(
            a.read(&mut [0; 10]).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        let echo = thread::spawn(move || {
            let (mut reader, mut writer) = b.into_split();
            let copied = io::copy(&mut reader, &mut writer).unwrap();
            writer.shutdown().unwrap();
            copied
        });
        let all = vec![7; 5_000_000];
        a.reader().set_timeout(None);
        let (mut reader, mut writer) = a.into_split();
        let sent = all.clone();
        let sending = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown_timeout(LONG).unwrap().unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        assert!(received.starts_with(b"two\n") && received[4..] == all);
        sending.join().unwrap();
        assert_eq!(echo.join().unwrap(), 5_000_004);
        // A window that is full, at one end.
        let (sender, _receiver) = world.uni();
        let mut writer = ByteWriter::new(sender);
        writer.set_timeout(Some(SHORT));
        let full = writer.write_all(&vec![0; 100_000_000]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn calls_are_waited_for_and_taken_back_after_the_limit() {
    use conec_mio::blocking::calls::{Call, CallError, Calls};
    within(|| {
        let world = World::new();
        let mut calls = Calls::new(world.b.clone(), 2);
        assert!(matches!(calls.next_timeout(SHORT), Err(TimedOut)));
        let serving = thread::spawn(move || {
            for mut call in &mut calls {
                match &call.label()[..] {
                    b"echo" => {
                        let question = call.question().unwrap();
                        call.answer_timeout(question, LONG).unwrap().unwrap();
                    }
                    b"slow" => call.abandoned_timeout(LONG).unwrap(),
                    _ => call.refuse(Code(1)),
                }
            }
        });
        assert_eq!(world.a.call("echo", "hello".into()), Ok("hello".into()));
        let late = world.a.call_timeout("slow", "hello".into(), SHORT);
        assert_eq!(late, Err(TimedOut));
        let refused = world.a.call_timeout("else", "hello".into(), LONG);
        assert_eq!(refused, Ok(Err(CallError::Refused(Code(1)))));
        // Of a stream, by hand: the other way round.
        let uni = world.b.open_uni("uni").unwrap();
        let receiver = Call::new(world.a.accept().unwrap()).unwrap_err();
        assert_eq!(receiver.id(), uni.id());
        world.b.abort(Code(0));
        serving.join().unwrap();
    });
}

#[cfg(feature = "serde_json")]
#[test]
fn values_are_waited_for_like_messages() {
    use conec_mio::blocking::typed::{Json, RecvValueError, TypedReceiver, TypedSender};
    within(|| {
        let world = World::new();
        let (sender, receiver) = world.uni();
        let mut sender = TypedSender::<(u8, Option<String>), Json>::new(sender);
        let mut receiver = TypedReceiver::<(u8, Option<String>), Json>::new(receiver);
        sender.send(&(1, None)).unwrap();
        assert_eq!(receiver.recv().unwrap(), Some((1, None)));
        assert!(matches!(receiver.recv_timeout(SHORT), Err(TimedOut)));
        sender.get_mut().try_send("[1]".into()).unwrap();
        let malformed = receiver.recv_timeout(LONG).unwrap();
        assert!(matches!(malformed, Err(RecvValueError::Malformed(_))));
        let more = (2, Some("more".to_owned()));
        sender.send_timeout(&more, LONG).unwrap().unwrap();
        sender.finish().unwrap();
        assert_eq!(receiver.next().unwrap().unwrap(), more);
        assert!(receiver.next().is_none());
        assert_eq!(sender.finished(), SendEnd::Finished);
    });
}

#[test]
fn a_change_of_path_is_waited_for_no_longer_than_the_limit() {
    within(|| {
        let coordinator = coordinator();
        let alice = client(&coordinator);
        let home = alice.home();
        // The whole way.
        assert_eq!(home.path(), Path::Proxied);
        let known = home.path_other_than_timeout(Path::Proxied, SHORT);
        assert_eq!(known, Err(TimedOut));
        let elsewhere = Path::Direct(coordinator.local_addr());
        let other = home.path_other_than_timeout(elsewhere, LONG);
        assert_eq!(other, Ok(Some(Path::Proxied)));
        coordinator.close(PATIENCE);
        assert_eq!(home.path_other_than_timeout(Path::Proxied, LONG), Ok(None));
    });
}

#[test]
fn a_lossy_reader_gets_the_latest_and_the_number_of_all_others() {
    within(|| {
        let world = World::new();
        let (mut sender, mut receiver) = world.uni();
        receiver.set_lossy(Some(Lossy::latest()));
        for _ in 0..2000 {
            sender.send(vec![0; 10_000].into()).unwrap();
        }
        sender.send("latest".into()).unwrap();
        sender.finish().unwrap();
        // Nobody has to read for that.
        assert_eq!(sender.finished(), SendEnd::Finished);
        assert_eq!(receiver.next(), Some(Err(RecvError::Lagged(2000))));
        assert_eq!(receiver.recv(), Ok(Some("latest".into())));
        assert_eq!(receiver.recv_timeout(LONG), Ok(Ok(None)));
        assert_eq!(receiver.next(), None);
    });
}

#[test]
fn a_call_that_gives_up_has_lost_nothing() {
    within(|| {
        let world = World::new();
        let World {
            coordinator,
            alice,
            bob,
            ..
        } = &world;
        // Nothing comes, in no way.
        assert_eq!(alice.accept_timeout(SHORT).err(), Some(TimedOut));
        assert_eq!(bob.accept_timeout(SHORT).err(), Some(TimedOut));
        assert_eq!(world.b.recv_datagram_timeout(SHORT), Err(TimedOut));
        assert_eq!(world.b.closed_timeout(SHORT), Err(TimedOut));
        while let Ok(event) = coordinator.next_event_timeout(SHORT) {
            assert!(event.is_some());
        }
        // What comes after that is not lost.
        let (mut sender, mut receiver) = world.uni();
        assert_eq!(receiver.recv_timeout(SHORT), Err(TimedOut));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Blocked));
        sender.send("late".into()).unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(Ok(Some("late".into()))));
        assert_eq!(sender.finished_timeout(SHORT), Err(TimedOut));
        // A full stream takes all of a message or nothing.
        let piece = |at: usize| Bytes::from(vec![at as u8; 300_000]);
        let mut sent = 0;
        while let Ok(taken) = sender.send_timeout(piece(sent), SHORT) {
            taken.unwrap();
            sent += 1;
            assert!(sent < 100, "more than the windows hold");
        }
        assert_eq!(sender.try_send(piece(sent)), Err(TrySendError::Blocked));
        let reader = thread::spawn(move || receiver.map(Result::unwrap).collect::<Vec<_>>());
        for at in sent..sent + 20 {
            sender.send_timeout(piece(at), LONG).unwrap().unwrap();
        }
        sender.finish().unwrap();
        let received = reader.join().unwrap();
        assert!(received.into_iter().eq((0..sent + 20).map(piece)));
        assert_eq!(sender.finished_timeout(LONG), Ok(SendEnd::Finished));

        let mut held = Vec::new();
        while let Ok(opened) = world.a.open_uni_timeout("held", SHORT) {
            held.push(opened.unwrap());
        }
        let full = world.a.try_open_uni("held").err();
        assert_eq!(full, Some(TryOpenStreamError::Blocked));
        assert!(world.a.try_open_bi("another kind").is_ok());
        let waiting = thread::spawn({
            let channel = world.a.clone();
            move || {
                let opened = channel.open_uni_timeout("after a while", LONG);
                opened.map(|opened| opened.map(drop))
            }
        });
        thread::sleep(SHORT);
        held.clear();
        assert_eq!(waiting.join().unwrap(), Ok(Ok(())));

        // A channel that is not accepted in time is withdrawn.
        let carol = client(coordinator);
        let late = alice.open_timeout(carol.id(), "", SHORT);
        assert_eq!(late.err(), Some(TimedOut));
        if let Ok(offer) = carol.accept_timeout(SHORT) {
            assert!(offer.unwrap().accept().is_err());
        }
    });
}

/// Messages wait together for the thread that has the socket; what is done to the stream comes after them.
#[test]
fn small_messages_arrive_in_order_and_before_what_follows_them() {
    within(|| {
        let world = World::new();
        let (mut sender, receiver) = world.uni();
        let reader = thread::spawn(move || receiver.map(Result::unwrap).collect::<Vec<_>>());
        let message = |at: usize| Bytes::from(at.to_string());
        for at in 0..20_000 {
            sender.send(message(at)).unwrap();
        }
        sender.finish().unwrap();
        assert_eq!(sender.send(message(0)), Err(SendError::Finished));
        assert_eq!(sender.finish(), Err(SendError::Finished));
        drop(sender);
        assert!(
            reader
                .join()
                .unwrap()
                .into_iter()
                .eq((0..20_000).map(message))
        );

        // Given up, by either side.
        let (mut sender, mut receiver) = world.uni();
        sender.send("half of it".into()).unwrap();
        assert_eq!(receiver.recv(), Ok(Some("half of it".into())));
        sender.send("lost".into()).unwrap();
        sender.reset(Code(4));
        let end = loop {
            match receiver.recv() {
                Ok(message) => assert_eq!(message, Some("lost".into())),
                Err(end) => break end,
            }
        };
        assert_eq!(end, RecvEnd::Reset(Code(4)).into());
        let (mut sender, mut receiver) = world.uni();
        receiver.stop(Code(5));
        assert_eq!(sender.finished(), SendEnd::Stopped(Code(5)));
        let late = sender.send("late".into());
        assert_eq!(late, Err(SendError::Ended(SendEnd::Stopped(Code(5)))));
        assert_eq!(receiver.recv(), Err(RecvEnd::Stopped.into()));

        let (mut sender, _kept) = world.uni();
        let large = Bytes::from(vec![0; (16 << 20) + 1]);
        let max = 16 << 20;
        assert_eq!(
            sender.try_send(large.clone()),
            Err(SendError::TooLarge { max }.into())
        );
        assert_eq!(sender.send(large), Err(SendError::TooLarge { max }));
        let label = world.a.open_uni([0; 256]).unwrap_err();
        assert_eq!(label, OpenStreamError::LabelTooLong);
    });
}

#[test]
fn threads_share_handles() {
    within(|| {
        let world = World::new();
        let readers = (0..4).map(|_| {
            let channel = world.b.clone();
            thread::spawn(move || {
                let streams = channel.incoming();
                let all = streams.flat_map(|stream| stream.receiver);
                all.map(|message| message.unwrap().len()).sum::<usize>()
            })
        });
        let readers = readers.collect::<Vec<_>>();
        let writers = (0..4).map(|writer: usize| {
            let channel = world.a.clone();
            thread::spawn(move || {
                for round in 0..20 {
                    let mut sender = channel.open_uni("").unwrap();
                    for message in 0..10 {
                        let len = 100 * (writer + 1) + 10 * round + message;
                        sender.send(vec![0; len].into()).unwrap();
                    }
                    sender.finish().unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.join().unwrap();
        }
        assert_eq!(world.a.close(PATIENCE), CloseReason::Local);
        let read: usize = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        let sent: usize = (0..4)
            .flat_map(|w| {
                (0..20).flat_map(move |r| (0..10).map(move |m| 100 * (w + 1) + 10 * r + m))
            })
            .sum();
        assert_eq!(read, sent);
    });
}

#[test]
fn whoever_waits_hears_of_the_end() {
    within(|| {
        let world = World::new();
        let (mut sender, mut receiver) = world.uni();
        let (mut idle, _kept) = world.uni();
        let World {
            alice, bob, a, b, ..
        } = &world;
        thread::scope(|scope| {
            let waiting = [
                scope.spawn(|| assert_eq!(idle.finished(), ended())),
                scope.spawn(|| {
                    while sender.send(vec![0; 1 << 20].into()).is_ok() {}
                    assert_eq!(sender.finished(), ended());
                }),
                scope.spawn(|| assert!(a.accept().is_none())),
                scope.spawn(|| assert_eq!(a.recv_datagram(), None)),
                scope.spawn(|| assert!(alice.accept().is_none())),
                scope.spawn(|| assert_eq!(alice.closed(), CloseReason::Local)),
                scope.spawn(|| assert_eq!(b.closed(), CloseReason::Application(Code(7)))),
            ];
            thread::sleep(SHORT);
            alice.abort(Code(7));
            for thread in waiting {
                thread.join().unwrap();
            }
        });
        // A peer's goodbye is no clean end of what it had not finished.
        let end = loop {
            match receiver.recv() {
                Ok(message) => assert!(message.is_some(), "a clean end"),
                Err(end) => break end,
            }
        };
        assert!(
            matches!(
                end,
                RecvError::Ended(RecvEnd::Closed(_) | RecvEnd::Truncated)
            ),
            "{end}"
        );
        assert!(alice.open(bob.id(), "").is_err());
        assert_eq!(a.open_uni("").unwrap_err(), OpenStreamError::Closed);
        let closed = a.send_datagram("late".into());
        assert_eq!(closed, Err(SendDatagramError::Closed));
    });
}

/// One thread has the others' Clients connected.
#[test]
fn an_introduction_is_waited_for_no_longer_than_the_limit() {
    within(|| {
        let mut config = coordinator_config();
        let rules = "connect allow any\nreach allow any to any\nintroduce allow any";
        config.rules = Some(rules.parse().unwrap());
        let coordinator = Coordinator::bind("127.0.0.1:0", config).unwrap();
        let [lobby, alice, bob] = [(); 3].map(|()| client(&coordinator));
        // Nobody accepts.
        let late = lobby.introduce_timeout(alice.id(), bob.id(), "first", SHORT);
        assert_eq!(late, Err(TimedOut));
        let accepting = [&alice, &bob].map(|client| {
            let client = client.clone();
            thread::spawn(move || {
                let mut offers = client.incoming();
                [(); 2].map(|()| offers.next().unwrap().accept().unwrap())
            })
        });
        assert_eq!(lobby.introduce(alice.id(), bob.id(), "second"), Ok(()));
        let [a, b] = accepting.map(|thread| thread.join().unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.peer().unwrap().introducer, Some(lobby.id()));
            let mut sender = a.open_uni("").unwrap();
            sender.send("hello".into()).unwrap();
            let mut stream = b.accept_timeout(LONG).unwrap().unwrap();
            assert_eq!(stream.receiver.recv(), Ok(Some("hello".into())));
        }
        let nobody = Identity::generate().unwrap().id();
        let failed = lobby.introduce_timeout(alice.id(), nobody, "", LONG);
        let not_found = CloseReason::Remote(ErrorCode::NotFound);
        assert_eq!(failed, Ok(Err(IntroductionError::Failed(not_found))));
    });
}

fn ended() -> SendEnd {
    SendEnd::Closed(CloseReason::Local)
}

/// A Coordinator and two Clients with a channel between them.
struct World {
    coordinator: Coordinator,
    alice: Client,
    bob: Client,
    a: Channel,
    b: Channel,
}

impl World {
    fn new() -> Self {
        let coordinator = coordinator();
        let (alice, bob) = (client(&coordinator), client(&coordinator));
        let accepting = thread::spawn({
            let bob = bob.clone();
            move || bob.incoming().next().unwrap().accept().unwrap()
        });
        let a = alice.open(bob.id(), "").unwrap();
        let b = accepting.join().unwrap();
        Self {
            coordinator,
            alice,
            bob,
            a,
            b,
        }
    }

    fn uni(&self) -> (Sender, Receiver) {
        let sender = self.a.open_uni("").unwrap();
        (
            sender,
            self.b.accept_timeout(LONG).unwrap().unwrap().receiver,
        )
    }
}

fn coordinator() -> Coordinator {
    Coordinator::bind("127.0.0.1:0", coordinator_config()).unwrap()
}

fn coordinator_config() -> CoordinatorConfig {
    CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap())
}

fn config(coordinator: &Coordinator) -> ClientConfig {
    ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(coordinator.pin()))
}

fn client(coordinator: &Coordinator) -> Client {
    Client::connect_to(
        "localhost",
        &[coordinator.local_addr()],
        config(coordinator),
    )
    .unwrap()
}

/// Fails instead of hanging.
fn within(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let test = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(3 * LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("hangs");
    }
    test.join().unwrap();
}
