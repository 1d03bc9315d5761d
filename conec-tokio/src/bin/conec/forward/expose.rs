//! `conec expose`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::ArgGroup;
use conec_tokio::{Offer, Receiver, Sender};

use super::{
    egress, enter,
    ingress::{self, Ingress},
    link::{Link, Side},
    protocol::{self, Ask, Refusal, SERVICE, Why},
    spec::{Kind, Place, Reach, Seat},
    via::{Via, Way},
};
use crate::{
    allow::Allowed,
    failure::Failure,
    open_files,
    output::say,
    serve::{Services, called},
    session::{Connect, Session},
};

/// Let others reach ports from here, with `conec forward`
///
/// Nothing can be reached that is not said. Hosts are those that others ask for, as they write them: who asks for 127.0.0.1 is not let to
/// localhost. A host or a port can be *, for any.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true).args(["places", "udp", "listen"]),
    after_help = "Examples:\n  conec expose localhost:80 localhost:8000-8010 --name office\n  conec expose --udp 10.0.0.1:53 --allow laptop\n  conec expose '*:443' --name exit                (then: conec forward -D 1080:exit)\n  conec expose --listen 8080 --name public        (then: conec forward -R 8080:public:localhost:80)"
)]
pub(crate) struct Args {
    /// Which TCP ports may be reached
    #[arg(value_name = "HOST:PORT")]
    places: Vec<Reach>,
    /// Which UDP ports may be reached; repeat it for several
    #[arg(long, value_name = "HOST:PORT")]
    udp: Vec<Reach>,
    /// At which ports here others may listen, TCP and UDP, with `conec forward -R`; repeat it for several. Without an address, only
    /// processes of this machine can connect there
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    listen: Vec<Seat>,
    /// When to forget who has sent UDP packets and sends no more
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    udp_idle: Duration,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        open_files::allow_many();
        let session = Session::connect(&self.connect).await?;
        let exposed = Arc::new(Exposed {
            tcp: self.places,
            udp: self.udp,
            seats: self.listen,
            idle: self.udp_idle,
            allowed: self.allowed,
        });
        let services =
            Services::new().with(SERVICE, move |offer| Arc::clone(&exposed).serve(offer));
        let work = async |session: &Session| {
            session.tell_who();
            services.serve(session).await
        };
        session.run(work).await
    }
}

/// What may be done.
struct Exposed {
    tcp: Vec<Reach>,
    udp: Vec<Reach>,
    seats: Vec<Seat>,
    idle: Duration,
    allowed: Allowed,
}

impl Exposed {
    async fn serve(self: Arc<Self>, offer: Offer) -> Result<(), Failure> {
        let Some((offer, peer)) = self.allowed.admit(offer) else {
            return Ok(());
        };
        let channel = offer.accept().await?;
        let who: Arc<str> = called(&peer).into();
        say(format_args!("{who} connects"));
        let link = Link::new(channel, Side::Asked);
        let answer =
            move |link, ask, stream| Arc::clone(&self).answer(Arc::clone(&who), link, ask, stream);
        link.serve(answer).await;
        Ok(())
    }

    async fn answer(
        self: Arc<Self>,
        who: Arc<str>,
        link: Arc<Link>,
        ask: Ask,
        stream: (Sender, Receiver),
    ) -> Result<(), Failure> {
        if !self.admits(&ask) {
            let refusal = Refusal::denied(wish(&ask));
            say(format_args!("{who}: {}", refusal.text));
            return protocol::refuse(stream.0, refusal).await;
        }
        match ask {
            Ask::Connect { to, flow } => egress::lead(link, &to, flow, stream, self.idle).await,
            Ask::Listen { at, kind, number } => {
                let way = Way::Number(number);
                self.listen(link, &at, kind, way, stream).await
            }
            Ask::Come { .. } => Ok(()),
        }
    }

    fn admits(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Connect { to, flow: None } => self.tcp.iter().any(|it| it.admits(to)),
            Ask::Connect { to, flow: Some(_) } => self.udp.iter().any(|it| it.admits(to)),
            Ask::Listen { at, .. } => self.seats.iter().any(|it| it.admits(at)),
            // Nobody is asked for numbers here.
            Ask::Come { .. } => false,
        }
    }

    /// Listens until who has asked for it wants it no more.
    async fn listen(
        &self,
        link: Arc<Link>,
        at: &Place,
        kind: Kind,
        way: Way,
        (mut sender, mut receiver): (Sender, Receiver),
    ) -> Result<(), Failure> {
        let via = Via::Link(link);
        let no_more = async move { receiver.recv().await };
        let refused = |failure: Failure| Refusal {
            why: Why::Other,
            text: failure.what().into(),
        };
        match kind {
            Kind::Tcp => match enter::listen(at).await {
                Ok((listener, at)) => {
                    protocol::ready(&mut sender, Some(at)).await?;
                    tokio::select! {
                        () = enter::serve(listener, via, way) => {}
                        _ = no_more => {}
                    }
                }
                Err(failure) => protocol::refuse(sender, refused(failure)).await?,
            },
            Kind::Udp => match ingress::listen(at).await {
                Ok((socket, at)) => {
                    protocol::ready(&mut sender, Some(at)).await?;
                    tokio::select! {
                        () = Ingress::new(socket, via, self.idle).serve(way) => {}
                        _ = no_more => {}
                    }
                }
                Err(failure) => protocol::refuse(sender, refused(failure)).await?,
            },
        }
        Ok(())
    }
}

/// What somebody wants, for people.
fn wish(ask: &Ask) -> String {
    match ask {
        Ask::Connect { to, flow: None } => format!("to reach {to}"),
        Ask::Connect { to, flow: Some(_) } => format!("to reach {to} by UDP"),
        Ask::Listen { at, .. } => format!("to listen at {at}"),
        Ask::Come { .. } => "to ask for that".into(),
    }
}
