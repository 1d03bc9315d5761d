//! What an operator hands to somebody who is to join.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use thiserror::Error;

use super::{
    CoordinatorUrl, TextError,
    base32::{decode, encode},
};
use crate::{ClientId, Secret};

/// An invitation to join: where the Coordinator is, how it is recognised, and a token that its application takes, mostly once.
///
/// As text, it is a word that begins with `conec1`, and is as secret as the token.
///
/// ```
/// use conec_core::{CoordinatorUrl, Invitation};
///
/// let coordinator: CoordinatorUrl = "conec://conec.example.org:4433".parse()?;
/// let invitation = Invitation::new(coordinator, "let me in".into())?;
/// let text = invitation.to_text();
/// assert!(text.starts_with("conec1"));
///
/// let read: Invitation = text.parse()?;
/// assert_eq!(read.coordinator.host(), "conec.example.org");
/// assert!(read.token == "let me in");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// Where to connect to.
    pub coordinator: CoordinatorUrl,
    /// What to connect with, as [`ClientConfig::token`](crate::ClientConfig::token).
    pub token: Secret<Bytes>,
}

impl Invitation {
    /// Fails if the token has more than 255 bytes.
    pub fn new(coordinator: CoordinatorUrl, token: Secret<Bytes>) -> Result<Self, InvitationError> {
        match token.as_ref().len() {
            0..=MAX_TOKEN => Ok(Self { coordinator, token }),
            _ => Err(InvitationError::Token),
        }
    }

    /// The invitation as text, to be handed to nobody else.
    pub fn to_text(&self) -> String {
        let url = &self.coordinator;
        let mut bytes = vec![u8::from(url.pin().is_some())];
        bytes.extend(url.pin().iter().flat_map(|pin| pin.as_bytes()));
        bytes.extend(url.port().to_be_bytes());
        let length = u8::try_from(url.host().len()).expect("a DNS name has at most 253 bytes");
        bytes.push(length);
        bytes.extend(url.host().as_bytes());
        bytes.extend(self.token.as_ref());
        format!("{PREFIX}{}", encode::<4>(PREFIX, &bytes))
    }
}

/// Without the token.
impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({}, {:?})", self.coordinator, self.token)
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).ok_or(InvitationError::Prefix)?;
        let bytes = decode::<4>(PREFIX, rest).map_err(|error| match error {
            TextError::Character { position, found } => TextError::Character {
                position: position + PREFIX.len(),
                found,
            },
            TextError::Length { found } => TextError::Length {
                found: found + PREFIX.len(),
            },
            TextError::Checksum => error,
        });
        let bytes = bytes.map_err(InvitationError::Text)?;
        // Somebody has made this so, as the checksum is right.
        read(&bytes).ok_or(InvitationError::Content)?
    }
}

fn read(bytes: &[u8]) -> Option<Result<Invitation, InvitationError>> {
    let (&has_pin, rest) = bytes.split_first()?;
    let (pin, rest) = match has_pin {
        0 => (None, rest),
        1 => {
            let (pin, rest) = rest.split_first_chunk()?;
            (Some(ClientId::from_bytes(*pin)), rest)
        }
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk()?;
    let (&length, rest) = rest.split_first()?;
    let (host, token) = rest.split_at_checked(length.into())?;
    let host = std::str::from_utf8(host).ok()?;
    let url = CoordinatorUrl::new(pin, host, u16::from_be_bytes(*port)).ok()?;
    Some(Invitation::new(url, token.into()))
}

/// Why a text is no invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// It does not begin with `conec1`.
    #[error("an invitation begins with conec1")]
    Prefix,
    /// It was mistyped or cut short.
    #[error("the invitation is damaged: {0}")]
    Text(TextError),
    /// It was made by something that makes other invitations.
    #[error("the invitation is of a kind that this version does not know")]
    Content,
    /// A token has at most 255 bytes.
    #[error("the token of an invitation has at most 255 bytes")]
    Token,
}

const PREFIX: &str = "conec1";
/// More does not fit on a line.
const MAX_TOKEN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn invitations() -> Vec<Invitation> {
        let pin = Some(ClientId::from_bytes([9; 32]));
        let host = "a.".repeat(126) + "a";
        let mut all = Vec::new();
        for (pin, host, token) in [
            (None, "localhost", 0),
            (pin, "2001:db8::1", 16),
            (pin, &host[..], MAX_TOKEN),
        ] {
            let url = CoordinatorUrl::new(pin, host, 4433).unwrap();
            all.push(Invitation::new(url, vec![5; token].into()).unwrap());
        }
        all
    }

    #[test]
    fn what_was_written_is_read() {
        for invitation in invitations() {
            let text = invitation.to_text();
            assert_eq!(text.parse(), Ok(invitation.clone()));
            assert_eq!(format!(" {text}\n").parse(), Ok(invitation));
        }
    }

    #[test]
    fn what_is_damaged_or_cut_short_is_told_apart() {
        let text = invitations()[1].to_text();
        let parse = |text: &str| text.parse::<Invitation>().unwrap_err();
        assert_eq!(parse(""), InvitationError::Prefix);
        assert_eq!(parse("conec://localhost:1"), InvitationError::Prefix);
        let character = TextError::Character {
            position: 7,
            found: '!',
        };
        assert_eq!(parse("conec1!"), InvitationError::Text(character));
        for cut in PREFIX.len()..text.len() {
            assert!(matches!(parse(&text[..cut]), InvitationError::Text(_)));
        }
        for content in [
            &b""[..],
            &[2],
            &[0, 1],
            &[0, 0, 1, 5, b'a'],
            &[0, 0, 0, 1, b'a'],
        ] {
            let text = format!("{PREFIX}{}", encode::<4>(PREFIX, content));
            assert_eq!(parse(&text), InvitationError::Content);
        }
        let url = invitations()[0].coordinator.clone();
        let long = Invitation::new(url, vec![5; MAX_TOKEN + 1].into());
        assert_eq!(long, Err(InvitationError::Token));
    }

    #[test]
    fn the_token_is_in_no_log() {
        let invitation = invitations().remove(1);
        let shown = format!("{invitation:?}");
        assert!(shown.contains("Secret(16 bytes)"), "{shown}");
        assert!(!shown.contains(&invitation.to_text()[6..]));
    }
}
