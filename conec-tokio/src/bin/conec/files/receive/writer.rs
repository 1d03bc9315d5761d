//! Writes what has come, while more comes.

use std::{io, thread};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{super::fault::Fault, draft::Draft};
use crate::failure::Failure;

/// A file that a thread writes. When it is dropped, the thread has ended: nobody finds the file locked.
pub(super) struct Writer {
    pieces: Option<mpsc::Sender<Bytes>>,
    written: oneshot::Receiver<Result<Draft, Fault>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn begin(mut draft: Draft) -> Result<Self, Failure> {
        let (pieces, mut come) = mpsc::channel::<Bytes>(WAITING);
        let (done, written) = oneshot::channel();
        let write = move || {
            let mut write_all = || {
                while let Some(piece) = come.blocking_recv() {
                    draft.write(&piece)?;
                }
                Ok(())
            };
            let wrote = write_all().map(|()| draft);
            // Where nobody waits for it, the transfer is over.
            let _ = done.send(wrote);
        };
        let thread = thread::Builder::new().spawn(write);
        let thread = thread.map_err(|error| Failure::io("cannot write", &error))?;
        Ok(Self {
            pieces: Some(pieces),
            written,
            thread: Some(thread),
        })
    }

    /// More of it. Whether it goes on: if not, [`finish`](Self::finish) says why.
    pub(super) async fn write(&self, piece: Bytes) -> bool {
        match &self.pieces {
            Some(pieces) => pieces.send(piece).await.is_ok(),
            None => false,
        }
    }

    /// Waits until everything is written.
    pub(super) async fn finish(mut self) -> Result<Draft, Fault> {
        self.pieces = None;
        let written = (&mut self.written).await;
        written.unwrap_or_else(|_| {
            let error = io::Error::other("the thread that writes has ended");
            Err(Failure::io("cannot write", &error).into())
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            // What it did has been told of.
            let _ = thread.join();
        }
    }
}

/// So many pieces may wait to be written.
const WAITING: usize = 8;
