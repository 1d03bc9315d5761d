//! Which addresses a Coordinator is found at.

use conec_tokio::{Certificate, Client, Coordinator, CoordinatorConfig};

use crate::{PATIENCE, config, within};

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
