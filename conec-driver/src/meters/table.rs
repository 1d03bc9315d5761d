//! All names, each once: what it counts, and where it is read.

use ::metrics::{Counter, Gauge, Label, Unit};
use conec_core::{ChannelStats, EndpointStats, PathStats};

/// One name.
pub(super) struct Metric<S: 'static> {
    pub(super) name: &'static str,
    unit: Unit,
    what: &'static str,
    pub(super) read: Read<S>,
}

/// How it is read from what it is about.
pub(super) enum Read<S> {
    Counter(fn(&S) -> u64),
    Gauge(fn(&S) -> f64),
}

impl<S> Metric<S> {
    const fn counter(
        name: &'static str,
        unit: Unit,
        what: &'static str,
        read: fn(&S) -> u64,
    ) -> Self {
        Self {
            name,
            unit,
            what,
            read: Read::Counter(read),
        }
    }

    const fn gauge(
        name: &'static str,
        unit: Unit,
        what: &'static str,
        read: fn(&S) -> f64,
    ) -> Self {
        Self {
            name,
            unit,
            what,
            read: Read::Gauge(read),
        }
    }

    pub(super) fn describe(&self) {
        match self.read {
            Read::Counter(_) => ::metrics::describe_counter!(self.name, self.unit, self.what),
            Read::Gauge(_) => ::metrics::describe_gauge!(self.name, self.unit, self.what),
        }
    }
}

/// Names under labels, at the recorder that was installed when this was made.
pub(super) struct Series<S: 'static>(Vec<Entry<S>>);

enum Entry<S> {
    Counter(Counter, fn(&S) -> u64),
    Gauge(Gauge, fn(&S) -> f64),
}

impl<S> Series<S> {
    pub(super) fn new(table: &'static [Metric<S>], labels: &[Label]) -> Self {
        let entry = |metric: &Metric<S>| {
            let labels = labels.to_vec();
            match metric.read {
                Read::Counter(read) => {
                    Entry::Counter(::metrics::counter!(metric.name, labels), read)
                }
                Read::Gauge(read) => Entry::Gauge(::metrics::gauge!(metric.name, labels), read),
            }
        };
        Self(table.iter().map(entry).collect())
    }

    pub(super) fn record(&self, subject: &S) {
        for entry in &self.0 {
            match entry {
                Entry::Counter(counter, read) => counter.absolute(read(subject)),
                Entry::Gauge(gauge, read) => gauge.set(read(subject)),
            }
        }
    }

    /// It is no more: nothing is as of now.
    pub(super) fn forget(&self) {
        for entry in &self.0 {
            match entry {
                Entry::Counter(..) => {}
                Entry::Gauge(gauge, _) => gauge.set(0.0),
            }
        }
    }
}

pub(super) const ENDPOINT: &[Metric<EndpointStats>] = &[
    Metric::counter(
        "conec.endpoint.datagrams_dropped",
        Unit::Count,
        "Datagrams that belonged to nobody, and were dropped",
        |it| it.datagrams_dropped,
    ),
    Metric::counter(
        "conec.endpoint.datagrams_forwarded",
        Unit::Count,
        "Datagrams forwarded between Clients",
        |it| it.datagrams_forwarded,
    ),
    Metric::counter(
        "conec.endpoint.bytes_forwarded",
        Unit::Bytes,
        "Bytes forwarded between Clients",
        |it| it.bytes_forwarded,
    ),
    Metric::counter(
        "conec.endpoint.forwards_dropped",
        Unit::Count,
        "Datagrams not forwarded: the queue was full, or the rate exceeded",
        |it| it.forwards_dropped,
    ),
    Metric::counter(
        "conec.endpoint.forwards_denied",
        Unit::Count,
        "Datagrams not forwarded: not from the confirmed address",
        |it| it.forwards_denied,
    ),
    Metric::counter(
        "conec.endpoint.handshakes_refused",
        Unit::Count,
        "Connection attempts turned away",
        |it| it.handshakes_refused,
    ),
    Metric::counter(
        "conec.endpoint.tickets_refused",
        Unit::Count,
        "Claims of channel ends that were not good",
        |it| it.tickets_refused,
    ),
    Metric::counter(
        "conec.endpoint.violations",
        Unit::Count,
        "Peers cut off because they broke the protocol",
        |it| it.violations,
    ),
    Metric::counter(
        "conec.endpoint.clients_refused",
        Unit::Count,
        "Clients turned away after they had introduced themselves",
        |it| it.clients_refused,
    ),
    Metric::counter(
        "conec.endpoint.channels_refused",
        Unit::Count,
        "Channels that Clients asked for and did not get",
        |it| it.channels_refused,
    ),
    Metric::counter(
        "conec.endpoint.channels_shed",
        Unit::Count,
        "Channels ended because messages took too much memory",
        |it| it.channels_shed,
    ),
    Metric::counter(
        "conec.endpoint.socket_errors",
        Unit::Count,
        "Failures of the socket to send or to receive",
        |it| it.socket_errors,
    ),
    Metric::counter(
        "conec.endpoint.probes_sent",
        Unit::Count,
        "Probes sent in search of direct paths",
        |it| it.probes_sent,
    ),
    Metric::counter(
        "conec.endpoint.probes_rejected",
        Unit::Count,
        "Datagrams dropped that claimed to be probes",
        |it| it.probes_rejected,
    ),
];

pub(super) const CLIENT: &[Metric<bool>] = &[Metric::gauge(
    "conec.client.connected",
    Unit::Count,
    "1 while the Coordinator is there",
    |it| f64::from(u8::from(*it)),
)];

pub(super) const COORDINATOR: &[Metric<usize>] = &[Metric::gauge(
    "conec.coordinator.clients",
    Unit::Count,
    "Clients connected",
    |it| *it as f64,
)];

pub(super) const CHANNEL: &[Metric<ChannelStats>] = &[
    Metric::counter(
        "conec.channel.packets_sent",
        Unit::Count,
        "Packets sent",
        |it| it.traffic.packets_sent,
    ),
    Metric::counter(
        "conec.channel.bytes_sent",
        Unit::Bytes,
        "Bytes sent",
        |it| it.traffic.bytes_sent,
    ),
    Metric::counter(
        "conec.channel.packets_received",
        Unit::Count,
        "Packets received",
        |it| it.traffic.packets_received,
    ),
    Metric::counter(
        "conec.channel.bytes_received",
        Unit::Bytes,
        "Bytes received",
        |it| it.traffic.bytes_received,
    ),
    Metric::counter(
        "conec.channel.packets_lost",
        Unit::Count,
        "Packets given up as lost",
        |it| it.packets_lost,
    ),
    Metric::counter(
        "conec.channel.bytes_lost",
        Unit::Bytes,
        "Bytes of packets given up as lost",
        |it| it.bytes_lost,
    ),
    Metric::counter(
        "conec.channel.congestion_events",
        Unit::Count,
        "How often congestion control has slowed the channel down",
        |it| it.congestion_events,
    ),
    Metric::counter(
        "conec.channel.messages_dropped",
        Unit::Count,
        "Messages that lossy readers did not get",
        |it| it.messages_dropped,
    ),
    Metric::counter(
        "conec.channel.datagrams_sent",
        Unit::Count,
        "Unreliable datagrams sent",
        |it| it.datagrams.sent,
    ),
    Metric::counter(
        "conec.channel.datagrams_refused",
        Unit::Count,
        "Unreliable datagrams not taken from the application",
        |it| it.datagrams.refused,
    ),
    Metric::counter(
        "conec.channel.datagrams_discarded",
        Unit::Count,
        "Unreliable datagrams dropped before they were sent",
        |it| it.datagrams.discarded,
    ),
    Metric::counter(
        "conec.channel.datagrams_received",
        Unit::Count,
        "Unreliable datagrams received",
        |it| it.datagrams.received,
    ),
    Metric::counter(
        "conec.channel.datagrams_displaced",
        Unit::Count,
        "Unreliable datagrams received and dropped for later ones",
        |it| it.datagrams.displaced,
    ),
    Metric::gauge(
        "conec.channel.rtt",
        Unit::Seconds,
        "The round-trip time, smoothed",
        |it| it.rtt.as_secs_f64(),
    ),
    Metric::gauge(
        "conec.channel.min_rtt",
        Unit::Seconds,
        "The shortest round trip on the present path",
        |it| it.min_rtt.as_secs_f64(),
    ),
    Metric::gauge(
        "conec.channel.congestion_window",
        Unit::Bytes,
        "How much may be under way",
        |it| it.congestion_window as f64,
    ),
    Metric::gauge(
        "conec.channel.bytes_in_flight",
        Unit::Bytes,
        "How much is under way",
        |it| it.bytes_in_flight as f64,
    ),
    Metric::gauge(
        "conec.channel.mtu",
        Unit::Bytes,
        "The largest UDP payload that the path is known to take",
        |it| f64::from(it.mtu),
    ),
    Metric::gauge(
        "conec.channel.streams_open",
        Unit::Count,
        "Data streams that are open",
        |it| it.streams_open as f64,
    ),
    Metric::gauge(
        "conec.channel.bytes_waiting",
        Unit::Bytes,
        "What waits on streams for the QUIC engine to take it",
        |it| it.bytes_waiting as f64,
    ),
];

pub(super) const PATH: &[Metric<PathStats>] = &[
    Metric::counter(
        "conec.path.proxied_bytes_sent",
        Unit::Bytes,
        "Bytes sent through the Coordinator",
        |it| it.proxied.bytes_sent,
    ),
    Metric::counter(
        "conec.path.proxied_bytes_received",
        Unit::Bytes,
        "Bytes received through the Coordinator",
        |it| it.proxied.bytes_received,
    ),
    Metric::counter(
        "conec.path.direct_bytes_sent",
        Unit::Bytes,
        "Bytes sent directly",
        |it| it.direct.bytes_sent,
    ),
    Metric::counter(
        "conec.path.direct_bytes_received",
        Unit::Bytes,
        "Bytes received directly",
        |it| it.direct.bytes_received,
    ),
    Metric::counter(
        "conec.path.changes",
        Unit::Count,
        "How often this end went over to another path",
        |it| it.changes,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_the_whole_one() {
        fn lines<S>(table: &[Metric<S>]) -> impl Iterator<Item = String> {
            table.iter().map(|metric| {
                let kind = match metric.read {
                    Read::Counter(_) => "counter",
                    Read::Gauge(_) => "gauge",
                };
                format!("//! | `{}` | {kind} |", metric.name)
            })
        }
        let all = lines(ENDPOINT)
            .chain(lines(CLIENT))
            .chain(lines(COORDINATOR))
            .chain(lines(CHANNEL))
            .chain(lines(PATH));
        let documented = include_str!("mod.rs").lines();
        let documented = documented.filter(|line| line.starts_with("//! | `"));
        assert!(documented.eq(all));
    }
}
