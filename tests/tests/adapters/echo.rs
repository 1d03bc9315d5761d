//! The example with several endpoints in one loop, as a program in a process of its own.

use std::{thread, time::Duration};

use bytes::Bytes;
use conec_core::{Code, ErrorCode, Name, RecvEnd, SendEnd};
use conec_mio::blocking::{Channel, Client};

use crate::{PATIENCE, client_config, programs::Program, within};

const ECHO: &str = "echo_coordinator_for_tests";

/// Both of its endpoints send back what they are sent, to two Clients at once.
#[test]
fn everything_comes_back_from_both_endpoints_of_the_loop() {
    within(|| {
        let program = Program::start(ECHO, &std::env::temp_dir(), &["127.0.0.1:0"]);
        let at = program.expect("at ");
        let (address, pin) = at.split_once(", pin ").unwrap();
        program.expect("echo: Connected");
        let (to, pin) = ([address.parse().unwrap()], pin.parse().unwrap());
        let clients = [(); 2].map(|()| {
            thread::spawn(move || {
                let config = client_config(pin);
                let client = Client::connect_to("localhost", &to, config).unwrap();
                let peer = client.open("echo".parse::<Name>().unwrap(), "").unwrap();
                thread::scope(|scope| {
                    for channel in [peer, client.home()] {
                        scope.spawn(move || talk_to_oneself(&channel));
                    }
                });
                client.close(PATIENCE);
            })
        });
        for client in clients {
            client.join().unwrap();
        }
        drop(program);
    });
}

fn talk_to_oneself(channel: &Channel) {
    let (mut sender, receiver) = channel.open_bi("").unwrap();
    // More than all windows hold, so it has to be taken back meanwhile.
    let piece = |at: usize| Bytes::from(vec![at as u8; 10_000 + at]);
    let taking = thread::spawn(move || receiver.map(Result::unwrap).collect::<Vec<_>>());
    for at in 0..COUNT {
        sender.send(piece(at)).unwrap();
    }
    sender.finish().unwrap();
    assert!(taking.join().unwrap().into_iter().eq((0..COUNT).map(piece)));
    assert_eq!(sender.finished(), SendEnd::Finished);

    // What ends otherwise comes back as that.
    let (mut sender, mut receiver) = channel.open_bi("").unwrap();
    sender.send("half of it".into()).unwrap();
    assert_eq!(receiver.recv(), Ok(Some("half of it".into())));
    sender.reset(Code(7));
    let dropped = ErrorCode::Dropped;
    assert_eq!(receiver.recv(), Err(RecvEnd::Refused(dropped).into()));
    let mut sender = channel.open_uni("").unwrap();
    assert_eq!(sender.finished(), SendEnd::Refused(dropped));

    // Loss is allowed, even here.
    let soon = Duration::from_millis(100);
    let came_back = (0..20).any(|_| {
        channel.send_datagram("there and back".into()).unwrap();
        channel.recv_datagram_timeout(soon) == Ok(Some("there and back".into()))
    });
    assert!(came_back);
}

const COUNT: usize = 300;
