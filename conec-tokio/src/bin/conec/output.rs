//! What a command gives: on standard output, as text or as JSON.

use std::{
    fmt::Display,
    io::{self, Write},
};

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;

/// How a command gives what it gives.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Output {
    /// Print one JSON object in a line
    #[arg(long)]
    pub(crate) json: bool,
}

impl Output {
    /// Gives a line: this object, or this text.
    pub(crate) fn line(self, object: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        if self.json {
            let object = serde_json::to_string(object)
                .map_err(|error| Failure::mistake(format!("cannot print: {error}")))?;
            print(object)
        } else {
            print(text)
        }
    }
}

/// Gives a line of text.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| Failure::io("cannot write to standard output", &error))
}

/// Tells people something.
pub(crate) fn say(text: impl Display) {
    // Where standard error is closed, nobody listens.
    let _ = writeln!(io::stderr(), "{text}");
}
