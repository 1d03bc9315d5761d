//! The tables of a configuration file. Their keys are those of the library.

use conec_tokio::{ChannelConfig, CoordinatorLimits, GroupConfig};
use serde::Deserialize;

use super::fields::{Congestion, Time};

/// A table whose keys are fields of a type of the library: what is not said stays as it is.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident sets $target:ty { $($field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name {
            $($field: Option<$kind>,)*
        }

        impl $name {
            pub(super) fn apply(&self, to: &mut $target) {
                $(if let Some(value) = self.$field {
                    to.$field = value.into();
                })*
            }
        }
    };
}

table! {
    /// `[limits]`
    Limits sets CoordinatorLimits {
        clients: usize,
        clients_per_network: usize,
        handshakes: usize,
        handshakes_before_retry: usize,
        handshakes_per_network: usize,
        handshake_timeout: Time,
        hello_timeout: Time,
        answer_timeout: Time,
        resume_timeout: Time,
        names_kept: Time,
        takeovers_per_minute: u32,
        channels_per_client: usize,
        pairs: usize,
        events: usize,
        control_rate: u32,
        control_burst: u32,
        forward_queue: usize,
        forward_rate: u64,
        groups: usize,
        groups_per_client: usize,
        group_memory: usize,
        publish_rate: u64,
    }
}

table! {
    /// `[home]`
    Home sets ChannelConfig {
        bi_streams: u32,
        uni_streams: u32,
        stream_rate: u32,
        stream_window: u32,
        receive_window: u32,
        max_receive_window: u32,
        send_window: u32,
        send_buffer: usize,
        max_message_size: usize,
        datagram_buffer: usize,
        idle_timeout: Time,
        keep_alive: Time,
        initial_rtt: Time,
        congestion: Congestion,
        max_mtu: u16,
    }
}

/// `[group]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Group {
    history_messages: Option<usize>,
    history_bytes: Option<usize>,
    max_message_size: Option<usize>,
    push_back: Option<Time>,
}

impl Group {
    pub(super) fn apply(&self, to: &mut GroupConfig) {
        if let Some(messages) = self.history_messages {
            to.history.messages = messages;
        }
        if let Some(bytes) = self.history_bytes {
            to.history.bytes = bytes;
        }
        if let Some(bytes) = self.max_message_size {
            to.max_message_size = bytes;
        }
        if let Some(time) = self.push_back {
            to.push_back = time.into();
        }
    }
}
