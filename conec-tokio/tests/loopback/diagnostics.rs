//! What those need who look for the reason of something.

use std::{collections::BTreeSet, fs};

use conec_tokio::{Client, KeyLogFile, QlogFolder};

use crate::{PATIENCE, client, config, coordinator, pair_of, round_trip, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_and_packets_are_logged_where_that_is_wanted() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (keys, qlogs) = (folder.path().join("keys"), folder.path().join("qlogs"));
        let coordinator = coordinator().await;
        let mut config = config(&coordinator, "alice");
        let key_log = KeyLogFile::open(&keys).unwrap();
        // One more would be too many.
        let qlog = QlogFolder::new(&qlogs, 2).unwrap();
        for channel in [&mut config.home, &mut config.peer] {
            channel.key_log = Some(key_log.clone());
            channel.qlog = Some(qlog.clone());
        }
        let at = [coordinator.local_addr()];
        let alice = Client::connect_to("localhost", &at, config).await.unwrap();
        let bob = client(&coordinator, "bob").await;
        let (a, b) = pair_of(&alice, &bob).await;
        round_trip(&a, &b).await;
        let (c, d) = pair_of(&bob, &alice).await;
        round_trip(&c, &d).await;
        drop((a, b, c, d));
        alice.close(PATIENCE).await;
        // Of the home channel and two others.
        let keys = fs::read_to_string(keys).unwrap();
        let secrets = keys
            .lines()
            .filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 "));
        let randoms = secrets.map(|line| line.split(' ').nth(1).unwrap());
        assert_eq!(randoms.collect::<BTreeSet<_>>().len(), 3);
        let files = fs::read_dir(qlogs).unwrap();
        let files = files.map(|file| file.unwrap().path()).collect::<Vec<_>>();
        assert_eq!(files.len(), 2);
        for file in files {
            assert!(file.to_str().unwrap().ends_with("-begun.sqlog"));
            let log = fs::read_to_string(&file).unwrap();
            assert!(
                log.contains("packet_sent") && log.contains("packet_received"),
                "{log}"
            );
            assert!(log.contains("\"title\":\"ch"), "{log}");
        }
    })
    .await;
}
