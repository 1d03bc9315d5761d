//! What protects conec, one guard at a time, and how to take it away. The example `guards` does, and sees that a test
//! fails each time: a scenario that passes without the guard that it is about shows nothing.

/// A condition that refuses something.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// What it sees to.
    pub what: &'static str,
    /// The file that it is in, from the top of the repository.
    pub file: &'static str,
    /// Its text, which is there once.
    pub text: &'static str,
    /// The text that leaves it out.
    pub without: &'static str,
}

/// All guards that are tried.
pub const GUARDS: &[Guard] = &[
    Guard {
        what: "packets are forwarded only from the confirmed address of the other end",
        file: "conec-core/src/coordinator/forward.rs",
        text: "if entry.from_address != run.source {",
        without: "if false {",
    },
    Guard {
        what: "packets are forwarded at no more than the rate for each Client",
        file: "conec-core/src/coordinator/forward.rs",
        text: "&& !rate.bytes.take(now, bytes as u64)",
        without: "&& false",
    },
    Guard {
        what: "packets that wait to be forwarded are bounded",
        file: "conec-core/src/coordinator/forward.rs",
        text: "if self.queued + bytes > self.queue_limit {",
        without: "if false {",
    },
    Guard {
        what: "packets with a route that is over are not answered",
        file: "conec-core/src/coordinator/mod.rs",
        text: "PacketKind::Long(Some(_)) | PacketKind::Short(Some(_)) => (false, None),",
        without: "PacketKind::Long(Some(_)) | PacketKind::Short(Some(_)) => (true, None),",
    },
    Guard {
        what: "nothing begins while the Coordinator's application lags behind",
        file: "conec-core/src/coordinator/mod.rs",
        text: "self.events.len() >= self.config.limits.events",
        without: "false",
    },
    Guard {
        what: "a TLS handshake has to come to its end",
        file: "conec-core/src/coordinator/session.rs",
        text: ".set(client, Some(now + limits.handshake_timeout));",
        without: ".set(client, None);",
    },
    Guard {
        what: "a Hello has to come in time",
        file: "conec-core/src/coordinator/session.rs",
        text: ".set(client, Some(now + self.config.limits.hello_timeout));",
        without: ".set(client, None);",
    },
    Guard {
        what: "no more Clients than there may be",
        file: "conec-core/src/coordinator/session.rs",
        text: "before.is_none() && self.registry.len() >= self.config.limits.clients",
        without: "false",
    },
    Guard {
        what: "an identity does not take its session over any number of times",
        file: "conec-core/src/coordinator/session.rs",
        text: "if before.is_some() && !self.registry.take_over(now, id) {",
        without: "if false {",
    },
    Guard {
        what: "an earlier connection of a Client does not take over from a later one",
        file: "conec-core/src/coordinator/session.rs",
        text: "if before.is_some_and(|before| before > client) {",
        without: "if false {",
    },
    Guard {
        what: "an address is confirmed by the echo of what was sent there",
        file: "conec-core/src/coordinator/session.rs",
        text: "&& expected == nonce",
        without: "",
    },
    Guard {
        what: "a name has one holder",
        file: "conec-core/src/coordinator/registry.rs",
        text: ".is_some_and(|&(holder, _)| holder != by_other_than)",
        without: ".is_some_and(|_| false)",
    },
    Guard {
        what: "a Client speaks only for its own ends of channels",
        file: "conec-core/src/coordinator/pairs.rs",
        text: "(pair.end(side).client == client).then_some((id, side))",
        without: "Some((id, side))",
    },
    Guard {
        what: "an end accepts a channel once",
        file: "conec-core/src/coordinator/broker.rs",
        text: "Phase::Offered { accepted } if !accepted[side as usize] => {",
        without: "Phase::Offered { accepted } => {",
    },
    Guard {
        what: "newcomers are bounded",
        file: "conec-core/src/transport/handshakes.rs",
        text: "if self.total >= limits.handshakes {",
        without: "if false {",
    },
    Guard {
        what: "many newcomers have to prove their addresses",
        file: "conec-core/src/transport/handshakes.rs",
        text: "return if self.total >= limits.handshakes_before_retry {",
        without: "return if false {",
    },
    Guard {
        what: "one network does not bring all the newcomers",
        file: "conec-core/src/transport/handshakes.rs",
        text: "if neighbours.unwrap_or(0) >= limits.handshakes_per_network {",
        without: "if false {",
    },
    Guard {
        what: "nobody moves before the handshake is complete",
        file: "conec-core/src/transport/mod.rs",
        text: "if !link.connected",
        without: "if false",
    },
    Guard {
        what: "strangers are not answered by the engines of peer channels",
        file: "conec-core/src/transport/mod.rs",
        text: "if matches!(engine.kind, EngineKind::Public(..)) {",
        without: "if true {",
    },
    Guard {
        what: "the largest packets that arrive are not looked for at an address that is unproven",
        file: "conec-core/src/transport/link/mod.rs",
        text: "self.unproven.is_some() && is_search",
        without: "false",
    },
    Guard {
        what: "who gets no acknowledgement says something now and then",
        file: "conec-core/src/transport/silence.rs",
        text: "due && owed",
        without: "false",
    },
    Guard {
        what: "who has been silent for long is asked before it is given up",
        file: "conec-core/src/transport/silence.rs",
        text: "self.asked |= due;\n        due",
        without: "self.asked |= due;\n        false",
    },
    Guard {
        what: "who is heard but hears nothing is given up",
        file: "conec-core/src/transport/link/mod.rs",
        text: "if !self.muted && self.silence.is_deaf(now) {",
        without: "if false {",
    },
    Guard {
        what: "after a sleep, the others are asked before they are given up",
        file: "conec-core/src/transport/link/mod.rs",
        text: "if self.held && !self.muted {",
        without: "if false {",
    },
    Guard {
        what: "who is heard after a silence is answered, however full the window is",
        file: "conec-core/src/transport/link/mod.rs",
        text: "if silent {\n            // The engine",
        without: "if false {\n            // The engine",
    },
    Guard {
        what: "how long a silence was is not taken for how long the way is",
        file: "conec-core/src/transport/link/mod.rs",
        text: "if self.silence.is_doubtful(now, sent) {",
        without: "if false {",
    },
    Guard {
        what: "a closed link is forgotten, however late the other side answers",
        file: "conec-core/src/transport/link/mod.rs",
        text: "const MAX_LINGER: Duration = Duration::from_secs(10);",
        without: "const MAX_LINGER: Duration = Duration::from_secs(1000);",
    },
    Guard {
        what: "the Coordinator's answer is about the channel that was asked for",
        file: "conec-core/src/client/peer.rs",
        text: "if !meant || peer.label != offer.label || offer.role != EndRole::Initiator {",
        without: "if false {",
    },
    Guard {
        what: "both ends mean the same channel",
        file: "conec-core/src/client/peer.rs",
        text: "if bind == bind_message(offer, own_id, &peer.label) {",
        without: "if true {",
    },
    Guard {
        what: "a channel has to be bound in time",
        file: "conec-core/src/client/peer.rs",
        text: "self.deadlines.set(id, Some(now + patience));\n        if offer.role == EndRole::Initiator {",
        without: "self.deadlines.set(id, None);\n        if offer.role == EndRole::Initiator {",
    },
    Guard {
        what: "the Coordinator says nothing before its Welcome",
        file: "conec-core/src/client/home.rs",
        text: "if !self.is_connected() {",
        without: "if false {",
    },
    Guard {
        what: "control messages come at no more than their rate",
        file: "conec-core/src/channel/core/mod.rs",
        text: ".is_some_and(|rate| !rate.take(now, 1))",
        without: ".is_some_and(|_| false)",
    },
    Guard {
        what: "who does not read the answers gets no more of them",
        file: "conec-core/src/channel/core/mod.rs",
        text: "let full = link.backlog(CONTROL) >= MAX_ANSWERS;",
        without: "let full = false;",
    },
    Guard {
        what: "streams wait while the application lags behind",
        file: "conec-core/src/channel/core/streams.rs",
        text: "if self.events.len() >= self.max_events() {",
        without: "if false {",
    },
    Guard {
        what: "the other side opens streams at no more than their rate",
        file: "conec-core/src/channel/core/streams.rs",
        text: "if let Some(at) = free.filter(|&at| at > now) {",
        without: "if let Some(at) = free.filter(|_| false) {",
    },
    Guard {
        what: "both sides say once that they are done",
        file: "conec-core/src/channel/state.rs",
        text: "Phase::Closing(closing) if !closing.they_drained && closing.theirs.is_some() => {",
        without: "Phase::Closing(closing) => {",
    },
    Guard {
        what: "messages over all channels take no more memory than they may",
        file: "conec-core/src/channel/table.rs",
        text: "if self.memory <= limit {",
        without: "if true {",
    },
    Guard {
        what: "a message is no larger than it may be",
        file: "conec-core/src/wire/frame.rs",
        text: "Ok(len) if len <= self.max => Ok(Some(len)),",
        without: "Ok(len) => Ok(Some(len)),",
    },
    Guard {
        what: "probes go out at no more than their rate",
        file: "conec-core/src/client/path/budget.rs",
        text: "all.take_leaving(now, 1, reserve * used / SHARE_BURST)",
        without: "all.take_leaving(now, 0, 0)",
    },
    Guard {
        what: "an address that does not answer is left alone",
        file: "conec-core/src/client/path/budget.rs",
        text: ".or_insert_with(full).take(now, 1)",
        without: ".or_insert_with(full).take(now, 0)",
    },
    Guard {
        what: "a pong proves an address only from there",
        file: "conec-core/src/client/path/prober.rs",
        text: ".position(|ping| ping.counter == counter && ping.address == source)?;",
        without: ".position(|ping| ping.counter == counter)?;",
    },
    Guard {
        what: "one round brings few bytes to those who do not answer",
        file: "conec-core/src/client/path/prober.rs",
        text: "if self.spent + PROBE_LEN > ROUND_BYTES {",
        without: "if false {",
    },
    Guard {
        what: "services that answer strangers are not probed",
        file: "conec-core/src/client/path/address.rs",
        text: "&& address.port() >= MIN_PORT",
        without: "",
    },
    Guard {
        what: "a probe to the second port is news once",
        file: "conec-core/src/coordinator/second.rs",
        text: "&& counter > second.latest",
        without: "",
    },
    Guard {
        what: "probes to the second port are answered at no more than their rate",
        file: "conec-core/src/coordinator/second.rs",
        text: "!second.rate.take(now, 1)",
        without: "!second.rate.take(now, 0)",
    },
    Guard {
        what: "a second port is announced once",
        file: "conec-core/src/client/nat.rs",
        text: "if self.mapping.second.is_some() || port == 0 {",
        without: "if false {",
    },
    Guard {
        what: "a second port's answer is to a probe that was sent from here",
        file: "conec-core/src/client/nat.rs",
        text: "(second.before + 1..=second.counter).contains(&echo)",
        without: "echo <= second.counter",
    },
    Guard {
        what: "a Client that seems to move all the time does not ask the second port all the time",
        file: "conec-core/src/client/nat.rs",
        text: "self.began.map(|at| at + EVERY).max(Some(now))",
        without: "Some(now)",
    },
    Guard {
        what: "who only says that it is held up gets no larger window",
        file: "conec-core/src/transport/window.rs",
        text: "received - self.filled_at >= self.size / 2",
        without: "received >= self.filled_at",
    },
    Guard {
        what: "strangers get no larger windows",
        file: "conec-core/src/transport/link/mod.rs",
        text: "if self.newcomer.is_none()",
        without: "if true",
    },
    Guard {
        what: "receive windows grow by no more than there is for all",
        file: "conec-core/src/transport/window.rs",
        text: "*store -= more;",
        without: "",
    },
    Guard {
        what: "a channel that ends gives back what its window has grown by",
        file: "conec-core/src/transport/mod.rs",
        text: "self.window_store += link.extra_window();",
        without: "",
    },
    Guard {
        what: "few packets that are kept do not keep many batches alive",
        file: "conec-core/src/buffers.rs",
        text: "let whole = single || self.lent.len() < MAX_LENT;",
        without: "let whole = true;",
    },
    Guard {
        what: "memory is not kept for long for messages that do not come",
        file: "conec-core/src/channel/core/mod.rs",
        text: "if self.keeps_buffers && self.rest_at.is_none() {",
        without: "if false {",
    },
    Guard {
        what: "memory that is kept for messages goes before a channel goes",
        file: "conec-core/src/channel/table.rs",
        text: "entry.core.rest();",
        without: "",
    },
    Guard {
        what: "what is not an answer keeps nobody awake",
        file: "conec-udp/src/busy_poll.rs",
        text: "} else if received > 0 && self.answered {",
        without: "} else if received > 0 {",
    },
];
