//! Channels between Clients: whether they stand, and how their ends may end.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{ChannelEvent, ChannelId, CloseReason, Code, ErrorCode, SendDatagramError};

use super::{Run, op::ENOUGH};
use crate::model::datagrams::{Datagrams, HEADER, datagram};

/// An end of a channel: which channel, and which end.
pub(super) type End = (usize, usize);

pub(super) struct ChannelModel {
    /// Who asked for it, and whom it leads to.
    pub(super) clients: [usize; 2],
    /// The ends, as soon as something is known of them.
    pub(super) ids: [Option<ChannelId>; 2],
    pub(super) opened: [bool; 2],
    pub(super) closed: [Option<CloseReason>; 2],
    /// The life of the Client there is over.
    pub(super) gone: [bool; 2],
    /// What its users have done to end it.
    pub(super) ended: [Option<Ending>; 2],
    /// One of them has begun to end it gracefully, whatever has come after that.
    graceful: bool,
    /// No streams can be opened there any more.
    pub(super) closing: [bool; 2],
    pub(super) stands: bool,
    /// Something befell somebody while it was being set up or was ending.
    shaken: bool,
    /// From each end to the other.
    datagrams: [Datagrams; 2],
}

/// How a user ends a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With enough patience.
    Patient,
    /// With little patience.
    Impatient,
    Aborted(Code),
}

impl ChannelModel {
    /// Something befalls somebody.
    pub(super) fn shake(&mut self) {
        self.shaken |= !self.stands || self.is_ending();
    }

    /// Everything has recovered.
    pub(super) fn calm_down(&mut self) {
        self.stands |= self.is_open();
        self.shaken &= !self.is_open();
    }

    /// Whether it is open at both ends, and nobody has done anything to end it.
    pub(super) fn is_open(&self) -> bool {
        let living = self.gone == [false; 2] && self.closed == [None; 2];
        self.opened == [true; 2] && living && !self.is_ending()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ended != [None; 2]
    }

    /// Whether there is something at an end.
    pub(super) fn is_left(&self, side: usize) -> bool {
        self.ids[side].is_some() && self.closed[side].is_none() && !self.gone[side]
    }

    /// Whether everything must have arrived when it has ended.
    pub(super) fn ends_complete(&self) -> bool {
        let patient = |it: &Option<Ending>| it.is_none_or(|it| it == Ending::Patient);
        self.stands && self.is_ending() && self.gone == [false; 2] && self.ended.iter().all(patient)
    }

    /// Whether an end may end for this reason, when things have not been well for so long.
    fn may_end(&self, side: usize, reason: CloseReason, trouble: Duration) -> bool {
        let (here, there) = (self.ended[side], self.ended[1 - side]);
        // What the ends were to tell each other may have been lost, or have come too late.
        let unheard = self.shaken && (self.is_ending() || !self.stands);
        let abandoned = self.gone[1 - side] || unheard || trouble >= KEPT;
        let unmade = !self.stands && (self.shaken || self.gone[1 - side] || self.is_ending());
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "every other reason is somebody's fault, and nobody is at fault here"
        )]
        match reason {
            CloseReason::Local => here.is_some(),
            CloseReason::Application(code) => there == Some(Ending::Aborted(code)),
            CloseReason::Remote(ErrorCode::None) => self.graceful,
            CloseReason::Remote(ErrorCode::PeerGone) => abandoned,
            CloseReason::TimedOut => abandoned,
            CloseReason::CoordinatorLost => unmade,
            CloseReason::Remote(
                ErrorCode::NoAnswer
                | ErrorCode::NotFound
                | ErrorCode::NotResumed
                | ErrorCode::Dropped
                | ErrorCode::Shutdown,
            ) => unmade,
            CloseReason::Transport(APPLICATION_ERROR) => unmade && !self.opened[side],
            _ => false,
        }
    }
}

impl Run {
    pub(super) fn open_channel(&mut self, from: usize, to: usize) {
        if self.channels.len() >= MAX_CHANNELS || !self.clients[from].is_up {
            return;
        }
        let label = (self.channels.len() as u32).to_be_bytes();
        let (now, id) = (self.world.now(), self.id_of(to));
        let node = self.clients[from].node;
        match self.world.client(node).open_channel(now, id, &label) {
            Ok(id) => self.channels.push(ChannelModel {
                clients: [from, to],
                ids: [Some(id), None],
                opened: [false; 2],
                closed: [None; 2],
                gone: [false; 2],
                ended: [None; 2],
                graceful: false,
                closing: [false; 2],
                stands: false,
                shaken: self.trouble.is_some(),
                datagrams: Default::default(),
            }),
            // Whoever was connected once can ask at any time.
            Err(error) if self.clients[from].has_connected => {
                self.fail(&format!("cannot ask for a channel: {error}"));
            }
            Err(_) => {}
        }
    }

    pub(super) fn close_channel(&mut self, end: End, patience: Duration) {
        let (index, side) = end;
        let ending = match patience >= ENOUGH {
            true => Ending::Patient,
            false => Ending::Impatient,
        };
        // A second time, the patience would be another one.
        if !self.is_left(end) || self.channels[index].ended[side].is_some() {
            return;
        }
        self.finish_all(end);
        let now = self.world.now();
        if let Some(mut channel) = self.channel_at(end) {
            channel.close(now, patience);
        }
        self.end_by_user(end, ending);
    }

    pub(super) fn abort_channel(&mut self, end: End, code: Code) {
        if !self.is_left(end) {
            return;
        }
        let now = self.world.now();
        if let Some(mut channel) = self.channel_at(end) {
            channel.abort(now, code);
        }
        self.end_by_user(end, Ending::Aborted(code));
    }

    fn end_by_user(&mut self, (index, side): End, ending: Ending) {
        let is_troubled = self.trouble.is_some();
        let channel = &mut self.channels[index];
        channel.ended[side] = Some(ending);
        channel.graceful |= matches!(ending, Ending::Patient | Ending::Impatient);
        channel.closing[side] = true;
        channel.shaken |= is_troubled;
    }

    /// The life of a Client is over, and with it its ends.
    pub(super) fn leave_channels(&mut self, client: usize) {
        for channel in &mut self.channels {
            for side in 0..2 {
                // Of what is not known there, the next life may hear.
                channel.gone[side] |=
                    channel.clients[side] == client && channel.ids[side].is_some();
            }
        }
    }

    pub(super) fn is_left(&self, (index, side): End) -> bool {
        self.channels[index].is_left(side)
    }

    /// The end that numbers name.
    pub(super) fn pick_end(&self, channel: u8, side: u8) -> Option<End> {
        let index = usize::from(channel).checked_rem(self.channels.len())?;
        Some((index, usize::from(side % 2)))
    }

    /// The channel at an end, if it is there.
    pub(super) fn channel_at(&mut self, (index, side): End) -> Option<conec_core::Channel<'_>> {
        let channel = &self.channels[index];
        let id = channel.ids[side].filter(|_| !channel.gone[side])?;
        let node = self.clients[channel.clients[side]].node;
        self.world.channel(node, id)
    }

    /// Which end of a Client this is.
    fn find_end(&self, client: usize, id: ChannelId) -> Option<End> {
        let channels = self.channels.iter().enumerate();
        channels.rev().find_map(|(index, channel)| {
            let is_it = |&side: &usize| {
                let is_here = channel.clients[side] == client && !channel.gone[side];
                is_here && channel.ids[side] == Some(id)
            };
            Some((index, [0, 1].into_iter().find(is_it)?))
        })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of what is not among the channels, only these events say more"
    )]
    pub(super) fn channel_event(&mut self, client: usize, id: ChannelId, event: ChannelEvent) {
        let Some(end) = self.find_end(client, id) else {
            match event {
                ChannelEvent::Opened => self.met(client, id),
                // Of a home channel, or one that was accepted and never opened.
                ChannelEvent::Closed { .. } | ChannelEvent::Silent | ChannelEvent::Audible => {}
                event => self.fail(&format!("an event of an unknown channel: {event:?}")),
            }
            return;
        };
        match event {
            ChannelEvent::Opened => self.opened(end),
            ChannelEvent::Closed { reason } => self.closed(end, reason),
            ChannelEvent::StreamOpened { stream, label } => self.stream_opened(end, stream, &label),
            ChannelEvent::SendEnded { stream, end: how } => self.send_ended(end, stream, how),
            ChannelEvent::RecvEnded { stream, end: how } => self.recv_ended(end, stream, how),
            ChannelEvent::Readable { stream } => self.read(end, stream),
            ChannelEvent::Writable { stream } => self.writable(end, stream),
            ChannelEvent::DatagramsReadable => self.recv_datagrams(end),
            ChannelEvent::Closing => {
                let (index, side) = end;
                self.channels[index].closing[side] = true;
                self.finish_all(end);
            }
            ChannelEvent::StreamsAvailable { .. }
            | ChannelEvent::DatagramsWritable
            | ChannelEvent::PathChanged { .. }
            | ChannelEvent::Silent
            | ChannelEvent::Audible => {}
            event => self.fail(&format!("an event that the model does not know: {event:?}")),
        }
    }

    /// An end has opened that was not known. Home channels have nobody at the other end.
    fn met(&mut self, client: usize, id: ChannelId) {
        let node = self.clients[client].node;
        let Some(peer) = self.world.opened_with(node, id) else {
            return;
        };
        let (peer, label) = (peer.id, peer.label.clone());
        let index = self.labelled(&label);
        let channel = &mut self.channels[index];
        let [from, to] = channel.clients;
        if to != client || channel.ids[1].replace(id).is_some() || peer != self.id_of(from) {
            self.fail(&format!("an end of channel {index} with {peer}"));
        }
        self.opened((index, 1));
    }

    fn labelled(&self, label: &Bytes) -> usize {
        let number = label[..].try_into().map(u32::from_be_bytes);
        let index = number.map_or(usize::MAX, |number| number as usize);
        if index >= self.channels.len() {
            self.fail("a channel of an unknown label");
        }
        index
    }

    fn opened(&mut self, (index, side): End) {
        let channel = &mut self.channels[index];
        let twice = std::mem::replace(&mut channel.opened[side], true);
        channel.stands |= channel.is_open() && !channel.shaken;
        if twice || channel.closed[side].is_some() {
            self.fail("a channel opened twice, or after its end");
        }
    }

    fn closed(&mut self, end: End, reason: CloseReason) {
        let (index, side) = end;
        let now = self.world.now();
        let trouble = self.trouble.map_or(Duration::ZERO, |since| now - since);
        let channel = &mut self.channels[index];
        let may_end = channel.may_end(side, reason, trouble);
        if channel.closed[side].replace(reason).is_some() || !may_end {
            self.fail(&format!(
                "channel {index} has ended so at side {side}: {reason:?}"
            ));
        }
        self.check_halves_ended(end);
    }

    pub(super) fn send_datagram(&mut self, end: End, size: u8) {
        let (index, side) = end;
        let number = self.channels[index].datagrams[side].sent;
        let size = 4 * usize::from(size);
        let Some(mut channel) = self.channel_at(end) else {
            return;
        };
        match channel.send_datagram(datagram(end, number, size)) {
            Ok(()) => self.channels[index].datagrams[side].sent += 1,
            Err(SendDatagramError::TooLarge { max }) if max < HEADER + size => {}
            Err(SendDatagramError::Blocked | SendDatagramError::Closed) => {}
            Err(error) => self.fail(&format!("cannot send a datagram: {error}")),
        }
    }

    fn recv_datagrams(&mut self, end: End) {
        let (index, side) = end;
        while let Some(mut channel) = self.channel_at(end)
            && let Some(bytes) = channel.recv_datagram()
        {
            if !self.channels[index].datagrams[1 - side].receive((index, 1 - side), &bytes) {
                self.fail("a datagram that was not sent, or comes twice");
            }
        }
    }
}

/// For so long everybody waits for who does not come.
pub(super) const KEPT: Duration = Duration::from_secs(30);
/// QUIC does not tell the code of an end during the handshake (RFC 9000, 10.2.3).
const APPLICATION_ERROR: u64 = 0x0c;
const MAX_CHANNELS: usize = 10;
