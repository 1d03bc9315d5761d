//! `conec receive`.

mod consent;
mod draft;
mod folder;
mod intake;
mod plan;
mod service;
mod store;
mod writer;

use std::{
    env, fs,
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use tokio::task::block_in_place;

use self::{consent::Consent, folder::Place, intake::Intake, service::Receiving};
use super::{code::Code, protocol::SERVICE};
use crate::{
    failure::Failure,
    output::{Output, say},
    serve::Services,
    session::{Connect, Session},
    target::Peer,
};

/// Receive files and folders that others send
///
/// Before anything is taken it is shown and asked about, unless --yes is given, or a code was typed. What is complete is printed on
/// standard output.
///
/// Nothing is overwritten: what has the name of something else becomes `name (1)`, unless --overwrite is given. What is cut off is kept as
/// NAME.conec-part, with what is known of it beside it, and goes on there when it is sent again by the same one. What is there already is
/// not sent again, as its hash shows.
///
/// Names are made safe: what would lead elsewhere, or is special on some system, is replaced by "_", and what would be hidden begins
/// with it. Permissions (but not set-user-id and the like) and times are kept. Links are not followed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec receive ~/Downloads --name office\n  conec receive --yes --once --from laptop --name office\n  conec receive --code"
)]
pub(crate) struct Args {
    /// Where to put it; made if it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Take all that is sent without asking
    #[arg(short, long)]
    yes: bool,
    /// End after one transfer is complete
    #[arg(long)]
    once: bool,
    /// Take only what this one sends, a name or an id; may be given several times. Without it, from everybody
    #[arg(long, value_name = "NAME|ID")]
    from: Vec<Peer>,
    /// Replace what has the same name
    #[arg(long)]
    overwrite: bool,
    /// Ask for a code that `conec send --code` has printed, and receive what it is for
    ///
    /// It is read from standard input, or taken from CONEC_CODE: others on this machine can read the arguments of commands.
    #[arg(long, conflicts_with_all = ["yes", "once", "from", "name"])]
    code: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let may_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !self.yes && !self.code && !may_ask {
            return Err(Failure::usage(
                "there is no terminal to ask on whether to take what is sent",
                "--yes takes it without asking; with --from NAME, only from that one",
            ));
        }
        let place = self.place()?;
        match self.code {
            true => self.by_code(place).await,
            false => self.serve(place).await,
        }
    }

    fn place(&self) -> Result<Place, Failure> {
        let failed =
            |error| Failure::io(format_args!("cannot use {}", self.folder.display()), &error);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        Place::open(&self.folder).map_err(failed)
    }

    async fn serve(self, place: Place) -> Result<ExitCode, Failure> {
        let consent = match self.yes {
            true => Consent::Given,
            false => Consent::ask(),
        };
        let intake = Intake {
            place,
            overwrite: self.overwrite,
            output: self.output,
        };
        let session = Session::connect(&self.connect).await?;
        session.tell_who();
        let (receiving, mut completed) = Receiving::new(intake, consent, self.from);
        let receiving = Arc::new(receiving);
        let work = async |session: &Session| {
            let services = Services::new().with(SERVICE, move |offer| {
                let receiving = Arc::clone(&receiving);
                async move { receiving.take(offer).await }
            });
            tokio::select! {
                outcome = services.serve(session) => outcome,
                Some(()) = completed.recv(), if self.once => Ok(ExitCode::SUCCESS),
            }
        };
        session.run(work).await
    }

    async fn by_code(self, place: Place) -> Result<ExitCode, Failure> {
        let code = block_in_place(read_code)?;
        let intake = Intake {
            place,
            overwrite: self.overwrite,
            output: self.output,
        };
        let session = Session::connect(&self.connect).await?;
        let work = async |session: &Session| {
            let name = code.meeting_point()?;
            let opened = session.client().open(name, SERVICE).await;
            let channel = opened.map_err(|error| {
                Failure::from(error)
                    .help("nobody waits with that code: was it used before, or is a digit wrong?")
            })?;
            code.prove(&channel, session.client().id()).await?;
            intake.take(channel, &Consent::Given).await?;
            Ok(ExitCode::SUCCESS)
        };
        session.run(work).await
    }
}

fn read_code() -> Result<Code, Failure> {
    if let Ok(code) = env::var("CONEC_CODE")
        && !code.is_empty()
    {
        return code.parse();
    }
    if io::stdin().is_terminal() {
        say("the code:");
    }
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::io("cannot read the code from standard input", &error))?;
    line.parse()
}
