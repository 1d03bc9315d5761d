//! Coordinators by name.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
};

use conec_core::ClientState;

use crate::{Client, ConnectError};

/// Coordinators that are written as `host:port`, and the addresses that were last found for them.
///
/// For adapters, which give it the resolver of their runtime: the address of a Coordinator may have changed when it is looked for
/// again.
#[derive(Debug)]
pub struct Lookup {
    coordinators: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    /// As it was given, which is what resolvers understand.
    written: String,
    host: String,
    addresses: Vec<SocketAddr>,
}

impl Lookup {
    /// Looks up all of these at once, by `resolve`. Fails if one of them is not written as `host:port`, or none of them is found.
    pub async fn of<F, A, I>(coordinators: &[&str], mut resolve: F) -> Result<Self, ConnectError>
    where
        F: FnMut(String) -> A,
        A: Future<Output = io::Result<I>>,
        I: Iterator<Item = SocketAddr>,
    {
        let coordinators = coordinators.iter().map(|written| Named::new(written));
        let mut this = Self {
            coordinators: coordinators.collect::<Result<_, _>>()?,
        };
        this.look_up(&mut resolve).await?;
        Ok(this)
    }

    /// The addresses that were found, under the names of their hosts.
    pub fn places(&self) -> Vec<(&str, &[SocketAddr])> {
        let found = self.coordinators.iter();
        found.map(|it| (&*it.host, &it.addresses[..])).collect()
    }

    /// Looks them up anew whenever a Client begins to look for its Coordinator again, and after each attempt that was in vain; those that
    /// are not found keep the addresses that they had. Ends with the Client, and does not keep it open.
    pub fn keep_up<F, A, I>(
        mut self,
        client: &Client,
        mut resolve: F,
    ) -> impl Future<Output = ()> + use<F, A, I>
    where
        F: FnMut(String) -> A,
        A: Future<Output = io::Result<I>>,
        I: Iterator<Item = SocketAddr>,
    {
        let shared = Arc::clone(client.shared());
        async move {
            let mut known = ClientState::Unused;
            loop {
                known = shared.wait(|state| state.state_other_than(known)).await;
                match known {
                    ClientState::Ended { .. } => return,
                    ClientState::Reconnecting { .. } => {
                        let found = self.look_up(&mut resolve).await;
                        tracing::debug!(?self.coordinators, ?found, "looked up");
                        shared.command(|client, now| {
                            // It may have ended meanwhile.
                            let _ = client.set_coordinators(now, &self.places());
                        });
                    }
                    ClientState::Unused | ClientState::Connecting | ClientState::Connected | _ => {}
                }
            }
        }
    }

    /// Looks all of them up. Fails if none is found.
    async fn look_up<F, A, I>(&mut self, resolve: &mut F) -> Result<(), ConnectError>
    where
        F: FnMut(String) -> A,
        A: Future<Output = io::Result<I>>,
        I: Iterator<Item = SocketAddr>,
    {
        let named = self.coordinators.iter();
        let mut pending: Vec<_> = named
            .map(|it| Some(Box::pin(resolve(it.written.clone()))))
            .collect();
        let mut failed = None;
        let mut found_any = false;
        poll_fn(|cx| {
            for (named, lookup) in self.coordinators.iter_mut().zip(&mut pending) {
                let Some(Poll::Ready(found)) = lookup.as_mut().map(|it| it.as_mut().poll(cx))
                else {
                    continue;
                };
                *lookup = None;
                match found {
                    Ok(addresses) => {
                        named.addresses = addresses.collect();
                        found_any = true;
                    }
                    Err(error) => {
                        failed.get_or_insert_with(|| named.unresolved(error));
                    }
                }
            }
            match pending.iter().any(Option::is_some) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
        match failed {
            Some(error) if !found_any => Err(error),
            Some(_) | None => Ok(()),
        }
    }
}

impl Named {
    fn new(written: &str) -> Result<Self, ConnectError> {
        let mut this = Self {
            written: written.into(),
            host: String::new(),
            addresses: Vec::new(),
        };
        let Some((host, _)) = written.rsplit_once(':') else {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "write it as host:port");
            return Err(this.unresolved(error));
        };
        // An IPv6 address is in brackets here, and nowhere else.
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        this.host = bare.unwrap_or(host).into();
        Ok(this)
    }

    fn unresolved(&self, error: io::Error) -> ConnectError {
        ConnectError::Resolve {
            host: self.written.clone(),
            error,
        }
    }
}
