//! Claims that nobody meets, that accomplices meet for each other, and without end: who makes them pays for them.

use conec_tests::raw::message::Offer;

use super::{
    claims::{
        CHANNEL_CLOSED, MALLORYS, NOT_RESUMED, PEER_GONE, answer, entries, log_in, next_answer,
        next_ticket,
    },
    *,
};

/// There are few places.
fn scene(seed: u64) -> Scene {
    Scene::with(seed, |config| {
        config.limits.channels_per_client = PLACES;
        config.limits.pairs = ALL_PLACES;
    })
}

/// Two Clients that keep their channels.
struct Two {
    keys: [u16; 2],
    homes: [RawConn; 2],
}

/// The ends of a channel, and a ticket for each.
type Ends = [(Offer, Vec<u8>); 2];

impl Two {
    fn meet(scene: &mut Scene, keys: [u16; 2]) -> Self {
        let homes = keys.map(|key| log_in(scene, key));
        Self { keys, homes }
    }

    /// The first has a channel with the second.
    fn open(&self, scene: &mut Scene) -> Ends {
        let id = keys::identity(self.keys[1]).id();
        self.homes[0].control(&message::open_by_id(7, id, b"test"));
        let ends = self.homes.each_ref().map(|home| {
            let end = scene.until("offer", || home.next_offer());
            home.control(&message::accept(end.own_route));
            (home, end)
        });
        ends.map(|(home, end)| (end, next_ticket(scene, home)))
    }

    /// What is left of so many channels that they have had, one after the other.
    fn gather(&self, scene: &mut Scene, count: usize) -> Vec<Ends> {
        let had = (0..count).map(|_| {
            let ends = self.open(scene);
            let [(end, _), _] = &ends;
            self.homes[0].control(&message::close_channel(end.own_route, 0));
            scene.until("told", || self.homes[1].next_of_kind(CHANNEL_CLOSED));
            ends
        });
        had.collect()
    }

    fn claim(&self, who: usize, ends: &Ends) {
        let (end, ticket) = &ends[who];
        self.homes[who].control(&message::resume(end, ticket));
    }

    /// One after the other has another home channel, and claims its ends of the channels that stand.
    fn resume(&mut self, scene: &mut Scene, stand: &[Ends]) {
        for who in [0, 1] {
            self.homes[who] = log_in(scene, self.keys[who]);
            for ends in stand {
                self.claim(who, ends);
                assert_eq!(answer(scene, &self.homes[who]), Ok(()));
            }
        }
    }
}

#[test]
fn who_claims_what_nobody_meets_has_only_its_own_places() {
    let mut scene = scene(1);
    let mut others = Two::meet(&mut scene, OTHERS);
    let mut stand = vec![others.open(&mut scene)];
    let two = Two::meet(&mut scene, ACCOMPLICES);
    let had = two.gather(&mut scene, 2 * PLACES);
    let [mallory, _] = &two.homes;
    // Nothing is left of what they had.
    scene.world.run_for(secs(40));
    let before = entries(&mut scene);
    let begin = scene.world.elapsed();
    for ends in &had {
        two.claim(0, ends);
    }
    scene.world.run_for(secs(1));
    let refused: Vec<_> = std::iter::from_fn(|| next_answer(mallory)).collect();
    assert_eq!(refused, vec![Err(TOO_MANY); PLACES]);
    // Those are the places that it has for what it asks for.
    let id = keys::identity(OTHERS[0]).id();
    mallory.control(&message::open_by_id(8, id, b""));
    let failed = scene.until("refused", || mallory.next_of_kind(OPEN_FAILED));
    assert_eq!(failed.last(), Some(&TOO_MANY));
    // Others have theirs.
    scene.pair.talk(&mut scene.world);
    others.resume(&mut scene, &stand);
    stand.push(others.open(&mut scene));
    others.resume(&mut scene, &stand);

    for _ in 0..PLACES {
        assert_eq!(answer(&mut scene, mallory), Err(PEER_GONE));
    }
    let took = scene.world.elapsed() - begin;
    assert!(took >= secs(29) && took <= secs(32), "{took:?}");
    let [(end, _), _] = &stand[1];
    others.homes[0].control(&message::close_channel(end.own_route, 0));
    scene.world.run_for(secs(40));
    assert_eq!(entries(&mut scene), before);
    scene.pair.are_well(&mut scene.world);
}

/// What one claims the other meets at once, so that it is soon nothing that waits.
#[test]
fn who_meets_the_claims_of_an_accomplice_has_only_its_own_places() {
    let mut scene = scene(2);
    let mut others = Two::meet(&mut scene, OTHERS);
    let mut stand = vec![others.open(&mut scene)];
    let two = Two::meet(&mut scene, ACCOMPLICES);
    let had = two.gather(&mut scene, ALL_PLACES);
    let mut met = 0;
    for ends in &had {
        two.claim(1, ends);
        scene.world.run_for(Duration::from_millis(100));
        two.claim(0, ends);
        match answer(&mut scene, &two.homes[0]) {
            Ok(()) => met += 1,
            Err(code) => assert_eq!(code, TOO_MANY),
        }
    }
    assert_eq!(met, PLACES);
    others.resume(&mut scene, &stand);
    stand.push(others.open(&mut scene));
    others.resume(&mut scene, &stand);
    scene.pair.are_well(&mut scene.world);
}

#[test]
fn who_claims_faster_than_it_may_is_cut_off_and_others_claim_as_ever() {
    let mut scene = scene(3);
    let mut others = Two::meet(&mut scene, OTHERS);
    let stand = vec![others.open(&mut scene)];
    let two = Two::meet(&mut scene, ACCOMPLICES);
    let had = two.gather(&mut scene, 1);
    let [mallory, _] = &two.homes;
    let [(end, ticket), _] = &had[0];
    let bad = message::resume(&end.mirrored(mallory_id()), ticket);
    let refusals = |count: usize| {
        let answers: Vec<_> = std::iter::from_fn(|| next_answer(mallory)).collect();
        assert_eq!(answers, vec![Err(NOT_RESUMED); count]);
    };
    // As many at once as everybody may say.
    (0..AT_ONCE).for_each(|_| mallory.control(&bad));
    scene.world.run_for(secs(2));
    refusals(AT_ONCE);
    // As fast as everybody may go on.
    for round in 0..100 {
        (0..A_SECOND / 10).for_each(|_| mallory.control(&bad));
        scene.world.run_for(Duration::from_millis(100));
        if round % 10 == 0 {
            scene.pair.talk(&mut scene.world);
        }
    }
    scene.world.run_for(secs(1));
    refusals(10 * A_SECOND);
    // And faster, which is good for as long as what may come at once lasts.
    others.resume(&mut scene, &stand);
    let begin = scene.world.elapsed();
    while mallory.end().is_none() {
        (0..2 * A_SECOND / 10).for_each(|_| mallory.control(&bad));
        scene.world.run_for(Duration::from_millis(100));
        scene.pair.talk(&mut scene.world);
        assert!(scene.world.elapsed() < begin + secs(10));
    }
    assert_eq!(mallory.end(), Some(RATE_LIMITED));
    others.resume(&mut scene, &stand);
    let flood = CloseReason::Violation(conec_core::Violation::Flood);
    let ended: Vec<_> = std::iter::from_fn(|| scene.session_end()).collect();
    assert_eq!(ended.iter().filter(|&&it| it == flood).count(), 1);
    scene.pair.are_well(&mut scene.world);
}

const ACCOMPLICES: [u16; 2] = [MALLORYS, 667];
const OTHERS: [u16; 2] = [668, 669];
/// Of channels that one Client has asked for, and of all.
const PLACES: usize = 16;
const ALL_PLACES: usize = 64;
// What every Coordinator takes of every Client (`PROTOCOL.md`, "Who asks, waits"), a few things that are said besides
// left out.
const AT_ONCE: usize = 500;
const A_SECOND: usize = 100;
const OPEN_FAILED: u64 = 8;
const TOO_MANY: u8 = 10;
