//! What is counted, for whoever collects it: through the facade of [`metrics`], to any of its recorders (feature `metrics`).
//!
//! A [`Meter`] reads what an endpoint or a channel has counted anyhow, whenever it is told to [`record`](Meter::record), once a second for
//! instance. Nothing is done for it in between, and nothing keeps open what it reads.
//!
//! ```no_run
//! # async fn sleep(_: std::time::Duration) {}
//! # async fn run(client: conec_driver::Client, channel: conec_driver::Channel) {
//! use std::time::Duration;
//! use conec_driver::meters::{self, Meter};
//!
//! // After a recorder is installed: before that, there is none to record to.
//! meters::describe();
//! let mut client = Meter::client(&client, &[("endpoint", "main")]);
//! let mut channel = Meter::channel(&channel, &[("endpoint", "main"), ("channel", "backup")]);
//! while client.record() {
//!     channel.record();
//!     sleep(Duration::from_secs(1)).await;
//! }
//! # }
//! ```
//!
//! Labels are yours to give. Each set of them is a series of its own at whoever collects: of thousands of channels, those of the Coordinator
//! with its Clients for instance, meter a few.
//!
//! # What there is
//!
//! Counters count from the beginning of the endpoint or channel, gauges are as of now. Sizes are in bytes, times in seconds.
//!
//! Of endpoints, by [`Meter::client`] and [`Meter::coordinator`], as told at [`EndpointStats`](conec_core::EndpointStats):
//!
//! | name | kind |
//! | --- | --- |
//! | `conec.endpoint.datagrams_dropped` | counter |
//! | `conec.endpoint.datagrams_forwarded` | counter |
//! | `conec.endpoint.bytes_forwarded` | counter |
//! | `conec.endpoint.forwards_dropped` | counter |
//! | `conec.endpoint.forwards_denied` | counter |
//! | `conec.endpoint.handshakes_refused` | counter |
//! | `conec.endpoint.tickets_refused` | counter |
//! | `conec.endpoint.violations` | counter |
//! | `conec.endpoint.clients_refused` | counter |
//! | `conec.endpoint.channels_refused` | counter |
//! | `conec.endpoint.channels_shed` | counter |
//! | `conec.endpoint.socket_errors` | counter |
//! | `conec.endpoint.probes_sent` | counter |
//! | `conec.endpoint.probes_rejected` | counter |
//!
//! Of a Client besides, 1 while its Coordinator has admitted it and is there, and of a Coordinator, how many Clients are connected:
//!
//! | name | kind |
//! | --- | --- |
//! | `conec.client.connected` | gauge |
//! | `conec.coordinator.clients` | gauge |
//!
//! Of channels, by [`Meter::channel`], as told at [`ChannelStats`], and of peer channels at [`PathStats`]:
//!
//! | name | kind |
//! | --- | --- |
//! | `conec.channel.packets_sent` | counter |
//! | `conec.channel.bytes_sent` | counter |
//! | `conec.channel.packets_received` | counter |
//! | `conec.channel.bytes_received` | counter |
//! | `conec.channel.packets_lost` | counter |
//! | `conec.channel.bytes_lost` | counter |
//! | `conec.channel.congestion_events` | counter |
//! | `conec.channel.messages_dropped` | counter |
//! | `conec.channel.datagrams_sent` | counter |
//! | `conec.channel.datagrams_refused` | counter |
//! | `conec.channel.datagrams_discarded` | counter |
//! | `conec.channel.datagrams_received` | counter |
//! | `conec.channel.datagrams_displaced` | counter |
//! | `conec.channel.rtt` | gauge |
//! | `conec.channel.min_rtt` | gauge |
//! | `conec.channel.congestion_window` | gauge |
//! | `conec.channel.bytes_in_flight` | gauge |
//! | `conec.channel.mtu` | gauge |
//! | `conec.channel.streams_open` | gauge |
//! | `conec.channel.bytes_waiting` | gauge |
//! | `conec.path.proxied_bytes_sent` | counter |
//! | `conec.path.proxied_bytes_received` | counter |
//! | `conec.path.direct_bytes_sent` | counter |
//! | `conec.path.direct_bytes_received` | counter |
//! | `conec.path.changes` | counter |
//!
//! The gauges go to 0 when the channel is over.

mod table;

use std::{fmt, sync::Weak};

use ::metrics::IntoLabels;
use conec_core::{ChannelId, ChannelStats, ClientState, Endpoint, PathStats};

use self::table::{CHANNEL, CLIENT, COORDINATOR, ENDPOINT, PATH, Series};
use crate::{Channel, Client, Coordinator, shared::Shared};

/// Tells the recorder what each of the [names](self#what-there-is) is, and its unit.
pub fn describe() {
    ENDPOINT.iter().for_each(table::Metric::describe);
    CLIENT.iter().for_each(table::Metric::describe);
    COORDINATOR.iter().for_each(table::Metric::describe);
    CHANNEL.iter().for_each(table::Metric::describe);
    PATH.iter().for_each(table::Metric::describe);
}

/// Reads what an endpoint or a channel has counted, and gives it to the recorder. It keeps neither open.
///
/// Made when the recorder is installed: one made earlier never records anything.
pub struct Meter(Box<dyn FnMut() -> bool + Send>);

impl Meter {
    /// Of a Client, under these labels, such as `&[("endpoint", "main")]`.
    pub fn client(client: &Client, labels: impl IntoLabels) -> Self {
        let shared = client.weak();
        let labels = labels.into_labels();
        let (endpoint, own) = (Series::new(ENDPOINT, &labels), Series::new(CLIENT, &labels));
        Self::of(shared, move |core| {
            endpoint.record(&core.stats());
            own.record(&matches!(core.state(), ClientState::Connected));
            // Whether there is more to come.
            !core.is_finished()
        })
    }

    /// Of a Coordinator, under these labels, such as `&[("endpoint", "main")]`.
    pub fn coordinator(coordinator: &Coordinator, labels: impl IntoLabels) -> Self {
        let shared = coordinator.weak();
        let labels = labels.into_labels();
        let endpoint = Series::new(ENDPOINT, &labels);
        let own = Series::new(COORDINATOR, &labels);
        Self::of(shared, move |core| {
            endpoint.record(&core.stats());
            own.record(&core.clients());
            !core.is_finished()
        })
    }

    /// Of a channel, under these labels, such as `&[("channel", "backup")]`.
    pub fn channel(channel: &Channel, labels: impl IntoLabels) -> Self {
        let (shared, id) = (channel.weak(), channel.id());
        let labels = labels.into_labels();
        let own = Series::new(CHANNEL, &labels);
        // Of a home channel there is no choice of path.
        let path = (channel.path_stats()).map(|_| Series::new(PATH, &labels));
        Self(Box::new(move || {
            let stats = shared.upgrade().and_then(|shared| stats_of(&shared, id));
            match stats {
                Some((stats, paths)) => {
                    own.record(&stats);
                    if let (Some(path), Some(paths)) = (&path, paths) {
                        path.record(&paths);
                    }
                    true
                }
                None => {
                    own.forget();
                    false
                }
            }
        }))
    }

    /// Records everything as of now. Whether there is more to come: not once the endpoint or the channel is over.
    ///
    /// Takes the endpoint's lock for a moment, as any call does.
    pub fn record(&mut self) -> bool {
        (self.0)()
    }

    fn of<E: Endpoint + Send + 'static>(
        shared: Weak<Shared<E>>,
        mut record: impl FnMut(&E) -> bool + Send + 'static,
    ) -> Self {
        Self(Box::new(move || match shared.upgrade() {
            Some(shared) => shared.with(|state| {
                let goes_on = record(state.endpoint());
                goes_on && state.ended().is_err()
            }),
            None => false,
        }))
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

/// What a channel has counted, while it is there.
fn stats_of(shared: &Shared, id: ChannelId) -> Option<(ChannelStats, Option<PathStats>)> {
    shared.with(|state| {
        let stats = state.endpoint_mut().channel(id)?.stats()?;
        Some((stats, state.endpoint().path_stats(id)))
    })
}
