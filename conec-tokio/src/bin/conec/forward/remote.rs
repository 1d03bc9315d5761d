//! Ports that are listened at on the other machine.

use std::{sync::Arc, time::Duration};

use conec_tokio::{OpenStreamError, Receiver, Sender};

use super::{
    link::Link,
    protocol::{self, Ask},
    target::Target,
};
use crate::{failure::Failure, json, output::say};

/// All of a target's ports, as long as this is kept.
pub(super) struct Held {
    link: Arc<Link>,
    _streams: Vec<(Sender, Receiver)>,
}

/// Has the other end listen.
pub(super) async fn hold(target: &Arc<Target>) -> Result<Held, Failure> {
    let link = target.link().await?;
    let mut streams = Vec::new();
    for (number, tunnel) in target.remote.iter().enumerate() {
        let ask = Ask::Listen {
            at: tunnel.at.clone(),
            kind: tunnel.kind,
            number,
        };
        let (mut sender, mut receiver) = match link.open(&ask).await {
            Err(OpenStreamError::Closed) => return Err(link.closed().await.into()),
            opened => opened?,
        };
        json::send(&mut sender, &ask).await?;
        let at = protocol::granted(&mut receiver).await?;
        let at = at.map_or_else(|| tunnel.at.to_string(), |it| it.to_string());
        let (to, kind) = (&tunnel.to, tunnel.kind);
        say(format_args!(
            "{}: listening at {at} ({kind}) for {to} here",
            target.peer
        ));
        streams.push((sender, receiver));
    }
    Ok(Held {
        link,
        _streams: streams,
    })
}

/// Has it listen again whenever the channel was lost.
pub(super) async fn keep(target: Arc<Target>, mut held: Held) {
    loop {
        let reason = held.link.closed().await;
        say(format_args!(
            "{}: the channel has ended ({reason}): asking again",
            target.peer
        ));
        held = again(&target).await;
    }
}

async fn again(target: &Arc<Target>) -> Held {
    let mut pause = FIRST_PAUSE;
    let mut said = false;
    loop {
        match hold(target).await {
            Ok(held) => return held,
            Err(failure) if !said => {
                said = true;
                say(failure.during(&target.peer));
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(15);
