//! What streams carry, and what stops them.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use conec_tokio::{
    CloseReason, Code, ErrorCode, Lossy, OpenStreamError, RecvEnd, RecvError, SendEnd, SendError,
    TryRecvError, TrySendError,
};
use futures_util::{SinkExt, StreamExt, stream};

use crate::{PATIENCE, World, message, poll_once, within};

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
        assert_eq!(receiver.recv().await, Err(RecvEnd::Reset(Code(3)).into()));
        assert_eq!(receiver.recv().await, Err(RecvEnd::Reset(Code(3)).into()));
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
        assert_eq!(stream.receiver.recv().await, Err(RecvEnd::Stopped.into()));
        assert_eq!(sender.finished().await, SendEnd::Stopped(Code(4)));
        assert_eq!(
            sender.try_send("late".into()),
            Err(TrySendError::Failed(SendError::Ended(SendEnd::Stopped(
                Code(4)
            ))))
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
        assert_eq!(
            sender.try_send(more),
            Err(SendError::TooLarge { max }.into())
        );
        sender.send("small".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("small".into())));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossy_reader_holds_up_nobody_and_knows_what_it_has_lost() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        receiver.set_lossy(Some(Lossy::default()));
        // More than the windows let in for a reader that does not read.
        for number in 0..50_000 {
            sender.send(message(number)).await.unwrap();
        }
        sender.finish().unwrap();
        assert_eq!(sender.finished().await, SendEnd::Finished);
        let (mut next, mut lost, mut kept) = (0, 0, 0);
        while let Some(received) = receiver.next().await {
            match received {
                Ok(received) => {
                    assert!(received == message(next));
                    (next, kept) = (next + 1, kept + 1);
                }
                Err(RecvError::Lagged(lagged)) => {
                    next += lagged as usize;
                    lost += lagged as usize;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((next, lost + kept), (50_000, 50_000));
        assert!(lost > 0 && kept <= Lossy::default().messages);
        assert_eq!(receiver.recv().await, Ok(None));
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
            Some(Err(RecvEnd::Refused(ErrorCode::Dropped).into()))
        );
        assert_eq!(receiver.next().await, None);
        let (mut sender, receiver) = world.uni().await;
        drop(receiver);
        // Waited for: a stream that is finished before the refusal arrives ends well.
        let end = SendEnd::Refused(ErrorCode::Dropped);
        assert_eq!(sender.finished().await, end);
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
        assert_eq!(sender.try_send(piece(sent)), Err(TrySendError::Blocked));
        // How far its window grows is up to the machine; what the sender itself takes is not.
        assert!(sent * 100_000 >= 256 << 10, "less than the sender's buffer");
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
