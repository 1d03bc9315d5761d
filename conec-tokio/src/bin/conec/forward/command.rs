//! `conec forward`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::ArgGroup;
use conec_tokio::Client;

use super::{
    enter,
    ingress::{self, Ingress},
    remote, socks,
    spec::{Kind, Proxy, Tunnel},
    target::Target,
    via::{Via, Way},
};
use crate::{
    failure::Failure,
    open_files,
    output::say,
    session::{Connect, Session},
    target::Peer,
};

/// Forward ports, to and from the machines of others
///
/// The other end runs `conec expose`, and says what may be reached: nothing by default. All that goes to one machine shares one channel,
/// which is opened again when it was lost.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true).args(["local", "remote", "socks"]),
    after_help = "Examples:\n  conec forward -L 8080:office:localhost:80        (http://localhost:8080 is the office's port 80)\n  conec forward -L 5353:office:10.0.0.1:53/udp\n  conec forward -R 8080:public:localhost:80        (there: conec expose --listen 8080 --name public)\n  conec forward -D 1080:office                     (curl --proxy socks5h://localhost:1080 …)"
)]
pub(crate) struct Args {
    /// Listen here, and connect to HOST:PORT from there; /udp at the end is for UDP. Without BIND, only processes of this machine can
    /// connect; with *, all can
    #[arg(short = 'L', long, value_name = "[BIND:]PORT:NAME:HOST:PORT")]
    local: Vec<Tunnel>,
    /// Listen there, and connect to HOST:PORT from here
    #[arg(short = 'R', long, value_name = "[BIND:]PORT:NAME:HOST:PORT")]
    remote: Vec<Tunnel>,
    /// Be a SOCKS5 proxy here, which connects from there to whatever it is asked for: TCP and UDP
    #[arg(short = 'D', long, value_name = "[BIND:]PORT:NAME")]
    socks: Vec<Proxy>,
    /// When to forget who has sent UDP packets and sends no more
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    udp_idle: Duration,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        open_files::allow_many();
        let work = async |session: &Session| {
            let targets = self.targets(session.client());
            self.begin(&targets).await?;
            std::future::pending().await
        };
        self.connect.run(work).await
    }

    /// Begins all of it. What does not work now is said at once; what does not later, when it is needed.
    async fn begin(&self, targets: &[Arc<Target>]) -> Result<(), Failure> {
        for target in targets {
            target.link().await?;
        }
        for tunnel in &self.local {
            self.enter(tunnel, Via::Target(of(targets, &tunnel.peer)))
                .await?;
        }
        for proxy in &self.socks {
            let (listener, at) = enter::listen(&proxy.at).await?;
            say(format_args!(
                "listening at {at} (SOCKS5) for {}",
                proxy.peer
            ));
            let via = Via::Target(of(targets, &proxy.peer));
            tokio::spawn(socks::serve(listener, via, self.udp_idle));
        }
        for target in targets.iter().filter(|it| !it.remote.is_empty()) {
            let held = remote::hold(target).await?;
            tokio::spawn(remote::keep(Arc::clone(target), held));
        }
        Ok(())
    }

    async fn enter(&self, tunnel: &Tunnel, via: Via) -> Result<(), Failure> {
        let way = Way::To(tunnel.to.clone());
        let at = match tunnel.kind {
            Kind::Tcp => {
                let (listener, at) = enter::listen(&tunnel.at).await?;
                tokio::spawn(enter::serve(listener, via, way));
                at
            }
            Kind::Udp => {
                let (socket, at) = ingress::listen(&tunnel.at).await?;
                tokio::spawn(Ingress::new(socket, via, self.udp_idle).serve(way));
                at
            }
        };
        let Tunnel { peer, to, kind, .. } = tunnel;
        say(format_args!(
            "listening at {at} ({kind}) for {to} at {peer}"
        ));
        Ok(())
    }

    /// Everybody who is named, once.
    fn targets(&self, client: &Client) -> Vec<Arc<Target>> {
        let tunnels = self.local.iter().chain(&self.remote).map(|it| &it.peer);
        let mut peers: Vec<&Peer> = Vec::new();
        for peer in tunnels.chain(self.socks.iter().map(|it| &it.peer)) {
            if peers.iter().all(|it| it.target() != peer.target()) {
                peers.push(peer);
            }
        }
        let target = |peer: &Peer| {
            let there = self
                .remote
                .iter()
                .filter(|it| it.peer.target() == peer.target());
            let (remote, idle) = (there.cloned().collect(), self.udp_idle);
            Arc::new(Target::new(client.clone(), peer.clone(), remote, idle))
        };
        peers.into_iter().map(target).collect()
    }
}

fn of(targets: &[Arc<Target>], peer: &Peer) -> Arc<Target> {
    let target = targets.iter().find(|it| it.peer.target() == peer.target());
    Arc::clone(target.expect("there is a target for everybody who is named"))
}
