//! Streams of values.

use std::error::Error;

use conec_tokio::{
    Code, RecvEnd, RecvError, SendEnd, SendError,
    typed::{Json, Postcard, RecvValueError, SendValueError, TypedReceiver, TypedSender},
};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};

use crate::{World, within};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Circle(f64),
    Polygon { corners: Vec<(i32, i32)> },
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_arrive_as_they_were_sent() {
    within(async {
        let world = World::new().await;
        let (sender, receiver) = world.uni().await;
        let mut sender = TypedSender::<Shape, Postcard>::new(sender);
        let mut receiver = TypedReceiver::<Shape, Postcard>::new(receiver);
        let shapes = [
            Shape::Circle(0.5),
            Shape::Polygon {
                corners: (0..1000).map(|at| (at, -at)).collect(),
            },
        ];
        for shape in &shapes {
            sender.send(shape).await.unwrap();
        }
        sender.feed(shapes[0].clone()).await.unwrap();
        sender.close().await.unwrap();
        assert_eq!(receiver.recv().await.unwrap().unwrap(), shapes[0]);
        assert_eq!(receiver.next().await.unwrap().unwrap(), shapes[1]);
        assert_eq!(receiver.recv().await.unwrap().unwrap(), shapes[0]);
        assert!(receiver.recv().await.unwrap().is_none());
        assert!(receiver.next().await.is_none());
        assert_eq!(sender.finished().await, SendEnd::Finished);
        let error = sender.send(&shapes[0]).await.unwrap_err();
        assert!(matches!(error, SendValueError::Send(SendError::Finished)));
    })
    .await;
}

/// Bad bytes are the other side's fault, and a value without a form is one's own: neither ends the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_have_an_owner_and_concern_one_message() {
    within(async {
        let world = World::new().await;
        let (sender, receiver) = world.uni().await;
        let mut sender = TypedSender::<std::collections::BTreeMap<(u8, u8), u8>, Json>::new(sender);
        let mut receiver = TypedReceiver::<Shape, Json>::new(receiver);
        let error = sender.send(&[((1, 2), 3)].into()).await.unwrap_err();
        assert!(matches!(error, SendValueError::NoForm(_)));
        assert!(error.source().is_some());
        let mut sender = sender.into_inner();
        sender.send("{\"Circle\": true}".into()).await.unwrap();
        sender.send("{\"Circle\": 1.5}".into()).await.unwrap();
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(error, RecvValueError::Malformed(_)));
        assert!(error.source().unwrap().to_string().contains("boolean"));
        assert_eq!(receiver.recv().await.unwrap(), Some(Shape::Circle(1.5)));
        sender.reset(Code(3));
        let error = receiver.next().await.unwrap().unwrap_err();
        let RecvValueError::Recv(RecvError::Ended(end)) = error else {
            panic!("{error}");
        };
        assert_eq!(end, RecvEnd::Reset(Code(3)));
        assert!(receiver.next().await.is_none());
    })
    .await;
}
