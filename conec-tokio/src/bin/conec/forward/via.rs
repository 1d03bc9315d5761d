//! By which channel those leave who have entered.

use std::{net::SocketAddr, sync::Arc};

use conec_tokio::{OpenStreamError, Receiver, Sender};

use super::{link::Link, protocol::Ask, spec::Place, target::Target};
use crate::failure::Failure;

/// By which channel.
#[derive(Clone)]
pub(super) enum Via {
    /// That to somebody, which is opened again when it was lost.
    Target(Arc<Target>),
    /// This one, with which all that was asked for in it ends.
    Link(Arc<Link>),
}

/// Where to, at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// To this place.
    To(Place),
    /// To where the other end wants those to go who come to its number.
    Number(usize),
}

impl Via {
    /// Opens a stream for this, with which nothing was asked for yet.
    pub(super) async fn open(&self, ask: &Ask) -> Result<(Arc<Link>, (Sender, Receiver)), Failure> {
        let link = self.link().await?;
        match link.open(ask).await {
            // The other end is about to close it, perhaps to begin anew.
            Err(OpenStreamError::Closed) => {
                link.closed().await;
                let link = self.link().await?;
                let stream = link.open(ask).await?;
                Ok((link, stream))
            }
            opened => Ok((link, opened?)),
        }
    }

    async fn link(&self) -> Result<Arc<Link>, Failure> {
        match self {
            Self::Target(target) => target.link().await,
            Self::Link(link) => Ok(Arc::clone(link)),
        }
    }
}

impl Way {
    pub(super) fn ask(&self, from: SocketAddr, flow: Option<u32>) -> Ask {
        match self {
            Self::To(place) => Ask::Connect {
                to: place.clone(),
                flow,
            },
            Self::Number(number) => Ask::Come {
                number: *number,
                from,
                flow,
            },
        }
    }
}
