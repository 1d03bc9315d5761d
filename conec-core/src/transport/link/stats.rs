//! What a link can tell of what is going on.

use super::{Link, datagrams::DatagramCounts, room::Kind};
use crate::{ChannelStats, DatagramStats, SendLimit, Traffic};

impl Link {
    /// What there is to tell, but for what the channel itself knows.
    pub(crate) fn stats(&mut self) -> ChannelStats {
        let stats = self.conn.stats();
        self.count_discarded(stats.frame_tx.datagram);
        let none = DatagramCounts::default();
        let datagrams = self.datagrams.as_deref().unwrap_or(&none);
        let path = stats.path;
        ChannelStats {
            traffic: self.traffic(),
            rtt: path.rtt,
            min_rtt: path.min_rtt,
            congestion_window: path.cwnd,
            bytes_in_flight: self.control.in_flight(),
            mtu: path.current_mtu,
            packets_lost: path.lost_packets,
            bytes_lost: path.lost_bytes,
            congestion_events: path.congestion_events,
            streams_open: 0,
            bytes_waiting: self.outgoing.values().map(|it| it.bytes.len()).sum(),
            messages_dropped: 0,
            limit: self.limit(),
            datagrams: DatagramStats {
                sent: stats.frame_tx.datagram,
                refused: datagrams.refused,
                discarded: datagrams.discarded,
                received: stats.frame_rx.datagram,
                displaced: datagrams.displaced,
            },
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let stats = self.conn.stats();
        Traffic {
            packets_sent: stats.udp_tx.datagrams,
            bytes_sent: stats.udp_tx.bytes,
            packets_received: stats.udp_rx.datagrams,
            bytes_received: stats.udp_rx.bytes,
        }
    }

    /// Those that the engine was given and does not have any more, and has not sent, it has dropped.
    pub(super) fn count_discarded(&mut self, sent: u64) {
        if let Some(counts) = &mut self.datagrams
            && counts.queued > 0
            && self.conn.datagrams().send_buffer_space() == counts.empty_buffer
        {
            counts.discarded = counts.queued.saturating_sub(sent);
        }
    }

    /// The engine has no more datagrams: those that it has received and not given out, it has dropped.
    pub(super) fn count_displaced(&mut self) {
        let received = self.conn.stats().frame_rx.datagram;
        if received > 0 {
            let counts = self.datagram_counts();
            counts.displaced = received.saturating_sub(counts.taken);
        }
    }

    /// Boxed: few links have any.
    pub(super) fn datagram_counts(&mut self) -> &mut DatagramCounts {
        let conn = &mut self.conn;
        self.datagrams.get_or_insert_with(|| {
            // None were sent before.
            let empty_buffer = conn.datagrams().send_buffer_space();
            Box::new(DatagramCounts {
                empty_buffer,
                ..DatagramCounts::default()
            })
        })
    }

    fn limit(&self) -> SendLimit {
        let path = self.conn.stats().path;
        if !self.control.is_app_limited() && self.connected {
            let next = self.control.in_flight() + u64::from(path.current_mtu);
            return if next >= path.cwnd {
                SendLimit::Congestion
            } else {
                SendLimit::Pacing
            };
        }
        // The engine has sent all that it has got.
        if self.outgoing.is_empty() {
            SendLimit::Application
        } else if self.room.credit(Kind::Waiting, self.observer.credit()) == 0 {
            SendLimit::ChannelWindow
        } else {
            SendLimit::StreamWindow
        }
    }
}
