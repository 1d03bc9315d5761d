//! What Prometheus is told.

use std::fmt;

use prometheus_client::{
    encoding::prometheus_text::{self, encode},
    metrics::{
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::{
    look::{Look, Totals},
    process,
};

pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// As text. Counters count from the start of the Coordinator.
pub(super) fn text(look: &Look) -> Result<String, fmt::Error> {
    let mut all = Registry::default();
    let conec = all.sub_registry_with_prefix("conec");
    conec.register(
        "build",
        "What runs",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    conec.register_with_unit(
        "uptime",
        "How long the Coordinator has been running",
        Unit::Seconds,
        ConstGauge::new(look.uptime.as_secs_f64()),
    );
    gauges(conec, &look.totals);
    counters(conec, look);
    process::register(all.sub_registry_with_prefix("process"));
    let mut text = String::new();
    encode(&mut text, &all)?;
    Ok(text)
}

fn gauges(to: &mut Registry, totals: &Totals) {
    let paths = Family::<[(&str, &str); 1], Gauge>::default();
    for (path, count) in [
        ("direct", totals.paths.direct),
        ("forwarded", totals.paths.forwarded),
        ("arranging", totals.paths.arranging),
    ] {
        paths.get_or_create(&[("path", path)]).set(count as i64);
    }
    let help = "Channels between Clients, by what they travel on; those that were not accepted yet are being arranged";
    to.register("channels", help, paths);
    for (name, help, value) in [
        (
            "clients",
            "Clients connected",
            totals.figures.clients as i64,
        ),
        ("groups", "Groups", totals.groups as i64),
        (
            "group_members",
            "Members of all groups",
            totals.members as i64,
        ),
        (
            "group_publishers",
            "Those of them that publish",
            totals.publishers as i64,
        ),
    ] {
        to.register(name, help, ConstGauge::new(value));
    }
}

fn counters(to: &mut Registry, look: &Look) {
    let stats = &look.stats;
    to.register_with_unit(
        "forwarded",
        "Bytes forwarded between Clients",
        Unit::Bytes,
        ConstCounter::new(stats.bytes_forwarded),
    );
    for (name, help, value) in [
        (
            "forwarded_datagrams",
            "Datagrams forwarded between Clients",
            stats.datagrams_forwarded,
        ),
        (
            "forwards_dropped",
            "Datagrams not forwarded: the queue was full, or the rate exceeded",
            stats.forwards_dropped,
        ),
        (
            "forwards_denied",
            "Datagrams not forwarded: they did not come from the confirmed address",
            stats.forwards_denied,
        ),
        (
            "datagrams_dropped",
            "Datagrams that belonged to nobody",
            stats.datagrams_dropped,
        ),
        (
            "handshakes_refused",
            "Connection attempts turned away: too many, too fast, or not completed in time",
            stats.handshakes_refused,
        ),
        (
            "clients_refused",
            "Clients turned away after they had introduced themselves",
            stats.clients_refused,
        ),
        (
            "channels_refused",
            "Channels that Clients asked for and did not get",
            stats.channels_refused,
        ),
        (
            "channels_shed",
            "Channels ended because messages took too much memory",
            stats.channels_shed,
        ),
        (
            "tickets_refused",
            "Claims of channel ends that were not good",
            stats.tickets_refused,
        ),
        (
            "violations",
            "Clients cut off because they broke the protocol",
            stats.violations,
        ),
        (
            "socket_errors",
            "Failures of the socket to send or to receive",
            stats.socket_errors,
        ),
    ] {
        to.register(name, help, ConstCounter::new(value));
    }
}
