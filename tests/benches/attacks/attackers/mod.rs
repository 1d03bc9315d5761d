//! The attackers: threads of one process, each with its share of the processors.

mod floods;
mod host;
mod pace;
mod sessions;
mod strangers;
mod traffic;

use std::{
    net::SocketAddr,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use self::host::{Attacker, Place};
pub(crate) use self::{
    pace::{Pace, Ticks, used},
    traffic::Traffic,
};
use crate::{attack::Attack, process::ready, result::Result};

/// Lets ten of each kind work: first with three times their share, for so long, so that they have what there is to be had.
pub(crate) fn attack(
    coordinator: SocketAddr,
    attacks: &[Attack],
    warm_up: Duration,
    share: f64,
) -> Result<()> {
    let each = share / (attacks.len() * ATTACKERS) as f64;
    let barrier = Arc::new(Barrier::new(attacks.len() * ATTACKERS + 1));
    for (kind, &attack) in attacks.iter().enumerate() {
        for number in 0..ATTACKERS {
            let barrier = Arc::clone(&barrier);
            let mut place = Place::new(coordinator, kind, number);
            thread::spawn(move || {
                let attacker = start(attack, place);
                if let Err(error) = &attacker {
                    eprintln!("{} number {number}: {error}", attack.name());
                }
                let mut attacker = attacker.ok();
                barrier.wait();
                let mut pace = Pace::new(WARM_UP * each);
                let mut warm = Some(Instant::now() + warm_up);
                loop {
                    if warm.take_if(|warm| *warm < Instant::now()).is_some() {
                        pace = Pace::new(each);
                    }
                    let goes_on = attacker.as_mut().is_some_and(|it| it.harm().is_ok());
                    if !goes_on {
                        // Whoever is thrown out comes back as somebody else.
                        place = place.next();
                        attacker = start(attack, place).ok();
                    }
                    pace.keep();
                }
            });
        }
    }
    barrier.wait();
    ready(coordinator, Vec::new())
}

fn start(attack: Attack, place: Place) -> Result<Box<dyn Attacker>> {
    Ok(match attack {
        Attack::SmallFlood => Box::new(floods::Flood::one_route(place)?),
        Attack::MixedFlood => Box::new(floods::Flood::two_routes(place)?),
        Attack::BothWays => Box::new(floods::Flood::both_ways(place)?),
        Attack::Handshakes => Box::new(strangers::Passing::new(place)?),
        Attack::ForgedInitials => Box::new(strangers::Forger::new(place)?),
        Attack::Deaf => Box::new(sessions::Deaf::new(place)?),
        Attack::Popular => Box::new(sessions::Suitor::new(place)?),
        Attack::Keys => Box::new(strangers::Crowd::new(place)?),
        Attack::Control => Box::new(sessions::Chatter::new(place)?),
        Attack::Unread => Box::new(sessions::Filler::unread(place)?),
        Attack::Partial => Box::new(sessions::Filler::partial(place)?),
        Attack::Probes => Box::new(sessions::Prober::new(place)?),
    })
}

/// Of each kind.
pub(crate) const ATTACKERS: usize = 10;
/// How much more of the processors they may use in the beginning.
const WARM_UP: f64 = 3.0;
