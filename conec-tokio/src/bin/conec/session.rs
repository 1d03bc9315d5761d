//! A Client of the tool: who it is, which Coordinator it is connected to, and how it ends.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use conec_tokio::{
    Channel, Client, ClientConfig, ClientState, CoordinatorUrl, Credential, Invitation, KeyPin,
    Name, OpenChannelError, OpenError, PathPolicy, Secret, Trust, rustls::RootCertStore,
};

use crate::{
    failure::{Exit, Failure},
    home::{Context, Home, Lease},
    output::say,
    private, reasons, stop,
    target::Peer,
};

/// How a command connects.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    /// The Coordinator to speak to instead of the saved one: conec://PIN@host:port, or its ticket, which joins it for this once.
    /// Others on this machine can read arguments, but not the environment
    #[arg(
        long,
        value_name = "URL",
        env = "CONEC_COORDINATOR",
        hide_env_values = true,
        value_parser = Place::parse
    )]
    pub(crate) coordinator: Option<Place>,
    /// The saved context to use, instead of the current one
    #[arg(
        long,
        value_name = "NAME",
        env = "CONEC_CONTEXT",
        conflicts_with = "coordinator"
    )]
    pub(crate) context: Option<String>,
    /// A file with the token to show to the Coordinator, if it is not the saved one
    #[arg(long, value_name = "FILE", env = "CONEC_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A file with what an authority says of this machine (PEM), where the Coordinator wants that
    #[arg(long, value_name = "FILE", env = "CONEC_CREDENTIAL")]
    pub(crate) credential: Option<PathBuf>,
    /// The name under which others know this; without it, they need the id
    #[arg(long)]
    pub(crate) name: Option<Name>,
    /// What packets may travel on
    #[arg(long, value_enum, default_value_t)]
    pub(crate) path: PathChoice,
}

/// Where a Coordinator is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Url(CoordinatorUrl),
    /// Not parsed yet: errors about arguments repeat them, and a ticket is secret.
    Ticket(Secret<Bytes>),
}

/// What packets between Clients may travel on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PathChoice {
    /// Directly where that works, otherwise through the Coordinator
    #[default]
    Auto,
    /// Only through the Coordinator: the other end learns none of this machine's addresses
    Proxied,
    /// Only directly
    Direct,
}

/// A connected Client.
pub(crate) struct Session {
    client: Client,
    url: CoordinatorUrl,
    /// Nobody else has the identity as long as this lives.
    _lease: Lease,
}

impl Session {
    /// Connects to the Coordinator that is meant.
    pub(crate) async fn connect(connect: &Connect) -> Result<Self, Failure> {
        let home = Home::open()?;
        let context = connect.context(&home)?;
        Self::connect_with(&home, &context, connect).await
    }

    /// Connects to this Coordinator.
    pub(crate) async fn connect_with(
        home: &Home,
        context: &Context,
        connect: &Connect,
    ) -> Result<Self, Failure> {
        let lease = home.lease()?;
        let config = connect.config(&lease, context)?;
        let authority = context.url.authority();
        let client = tokio::select! {
            client = Client::connect(&authority, config) => client,
            () = stop::wanted() => return Err(Failure::interrupted()),
        };
        let client = client.map_err(|error| Failure::from(error).during(&authority))?;
        tokio::spawn(tell_outages(client.clone()));
        Ok(Self {
            client,
            url: context.url.clone(),
            _lease: lease,
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The hash of the Coordinator's key.
    pub(crate) fn pin(&self) -> Result<KeyPin, Failure> {
        self.url.pin().ok_or_else(|| {
            Failure::usage(
                "this needs the URL of the Coordinator with its pin",
                "use the URL or the ticket that the Coordinator prints",
            )
        })
    }

    /// Tells people by what others reach this.
    pub(crate) fn tell_who(&self) {
        let id = self.client.id();
        match self.client.name() {
            Some(name) => say(format_args!("here as {name}, with the id {id}")),
            None => say(format_args!("here with the id {id}")),
        }
    }

    /// Opens a channel to somebody, for a service, once the Coordinator is there.
    pub(crate) async fn open(&self, to: &Peer, service: &str) -> Result<Channel, Failure> {
        open(&self.client, to, service).await
    }

    /// Does this, until it is done, or the process is to stop, or the Coordinator lets this Client go for good. Then closes
    /// everything gracefully, so that the other ends know.
    pub(crate) async fn run(
        self,
        work: impl AsyncFnOnce(&Self) -> Result<ExitCode, Failure>,
    ) -> Result<ExitCode, Failure> {
        let outcome = tokio::select! {
            biased;
            outcome = work(&self) => outcome,
            () = stop::wanted() => Err(Failure::interrupted()),
            reason = self.client.closed() => Err(reasons::ended(reason)),
        };
        let patience = match outcome {
            Ok(_) => PATIENCE,
            Err(_) => SHORT_PATIENCE,
        };
        tokio::select! {
            () = self.client.close(patience) => {}
            // Somebody is in a hurry.
            () = stop::wanted() => {}
        }
        outcome
    }
}

/// Opens a channel, as [`Session::open`] does.
pub(crate) async fn open(client: &Client, to: &Peer, service: &str) -> Result<Channel, Failure> {
    loop {
        match client.open(to.target(), service).await {
            // It is away, and will be there again.
            Err(OpenError::Refused(OpenChannelError::NotConnected)) => client.connected().await?,
            opened => return opened.map_err(|error| Failure::from(error).during(to)),
        }
    }
}

impl Connect {
    /// Connects and does this, as [`Session::run`] has it.
    pub(crate) async fn run(
        &self,
        work: impl AsyncFnOnce(&Session) -> Result<ExitCode, Failure>,
    ) -> Result<ExitCode, Failure> {
        Session::connect(self).await?.run(work).await
    }

    /// The Coordinator that is meant, and the token for it.
    pub(crate) fn context(&self, home: &Home) -> Result<Context, Failure> {
        let mut context = self.named(home)?;
        if let Some(path) = &self.token_file {
            context.token = read_token(path)?;
        }
        Ok(context)
    }

    /// How to connect to it.
    pub(crate) fn config(&self, lease: &Lease, context: &Context) -> Result<ClientConfig, Failure> {
        let mut config = ClientConfig::new(lease.identity.clone(), trust(&context.url)?);
        config.token = context.token.clone();
        config.name = self.name.clone();
        config.paths.policy = self.path.policy();
        config.peer.bi_streams = STREAMS;
        config.credential = self.credential()?;
        // Operators see what they do not have to forward.
        config.paths.report = true;
        Ok(config)
    }

    fn credential(&self) -> Result<Option<Credential>, Failure> {
        let Some(path) = &self.credential else {
            return Ok(None);
        };
        let text = private::read_needed(path)?;
        let credential = Credential::from_pem(text.as_bytes());
        credential.map(Some).map_err(|error| {
            Failure::usage(format!("{} is no credential: {error}", path.display()), "it is a chain of certificates, PEM, that an authority of the Coordinator has issued for this machine's key")
        })
    }

    fn named(&self, home: &Home) -> Result<Context, Failure> {
        let contexts = home.contexts()?;
        match &self.coordinator {
            None => {}
            Some(Place::Ticket(ticket)) => return Ok(invitation(ticket.as_ref())?.into()),
            Some(Place::Url(url)) => {
                let saved = contexts.of_url(url);
                return Ok(saved.unwrap_or_else(|| Context {
                    url: url.clone(),
                    token: Secret::default(),
                }));
            }
        }
        let Some(name) = self.context.as_deref().or_else(|| contexts.current()) else {
            let help = match contexts.list().next() {
                Some(_) => "`conec context use NAME` chooses one that was joined",
                None => {
                    "run `conec coordinator` somewhere, and `conec join` here with its ticket; or give --coordinator URL"
                }
            };
            return Err(Failure::usage("no Coordinator to speak to", help));
        };
        contexts.get(name).ok_or_else(|| {
            Failure::usage(
                format!("there is no context {name:?}"),
                "`conec context ls` lists those that there are",
            )
        })
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("conec1") {
            return Ok(Self::Ticket(Bytes::from(text.to_owned()).into()));
        }
        let url = text.parse().map(Self::Url);
        url.map_err(|error| format!("{error}; write it as conec://PIN@host:port"))
    }
}

impl PathChoice {
    fn policy(self) -> PathPolicy {
        match self {
            Self::Auto => PathPolicy::Auto,
            Self::Proxied => PathPolicy::ProxiedOnly,
            Self::Direct => PathPolicy::DirectOnly(DIRECT_DEADLINE),
        }
    }
}

/// Tells people when the Coordinator is away, and when it is back: nothing is lost by that alone.
async fn tell_outages(client: Client) {
    let mut state = client.state();
    let mut is_away = false;
    loop {
        state = client.state_other_than(state).await;
        match state {
            ClientState::Ended { .. } => return,
            ClientState::Reconnecting { last_error, .. } if !is_away => {
                is_away = true;
                say(format_args!(
                    "the Coordinator is away ({last_error}): looking for it"
                ));
            }
            ClientState::Connected if is_away => {
                is_away = false;
                say("the Coordinator is there again");
            }
            ClientState::Unused
            | ClientState::Connecting
            | ClientState::Reconnecting { .. }
            | ClientState::Connected
            | _ => {}
        }
    }
}

/// How the Coordinator is recognised: by its pin, or by the authorities that this system trusts.
fn trust(url: &CoordinatorUrl) -> Result<Trust, Failure> {
    if let Some(trust) = url.trust() {
        return Ok(trust);
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Failure::new(
            Exit::Unreachable,
            "this system trusts no authorities, and the URL has no pin",
            "use the URL with the pin that the Coordinator prints, or set SSL_CERT_FILE",
        ));
    }
    Ok(Trust::Roots(Arc::new(roots)))
}

fn read_token(path: &std::path::Path) -> Result<Secret<Bytes>, Failure> {
    let text = private::read_needed(path)?;
    let token = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
    let token = token.map_err(|_| {
        let what = format!(
            "{} holds no token: it is a hexadecimal number",
            path.display()
        );
        Failure::usage(
            what,
            "copy the file `token` out of the state directory of the Coordinator",
        )
    })?;
    Ok(token.into())
}

/// What a ticket says.
pub(crate) fn invitation(ticket: &[u8]) -> Result<Invitation, Failure> {
    let text = String::from_utf8_lossy(ticket);
    text.parse().map_err(|error| {
        Failure::usage(
            format!("that is no ticket: {error}"),
            "copy all of what `conec coordinator` prints: it begins with conec1",
        )
    })
}

/// How many streams another Client may have open at once, each of which may stand for a connection. They cost nothing until they
/// are there; further ones wait.
const STREAMS: u32 = 4096;
/// What is under way may take so long to be completed at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// When it is of no more use.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);
/// How long a channel that may only be direct goes without a path.
const DIRECT_DEADLINE: Duration = Duration::from_secs(30);
