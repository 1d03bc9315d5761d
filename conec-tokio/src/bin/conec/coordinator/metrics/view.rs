//! What of a look is shown, as JSON.

use std::{cmp::Reverse, time::SystemTime};

use serde::Serialize;

use super::{
    look::{Look, Totals},
    rows::{ChannelRow, ClientRow, GroupRow, as_text},
};

/// What somebody wants to see.
pub(super) struct Wanted {
    /// Only what has this text in it, in lower case.
    pub(super) find: String,
    /// So many of each kind.
    pub(super) most: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            find: String::new(),
            most: USUALLY,
        }
    }
}

/// The busiest first.
#[derive(Serialize)]
pub(super) struct View<'a> {
    version: &'static str,
    #[serde(serialize_with = "as_text")]
    time: SystemTime,
    uptime_seconds: f64,
    totals: &'a Totals,
    /// How many there are of those that are looked for.
    found: Found,
    clients: Vec<&'a ClientRow>,
    channels: Vec<&'a ChannelRow>,
    groups: Vec<&'a GroupRow>,
}

#[derive(Serialize)]
struct Found {
    clients: usize,
    channels: usize,
    groups: usize,
}

impl<'a> View<'a> {
    pub(super) fn of(look: &'a Look, wanted: &Wanted) -> Self {
        let most = wanted.most;
        let (clients_found, clients) = top(
            &look.clients,
            |it| wanted.has_client(it),
            |it| it.bytes_per_second,
            most,
        );
        let (channels_found, channels) = top(
            &look.channels,
            |it| wanted.has_channel(it),
            |it| it.bytes_per_second,
            most,
        );
        let (groups_found, groups) = top(
            &look.groups,
            |it| wanted.has(&it.name),
            |it| it.messages_per_second,
            most,
        );
        Self {
            version: env!("CARGO_PKG_VERSION"),
            time: look.time,
            uptime_seconds: look.uptime.as_secs_f64(),
            totals: &look.totals,
            found: Found {
                clients: clients_found,
                channels: channels_found,
                groups: groups_found,
            },
            clients,
            channels,
            groups,
        }
    }
}

impl Wanted {
    fn has_client(&self, client: &ClientRow) -> bool {
        let line = &client.line;
        self.has(&line.id)
            || line.names.iter().any(|name| self.has(name))
            || self.has(&line.address.to_string())
    }

    fn has_channel(&self, channel: &ChannelRow) -> bool {
        let line = &channel.line;
        self.has(&line.from)
            || self.has(&line.to)
            || self.has(&line.label)
            || channel.names.iter().flatten().any(|name| self.has(name))
    }

    fn has(&self, text: &str) -> bool {
        self.find.is_empty() || text.to_lowercase().contains(&self.find)
    }
}

/// How many there are, and the busiest of them. Those that are about equally busy stay in their order, so that not all moves all the time.
fn top<T>(
    all: &[T],
    is_wanted: impl Fn(&T) -> bool,
    rate: impl Fn(&T) -> Option<f64>,
    most: usize,
) -> (usize, Vec<&T>) {
    let mut found: Vec<_> = all.iter().filter(|it| is_wanted(it)).collect();
    let count = found.len();
    let magnitude = |it: &T| rate(it).map_or(0, |it| (it.max(1.0).log2()) as u32);
    found.sort_by_key(|it| Reverse(magnitude(it)));
    found.truncate(most);
    (count, found)
}

/// What can be shown at most.
pub(super) const MOST: usize = 100_000;
const USUALLY: usize = 1000;
