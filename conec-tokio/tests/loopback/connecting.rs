//! Who connects, to where, and why not.

use bytes::Bytes;
use conec_tokio::{
    BindError, Certificate, ChannelEvent, Client, ClientConfig, CloseReason, ConfigError,
    ConnectError, Coordinator, CoordinatorConfig, CoordinatorEvent, ErrorCode, Identity, Trust,
};

use crate::{PATIENCE, client, config, coordinator, name, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_who_it_says() {
    within(async {
        let coordinator = coordinator().await;
        let identity = Identity::generate().unwrap();
        let mut config = ClientConfig::new(identity.clone(), Trust::Pin(coordinator.pin()));
        config.name = Some(name("alice"));
        let client = Client::connect(&format!("localhost:{}", coordinator.local_addr().port()), config)
            .await
            .unwrap();
        assert_eq!(client.id(), identity.id());
        assert_eq!(client.name(), Some(name("alice")));
        assert!(client.observed_address().unwrap().ip().is_loopback());
        assert_eq!(client.home().peer(), None);
        assert!(client.home().rtt().is_some());

        let event = coordinator.next_event().await.unwrap();
        let CoordinatorEvent::ClientConnected { client: home, id, name: granted, address } = event else {
            panic!("{event:?}");
        };
        assert_eq!((id, granted), (client.id(), client.name()));
        assert_eq!(Some(address), client.observed_address());
        assert_eq!(coordinator.find(id), Some(home));
        assert_eq!(coordinator.find(name("alice")), Some(home));
        assert_eq!(coordinator.clients(), 1);
        assert_eq!(coordinator.channel(home).unwrap().peer().unwrap().id, id);

        client.close(PATIENCE).await;
        assert_eq!(client.closed().await, CloseReason::Local);
        let event = coordinator.next_event().await.unwrap();
        assert!(
            matches!(
                event,
                CoordinatorEvent::Channel { channel, event: ChannelEvent::Closed { .. } } if channel == home
            ),
            "{event:?}"
        );
        assert_eq!(coordinator.clients(), 0);
        assert!(coordinator.channel(home).is_none());
        coordinator.close(PATIENCE).await;
        assert_eq!(coordinator.next_event().await, None);
}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_socket_serves_both_ip_versions() {
    within(async {
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let bound = Coordinator::bind("[::]:0", CoordinatorConfig::new(certificate)).await;
        // Not every machine has IPv6.
        let Ok(coordinator) = bound else { return };
        let port = coordinator.local_addr().port();
        for ip in ["127.0.0.1", "[::1]"] {
            let client = Client::connect(&format!("{ip}:{port}"), config(&coordinator, "alice"))
                .await
                .unwrap();
            let observed = client.observed_address().unwrap();
            assert_eq!(observed.is_ipv4(), ip == "127.0.0.1", "{observed}");
            client.close(PATIENCE).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_fails_for_a_reason() {
    within(async {
        let coordinator = coordinator().await;
        let _alice = client(&coordinator, "alice").await;
        let at = coordinator.local_addr().to_string();

        let taken = Client::connect(&at, config(&coordinator, "alice"))
            .await
            .unwrap_err();
        assert!(
            matches!(
                taken,
                ConnectError::Closed(CloseReason::Remote(ErrorCode::NameInUse))
            ),
            "{taken}"
        );
        let another = Certificate::self_signed(["localhost"]).unwrap();
        let mut config =
            ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(another.pin()));
        let stranger = Client::connect(&at, config.clone()).await.unwrap_err();
        assert!(
            matches!(stranger, ConnectError::Closed(CloseReason::Identity)),
            "{stranger}"
        );
        for nonsense in ["localhost", "localhost:port", "no.such.host.invalid:1"] {
            let unresolved = Client::connect(nonsense, config.clone()).await.unwrap_err();
            assert!(
                matches!(unresolved, ConnectError::Resolve { .. }),
                "{unresolved}"
            );
        }
        let nowhere = Client::connect_to("localhost", &[], config.clone())
            .await
            .unwrap_err();
        assert!(matches!(nowhere, ConnectError::Address(_)), "{nowhere}");
        config.token = Bytes::from(vec![0; 5000]);
        let invalid = Client::connect(&at, config).await.unwrap_err();
        assert!(
            matches!(
                invalid,
                ConnectError::Bind(BindError::Config(ConfigError::OutOfRange(..)))
            ),
            "{invalid}"
        );
        let occupied = Coordinator::bind(
            &at,
            CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap()),
        )
        .await
        .unwrap_err();
        assert!(matches!(occupied, BindError::Io(_)), "{occupied}");
    })
    .await;
}
