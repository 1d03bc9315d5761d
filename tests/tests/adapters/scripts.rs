//! What two Clients do with each other, told once for all kinds of handles: those that are awaited, those that block,
//! and those that turn a loop until they have what they want.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use conec_core::CloseReason;

/// Where the script is acted out, and what it takes to wait there.
macro_rules! scripts {
    ($module:ident, $($api:ident)::+, ($($async:tt)?), ($($wait:tt)*)) => {
        pub(crate) mod $module {
            use conec_core::{
                ClientId, CloseReason, ErrorCode, Path, PathPolicy, PathStats, RecvEnd, SendEnd,
            };
            use conec_driver::RecvError;
            use $($api)::+::{Channel, Client, Sender};

            use super::*;
            use crate::PATIENCE;

            pub(crate) $($async)? fn alice(client: Client, bob: ClientId) {
                let channel = client.open(bob, "script")$($wait)*.unwrap();
                assert_eq!(channel.peer().unwrap().id, bob);
                ask(&channel)$($wait)*;
                answer(&channel)$($wait)*;

                let mut bulk = channel.open_uni("bulk")$($wait)*.unwrap();
                for at in 0..BULK {
                    bulk.send(piece(at))$($wait)*.unwrap();
                }
                bulk.finish().unwrap();
                assert_eq!(bulk.finished()$($wait)*, SendEnd::Finished);

                // Nobody reads this, so it is full at some point, and stays so.
                let mut stuck = channel.open_uni("stuck")$($wait)*.unwrap();
                let (mut sent, mut refused) = (0, 0);
                while refused < 5 {
                    match stuck.try_send(piece(sent)) {
                        Ok(()) => (sent, refused) = (sent + 1, 0),
                        Err(_) => refused += 1,
                    }
                    assert!(sent < STUCK, "more than the windows hold");
                    if refused > 0 {
                        client.pause(PAUSE)$($wait)*;
                    }
                }
                channel.open_uni("go")$($wait)*.unwrap().finish().unwrap();
                for at in sent..STUCK {
                    stuck.send(piece(at))$($wait)*.unwrap();
                }
                stuck.finish().unwrap();
                assert_eq!(stuck.finished()$($wait)*, SendEnd::Finished);

                client.close(PATIENCE)$($wait)*;
                assert_eq!(channel.closed()$($wait)*, CloseReason::Local);
                assert_eq!(client.closed()$($wait)*, CloseReason::Local);
            }

            pub(crate) $($async)? fn bob(client: Client) {
                let channel = accept(&client)$($wait)*;
                answer(&channel)$($wait)*;
                ask(&channel)$($wait)*;

                let mut bulk = channel.accept()$($wait)*.unwrap();
                assert_eq!(&bulk.label[..], b"bulk");
                for at in 0..BULK {
                    let received = bulk.receiver.recv()$($wait)*.unwrap();
                    assert!(received == Some(piece(at)), "{at}");
                }
                assert_eq!(bulk.receiver.recv()$($wait)*, Ok(None));

                let mut stuck = channel.accept()$($wait)*.unwrap();
                assert_eq!(&stuck.label[..], b"stuck");
                let mut go = channel.accept()$($wait)*.unwrap();
                assert_eq!(&go.label[..], b"go");
                assert_eq!(go.receiver.recv()$($wait)*, Ok(None));
                for at in 0..STUCK {
                    let received = stuck.receiver.recv()$($wait)*.unwrap();
                    assert!(received == Some(piece(at)), "{at}");
                }
                assert_eq!(stuck.receiver.recv()$($wait)*, Ok(None));

                let reason = channel.closed()$($wait)*;
                assert_eq!(reason, CloseReason::Remote(ErrorCode::None));
                assert!(channel.accept()$($wait)*.is_none());
                client.close(PATIENCE)$($wait)*;
            }

            /// Looks for direct paths, with each policy.
            pub(crate) $($async)? fn seek(client: Client, bob: ClientId) {
                // Nobody is there; it disturbs nobody either.
                client.set_mapped_addresses(&[([192, 0, 2, 1], 7000).into()]);
                let auto = client.open(bob, "script")$($wait)*.unwrap();
                ask(&auto)$($wait)*;
                let mut path = auto.path();
                while path == Path::Proxied {
                    path = auto.path_other_than(path)$($wait)*.unwrap();
                }
                assert!(matches!(path, Path::Direct(at) if is_this_machine(at.ip())), "{path:?}");
                ask(&auto)$($wait)*;
                let stats: PathStats = auto.path_stats().unwrap();
                assert!(stats.changes > 0 && stats.direct.bytes_sent > 0, "{stats:?}");

                let policy = PathPolicy::DirectOnly(PATIENCE);
                let only = client.open_with(bob, "script", policy)$($wait)*.unwrap();
                ask(&only)$($wait)*;
                let stats = only.path_stats().unwrap();
                // The handshake is a few packets, and the questions are many.
                assert!(stats.direct.packets_sent > stats.proxied.packets_sent, "{stats:?}");

                let policy = PathPolicy::ProxiedOnly;
                let hidden = client.open_with(bob, "script", policy)$($wait)*.unwrap();
                ask(&hidden)$($wait)*;
                assert_eq!(hidden.path(), Path::Proxied);
                assert_eq!(hidden.path_stats().unwrap().direct.packets_received, 0);

                // Bob does not want that.
                let policy = PathPolicy::DirectOnly(PATIENCE);
                let refused = client.open_with(bob, "script", policy)$($wait)*;
                let error = format!("{:?}", refused.err().unwrap());
                assert!(error.contains("NoDirectPath"), "{error}");

                client.close(PATIENCE)$($wait)*;
                assert_eq!(auto.path_other_than(auto.path())$($wait)*, None);
                assert_eq!(auto.path_stats(), None);
            }

            /// Is found on direct paths, as long as it wants to be.
            pub(crate) $($async)? fn be_near(client: Client) {
                let auto = accept(&client)$($wait)*;
                answer(&auto)$($wait)*;
                answer(&auto)$($wait)*;
                let only = accept(&client)$($wait)*;
                answer(&only)$($wait)*;
                let hidden = accept(&client)$($wait)*;
                answer(&hidden)$($wait)*;
                let offer = client.accept()$($wait)*.unwrap();
                let accepted = offer.accept_with(PathPolicy::ProxiedOnly)$($wait)*;
                // Which of the two says so first does not matter.
                let reason = accepted.err().unwrap();
                assert!(is_pathless(reason), "{reason:?}");
                auto.closed()$($wait)*;
                client.close(PATIENCE)$($wait)*;
            }

            /// Says half of something, to be lost with whoever said it.
            pub(crate) $($async)? fn begin(client: &Client, bob: ClientId) -> (Channel, Sender) {
                let channel = client.open(bob, "script")$($wait)*.unwrap();
                let mut sender = channel.open_uni("half")$($wait)*.unwrap();
                sender.send("half of it".into())$($wait)*.unwrap();
                (channel, sender)
            }

            /// Hears half of something, and then nothing any more.
            pub(crate) $($async)? fn survive(client: &Client, heard: impl FnOnce()) {
                let channel = accept(client)$($wait)*;
                let mut stream = channel.accept()$($wait)*.unwrap();
                let half = stream.receiver.recv()$($wait)*;
                assert_eq!(half, Ok(Some("half of it".into())));
                heard();
                let end = stream.receiver.recv()$($wait)*;
                assert!(matches!(end, Err(RecvError::Ended(RecvEnd::Closed(_)))), "{end:?}");
                assert!(channel.accept()$($wait)*.is_none());
                let reason = channel.closed()$($wait)*;
                assert!(is_loss(reason), "{reason}");
            }

            /// The Coordinator is about to be lost.
            pub(crate) $($async)? fn be_lonely(client: &Client) {
                assert!(client.accept()$($wait)*.is_none());
                let reason = client.closed()$($wait)*;
                assert_eq!(reason, CloseReason::TimedOut);
                assert!(client.open(client.id(), "")$($wait)*.is_err());
            }

            $($async)? fn accept(client: &Client) -> Channel {
                let offer = client.accept()$($wait)*.unwrap();
                assert_eq!(&offer.peer().unwrap().label[..], b"script");
                offer.accept()$($wait)*.unwrap()
            }

            $($async)? fn ask(channel: &Channel) {
                let (mut sender, mut receiver) = channel.open_bi("ask")$($wait)*.unwrap();
                for at in 0..QUESTIONS {
                    sender.send(question(at))$($wait)*.unwrap();
                    assert_eq!(receiver.recv()$($wait)*, Ok(Some(question(at))));
                }
                sender.finish().unwrap();
                assert_eq!(receiver.recv()$($wait)*, Ok(None));
                assert_eq!(sender.finished()$($wait)*, SendEnd::Finished);
            }

            $($async)? fn answer(channel: &Channel) {
                let mut stream = channel.accept()$($wait)*.unwrap();
                assert_eq!(&stream.label[..], b"ask");
                let mut sender = stream.sender.unwrap();
                while let Some(question) = stream.receiver.recv()$($wait)*.unwrap() {
                    sender.send(question)$($wait)*.unwrap();
                }
                sender.finish().unwrap();
                assert_eq!(sender.finished()$($wait)*, SendEnd::Finished);
            }
        }
    };
}

scripts!(awaited, conec_tokio, (async), (.await));
scripts!(blocking, conec_mio::blocking, (), ());
scripts!(looped, crate::handles, (), ());

/// Lets time pass without doing anything.
pub(crate) trait Pause {
    fn pause(&self, time: Duration);
}

impl Pause for conec_mio::blocking::Client {
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

pub(crate) trait AsyncPause {
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

impl AsyncPause for conec_tokio::Client {
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
}

/// That no direct path is wanted, whoever says so.
fn is_pathless(reason: CloseReason) -> bool {
    use conec_core::ErrorCode::NoDirectPath;
    matches!(
        reason,
        CloseReason::NoDirectPath | CloseReason::Remote(NoDirectPath)
    )
}

/// Whether a socket can be bound there. Which of a machine's addresses is found first depends on the machine.
fn is_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// What somebody who is gone leaves behind, whoever notices first.
fn is_loss(reason: CloseReason) -> bool {
    use conec_core::ErrorCode::PeerGone;
    matches!(
        reason,
        CloseReason::TimedOut | CloseReason::Remote(PeerGone)
    )
}

/// Messages of all sizes, that differ.
fn question(at: usize) -> Bytes {
    format!("{at:0width$}", width = 1 + 150 * (at % 21)).into()
}

fn piece(at: usize) -> Bytes {
    vec![at as u8; 20_000 + at].into()
}

const QUESTIONS: usize = 25;
/// Two megabytes of pieces; and more of them than all windows and buffers take.
const BULK: usize = 100;
const STUCK: usize = 60;
const PAUSE: Duration = Duration::from_millis(10);
