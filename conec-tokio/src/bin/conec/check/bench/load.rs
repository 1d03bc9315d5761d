//! As many bytes as possible, in the pieces in which the library's own benchmark sends them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use conec_tokio::{Receiver, Sender};

use super::protocol::Throughput;
use crate::failure::{Exit, Failure};

/// Sends for so long, after it has warmed up.
pub(super) async fn send(to: &mut Sender, time: Duration) -> Result<(), Failure> {
    let piece = Bytes::from(vec![0x5a; PIECE]);
    let began = Instant::now();
    while began.elapsed() < WARM_UP + time {
        to.send(piece.clone()).await?;
    }
    to.finish()?;
    Ok(())
}

/// Counts what comes, to a clean end.
pub(super) async fn count(from: &mut Receiver) -> Result<Throughput, Failure> {
    let mut began = None;
    let mut counted: Option<(Instant, u64)> = None;
    let mut last = Instant::now();
    while let Some(piece) = from.recv().await? {
        let now = Instant::now();
        match &mut counted {
            Some((_, bytes)) => {
                *bytes += piece.len() as u64;
                last = now;
            }
            None if now - *began.get_or_insert(now) >= WARM_UP => counted = Some((now, 0)),
            None => {}
        }
    }
    match counted {
        Some((first, bytes)) if bytes > 0 => Ok(Throughput {
            bytes,
            seconds: (last - first).as_secs_f64(),
        }),
        _ => Err(Failure::new(
            Exit::Other,
            "too little has arrived to tell how fast it was",
            "give it longer: --time",
        )),
    }
}

/// Until congestion control knows the path.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);
const PIECE: usize = 256 << 10;
