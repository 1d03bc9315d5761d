//! Peers that have somebody send probes without end: its other channels find their direct paths all the same.

use conec_core::Path;

use super::*;

/// 10,000 pings a second on one channel: by the time that another comes, all that may be answered were.
#[test]
fn who_is_pinged_without_end_still_finds_its_other_paths() {
    let mut scene = Scene::new(70);
    let (victim, friend) = (scene.victim(), friend(&mut scene));
    let home = scene.log_in();
    let (offer, conn) = peers::initiate(&mut scene, &home, victim);
    conn.control(&message::direct(false));
    peers::bind(&mut scene, &offer, &conn, victim);
    let sealer = conn.sealer(PROBES);
    let to = scene.world.address(victim);
    let answers = |scene: &mut Scene| scene.world.client(victim).stats().probes_sent;
    let mut counter = 1000;
    let mut flood = |scene: &mut Scene| {
        counter += 1;
        scene
            .raw
            .send_to(to, &sealer.seal(offer.peer_route, counter, PING));
        scene.world.run_for(Duration::from_micros(97));
    };
    for _ in 0..20_000 {
        flood(&mut scene);
    }
    let answered = answers(&mut scene);
    assert!(
        (300..=800).contains(&answered),
        "{answered} answers in two seconds"
    );
    expect_direct(&mut scene, victim, friend, flood);
    assert!(conn.end().is_none() && home.end().is_none());
    scene.all_is_well(&[]);
}

/// One asks for 240 channels at once, and there is no direct path to it for any.
#[test]
fn who_looks_for_a_great_many_paths_in_vain_still_finds_its_others() {
    let mut scene = Scene::new(71);
    let (victim, friend) = (scene.victim(), friend(&mut scene));
    let greedy = scene.world.add_client("greedy");
    scene.world.connect(greedy, scene.coordinator);
    for (from, to) in [(victim, greedy), (greedy, victim)] {
        scene.world.link(from, to).up = false;
    }
    // Each time somewhere else.
    let mut number = 0;
    let mut lead_astray = |scene: &mut Scene| {
        number += 1;
        let nowhere: Vec<_> = (1..=12)
            .map(|last| ([198, 51, number, last], 4000).into())
            .collect();
        let now = scene.world.now();
        let client = scene.world.client(greedy);
        client.set_mapped_addresses(now, &nowhere);
        scene.world.run_for(Duration::from_millis(20));
    };
    let target = Target::Id(scene.world.client_id(victim));
    for _ in 0..240 {
        scene.world.request_channel(greedy, target.clone());
    }
    for _ in 0..50 {
        lead_astray(&mut scene);
    }
    let opened = count_events(&mut scene.world, victim, |event| {
        matches!(event, ChannelEvent::Opened)
    });
    // As many as one alone may have.
    assert!(opened >= 64, "{opened} channels");
    expect_direct(&mut scene, victim, friend, lead_astray);
    scene.all_is_well(&[]);
}

fn friend(scene: &mut Scene) -> NodeId {
    let friend = scene.world.add_client("friend");
    scene.world.connect(friend, scene.coordinator);
    friend
}

/// The victim asks a friend for a channel, which both soon send directly on while time passes like this.
fn expect_direct(
    scene: &mut Scene,
    victim: NodeId,
    friend: NodeId,
    mut time: impl FnMut(&mut Scene),
) {
    let target = Target::Id(scene.world.client_id(friend));
    let ours = scene.world.request_channel(victim, target);
    let asked = scene.world.elapsed();
    let mut theirs = None;
    let is_direct = |scene: &mut Scene, at: At| {
        let channel = scene.world.channel(at.node, at.channel);
        matches!(channel.map(|it| it.path()), Some(Path::Direct(_)))
    };
    while !theirs.is_some_and(|it| is_direct(scene, it)) || !is_direct(scene, ours) {
        time(scene);
        theirs = theirs.or_else(|| {
            scene.world.take_event(friend, |event| {
                let (channel, event) = event.channel()?;
                let node = friend;
                let is_new = *event == ChannelEvent::Opened && channel != ChannelId::HOME;
                is_new.then_some(At { node, channel })
            })
        });
        let took = scene.world.elapsed() - asked;
        assert!(took <= secs(1), "no direct path");
    }
    println!("direct after {:?}", scene.world.elapsed() - asked);
}

/// The label of probes between Clients (`PROTOCOL.md`, 12), and the kind that is to be answered.
pub(super) const PROBES: &[u8] = b"EXPORTER-conec-probe";
pub(super) const PING: u8 = 0;
