//! What a link can tell of what is going on.

use super::{Link, room::Kind};
use crate::{ChannelStats, DatagramStats, SendLimit, Traffic};

impl Link {
    /// What there is to tell, but for what the channel itself knows.
    pub(crate) fn stats(&mut self) -> ChannelStats {
        let stats = self.conn.stats();
        self.count_discarded(stats.frame_tx.datagram);
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
            limit: self.limit(),
            datagrams: DatagramStats {
                sent: stats.frame_tx.datagram,
                refused: self.datagrams.refused,
                discarded: self.datagrams.discarded,
                received: stats.frame_rx.datagram,
                displaced: self.datagrams.displaced,
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
        if self.datagrams.queued > 0
            && self.conn.datagrams().send_buffer_space() == self.empty_datagram_buffer
        {
            self.datagrams.discarded = self.datagrams.queued.saturating_sub(sent);
        }
    }

    /// The engine has no more datagrams: those that it has received and not given out, it has dropped.
    pub(super) fn count_displaced(&mut self) {
        let received = self.conn.stats().frame_rx.datagram;
        self.datagrams.displaced = received.saturating_sub(self.datagrams.taken);
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
