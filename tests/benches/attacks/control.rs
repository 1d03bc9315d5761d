//! What attackers cost a bystander where nobody does anything for them: the machine's part of it.

use std::{net::UdpSocket, thread, time::Duration};

use crate::{
    attackers::{ATTACKERS, Pace, Ticks, Traffic, used},
    process::ready,
    processors::Processors,
    result::Result,
};

/// Sends so much a second, from ten threads that use so many processors together at most, to one that is among those that are
/// measured, and takes so much processor time for each datagram.
pub(crate) fn control(
    traffic: Traffic,
    for_each: Duration,
    share: f64,
    processors: Processors,
) -> Result<()> {
    let spender = UdpSocket::bind("127.0.0.1:0")?;
    let to = spender.local_addr()?;
    for _ in 0..ATTACKERS {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        thread::spawn(move || {
            let size = traffic.bytes / traffic.datagrams.max(1);
            let bytes = vec![0x5a; size as usize];
            let mut ticks = Ticks::new(traffic.datagrams as f64 / ATTACKERS as f64);
            let mut pace = Pace::new(share / ATTACKERS as f64);
            loop {
                let due = ticks.take(BATCH);
                for _ in 0..due {
                    if socket.send_to(&bytes, to).is_ok() {
                        Traffic::count(bytes.len());
                    }
                }
                if due < BATCH {
                    thread::sleep(Duration::from_millis(1));
                }
                pace.keep();
            }
        });
    }
    thread::spawn(move || {
        let kept = processors.keep_to_measured();
        if let Err(error) = kept.and_then(|()| spend(&spender, for_each)) {
            eprintln!("the control: {error}");
        }
    });
    ready(to, Vec::new())
}

fn spend(socket: &UdpSocket, for_each: Duration) -> Result<()> {
    loop {
        let until = used() + for_each;
        socket.recv(&mut [0; 1 << 16])?;
        while used() < until {}
    }
}

/// How many datagrams are sent without looking at the time.
const BATCH: u64 = 16;
