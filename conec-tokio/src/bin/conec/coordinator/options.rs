//! What can be said to `conec coordinator`.

use std::{net::SocketAddr, path::PathBuf};

use conec_tokio::ClientId;

use super::{metrics::Address, second::SecondPort};

/// Run a Coordinator: the one server that all others join
///
/// Prints its URL on standard output, and then the ticket by which others join it, which is as secret as a password. A signal to
/// terminate lets everybody go over to another Coordinator, or wait for this one to come back; a second one ends it at once. SIGHUP has it
/// read its configuration file again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec coordinator --host conec.example.org\n  conec coordinator --metrics 9433\n\nOthers then join by the ticket that it prints:\n  conec join"
)]
pub(crate) struct Args {
    /// The UDP address to listen at; by default port 4433 of all that this machine has
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// The UDP port, at the same address, by which Clients learn what kind of NAT they are behind; "off" for none, 0 for any free one. By
    /// default the one after the first, or any free one where that is taken
    #[arg(long, value_name = "PORT")]
    pub(super) second_port: Option<SecondPort>,
    /// A directory for what has to last: certificate, token, who is forbidden. Made if it is not there; by default where the system has
    /// data of programs, as ~/.local/share/conec/coordinator
    #[arg(long, value_name = "DIR", env = "CONEC_STATE")]
    pub(super) state: Option<PathBuf>,
    /// A name or address by which others reach this machine; the first one is in the URL. May be given several times; by default
    /// an address of this machine
    #[arg(long = "host", value_name = "NAME")]
    pub(super) hosts: Vec<String>,
    /// The chain of certificates to show, instead of a self-signed one (PEM)
    #[arg(long = "cert", value_name = "FILE", requires = "key")]
    pub(super) certificate: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) key: Option<PathBuf>,
    /// A file with limits and rules; what is said on the command line counts before it, and all else is as it is by default
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Only check the configuration
    #[arg(long)]
    pub(super) check: bool,
    /// Show metrics (/metrics, /status) and a page to look at, by HTTP: a port, which only this machine reaches, or an address and a port;
    /// not served by default
    #[arg(long, value_name = "ADDRESS")]
    pub(super) metrics: Option<Address>,
    /// Who may use `conec ls`, `kick`, `drain` and `top`: what `conec id` prints there. May be given several times; nobody by default
    #[arg(long = "admin", value_name = "ID")]
    pub(super) admins: Vec<ClientId>,
    /// Do not print the ticket; it is in the state directory
    #[arg(long)]
    pub(super) no_ticket: bool,
    /// Show the ticket as a QR code, too, on standard error
    #[arg(long, conflicts_with = "no_ticket")]
    pub(super) qr: bool,
}
