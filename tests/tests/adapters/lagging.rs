//! Applications that lag behind: what waits for them waits in the core, where it is bounded.

use std::net::SocketAddr;

use conec_core::{CloseReason, CoordinatorEvent, ErrorCode, KeyPin};
use conec_driver::Socket;
use conec_mio::blocking::{self, ConnectError};

use crate::{
    PATIENCE, client_config, coordinator_config,
    handled::{bind, each},
};

#[test]
fn a_coordinator_lets_in_no_more_than_its_application_hears_of() {
    each(|kind| async move {
        let mut config = coordinator_config();
        config.limits.events = EVENTS;
        let socket = Socket::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let coordinator = bind(kind, socket, config).await.unwrap();
        let (address, pin) = (coordinator.local_addr(), coordinator.pin());
        let first = || connect(address, pin).unwrap();
        let (event, _first) = tokio::join!(coordinator.next_event(), async { first() });
        assert!(is_new(event));
        let crowd = crowd(address, pin);
        for _ in &crowd {
            assert!(is_new(coordinator.next_event().await));
        }
        drop(first());
        coordinator.close(PATIENCE).await;
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
