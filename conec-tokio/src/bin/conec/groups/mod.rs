//! Many to many: what is published in a group all its members hear; and requests that somebody answers.

mod chat;
mod failure;
mod history;
mod item;
mod lines;
mod publish;
mod publisher;
mod request;
mod seal;
mod subscribe;
mod teller;
mod text;

pub(crate) use self::{
    chat::Args as Chat,
    publish::Args as Publish,
    request::{Reply, Request},
    subscribe::Args as Subscribe,
};
