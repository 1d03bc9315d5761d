//! Control messages of all three senders, and those of members and groups: what is understood, and how it is written, is as `PROTOCOL.md` says.

use bytes::Bytes;
use conec_core::testing::{Control, Sender, decode_control};

use crate::raw::message::{read_varint, varint};

/// Input: the sender, then the payload of a frame.
pub fn run(data: &[u8]) {
    let Some((&sender, payload)) = data.split_first() else {
        return;
    };
    let sender = SENDERS[usize::from(sender) % SENDERS.len()];
    let decoded = decode_control(sender, Bytes::copy_from_slice(payload));
    assert_eq!(decoded, reference(sender, payload), "{payload:02x?}");
    if let Control::Message(encoded) = &decoded {
        assert!(encoded.len() <= payload.len(), "not the shortest form");
        assert_eq!(decode_control(sender, encoded.clone()), decoded);
    }
}

/// A field, as section 2 of `PROTOCOL.md` has them.
#[derive(Clone, Copy)]
enum Field {
    Varint,
    U16,
    U64,
    Id,
    Route,
    Code,
    Address,
    /// A block that is no longer than this.
    Block(u64),
    Name,
    OptionalName,
    /// A byte below the number of these, each followed by fields of its own.
    Choice(&'static [&'static [Self]]),
    /// A byte that counts at most so many, and as many addresses.
    Addresses(u8),
    /// A byte that counts at most so many, and as many host names, each with an address.
    Hosts(u8),
    /// A sum of some of these bits, with one of those among them if there are any.
    Flags(u8, u8),
    /// Whatever is left.
    Rest,
}

use Field::*;

const SENDERS: [Sender; 5] = [
    Sender::Client,
    Sender::Coordinator,
    Sender::Peer,
    Sender::Member,
    Sender::Group,
];

/// The tables of sections 8 to 13, and 18.
fn fields(sender: Sender, kind: u64) -> Option<&'static [Field]> {
    Some(match (sender, kind) {
        (Sender::Member, 0) => &[
            Flags(15, 3),
            Choice(&[&[], &[], &[]]),
            Choice(&[&[], &[], &[U64, Varint]]),
            Block(64),
        ],
        (Sender::Member, 2) => &[Rest],
        (Sender::Member, 5) => &[Block(64)],
        (Sender::Group, 0) => &[
            U64,
            Varint,
            Varint,
            Varint,
            Varint,
            Flags(1, 0),
            Varint,
            Varint,
        ],
        (Sender::Group, 2) => &[Varint, Choice(&[&[], &[Id, OptionalName]]), Rest],
        (Sender::Group, 4) => &[Varint],
        (Sender::Group, 6) => &[Varint, Varint, Varint],
        (Sender::Group, 7) => &[Varint, Varint],
        (Sender::Group, 9) => &[Id, OptionalName, Flags(3, 0), Block(64)],
        (Sender::Group, 11) => &[Id],
        (Sender::Group, 13 | 15) => &[],
        (Sender::Member | Sender::Group, _) => return None,
        (_, 0x20) => &[Varint, Varint],
        (_, 0x21 | 0x22) => &[],
        (Sender::Client, 0) => &[Varint, OptionalName, Block(4096), U64],
        (Sender::Client, 2) => &[Varint, Choice(&[&[Name], &[Id]]), Block(255)],
        (Sender::Client, 4) => &[Route, Choice(&[&[], &[]])],
        (Sender::Client, 6) => &[Route, Code],
        (Sender::Client, 17) => &[Route, Choice(&[&[], &[]])],
        (Sender::Client, 8) => &[U64],
        (Sender::Client, 11) => &[
            Choice(&[&[], &[]]),
            Route,
            Route,
            U64,
            Id,
            Block(255),
            Choice(&[&[], &[]]),
            Block(64),
        ],
        (Sender::Client, 15) => &[
            Varint,
            Choice(&[&[Name], &[Id]]),
            Choice(&[&[Name], &[Id]]),
            Block(255),
        ],
        (Sender::Client, 13) | (Sender::Peer, 5) => &[Block(8192)],
        (Sender::Coordinator, 0) => &[OptionalName, Address],
        (Sender::Coordinator, 2) => &[
            Choice(&[&[], &[Varint]]),
            Choice(&[&[], &[]]),
            Route,
            Route,
            U64,
            Id,
            OptionalName,
            Block(255),
        ],
        (Sender::Coordinator, 4) => &[Route],
        (Sender::Coordinator, 6) => &[Route, Code],
        (Sender::Coordinator, 8) => &[Varint, Code],
        (Sender::Coordinator, 10) => &[U64, Address],
        (Sender::Coordinator, 11) => &[Varint],
        (Sender::Coordinator, 13) => &[Route, U16],
        (Sender::Coordinator, 15) => &[U64, Address],
        (Sender::Coordinator, 17) => &[Route, Choice(&[&[], &[]])],
        (Sender::Coordinator, 19) => &[Route, Block(64)],
        (Sender::Coordinator, 21) => &[Route],
        (Sender::Coordinator, 23) => &[Varint, Hosts(8)],
        (Sender::Coordinator, 25) => &[Varint],
        (Sender::Coordinator, 27) => &[Route, Id],
        (Sender::Peer, 0) => &[U64, Id, Id, Block(255)],
        (Sender::Peer, 1) => &[Choice(&[&[], &[]])],
        (Sender::Peer, 2) => &[],
        (Sender::Peer, 3) => &[Varint, Addresses(12)],
        (Sender::Client | Sender::Coordinator | Sender::Peer, _) => return None,
    })
}

fn reference(sender: Sender, payload: &[u8]) -> Control {
    let mut copy = Copy {
        rest: payload,
        out: Vec::new(),
    };
    let Some(kind) = copy.varint() else {
        return Control::Malformed;
    };
    match fields(sender, kind) {
        None if kind % 2 == 1 => Control::Skipped,
        Some(fields) if copy.fields(fields).is_some() && copy.rest.is_empty() => {
            Control::Message(copy.out.into())
        }
        Some(_) | None => Control::Malformed,
    }
}

/// Copies fields, each in its shortest form; `None` where there is no such field.
struct Copy<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl Copy<'_> {
    fn fields(&mut self, fields: &[Field]) -> Option<()> {
        fields.iter().try_for_each(|&field| self.field(field))
    }

    fn field(&mut self, field: Field) -> Option<()> {
        match field {
            Varint => self.varint().map(|_| ()),
            U16 => self.bytes(2).map(|_| ()),
            U64 => self.bytes(8).map(|_| ()),
            Id => self.bytes(32).map(|_| ()),
            Route => self
                .bytes(6)
                .filter(|route| route[0] & 0x80 != 0)
                .map(|_| ()),
            Code => {
                let (code, len) = read_varint(self.rest)?;
                self.rest = &self.rest[len..];
                // Unknown ones, and those of other versions, become the one that stands for them.
                let known = code <= 23 || (1 << 32..1 << 33).contains(&code);
                self.out.extend(varint(if known { code } else { 15 }));
                Some(())
            }
            Address => match self.bytes(1)? {
                [4] => self.bytes(4 + 2).map(|_| ()),
                [6] => self.bytes(16 + 2).map(|_| ()),
                _ => None,
            },
            Block(max) => self.block(max).map(|_| ()),
            Name => self
                .field(OptionalName)
                .filter(|()| self.out.last() != Some(&0)),
            OptionalName => {
                let text = self.block(64)?;
                let allowed = |byte: &u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(byte)
                };
                text.iter().all(allowed).then_some(())
            }
            Addresses(max) => {
                let count = self.bytes(1)?[0];
                (count <= max).then_some(())?;
                (0..count).try_for_each(|_| self.field(Address))
            }
            Hosts(max) => {
                let count = self.bytes(1)?[0];
                (count <= max).then_some(())?;
                (0..count).try_for_each(|_| {
                    let host = self.block(255)?;
                    std::str::from_utf8(host).ok()?;
                    self.field(Address)
                })
            }
            Flags(all, some) => {
                let flags = self.bytes(1)?[0];
                let is_right = flags & !all == 0 && (some == 0 || flags & some > 0);
                is_right.then_some(())
            }
            Rest => self.bytes(self.rest.len()).map(|_| ()),
            Choice(choices) => {
                let chosen = self.bytes(1)?[0];
                self.fields(choices.get(usize::from(chosen))?)
            }
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, len) = read_varint(self.rest)?;
        self.rest = &self.rest[len..];
        self.out.extend(varint(value));
        Some(value)
    }

    fn block(&mut self, max: u64) -> Option<&[u8]> {
        let len = self.varint().filter(|&len| len <= max)?;
        self.bytes(usize::try_from(len).ok()?)
    }

    fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        self.out.extend_from_slice(taken);
        Some(taken)
    }
}
