//! Streams as bytes: where they end, how they fail, and that they are what tokio takes for a socket.

use std::{error::Error, io, time::Duration};

use conec_tokio::{
    ByteReader, ByteStream, ByteWriter, Code, ErrorCode, RecvEnd, RecvError, SendEnd, SendError,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{World, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    within(async {
        let world = World::new().await;
        let (mut alice, mut bob) = world.bytes().await;
        // Larger than a message, and small ones, and none.
        let sent = (0..300_000u32).map(|at| (at ^ (at >> 9)) as u8);
        let sent = sent.collect::<Vec<_>>();
        alice.write_all(&sent).await.unwrap();
        for byte in b"line\n" {
            alice.write_all(&[*byte]).await.unwrap();
        }
        alice.writer().get_mut().send("".into()).await.unwrap();
        assert_eq!(alice.write(&[]).await.unwrap(), 0);
        let slices = [&b"more "[..], b"", b"than one"].map(io::IoSlice::new);
        assert_eq!(alice.write_vectored(&slices).await.unwrap(), 13);
        let mut received = vec![0; sent.len()];
        bob.read_exact(&mut received).await.unwrap();
        assert!(received == sent);
        let mut line = String::new();
        bob.read_line(&mut line).await.unwrap();
        assert_eq!(line, "line\n");
        assert_eq!(bob.read(&mut []).await.unwrap(), 0);
        // The end of one direction, which the other does not notice.
        alice.shutdown().await.unwrap();
        alice.shutdown().await.unwrap();
        let late = alice.write(b"late").await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::BrokenPipe);
        line.clear();
        bob.read_to_string(&mut line).await.unwrap();
        assert_eq!(line, "more than one");
        assert_eq!(bob.read(&mut [0; 10]).await.unwrap(), 0);
        bob.write_all(b"answer").await.unwrap();
        bob.shutdown().await.unwrap();
        assert_eq!(
            alice.reader().read_chunk().await.unwrap().unwrap(),
            "answer"
        );
        assert_eq!(alice.reader().read_chunk().await.unwrap(), None);
        assert_eq!(alice.reader().read_chunk().await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_end_is_an_error_that_says_which() {
    within(async {
        let world = World::new().await;
        // Dropped: bytes are missing. Again and again.
        let (mut alice, bob) = world.bytes().await;
        drop(bob);
        let dropped = RecvEnd::Refused(ErrorCode::Dropped);
        for _ in 0..2 {
            let error = alice.read(&mut [0; 10]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(recv_error(&error), RecvError::Ended(dropped));
        }
        let error = alice.shutdown().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let dropped = SendEnd::Refused(ErrorCode::Dropped);
        assert_eq!(send_error(&error), SendError::Ended(dropped));
        // Reset and stopped, by codes.
        let (mut alice, mut bob) = world.bytes().await;
        bob.writer().reset(Code(7));
        bob.reader().stop(Code(8));
        let error = alice.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(recv_error(&error), RecvEnd::Reset(Code(7)).into());
        let end = alice.writer().get_mut().finished().await;
        assert_eq!(end, SendEnd::Stopped(Code(8)));
        let error = alice.write(b"late").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(send_error(&error), SendError::Ended(end));
        let error = bob.write(b"late").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        // The channel ends.
        let (mut alice, _bob) = world.bytes().await;
        world.bob.abort(Code(9));
        let error = alice.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(error.source().is_none() && error.to_string().contains('9'));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_cut_to_what_the_channel_allows_and_chunks_are_not_cut_otherwise() {
    within(async {
        let world = World::new().await;
        let (sender, mut receiver) = world.uni().await;
        let mut writer = ByteWriter::new(sender);
        writer.set_piece(1000);
        assert_eq!(writer.write(&[1; 2500]).await.unwrap(), 1000);
        assert_eq!(receiver.recv().await.unwrap().unwrap().len(), 1000);
        let max = 16 << 20;
        let sending = tokio::spawn(async move {
            writer.write_chunk(vec![2; max + 5].into()).await.unwrap();
            writer.write_chunk("".into()).await.unwrap();
            writer.set_piece(usize::MAX);
            assert_eq!(writer.write(&vec![3; max + 5]).await.unwrap(), max);
            writer.finish().unwrap();
            assert_eq!(writer.into_inner().finished().await, SendEnd::Finished);
        });
        for expected in [max, 5, max] {
            let received = receiver.recv().await.unwrap().unwrap();
            assert_eq!(received.len(), expected);
        }
        assert_eq!(receiver.recv().await, Ok(None));
        sending.await.unwrap();
        // What is left of a message, and those after it.
        let (mut sender, receiver) = world.uni().await;
        sender.send("first".into()).await.unwrap();
        sender.send("second".into()).await.unwrap();
        let mut reader = ByteReader::new(receiver);
        assert_eq!(reader.fill_buf().await.unwrap(), b"first");
        reader.consume(2);
        assert_eq!(reader.buffer(), b"rst");
        let (rest, mut receiver) = reader.into_parts();
        assert_eq!(rest, "rst");
        assert_eq!(receiver.recv().await, Ok(Some("second".into())));
    })
    .await;
}

/// A socket at each end, and a stream between: as if the two were connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_joined_by_what_tokio_has_for_it() {
    within(async {
        let world = World::new().await;
        let (alice, bob) = world.bytes().await;
        let mut joined = Vec::new();
        let mut sockets = Vec::new();
        for mut stream in [alice, bob] {
            let (near, mut far) = socket_pair().await;
            sockets.push(near);
            joined.push(tokio::spawn(async move {
                copy_bidirectional(&mut far, &mut stream).await
            }));
        }
        let mut b = sockets.pop().unwrap();
        let mut a = sockets.pop().unwrap();
        let all = (0..1_000_000u32).map(|at| at as u8).collect::<Vec<_>>();
        let sent = all.clone();
        let sending = tokio::spawn(async move {
            a.write_all(&sent).await.unwrap();
            a.shutdown().await.unwrap();
            let mut answer = String::new();
            a.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let mut received = Vec::new();
        b.read_to_end(&mut received).await.unwrap();
        assert!(received == all);
        tokio::time::sleep(Duration::from_millis(20)).await;
        b.write_all(b"still here").await.unwrap();
        drop(b);
        assert_eq!(sending.await.unwrap(), "still here");
        for (joined, copied) in joined.into_iter().zip([(1_000_000, 10), (10, 1_000_000)]) {
            assert_eq!(joined.await.unwrap().unwrap(), copied);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_no_more_bytes_stops_one_direction_only() {
    within(async {
        let world = World::new().await;
        // All is well.
        let (mut alice, mut bob) = world.bytes().await;
        let (mut near, mut far) = tokio::io::duplex(1000);
        let copying =
            tokio::spawn(async move { conec_tokio::copy_bidirectional(&mut far, &mut bob).await });
        let sent = (0..500_000u32).map(|at| at as u8).collect::<Vec<_>>();
        let (mut reading, mut writing) = tokio::io::split(&mut near);
        let all = async {
            let mut received = Vec::new();
            for byte in &sent[..100] {
                alice.write_all(&[*byte]).await.unwrap();
            }
            alice.write_all(&sent[100..]).await.unwrap();
            alice.shutdown().await.unwrap();
            alice.read_to_end(&mut received).await.unwrap();
            assert!(received == sent[..200_000]);
        };
        let back = async {
            let mut received = Vec::new();
            reading.read_to_end(&mut received).await.unwrap();
            assert!(received == sent);
            writing.write_all(&sent[..200_000]).await.unwrap();
            writing.shutdown().await.unwrap();
        };
        tokio::join!(all, back);
        assert_eq!(copying.await.unwrap().unwrap(), (200_000, 500_000));
        // The other side of the stream wants no more.
        let (mut alice, mut bob) = world.bytes().await;
        let (mut near, mut far) = tokio::io::duplex(1000);
        let copying =
            tokio::spawn(async move { conec_tokio::copy_bidirectional(&mut far, &mut bob).await });
        alice.reader().stop(Code(3));
        while near.write_all(&[0; 10]).await.is_ok() {
            let wait = tokio::time::timeout(Duration::from_millis(20), near.write_all(&[0; 1000]));
            if wait.await.is_err() {
                break;
            }
        }
        alice.write_all(b"what comes after").await.unwrap();
        alice.shutdown().await.unwrap();
        let mut received = String::new();
        near.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "what comes after");
        let error = copying.await.unwrap().unwrap_err();
        assert_eq!(send_error(&error), SendEnd::Stopped(Code(3)).into());
        // The socket takes no more.
        let (mut alice, mut bob) = world.bytes().await;
        let (gives, mut give) = tokio::io::duplex(1000);
        let (takes, take) = tokio::io::duplex(1000);
        let copying = tokio::spawn(async move {
            let mut socket = tokio::io::join(gives, takes);
            conec_tokio::copy_bidirectional(&mut socket, &mut bob).await
        });
        drop(take);
        alice.write_all(b"nobody").await.unwrap();
        let end = alice.writer().get_mut().finished().await;
        assert_eq!(end, SendEnd::Stopped(Code(0)));
        give.write_all(b"still there").await.unwrap();
        drop(give);
        received.clear();
        alice.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "still there");
        let error = copying.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        // What cannot be read is no end.
        let (mut alice, mut bob) = world.bytes().await;
        let (_near, mut far) = tokio::io::duplex(1000);
        let copying =
            tokio::spawn(async move { conec_tokio::copy_bidirectional(&mut far, &mut bob).await });
        alice.writer().reset(Code(5));
        let error = copying.await.unwrap().unwrap_err();
        assert_eq!(recv_error(&error), RecvEnd::Reset(Code(5)).into());
        assert!(alice.read(&mut [0; 10]).await.is_err());
    })
    .await;
}

impl World {
    async fn bytes(&self) -> (ByteStream, ByteStream) {
        let alice = ByteStream::from(self.alice.open_bi("bytes").await.unwrap());
        // What was opened before and ended may come as well.
        loop {
            let incoming = self.bob.accept().await.unwrap();
            if incoming.receiver.id() == alice.id() {
                return (alice, incoming.try_into().unwrap());
            }
        }
    }
}

async fn socket_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

fn recv_error(error: &io::Error) -> RecvError {
    *error.get_ref().unwrap().downcast_ref().unwrap()
}

fn send_error(error: &io::Error) -> SendError {
    *error.get_ref().unwrap().downcast_ref().unwrap()
}
