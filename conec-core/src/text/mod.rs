//! What people write down, pass on and type: who somebody is, where a Coordinator is, and invitations.

mod base32;
mod invitation;
mod url;

pub(crate) use self::base32::{decode, encode};
pub use self::{
    base32::TextError,
    invitation::{Invitation, InvitationError},
    url::{CoordinatorUrl, UrlError},
};
