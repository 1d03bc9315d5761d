//! What a Coordinator does for its operators.

use std::time::Duration;

use conec_tokio::{Channel, ClientId, Drain, IncomingStream, Name, Receiver, Sender, Target};
use tokio::task::spawn_blocking;

use super::{
    proof::{Proof, Session},
    protocol::{Answer, ChannelLine, ClientLine, Figures, LABEL, Place, Request},
};
use crate::{
    codes,
    coordinator::Office,
    failure::{Exit, Failure},
    json,
};

/// Takes the streams of a home channel, until it is over. Whatever is no operator's is turned away.
pub(crate) async fn serve(office: Office, home: Channel, client: ClientId) {
    while let Some(IncomingStream {
        label,
        sender,
        mut receiver,
        ..
    }) = home.accept().await
    {
        match sender {
            Some(sender) if label == LABEL => {
                let office = office.clone();
                tokio::spawn(async move {
                    if let Err(failure) = attend(&office, client, sender, receiver).await {
                        tracing::debug!(%client, %failure, "an operator was not served");
                    }
                });
            }
            Some(mut sender) => {
                sender.reset(codes::NOT_SERVED);
                receiver.stop(codes::NOT_SERVED);
            }
            None => receiver.stop(codes::NOT_SERVED),
        }
    }
}

async fn attend(
    office: &Office,
    client: ClientId,
    mut answers: Sender,
    mut requests: Receiver,
) -> Result<(), Failure> {
    let proved = tokio::time::timeout(
        PATIENCE,
        proved(office, client, &mut answers, &mut requests),
    );
    let operator = proved.await.map_err(|_| {
        Failure::new(
            Exit::Lost,
            "no proof came in time",
            "have the operator check the network, and try again",
        )
    })??;
    let Some(operator) = operator else {
        tracing::warn!(%client, "turned away: it is no operator");
        answers.reset(codes::DENIED);
        requests.stop(codes::DENIED);
        return Ok(());
    };
    json::send(&mut answers, &Answer::Welcome).await?;
    while let Some(request) = json::next::<Request>(&mut requests).await? {
        // It may be none any more.
        if !office.is_admin(operator) {
            answers.reset(codes::DENIED);
            return Ok(());
        }
        // It may take as long as a disk.
        let office = office.clone();
        let answer = spawn_blocking(move || answer(&office, operator, request));
        let answer = answer
            .await
            .map_err(|_| Failure::mistake("a request of an operator was not answered"))?;
        json::send(&mut answers, &answer).await?;
    }
    answers.finish()?;
    Ok(())
}

/// Who has proved to be an operator.
async fn proved(
    office: &Office,
    client: ClientId,
    answers: &mut Sender,
    requests: &mut Receiver,
) -> Result<Option<ClientId>, Failure> {
    let challenge = conec_tokio::Identity::generate_seed()?;
    answers.send(challenge.to_vec().into()).await?;
    let Some(proof) = json::next::<Proof>(requests).await? else {
        return Ok(None);
    };
    let session = Session {
        pin: office.coordinator().pin(),
        client,
        challenge,
    };
    let proved = session.check(&proof);
    Ok(proved.filter(|id| office.is_admin(*id)))
}

fn answer(office: &Office, operator: ClientId, request: Request) -> Answer {
    match request {
        Request::Clients { after } => clients(office, after.as_deref()),
        Request::Channels { after } => channels(office, after),
        Request::Figures => Answer::Figures(figures(office)),
        Request::Kick { who, forbid } => {
            tracing::info!(%operator, who, forbid, "kick");
            kick(office, &who, forbid)
        }
        Request::Permit { id } => {
            tracing::info!(%operator, id, "permit");
            permit(office, &id)
        }
        Request::Drain { seconds, to } => {
            tracing::info!(%operator, seconds, "drain");
            drain(office, seconds, to)
        }
    }
}

fn clients(office: &Office, after: Option<&str>) -> Answer {
    let Ok(after) = after.map(str::parse::<ClientId>).transpose() else {
        return Answer::NotThere;
    };
    let page = office.coordinator().list(after, PAGE);
    let more = page.len() == PAGE;
    let clients = page.iter().map(ClientLine::from).collect();
    Answer::Clients { clients, more }
}

/// Numbers of channels are of no use to others, so what comes next is counted.
fn channels(office: &Office, after: Option<u64>) -> Answer {
    let coordinator = office.coordinator();
    let mut skip = after.unwrap_or(0);
    let mut last = None;
    loop {
        let page = coordinator.pairs(last, PAGE);
        if skip >= PAGE as u64 && page.len() == PAGE {
            skip -= PAGE as u64;
            last = page.last().map(|it| it.pair);
            continue;
        }
        let more = page.len() == PAGE;
        let channels = page.iter().map(ChannelLine::from).collect();
        let next = more.then(|| after.unwrap_or(0) + PAGE as u64);
        return Answer::Channels { channels, next };
    }
}

fn figures(office: &Office) -> Figures {
    let coordinator = office.coordinator();
    let mut channels = 0;
    let mut last = None;
    loop {
        let page = coordinator.pairs(last, PAGE);
        channels += page.len();
        last = page.last().map(|it| it.pair);
        if page.len() < PAGE {
            break;
        }
    }
    Figures::new(coordinator.clients(), channels, &coordinator.stats())
}

fn kick(office: &Office, who: &str, forbid: bool) -> Answer {
    let id = who.parse::<ClientId>().ok();
    let target: Target = match (id, who.parse::<Name>()) {
        (Some(id), _) => id.into(),
        (None, Ok(name)) => name.into(),
        (None, Err(_)) => return Answer::NotThere,
    };
    let coordinator = office.coordinator();
    let found = coordinator.info(target);
    let home = found
        .as_ref()
        .and_then(|it| coordinator.channel(it.channel));
    let known = id.or_else(|| found.map(|it| it.id));
    let forbidden = match (forbid, known) {
        (true, Some(id)) => Some(office.forbid(id)),
        (true, None) | (false, _) => None,
    };
    if let Some(Err(failure)) = &forbidden {
        return Answer::Failed {
            why: failure.to_string(),
        };
    }
    let is_done = home.is_some() || forbidden.is_some();
    if let Some(home) = home {
        home.abort(codes::KICKED);
    }
    match is_done {
        true => Answer::Done,
        false => Answer::NotThere,
    }
}

fn permit(office: &Office, id: &str) -> Answer {
    let Ok(id) = id.parse() else {
        return Answer::NotThere;
    };
    match office.permit(id) {
        Ok(true) => Answer::Done,
        Ok(false) => Answer::NotThere,
        Err(failure) => Answer::Failed {
            why: failure.to_string(),
        },
    }
}

fn drain(office: &Office, seconds: f64, to: Vec<Place>) -> Answer {
    let mut drain = Drain::default();
    let Ok(deadline) = Duration::try_from_secs_f64(seconds) else {
        return Answer::Failed {
            why: "that is no time".into(),
        };
    };
    drain.deadline = deadline.min(LONGEST_DRAIN);
    drain.spread = drain.spread.min(drain.deadline / 2);
    drain.alternatives = to.into_iter().map(|it| (it.host, it.address)).collect();
    match office.drain(drain) {
        true => Answer::Done,
        false => Answer::Failed {
            why: "it is being drained already".into(),
        },
    }
}

/// A page fits in a message.
const PAGE: usize = 256;
/// How long a proof may take.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_DRAIN: Duration = Duration::from_secs(24 * 60 * 60);
