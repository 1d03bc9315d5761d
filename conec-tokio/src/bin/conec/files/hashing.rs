//! How much of a file is there already, and whether it is the same.

use std::io::{self, Read};

use blake3::{Hash, Hasher};
use serde::{Deserialize, Serialize};

/// How many bytes of a file are read at once, and go into a message. From 64 KiB to 1 MiB no difference can be measured.
pub(super) const PIECE: usize = 256 << 10;

/// So many bytes at the beginning of a file, and their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    pub(super) length: u64,
    #[serde(with = "hexadecimal")]
    pub(super) blake3: Hash,
}

/// How much of a file was read or written so far, and what goes on from there.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefix {
    pub(super) length: u64,
    hasher: Hasher,
}

impl Prefix {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            length: self.length,
            blake3: self.hasher.finalize(),
        }
    }

    /// Reads on until there are so many bytes, or no more.
    pub(super) fn read_to(&mut self, file: &mut impl Read, length: u64) -> io::Result<()> {
        let mut file = file.take(length.saturating_sub(self.length));
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(()),
                read => self.add(&piece[..read]),
            }
        }
    }
}

/// The longest beginning of a file that another has too. Afterwards the file is read from anywhere.
pub(super) fn common(file: &mut impl Read, marks: &[Mark]) -> io::Result<Prefix> {
    let mut marks = marks.to_vec();
    marks.sort_by_key(|mark| mark.length);
    let (mut best, mut prefix) = (Prefix::default(), Prefix::default());
    for mark in marks {
        prefix.read_to(file, mark.length)?;
        if prefix.mark() != mark {
            break;
        }
        best = prefix.clone();
    }
    Ok(best)
}

/// Hashes as people compare them.
pub(super) mod hexadecimal {
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(hash: &Hash, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hash.to_hex())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(from)?;
        Hash::from_hex(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(bytes: &[u8]) -> Mark {
        let mut prefix = Prefix::default();
        prefix.add(bytes);
        prefix.mark()
    }

    #[test]
    fn the_longest_right_mark_counts() {
        let file = b"some bytes of a file";
        let cases: [(&[Mark], u64); 6] = [
            (&[], 0),
            (&[mark(b"some")], 4),
            (&[mark(b"some bytes"), mark(b"some")], 10),
            (&[mark(b"some"), mark(b"some other")], 4),
            (&[mark(b"other")], 0),
            (&[mark(b"some bytes of a file, and more")], 0),
        ];
        for (marks, length) in cases {
            let common = common(&mut &file[..], marks);
            assert_eq!(common.ok().map(|it| it.length), Some(length));
        }
    }
}
