//! What the command line and the configuration file say together.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use conec_tokio::{
    Authorities, Certificate, ClientId, CoordinatorConfig, CoordinatorUrl, Secret,
    rustls::{
        RootCertStore,
        pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject},
    },
};
use data_encoding::HEXLOWER_PERMISSIVE;

use super::{
    announce::host_of,
    config::{Config, Decision, Source},
    metrics::Address,
    options::Args,
    second::SecondPort,
    state::State,
};
use crate::{failure::Failure, private};

/// What is to be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    source: Source,
}

impl Plan {
    /// What is said on the command line counts before what the file says.
    pub(super) fn read(args: &Args) -> Result<Self, Failure> {
        let (mut config, source) = match &args.config {
            Some(path) => Config::read(path)?,
            None => Default::default(),
        };
        config.listen = args.listen.or(config.listen);
        config.second_port = args.second_port.or(config.second_port);
        if !args.hosts.is_empty() {
            config.hosts.clone_from(&args.hosts);
        }
        if args.certificate.is_some() {
            config.certificate.clone_from(&args.certificate);
            config.key.clone_from(&args.key);
        } else {
            config.certificate = config.certificate.map(|path| source.beside(path));
            config.key = config.key.map(|path| source.beside(path));
        }
        config.metrics = args.metrics.or(config.metrics);
        config.admins.extend(&args.admins);
        Ok(Self { config, source })
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.config.listen.unwrap_or_else(|| DEFAULT_LISTEN.into())
    }

    pub(super) fn second_port(&self) -> SecondPort {
        self.config.second_port.unwrap_or_default()
    }

    pub(super) fn metrics(&self) -> Option<Address> {
        self.config.metrics
    }

    pub(super) fn host(&self) -> String {
        host_of(&self.config.hosts, self.listen())
    }

    pub(super) fn drain(&self) -> Duration {
        self.config.drain().unwrap_or(DEFAULT_DRAIN)
    }

    pub(super) fn admins(&self) -> &[ClientId] {
        &self.config.admins
    }

    /// The certificate that was given, or that of the state, or, without any, one that is not kept.
    pub(super) fn certificate(
        &self,
        state: Option<&State>,
        host: &str,
    ) -> Result<Certificate, Failure> {
        match (&self.config.certificate, &self.config.key, state) {
            (Some(certificate), Some(key), _) => given(certificate, key),
            (None, None, Some(state)) => state.certificate(&self.hosts(host)),
            (None, None, None) => Certificate::self_signed(self.hosts(host))
                .map_err(|error| self.source.wrong("hosts", error)),
            (Some(_), None, _) => Err(self
                .source
                .wrong("certificate", "a key has to be given, too")),
            (None, Some(_), _) => Err(self
                .source
                .wrong("key", "a certificate has to be given, too")),
        }
    }

    /// What the library is told. Fails where it would not take it.
    pub(super) fn library(&self, certificate: Certificate) -> Result<CoordinatorConfig, Failure> {
        for host in &self.config.hosts {
            CoordinatorUrl::new(None, host, 1)
                .map_err(|error| self.source.wrong("hosts", format!("{host:?}: {error}")))?;
        }
        let mut config = CoordinatorConfig::new(certificate);
        self.config.apply(&mut config);
        config.authorities = self.authorities()?;
        config.reset_key = self.key("reset_key", self.config.reset_key.as_ref())?;
        config.ticket_key = self.key("ticket_key", self.config.ticket_key.as_ref())?;
        config
            .check()
            .map_err(|error| self.source.refused(&error))?;
        Ok(config)
    }

    /// The rules as text, without those who are forbidden.
    pub(super) fn rules(&self) -> Result<String, Failure> {
        let config = &self.config;
        if let Some(rules) = &config.rules {
            for (key, is_said) in [
                ("open", config.open),
                ("channels", config.channels.is_some()),
                ("groups", config.groups.is_some()),
            ] {
                if is_said {
                    return Err(self
                        .source
                        .wrong(key, "where there are rules, they say this"));
                }
            }
            let read = rules.parse::<conec_tokio::Rules>();
            read.map_err(|error| self.source.wrong("rules", error))?;
            for (before, line) in rules.lines().enumerate() {
                let mut words = line.split_whitespace();
                let kind = words.next().unwrap_or_default();
                if kind != "connect" && words.next() == Some("ask") {
                    let why = format!(
                        "line {}: only connect may ask, which asks for the token",
                        before + 1
                    );
                    return Err(self.source.wrong("rules", why));
                }
            }
            return Ok(rules.clone());
        }
        let word = |decision: Option<Decision>| decision.unwrap_or(Decision::Allow).word();
        let connect = if config.open { "allow" } else { "ask" };
        let (reach, groups) = (word(config.channels), word(config.groups));
        Ok(format!(
            "connect {connect} any\nreach {reach} any to any\njoin {groups} any\npublish {groups} any\ncreate {groups} any\n"
        ))
    }

    /// What only counts when a Coordinator is started anew has changed.
    pub(super) fn needs_restart(&self, running: &Self) -> bool {
        self.config.fixed() != running.config.fixed()
    }

    fn hosts(&self, host: &str) -> Vec<String> {
        match &self.config.hosts[..] {
            [] => vec![host.to_owned()],
            hosts => hosts.to_vec(),
        }
    }

    fn authorities(&self) -> Result<Option<Authorities>, Failure> {
        let Some(path) = &self.config.authorities else {
            return match self.config.revoked.is_empty() {
                true => Ok(None),
                false => Err(self
                    .source
                    .wrong("revoked", "authorities have to be given, too")),
            };
        };
        let wrong = |why: String| self.source.wrong("authorities", why);
        let path = self.source.beside(path.clone());
        let mut roots = RootCertStore::empty();
        let found = CertificateDer::pem_file_iter(&path);
        for root in found.map_err(|error| wrong(format!("{}: {error}", path.display())))? {
            let root = root.map_err(|error| wrong(format!("{}: {error}", path.display())))?;
            roots.add(root).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong(format!("{} holds no certificate", path.display())));
        }
        let mut authorities = Authorities::new(Arc::new(roots));
        if self.config.authorities_optional {
            authorities = authorities.optional();
        }
        let lists = self.revocations()?;
        let authorities = authorities.with_revocations(lists);
        let authorities = authorities.map_err(|error| self.source.wrong("revoked", error))?;
        Ok(Some(authorities))
    }

    fn revocations(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, Failure> {
        let mut all = Vec::new();
        for path in &self.config.revoked {
            let path = self.source.beside(path.clone());
            let wrong = |error| {
                self.source
                    .wrong("revoked", format!("{}: {error}", path.display()))
            };
            let lists = CertificateRevocationListDer::pem_file_iter(&path).map_err(wrong)?;
            for list in lists {
                all.push(list.map_err(wrong)?);
            }
        }
        Ok(all)
    }

    fn key(&self, what: &str, path: Option<&PathBuf>) -> Result<Option<Secret<[u8; 32]>>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let path = self.source.beside(path.clone());
        let text = private::read_secret(&path)?;
        let key = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
        let key = key.and_then(|it| <[u8; 32]>::try_from(it).ok());
        let key = key.ok_or_else(|| {
            let why = format!("{} does not hold 64 hexadecimal digits", path.display());
            self.source.wrong(what, why)
        })?;
        Ok(Some(key.into()))
    }
}

fn given(certificate: &Path, key: &Path) -> Result<Certificate, Failure> {
    let chain = private::read_needed(certificate)?;
    let key = private::read_secret(key)?;
    Certificate::from_pem(format!("{chain}\n{key}").as_bytes()).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", certificate.display()),
            "both files are PEM: the chain of certificates, its own first, and the private key",
        )
    })
}

/// Serves IPv4 as well where the system is able to.
const DEFAULT_LISTEN: (std::net::Ipv6Addr, u16) = (std::net::Ipv6Addr::UNSPECIFIED, 4433);
/// How long Clients have to go over to another Coordinator.
const DEFAULT_DRAIN: Duration = Duration::from_secs(5);
