//! Where a Coordinator is.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use thiserror::Error;

use super::TextError;
use crate::{KeyPin, Trust, transport::is_host_name};

/// Where a Coordinator is, and how it is recognised, in one line: `conec://PIN@host:port`, or `conec://host:port` for one that is known by
/// its host name.
///
/// ```
/// use conec_core::{CoordinatorUrl, Identity, Trust};
///
/// let url: CoordinatorUrl = "conec://conec.example.org:4433".parse()?;
/// assert_eq!(url.authority(), "conec.example.org:4433");
/// assert_eq!(url.pin(), None);
///
/// # let pin = Identity::from_seed([7; 32]).id();
/// let url = CoordinatorUrl::new(Some(pin), "2001:db8::1", 4433)?;
/// assert_eq!(url.to_string(), format!("conec://{pin}@[2001:db8::1]:4433"));
/// assert_eq!(url.to_string().parse(), Ok(url));
/// # Ok::<(), conec_core::UrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorUrl {
    pin: Option<KeyPin>,
    host: Box<str>,
    port: u16,
}

impl CoordinatorUrl {
    /// The Coordinator at this host, a DNS name or an IP address, and this port.
    pub fn new(pin: Option<KeyPin>, host: &str, port: u16) -> Result<Self, UrlError> {
        if port == 0 {
            return Err(UrlError::Port);
        }
        if !is_host_name(host) {
            return Err(UrlError::Host);
        }
        let host = host.into();
        Ok(Self { pin, host, port })
    }

    /// The hash of its key, if it is recognised by that.
    pub fn pin(&self) -> Option<KeyPin> {
        self.pin
    }

    /// How it is recognised, if that is by its key. Otherwise, it takes roots for its certificate.
    pub fn trust(&self) -> Option<Trust> {
        self.pin.map(Trust::Pin)
    }

    /// Its host: a DNS name, or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, as resolvers take it.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        match host.parse::<Ipv6Addr>() {
            Ok(ip) => format!("[{ip}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for CoordinatorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        if let Some(pin) = self.pin {
            write!(f, "{pin}@")?;
        }
        f.write_str(&self.authority())
    }
}

impl FromStr for CoordinatorUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix(SCHEME).ok_or(UrlError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (pin, rest) = match rest.split_once('@') {
            Some((pin, rest)) => (Some(pin.parse().map_err(UrlError::Pin)?), rest),
            None => (None, rest),
        };
        let (host, port) = rest.rsplit_once(':').ok_or(UrlError::Port)?;
        // `parse` takes a sign, too.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or(UrlError::Port)?;
        let host = match host.strip_prefix('[') {
            Some(ip) => {
                let ip = ip.strip_suffix(']').ok_or(UrlError::Host)?;
                ip.parse::<Ipv6Addr>().map_err(|_| UrlError::Host)?;
                ip
            }
            // Which colon is the one before the port could not be told.
            None if host.contains(':') => return Err(UrlError::Host),
            None => host,
        };
        Self::new(pin, host, port)
    }
}

/// Why a text says of no Coordinator where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `conec://`.
    #[error("it does not begin with conec://")]
    Scheme,
    /// What is before the @ is not the hash of a key.
    #[error("what is before the @ is not the hash of a key: {0}")]
    Pin(TextError),
    /// The host is neither a DNS name nor an IP address; one of IPv6 has to be in brackets.
    #[error("the host is neither a DNS name nor an IP address (IPv6: in brackets)")]
    Host,
    /// It does not end with a port from 1 to 65535.
    #[error("it does not end with a port: a colon, and a number from 1 to 65535")]
    Port,
}

const SCHEME: &str = "conec://";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientId;

    #[test]
    fn what_was_written_is_read() {
        let pin = ClientId::from_bytes([9; 32]);
        for (pin, host) in [
            (None, "localhost"),
            (Some(pin), "conec.example.org"),
            (Some(pin), "192.0.2.1"),
            (None, "2001:db8::1"),
        ] {
            let url = CoordinatorUrl::new(pin, host, 4433).unwrap();
            assert_eq!(url.to_string().parse(), Ok(url.clone()));
            assert_eq!((format!("{url}/")).parse(), Ok(url.clone()));
            assert_eq!((url.host(), url.port(), url.pin()), (host, 4433, pin));
            assert_eq!(url.trust().is_some(), pin.is_some());
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let pin = ClientId::from_bytes([9; 32]).to_string();
        let typo = TextError::Checksum;
        let short = TextError::Length { found: 3 };
        for (text, error) in [
            ("", UrlError::Scheme),
            ("http://localhost:1", UrlError::Scheme),
            ("conec:localhost:1", UrlError::Scheme),
            ("CONEC://localhost:1", UrlError::Scheme),
            ("conec://localhost", UrlError::Port),
            ("conec://localhost:", UrlError::Port),
            ("conec://localhost:0", UrlError::Port),
            ("conec://localhost:+1", UrlError::Port),
            ("conec://localhost:65536", UrlError::Port),
            ("conec://localhost:1/path", UrlError::Port),
            ("conec://:1", UrlError::Host),
            ("conec://local host:1", UrlError::Host),
            ("conec://2001:db8::1:1", UrlError::Host),
            ("conec://[2001:db8::1:1", UrlError::Host),
            ("conec://[localhost]:1", UrlError::Host),
            ("conec://abc@localhost:1", UrlError::Pin(short)),
            (
                &format!("conec://{}@localhost:1", pin.replace('b', "c")),
                UrlError::Pin(typo),
            ),
            (&format!("conec://{pin}@{pin}@localhost:1"), UrlError::Host),
        ] {
            assert_eq!(text.parse::<CoordinatorUrl>(), Err(error), "{text}");
        }
    }
}
