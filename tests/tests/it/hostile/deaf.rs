//! A Client that reads nothing of what it is told, while there is ever more to tell.

use std::net::SocketAddr;

use conec_tests::raw::{message::Route, probe};

use super::{asks::askers, *};

/// A Client flaps between two addresses and reads nothing of what it is told.
#[test]
fn news_of_addresses_do_not_pile_up() {
    let mut scene = Scene::new(8);
    let conn = deaf(&mut scene);
    let addresses = [1, 2].map(|port| ([198, 51, 100, 66], port).into());
    for round in 0..4000 {
        scene.world.rebind(scene.mallory, addresses[round % 2]);
        conn.ping();
        scene.world.run_for(Duration::from_micros(250));
    }
    scene.pair.talk(&mut scene.world);
    let piled = piled(&mut scene, &conn);
    assert!(piled <= 4 << 10, "{piled} bytes were waiting");
    scene.world.run_for(secs(1));
    scene.pair.are_well(&mut scene.world);
}

/// Others ask it for channels, and let go of each.
#[test]
fn offers_to_who_reads_nothing_do_not_pile_up() {
    let mut scene = Scene::new(9);
    let conn = deaf(&mut scene);
    let askers = offer_without_end(&mut scene, 3000);
    scene.pair.talk(&mut scene.world);
    let piled = piled(&mut scene, &conn);
    // What may wait, and what her window let through before.
    assert!(piled <= (64 + 4) << 10, "{piled} bytes were waiting");
    assert_eq!(conn.end(), None);
    assert!(askers.iter().all(|asker| asker.end().is_none()));
    scene.world.run_for(secs(1));
    scene.pair.are_well(&mut scene.world);
}

/// What it asks for itself, on another way than its control stream, comes on top, and it reads nothing of that either.
#[test]
fn who_never_reads_is_sent_away_in_the_end() {
    let mut scene = Scene::with(10, |config| config.second_port = Some(4434));
    let conn = deaf(&mut scene);
    let told = scene.until("a second port", || conn.next_of_kind(13));
    let route: Route = told[1..7].try_into().unwrap();
    let second = SocketAddr::new(scene.coordinator_address().ip(), 4434);
    let sealer = conn.sealer(probe::SECOND_PORT);
    offer_without_end(&mut scene, 500);
    for counter in 1..6000 {
        scene.raw.send_to(second, &sealer.seal(route, counter, 0));
        scene.world.run_for(secs(1));
        if conn.end().is_some() {
            break;
        }
    }
    scene.expect_end(&conn, LIMIT);
    assert_eq!(scene.session_end(), Some(CloseReason::Overloaded));
}

/// Three ask Mallory for channels as fast as they may, so often each, and let go of each at once.
fn offer_without_end(scene: &mut Scene, times: u64) -> Vec<RawConn> {
    let askers = askers(scene, 3);
    for request in 0..times {
        for asker in &askers {
            asker.control(&message::open_by_id(request, mallory_id(), &[7; 255]));
        }
        scene.world.run_for(Duration::from_millis(20));
        for asker in &askers {
            while let Some(offer) = asker.next_offer() {
                asker.control(&message::close_channel(offer.own_route, 0));
            }
        }
    }
    askers
}

/// Mallory, who lets nobody send her anything more.
fn deaf(scene: &mut Scene) -> RawConn {
    let mut dial = Dial::home(MALLORY);
    dial.stream_window = 1024;
    dial.window = 4096;
    let conn = scene.log_in_with(&dial, b"mallory");
    conn.set_reading(false);
    conn
}

/// How much comes when she reads again.
fn piled(scene: &mut Scene, conn: &RawConn) -> usize {
    let before = conn.received(0).bytes.len();
    for _ in 0..1000 {
        conn.set_reading(true);
        scene.world.run_for(Duration::from_millis(100));
    }
    conn.received(0).bytes.len() - before
}
