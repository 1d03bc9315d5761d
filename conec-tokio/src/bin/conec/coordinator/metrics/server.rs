//! The HTTP server: whom it serves, for how long, and how many at once.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;

use super::{Address, answers::Answers, hosts::Hosts};
use crate::{
    coordinator::Office,
    failure::{Exit, Failure},
};

/// Where requests come in, before there is anything to show.
pub(in super::super) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// A server that answers. Dropped, it ends as well, but nobody can wait for that.
pub(in super::super) struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    pub(in super::super) async fn bind(address: Address) -> Result<Self, Failure> {
        let at = address.socket();
        let bind = async {
            let listener = TcpListener::bind(at).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind.await.map_err(|error: std::io::Error| {
            Failure::new(
                Exit::Other,
                format!("cannot serve metrics at {at}: {error}"),
                "does another program use that port? --metrics chooses another address or port",
            )
        })
    }

    pub(in super::super) fn serve(self, office: Office) -> Serving {
        let address = self.address;
        tracing::info!("metrics and the status page are at http://{address}/");
        let hosts = Hosts::of(address);
        if matches!(hosts, Hosts::Any) {
            tracing::warn!(
                "whoever reaches {address} sees who is connected: there is no password, and no encryption"
            );
        }
        let (stop, stopped) = watch::channel(false);
        let answers = Arc::new(Answers::new(office, hosts, stopped.clone()));
        let task = tokio::spawn(accept(self.listener, answers, stopped));
        Serving { stop, task }
    }
}

impl Serving {
    /// Takes nobody any more, and waits a moment for those that are being answered.
    pub(in super::super) async fn end(self) {
        // All are gone already where nobody listens.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, answers: Arc<Answers>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    {
        let mut stop = pin!(stopped.wait_for(|stop| *stop));
        loop {
            let next = async {
                // Who comes while all places are taken waits at the system's door.
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                _ = &mut stop => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let answers = Arc::clone(&answers);
                    tokio::spawn(async move {
                        let _place = place;
                        attend(stream, &answers).await;
                    });
                }
                // Too many files are open, for instance.
                Err(error) => {
                    tracing::debug!(%error, "a connection was not taken");
                    tokio::time::sleep(A_WHILE).await;
                }
            }
        }
    }
    drop(listener);
    let _ = timeout(AT_LAST, places.acquire_many(CONNECTIONS as u32)).await;
}

/// One request: a connection that may have more of them could wait for them for ever.
async fn attend(stream: TcpStream, answers: &Answers) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(PATIENCE));
    let answer = service_fn(async |request| Ok::<_, Infallible>(answers.answer(request).await));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer);
    if let Err(error) = served.await {
        tracing::trace!(%error, "a request was not served");
    }
}

/// More than watchers, so that there is always a place for a scrape.
const CONNECTIONS: usize = 64;
/// How long a request may take to come, and the other side to take some more of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long answers have to end.
const AT_LAST: Duration = Duration::from_secs(1);
const A_WHILE: Duration = Duration::from_millis(100);
const BUFFER: usize = 16 * 1024;
