//! Applications that lag behind: what waits for them waits in the core, where it is bounded.

use std::{net::SocketAddr, thread};

use conec_core::{CloseReason, CoordinatorEvent, ErrorCode, KeyPin};
use conec_mio::blocking::{self, ConnectError};

use crate::{PATIENCE, client_config, coordinator_config, coordinators::runtime, within};

#[test]
fn a_coordinator_of_tokio_lets_in_no_more_than_its_application_hears_of() {
    within(|| {
        let runtime = runtime();
        let mut config = coordinator_config();
        config.limits.events = EVENTS;
        let bind = conec_tokio::Coordinator::bind("127.0.0.1:0", config);
        let coordinator = runtime.block_on(bind).unwrap();
        let (address, pin) = (coordinator.local_addr(), coordinator.pin());
        let (asked, first) = (coordinator.clone(), || connect(address, pin).unwrap());
        let asking = runtime.spawn(async move { asked.next_event().await });
        let _first = first();
        assert!(is_new(runtime.block_on(asking).unwrap()));
        let crowd = crowd(address, pin);
        for _ in &crowd {
            assert!(is_new(runtime.block_on(coordinator.next_event())));
        }
        drop(first());
        runtime.block_on(coordinator.close(PATIENCE));
    });
}

#[test]
fn a_coordinator_for_threads_lets_in_no_more_than_its_application_hears_of() {
    within(|| {
        let mut config = coordinator_config();
        config.limits.events = EVENTS;
        let coordinator = blocking::Coordinator::bind("127.0.0.1:0", config).unwrap();
        let (address, pin) = (coordinator.local_addr(), coordinator.pin());
        let (asked, first) = (coordinator.clone(), || connect(address, pin).unwrap());
        let asking = thread::spawn(move || asked.next_event());
        let _first = first();
        assert!(is_new(asking.join().unwrap()));
        let crowd = crowd(address, pin);
        for _ in &crowd {
            assert!(is_new(coordinator.next_event()));
        }
        drop(first());
        coordinator.close(PATIENCE);
    });
}

/// Many who want to connect while nobody takes events: those who could.
fn crowd(address: SocketAddr, pin: KeyPin) -> Vec<blocking::Client> {
    let clients = (0..20).map(|_| connect(address, pin));
    let (connected, refused): (Vec<_>, Vec<_>) = clients.partition(Result::is_ok);
    assert_eq!(connected.len(), EVENTS);
    for error in refused.into_iter().filter_map(Result::err) {
        let limit = CloseReason::Remote(ErrorCode::Limit);
        assert!(matches!(error, ConnectError::Closed(reason) if reason == limit));
    }
    connected.into_iter().filter_map(Result::ok).collect()
}

fn connect(address: SocketAddr, pin: KeyPin) -> Result<blocking::Client, ConnectError> {
    blocking::Client::connect_to("localhost", &[address], client_config(pin))
}

fn is_new(event: Option<CoordinatorEvent>) -> bool {
    matches!(event, Some(CoordinatorEvent::ClientConnected { .. }))
}

const EVENTS: usize = 3;
