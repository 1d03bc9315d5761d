//! The messages of a membership's stream, one enum for each direction.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::{
    codec::{Malformed, Reader, Varint, write_block, write_optional_name, write_varint},
    frame::frame_header,
    message::RoleMessage,
};
use crate::{ClientId, Name, SlowMember};

/// How many bytes a member's proof of its key may have.
pub(crate) const MAX_PROOF: usize = 64;

/// Tells the order of one group from that of others, of the same name too.
pub(crate) type Incarnation = u64;
/// The number of a message in the order of its group.
pub(crate) type Sequence = u64;

/// From a member to its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToGroup {
    /// The first message, and only the first.
    Join(Join),
    Publish(Bytes),
    /// The member seals with another key from now on.
    Proof(Bytes),
}

/// As what a Client wants to be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Join {
    pub(crate) part: Part,
    pub(crate) slow: SlowMember,
    pub(crate) start: From,
    pub(crate) proof: Bytes,
}

/// What a member does, and what it wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) publishes: bool,
    pub(crate) hears: bool,
    /// Also what it has published itself.
    pub(crate) hears_own: bool,
    /// Who is there.
    pub(crate) watches: bool,
}

/// Where in the order a member begins to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Next,
    Oldest,
    /// It has heard of this order what comes before.
    Sequence(Incarnation, Sequence),
}

/// From a group to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToMember {
    /// The first message, and only the first.
    Joined(Joined),
    Message {
        sequence: Sequence,
        sender: Option<Author>,
        message: Bytes,
    },
    /// What the member itself has published has this number.
    Own {
        sequence: Sequence,
    },
    /// Messages were left out, and numbers of the member's own.
    Lagged {
        count: u64,
        own: u64,
        next: Sequence,
    },
    Counts(Counts),
    Arrived(Arrived),
    Left {
        id: ClientId,
    },
    /// Who is there is told anew.
    Roll,
    /// All were told of who are there.
    Listed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) incarnation: Incarnation,
    pub(crate) next: Sequence,
    /// The number of the next that is published.
    pub(crate) end: Sequence,
    pub(crate) missed: u64,
    pub(crate) max_size: u64,
    /// The group pushes back on publishers.
    pub(crate) pushes_back: bool,
    pub(crate) counts: Counts,
}

/// How many members there are, and how many of them publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) members: u64,
    pub(crate) publishers: u64,
}

/// The Client that has published something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) id: ClientId,
    pub(crate) name: Option<Name>,
}

/// Somebody who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) id: ClientId,
    pub(crate) name: Option<Name>,
    pub(crate) publishes: bool,
    pub(crate) hears: bool,
    pub(crate) proof: Bytes,
}

/// What comes in front of a message of this length that a member publishes, with the frame's own header.
pub(crate) fn publish_head(len: usize) -> SmallVec<[u8; 9]> {
    let mut head = SmallVec::from_slice(&frame_header(1 + len));
    head.extend_from_slice(&Varint::new(PUBLISH));
    head
}

/// Writes a message with its frame, as all members get it.
pub(crate) fn write_message(
    sequence: Sequence,
    sender: Option<&Author>,
    message: &[u8],
    out: &mut BytesMut,
) {
    let mut head = [0; HEAD];
    let mut left = &mut head[..];
    write_head(sequence, sender, &mut left);
    let left = left.len();
    let head = &head[..HEAD - left];
    out.put_slice(&frame_header(head.len() + message.len()));
    out.put_slice(head);
    out.put_slice(message);
}

fn write_head(sequence: Sequence, sender: Option<&Author>, out: &mut impl BufMut) {
    write_varint(MESSAGE, out);
    write_varint(sequence, out);
    match sender {
        None => out.put_u8(0),
        Some(author) => {
            out.put_u8(1);
            out.put_slice(author.id.as_bytes());
            write_optional_name(author.name.as_ref(), out);
        }
    }
}

impl RoleMessage for ToGroup {
    fn decode_fields(kind: u64, fields: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            JOIN => {
                let flags = fields.u8()?;
                let part = Part {
                    publishes: flags & PUBLISHES > 0,
                    hears: flags & HEARS > 0,
                    hears_own: flags & HEARS_OWN > 0,
                    watches: flags & WATCHES > 0,
                };
                if flags != part.flags() || !(part.publishes || part.hears) {
                    return Err(Malformed);
                }
                Self::Join(Join {
                    part,
                    slow: match fields.u8()? {
                        0 => SlowMember::DropOldest,
                        1 => SlowMember::LatestOnly,
                        2 => SlowMember::Leave,
                        _ => return Err(Malformed),
                    },
                    start: match fields.u8()? {
                        0 => From::Next,
                        1 => From::Oldest,
                        2 => From::Sequence(fields.u64()?, fields.varint()?),
                        _ => return Err(Malformed),
                    },
                    proof: fields.kept_block(MAX_PROOF)?,
                })
            }
            PUBLISH => Self::Publish(fields.rest()),
            PROOF => Self::Proof(fields.kept_block(MAX_PROOF)?),
            _ => return Ok(None),
        }))
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        match self {
            Self::Join(join) => {
                write_varint(JOIN, &mut out);
                out.put_u8(join.part.flags());
                out.put_u8(match join.slow {
                    SlowMember::DropOldest => 0,
                    SlowMember::LatestOnly => 1,
                    SlowMember::Leave => 2,
                });
                match join.start {
                    From::Next => out.put_u8(0),
                    From::Oldest => out.put_u8(1),
                    From::Sequence(incarnation, sequence) => {
                        out.put_u8(2);
                        out.put_u64(incarnation);
                        write_varint(sequence, &mut out);
                    }
                }
                write_block(&join.proof, &mut out);
            }
            Self::Publish(message) => {
                write_varint(PUBLISH, &mut out);
                out.put_slice(message);
            }
            Self::Proof(proof) => {
                write_varint(PROOF, &mut out);
                write_block(proof, &mut out);
            }
        }
        out.freeze()
    }
}

impl Part {
    fn flags(self) -> u8 {
        let flags = [
            (self.publishes, PUBLISHES),
            (self.hears, HEARS),
            (self.hears_own, HEARS_OWN),
            (self.watches, WATCHES),
        ];
        flags.iter().map(|&(is, flag)| u8::from(is) * flag).sum()
    }
}

impl RoleMessage for ToMember {
    fn decode_fields(kind: u64, fields: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            JOINED => Self::Joined(Joined {
                incarnation: fields.u64()?,
                next: fields.varint()?,
                end: fields.varint()?,
                missed: fields.varint()?,
                max_size: fields.varint()?,
                pushes_back: fields.bool()?,
                counts: fields.counts()?,
            }),
            MESSAGE => Self::Message {
                sequence: fields.varint()?,
                sender: match fields.bool()? {
                    false => None,
                    true => Some(Author {
                        id: fields.client_id()?,
                        name: fields.optional_name()?,
                    }),
                },
                message: fields.rest(),
            },
            OWN => Self::Own {
                sequence: fields.varint()?,
            },
            LAGGED => Self::Lagged {
                count: fields.varint()?,
                own: fields.varint()?,
                next: fields.varint()?,
            },
            COUNTS => Self::Counts(fields.counts()?),
            ARRIVED => {
                let (id, name) = (fields.client_id()?, fields.optional_name()?);
                let flags = fields.u8()?;
                if flags & !(PUBLISHES | HEARS) > 0 {
                    return Err(Malformed);
                }
                Self::Arrived(Arrived {
                    id,
                    name,
                    publishes: flags & PUBLISHES > 0,
                    hears: flags & HEARS > 0,
                    proof: fields.kept_block(MAX_PROOF)?,
                })
            }
            LEFT => Self::Left {
                id: fields.client_id()?,
            },
            ROLL => Self::Roll,
            LISTED => Self::Listed,
            _ => return Ok(None),
        }))
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        match self {
            Self::Joined(joined) => {
                write_varint(JOINED, &mut out);
                out.put_u64(joined.incarnation);
                write_varint(joined.next, &mut out);
                write_varint(joined.end, &mut out);
                write_varint(joined.missed, &mut out);
                write_varint(joined.max_size, &mut out);
                out.put_u8(joined.pushes_back.into());
                write_counts(joined.counts, &mut out);
            }
            Self::Message {
                sequence,
                sender,
                message,
            } => {
                write_head(*sequence, sender.as_ref(), &mut out);
                out.put_slice(message);
            }
            Self::Own { sequence } => {
                write_varint(OWN, &mut out);
                write_varint(*sequence, &mut out);
            }
            Self::Lagged { count, own, next } => {
                write_varint(LAGGED, &mut out);
                write_varint(*count, &mut out);
                write_varint(*own, &mut out);
                write_varint(*next, &mut out);
            }
            Self::Counts(counts) => {
                write_varint(COUNTS, &mut out);
                write_counts(*counts, &mut out);
            }
            Self::Arrived(arrived) => {
                write_varint(ARRIVED, &mut out);
                out.put_slice(arrived.id.as_bytes());
                write_optional_name(arrived.name.as_ref(), &mut out);
                let publishes = u8::from(arrived.publishes) * PUBLISHES;
                out.put_u8(publishes + u8::from(arrived.hears) * HEARS);
                write_block(&arrived.proof, &mut out);
            }
            Self::Left { id } => {
                write_varint(LEFT, &mut out);
                out.put_slice(id.as_bytes());
            }
            Self::Roll => write_varint(ROLL, &mut out),
            Self::Listed => write_varint(LISTED, &mut out),
        }
        out.freeze()
    }
}

impl Reader {
    fn counts(&mut self) -> Result<Counts, Malformed> {
        Ok(Counts {
            members: self.varint()?,
            publishers: self.varint()?,
        })
    }
}

fn write_counts(counts: Counts, out: &mut impl BufMut) {
    write_varint(counts.members, out);
    write_varint(counts.publishers, out);
}

/// Of a message, but for what is published: type, number, sender and name.
const HEAD: usize = 1 + 8 + 1 + 32 + 1 + Name::MAX_LEN;
/// What is in front of a message, with the frame's own header.
pub(crate) const MESSAGE_HEAD: usize = 8 + HEAD;

const JOIN: u64 = 0x00;
const PUBLISH: u64 = 0x02;
const PROOF: u64 = 0x05;

const JOINED: u64 = 0x00;
const MESSAGE: u64 = 0x02;
const OWN: u64 = 0x04;
const LAGGED: u64 = 0x06;
const COUNTS: u64 = 0x07;
const ARRIVED: u64 = 0x09;
const LEFT: u64 = 0x0b;
const ROLL: u64 = 0x0d;
const LISTED: u64 = 0x0f;

const PUBLISHES: u8 = 1;
const HEARS: u8 = 2;
const HEARS_OWN: u8 = 4;
const WATCHES: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<M: RoleMessage + PartialEq + std::fmt::Debug>(message: M) {
        let bytes = message.encode();
        for len in 0..bytes.len() {
            assert_eq!(M::decode(bytes.slice(..len)), Err(Malformed));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(M::decode(longer.into()), Err(Malformed));
        assert_eq!(M::decode(bytes), Ok(Some(message)));
    }

    #[test]
    fn messages_round_trip_and_no_other_length_decodes() {
        let proof = Bytes::from_static(&[7; MAX_PROOF]);
        for (flags, start) in [From::Next, From::Oldest, From::Sequence(u64::MAX, 70)]
            .into_iter()
            .enumerate()
        {
            for slow in [
                SlowMember::DropOldest,
                SlowMember::LatestOnly,
                SlowMember::Leave,
            ] {
                round_trip(ToGroup::Join(Join {
                    part: Part {
                        publishes: flags != 0,
                        hears: flags != 1,
                        hears_own: flags == 2,
                        watches: flags == 0,
                    },
                    slow,
                    start,
                    proof: proof.clone(),
                }));
            }
        }
        round_trip(ToGroup::Proof(proof.clone()));
        let counts = Counts {
            members: 1000,
            publishers: 1,
        };
        for pushes_back in [false, true] {
            round_trip(ToMember::Joined(Joined {
                incarnation: u64::MAX - 1,
                next: 64,
                end: 70_000,
                missed: 63,
                max_size: 1 << 16,
                pushes_back,
                counts,
            }));
        }
        round_trip(ToMember::Own { sequence: 1 << 40 });
        round_trip(ToMember::Lagged {
            count: 1,
            own: 64,
            next: 16_384,
        });
        round_trip(ToMember::Counts(counts));
        let id = ClientId([9; 32]);
        for (name, publishes) in [(None, true), ("alice".parse().ok(), false)] {
            round_trip(ToMember::Arrived(Arrived {
                id,
                name,
                publishes,
                hears: !publishes,
                proof: proof.clone(),
            }));
        }
        round_trip(ToMember::Left { id });
        round_trip(ToMember::Roll);
        round_trip(ToMember::Listed);
    }

    #[test]
    fn what_is_published_is_all_that_is_left() {
        for message in [&b""[..], b"hello"] {
            let message = Bytes::copy_from_slice(message);
            let published = ToGroup::Publish(message.clone());
            let payload = published.encode();
            let head = publish_head(message.len());
            let frame = [&frame_header(payload.len())[..], &payload].concat();
            assert_eq!([&head[..], &message].concat(), frame);
            assert_eq!(ToGroup::decode(payload), Ok(Some(published)));
            let author = Author {
                id: ClientId([3; 32]),
                name: "bob".parse().ok(),
            };
            for sender in [None, Some(author)] {
                let mut frame = BytesMut::new();
                write_message(700, sender.as_ref(), &message, &mut frame);
                let told = ToMember::Message {
                    sequence: 700,
                    sender,
                    message: message.clone(),
                };
                let payload = told.encode();
                assert_eq!(frame, [&frame_header(payload.len())[..], &payload].concat());
                assert_eq!(ToMember::decode(payload), Ok(Some(told)));
            }
        }
    }

    #[test]
    fn who_neither_publishes_nor_hears_is_malformed() {
        for flags in [0, HEARS_OWN, WATCHES, 16 | HEARS] {
            let join = [0, flags, 0, 0, 0];
            assert_eq!(
                ToGroup::decode(Bytes::copy_from_slice(&join)),
                Err(Malformed)
            );
        }
    }
}
