//! Questions and answers: many at once, bounded, and given up.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use conec_tokio::{
    Code, ErrorCode, RecvEnd, SendEnd, SendError,
    calls::{Call, CallError, Calls, QuestionError, TOO_LARGE},
};

use crate::{World, poll_once, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_are_answered_at_once_and_no_more_than_allowed() {
    within(async {
        let world = World::new().await;
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let serving = tokio::spawn({
            let (channel, most) = (world.bob.clone(), Arc::clone(&most));
            async move {
                let mut calls = Calls::new(channel, 5);
                while let Some(mut call) = calls.next().await {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let now = Arc::clone(&now);
                    tokio::spawn(async move {
                        let question = call.question().await.unwrap();
                        assert_eq!(call.question().await, Ok(question.clone()));
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        // Before the place is free again.
                        now.fetch_sub(1, Ordering::SeqCst);
                        let answer = [call.label(), &question[..]].concat();
                        call.answer(answer.into()).await.unwrap();
                    });
                }
            }
        });
        let calls = (0..200).map(|at| {
            let channel = world.alice.clone();
            tokio::spawn(async move {
                let answer = channel.call("so ", format!("{at}").into()).await;
                assert_eq!(answer, Ok(Bytes::from(format!("so {at}"))));
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        let most = most.load(Ordering::SeqCst);
        assert!((2..=5).contains(&most), "{most}");
        world.alice.abort(Code(1));
        serving.await.unwrap();
        let late = world.alice.call("late", Bytes::new()).await.unwrap_err();
        assert!(late.is_unsent());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_is_taken_back() {
    within(async {
        let world = World::new().await;
        // A question that does not even fit in the window: some of it is sent.
        for question in [Bytes::from("small"), vec![0; 16 << 20].into()] {
            let mut calls = Calls::new(world.bob.clone(), 1);
            let len = question.len();
            let mut calling = Box::pin(world.alice.call("slow", question));
            assert!(poll_once(calling.as_mut()).is_pending());
            let mut call = calls.next().await.unwrap();
            if len < 100 {
                assert_eq!(call.question().await.unwrap().len(), len);
            }
            assert!(poll_once(pin!(call.abandoned())).is_pending());
            // There is only one place.
            assert!(poll_once(pin!(calls.next())).is_pending());
            drop(calling);
            call.abandoned().await;
            if len > 100 {
                let end = QuestionError::Abandoned(RecvEnd::Reset(Code(0)));
                assert_eq!(call.question().await, Err(end));
            }
            let error = call.answer("nobody hears".into()).await.unwrap_err();
            let end = SendEnd::Refused(ErrorCode::Dropped);
            assert_eq!(error, SendError::Ended(end));
        }
        assert_eq!(world.alice.stats().unwrap().streams_open, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_answered_says_why() {
    within(async {
        let world = World::new().await;
        let alice = world.alice.clone();
        let serving = tokio::spawn({
            let channel = world.bob.clone();
            async move {
                let mut calls = Calls::new(channel.clone(), 0);
                for number in 0.. {
                    let Some(mut call) = calls.next().await else {
                        return;
                    };
                    match number {
                        0 => call.refuse(Code(404)),
                        1 => drop(call),
                        2 => {
                            let error = call.answer(vec![0; (16 << 20) + 1].into()).await;
                            assert!(matches!(error, Err(SendError::TooLarge { .. })));
                        }
                        3 => assert_eq!(call.question().await, Err(QuestionError::Malformed)),
                        4 => assert_eq!(call.question().await, Err(QuestionError::Malformed)),
                        // Without even looking.
                        // That it has arrived may not be known before the channel ends.
                        5 => drop(call.answer("no matter what".into()).await),
                        // Of a question that was too large to be sent, there may be a stream.
                        _ => assert!(call.question().await.is_err()),
                    }
                }
            }
        });
        let call = |question: Bytes| alice.call("call", question);
        assert_eq!(call("?".into()).await, Err(CallError::Refused(Code(404))));
        assert_eq!(call("?".into()).await, Err(CallError::Dropped));
        assert_eq!(call("?".into()).await, Err(CallError::Refused(TOO_LARGE)));
        // No question, and two, and a stream that is no call.
        let (mut sender, mut receiver) = alice.open_bi("none").await.unwrap();
        sender.finish().unwrap();
        assert!(receiver.recv().await.is_err());
        let (mut sender, mut receiver) = alice.open_bi("two").await.unwrap();
        sender.send("one".into()).await.unwrap();
        sender.send("two".into()).await.unwrap();
        assert!(receiver.recv().await.is_err());
        let mut uni = alice.open_uni("no call").await.unwrap();
        assert_eq!(uni.finished().await, SendEnd::Refused(ErrorCode::Dropped));
        let large = vec![0; 10 << 20];
        assert_eq!(call(large.into()).await, Ok("no matter what".into()));
        let large = vec![0; (16 << 20) + 1];
        let max = 16 << 20;
        assert_eq!(call(large.into()).await, Err(CallError::TooLarge { max }));
        world.bob.abort(Code(1));
        serving.await.unwrap();
        // Answers that are none.
        let (alice, bob) = crate::pair_of(&world.alice_client, &world.bob_client).await;
        for answers in [0, 2] {
            let answering = async {
                let stream = bob.accept().await.unwrap();
                let mut sender = stream.sender.unwrap();
                for _ in 0..answers {
                    sender.send("answer".into()).await.unwrap();
                }
                sender.finish().unwrap();
                sender
            };
            let (answer, _sender) = tokio::join!(alice.call("", Bytes::new()), answering);
            assert_eq!(answer, Err(CallError::Malformed));
        }
        let (_uni, stream) = (
            alice.open_uni("").await.unwrap(),
            bob.accept().await.unwrap(),
        );
        assert!(Call::new(stream).is_err());
        let mut calling = pin!(alice.call("", Bytes::new()));
        assert!(poll_once(calling.as_mut()).is_pending());
        bob.abort(Code(2));
        let end = calling.await.unwrap_err();
        assert!(matches!(end, CallError::Ended(RecvEnd::Closed(_))), "{end}");
        assert!(!end.is_unsent());
    })
    .await;
}
