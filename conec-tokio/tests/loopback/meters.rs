//! What is counted reaches a recorder.

use std::collections::BTreeMap;

use conec_tokio::{
    Code,
    meters::{self, Meter},
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::{PATIENCE, World, round_trip, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_reaches_a_recorder_until_it_is_over() {
    within(async {
        let world = World::new().await;
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        // Of this test alone: the others have none.
        let (mut client, mut coordinator, mut channel, mut home) =
            metrics::with_local_recorder(&recorder, || {
                meters::describe();
                (
                    Meter::client(&world.alice_client, &[("endpoint", "alice")]),
                    Meter::coordinator(&world.coordinator, &[("endpoint", "main")]),
                    Meter::channel(&world.alice, &[("channel", "pair")]),
                    Meter::channel(&world.alice_client.home(), &[("channel", "home")]),
                )
            });
        round_trip(&world.alice, &world.bob).await;
        assert!(client.record() && coordinator.record() && channel.record() && home.record());
        let seen = values(&snapshotter);
        assert_eq!(seen["conec.coordinator.clients main"], 2.0);
        assert_eq!(seen["conec.client.connected alice"], 1.0);
        assert_eq!(seen["conec.endpoint.violations alice"], 0.0);
        assert!(seen["conec.endpoint.datagrams_forwarded main"] > 5.0);
        let sent = seen["conec.channel.bytes_sent pair"];
        assert!(sent > 1000.0 && seen["conec.channel.rtt pair"] > 0.0);
        assert!(seen["conec.channel.mtu home"] >= 1200.0);
        let paths = ["proxied", "direct"].map(|path| format!("conec.path.{path}_bytes_sent pair"));
        assert!(paths.iter().map(|path| seen[path]).sum::<f64>() > 1000.0);
        assert!(!seen.contains_key("conec.path.changes home"));
        // Each has its end.
        world.alice.abort(Code(1));
        assert!(!channel.record() && !channel.record());
        assert_eq!(values(&snapshotter)["conec.channel.rtt pair"], 0.0);
        let World {
            coordinator: open,
            alice_client,
            ..
        } = world;
        alice_client.close(PATIENCE).await;
        assert!(!client.record() && !home.record());
        assert_eq!(values(&snapshotter)["conec.client.connected alice"], 0.0);
        assert!(coordinator.record());
        open.close(PATIENCE).await;
        assert!(!coordinator.record());
    })
    .await;
}

/// By name and label. A snapshot takes counters back to 0.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let values = snapshotter.snapshot().into_vec().into_iter();
    let values = values.map(|(key, _, what, value)| {
        let (_, key) = key.into_parts();
        assert!(what.is_some_and(|what| !what.is_empty()), "{key}");
        let label = key.labels().next().unwrap().value();
        let value = match value {
            DebugValue::Counter(value) => value as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => unreachable!(),
        };
        (format!("{} {label}", key.name()), value)
    });
    values.collect()
}
