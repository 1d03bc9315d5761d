//! `conec coordinator`.

mod admission;
mod announce;
mod config;
mod drain;
mod events;
mod metrics;
mod office;
mod options;
mod plan;
mod second;
mod service;
mod signals;
mod state;

use std::{
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    process::ExitCode,
};

use conec_tokio::{Coordinator, CoordinatorConfig, Drain};
use tokio::{sync::mpsc, task::spawn_blocking};

use self::{
    admission::Admission,
    plan::Plan,
    signals::{Signal, Signals},
    state::State,
};
pub(crate) use self::{office::Office, options::Args};
use crate::{failure::Failure, output::say};

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let plan = Plan::read(&self)?;
        if self.check {
            return check(&plan);
        }
        let mut signals = Signals::new()?;
        let state = State::open(self.state.clone())?;
        let host = plan.host();
        let mut config = plan.library(plan.certificate(Some(&state), &host)?)?;
        let admission = Admission::new(&plan, &state)?;
        config.rules = Some(admission.rules.clone());
        config.revocations = state.revocations()?;
        let server = match plan.metrics() {
            Some(address) => Some(metrics::Server::bind(address).await?),
            None => None,
        };
        let coordinator = bind(&plan, config).await?;
        let (office, mut drains) = Office::new(coordinator, state, host, admission);
        office.announce()?.print(!self.no_ticket, self.qr)?;
        tell_where(office.coordinator());
        let serving = server.map(|it| it.serve(office.clone()));
        service::ready();
        tokio::spawn(service::keep_watchdog(office.clone()));
        let drain = self.work(&office, plan, &mut signals, &mut drains).await?;
        service::stopping(drain.deadline);
        drain::stop(office.coordinator(), &drain, &mut signals).await;
        if let Some(serving) = serving {
            serving.end().await;
        }
        office.keep_revocations()?;
        Ok(ExitCode::SUCCESS)
    }

    /// Until it is to stop, and how.
    async fn work(
        &self,
        office: &Office,
        mut plan: Plan,
        signals: &mut Signals,
        drains: &mut mpsc::Receiver<Drain>,
    ) -> Result<Drain, Failure> {
        loop {
            tokio::select! {
                event = office.coordinator().next_event() => match event {
                    Some(event) => events::take(office, event),
                    None => return Err(Failure::mistake("the Coordinator has ended")),
                },
                Some(drain) = drains.recv() => return Ok(drain),
                signal = signals.next() => match signal {
                    Signal::Stop => return Ok(drain::within(plan.drain())),
                    Signal::Reload => {
                        service::reloading();
                        if let Err(failure) = self.reload(office, &mut plan).await {
                            failure.log();
                            tracing::error!("the configuration stays as it was");
                        }
                        service::ready();
                    }
                },
            }
        }
    }

    /// Takes up what can be changed while it runs, or nothing.
    async fn reload(&self, office: &Office, running: &mut Plan) -> Result<(), Failure> {
        let plan = Plan::read(self)?;
        // The certificate does not matter for whether the rest is right.
        plan.library(plan.certificate(None, "localhost")?)?;
        // It may take as long as a disk.
        let office = office.clone();
        let taken = spawn_blocking(move || office.take_up(&plan).map(|()| plan));
        let plan = taken
            .await
            .map_err(|_| Failure::mistake("the configuration was not taken up"))??;
        let rest = match plan.needs_restart(running) {
            true => ": rules and admins count from now on, all else from the next start",
            false => "",
        };
        tracing::info!("the configuration was read again{rest}");
        // What the next start brings is still not there.
        running.config.take_up(plan.config);
        Ok(())
    }
}

/// Both ports have to be open in firewalls.
fn tell_where(coordinator: &Coordinator) {
    let address = coordinator.local_addr();
    match coordinator.second_port() {
        Some(port) => {
            tracing::info!("listening at {address}, and at UDP port {port} to tell NATs apart");
        }
        None => tracing::info!("listening at {address}"),
    }
}

fn check(plan: &Plan) -> Result<ExitCode, Failure> {
    plan.library(plan.certificate(None, "localhost")?)?;
    plan.rules()?;
    say("the configuration is right");
    Ok(ExitCode::SUCCESS)
}

/// Where the system has no IPv6, all addresses are those of IPv4.
async fn bind(plan: &Plan, mut config: CoordinatorConfig) -> Result<Coordinator, Failure> {
    let mut listen = plan.listen();
    let everywhere = Ipv6Addr::UNSPECIFIED;
    if listen.ip() == everywhere && UdpSocket::bind((everywhere, 0)).is_err() {
        listen.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    config.second_port = plan.second_port().beside(listen);
    Coordinator::bind(listen, config).await.map_err(|error| {
        Failure::from(error)
            .during(format_args!("cannot listen at {listen}"))
            .help("is another Coordinator running? --listen and --second-port choose other ports")
    })
}
