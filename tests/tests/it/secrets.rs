//! What is secret is not written down.

use bytes::Bytes;
use conec_core::{CoordinatorConfig, CoordinatorEvent, Policy, Secret};
use conec_tests::{
    keys,
    sim::{Event, World},
};

/// Configurations and events are what a program logs first.
#[test]
fn debug_output_tells_no_key_and_no_token() {
    const SECRET: &str = "swordfish";
    const KEY: [u8; 32] = [0xa5; 32];
    let mut coordinator = CoordinatorConfig::new(keys::certificate());
    coordinator.admission = Policy::Ask;
    coordinator.reset_key = Some(KEY.into());
    let mut written = vec![format!("{coordinator:?}")];

    let mut world = World::new(1);
    let coordinator = world.add_coordinator_with(coordinator);
    let mut alice = world.client_config("alice");
    alice.token = SECRET.into();
    written.push(format!("{alice:?}"));
    let alice = world.add_client_with(alice);
    world.start_connecting(alice, coordinator);
    let asked = world.wait_for("asked", std::time::Duration::from_secs(5), |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(event @ CoordinatorEvent::ClientAsks { token, .. }) => {
                assert!(*token == SECRET);
                Some(format!("{event:?}"))
            }
            Event::Coordinator(_) | Event::Client(_) => None,
        })
    });
    written.push(asked);
    written.push(format!("{:?}", world.coordinator(coordinator)));

    for text in &written {
        for secret in [
            format!("{SECRET:?}"),
            SECRET.into(),
            format!("{KEY:?}"),
            format!("{:?}", SECRET.as_bytes()),
        ] {
            assert!(!text.contains(&secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_secret_is_known_by_all_its_bytes() {
    let secrets: [Secret<Bytes>; 4] = [
        "swordfish".into(),
        b"swordfish"[..].into(),
        b"swordfish".to_vec().into(),
        Bytes::from_static(b"swordfish").into(),
    ];
    for secret in &secrets {
        assert!(*secret == "swordfish" && *secret == secrets[0]);
        for wrong in ["swordfisi", "Swordfish", "swordfis", "swordfishy", ""] {
            assert!(*secret != wrong, "{wrong}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(9 bytes)");
    }
    assert_eq!(Secret::from([7; 32]).as_ref(), [7; 32]);
    let pem: Secret<Vec<u8>> = vec![7; 5].into();
    assert_eq!(pem.as_ref(), [7; 5]);
}
